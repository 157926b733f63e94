"""Every reader of the product with a small good input, for fuzzers and tests that damage it.

What must hold for any damage: the input is read, or refused by an error of ours, in one printable line that names it.
"""

import dataclasses
import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from judged_runs import detections, write_set
from label_samples import SAMPLES, SIDECAR, lay_out
from label_samples import read as read_labels
from odd_recordings import write_good
from records import made_up_record
from small_shares import jpeg
from value_mutations import mutated_bytes

import traffic_yolo
from traffic_yolo.atm.calibration import read_calibration
from traffic_yolo.atm.layouts import read_layout
from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.darknet.dump import read_input
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import check_source
from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.formats.darknet_data import read_darknet_data
from traffic_yolo.dataset.formats.mapping import read_mapping
from traffic_yolo.dataset.formats.yolo_set import read_data_yaml
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.pictures.decode import check_upright, decode_picture
from traffic_yolo.dataset.pictures.picture_file import kept_picture, picture_size
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.splits.pins import read_pins
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.run.kitti import read_kitti
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import LabelError, TrafficYoloError
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.katib.check.check import check_file
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.registry.ledger import LedgerEntry
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.snapshot.snapshot import read_snapshot, take_snapshot, write_snapshot
from traffic_yolo.training.checkpoint import read_checkpoint
from traffic_yolo.training.fake_quantise import read_quantisers, write_quantisers
from traffic_yolo.training.history import HistoryRow, read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.scale_history import ScaleHistory

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Sample:
    """`make` writes a good input into a folder and returns the file to damage, which is what `read` is given.

    `is_named`: a refusal names the folder. Not where a reader tells of many files, or is given bytes.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutate: Mutate = mutated_bytes
    is_named: bool = True


def _text(name: str, text: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return make


def _labels(name: str) -> Sample:
    def make(folder: Path) -> Path:
        lay_out(folder, name)
        return folder / SAMPLES[name][0]

    def read(path: Path) -> None:
        folder = path.parents[len(Path(SAMPLES[name][0]).parts) - 1]
        if refusal := read_labels(path if name == "mapped" else folder, name, folder):
            raise LabelError(refusal)

    return Sample(make, read)


def _sidecar(folder: Path) -> Path:
    lay_out(folder, "kitti")
    (folder / "sidecar.jsonl").write_text(SIDECAR)
    return folder / "sidecar.jsonl"


def _read_sidecar(path: Path) -> None:
    if refusal := read_labels(path.parent, "kitti", path.parent):
        raise LabelError(refusal)


def _source(path: Path) -> None:
    for frame in open_source(SourceChoice(str(path)), SourceOptions(on_problem=lambda _: None)).frames():
        frame.picture()


def _archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.yaml", "train: images\nnames: [CAR]\n")
        archive.writestr("images/a.jpg", jpeg(1))
        archive.writestr("labels/a.txt", "0 0.5 0.5 0.5 0.5\n")
    return folder / "export.zip"


def _yolo_set(folder: Path) -> Path:
    for name in ("images/a.jpg", "list.txt", "obj.names"):
        _text(name, "images/a.jpg\n")(folder)
    _text("set.data", "classes = 1\ntrain = list.txt\nnames = obj.names\n")(folder)
    return _text("data.yaml", "train: list.txt\nval: [images]\nnames: {0: CAR}\nnc: 1\nkpt_shape: [2, 3]\n")(folder)


def _data_set(name: str) -> Sample:
    def make(folder: Path) -> Path:
        write_set(folder / "set")
        return folder / "set" / name

    def read(path: Path) -> None:
        data_set = DataSet.open(path.parents[len(Path(name).parts) - 1])
        assert data_set.filled_splits
        data_set.split("test", missing_files=True)

    return Sample(make, read)


def _snapshot(folder: Path) -> Path:
    _text("source/a.jpg", "x")(folder)
    write_snapshot(folder / "snapshot.json", take_snapshot(folder / "source"))
    return folder / "snapshot.json"


def _record(folder: Path) -> Path:
    made_up_record().write(folder / "record.json")
    return folder / "record.json"


def _ledger(folder: Path) -> Path:
    entry = LedgerEntry.of_record("m", "v", made_up_record())
    return _text(f"ledger/{entry.object_name}", entry.to_bytes())(folder)


def _raw_detections(folder: Path) -> Path:
    data = write_set(folder / "set")
    detections(data, Protocol(**made_up_record().protocol)).save(folder / "detections.npz")
    return folder / "detections.npz"


def _truth(folder: Path) -> Path:
    return write_set(folder / "set").coco_path("test")


def _arrays(folder: Path) -> Path:
    np.savez(folder / "input.npz", input=np.zeros((3, 4, 5), np.float32), image_wh=np.array([5, 4]))
    return folder / "input.npz"


def _recording(path: Path) -> None:
    check_source(SourceChoice(str(path.parent)), CheckOptions(decode="none"))
    take_snapshot(path.parent)
    _source(path)


def _checkpoint(folder: Path) -> Path:
    values = {
        "iteration": 1, "seen": 2, "seconds": 1.5, "is_validated": True, "network": {"a": torch.zeros(2)},
        "averaged": {"a": torch.zeros(2)}, "optimizer": {"state": {}}, "scaler": {}, "loss": {}, "choice": {},
        "skipped": [{"picture": "a"}], "random_state": torch.zeros(3, dtype=torch.uint8), "learning_rate": 0.1,
        "options": {"max_batches": 3}, "classes": ["a"], "cfg": "[net]", "dataset_fingerprint": "f", "schema_version": 3,
    }  # fmt: skip
    torch.save(values, folder / "last.pt")
    return folder / "last.pt"


def _picture(data: bytes) -> None:
    check_upright(data, what="picture")
    kept = kept_picture(data, what="picture")
    picture_size(kept, what="picture")
    decode_picture(kept, what="picture")


def changed_arrays(data: bytes, rng: random.Random) -> bytes:
    """An .npz file with an array of another shape, type or content; half the time other bytes."""
    if rng.random() < 0.5:
        return mutated_bytes(data, rng)
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    kind = rng.randrange(7)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = (
            array.astype(rng.choice([np.int8, np.float16, np.float64, np.complex64, np.bool_]), copy=True)
            if (array.dtype.kind in "iufb")
            else np.zeros(3)
        )
    elif kind == 2:
        arrays[name] = array[: len(array) // 2] if array.ndim else np.zeros(2)
    elif kind == 3:
        arrays[name] = np.zeros((0, *array.shape[1:]), array.dtype) if array.ndim else np.array(["x"])
    elif kind == 4:
        arrays[name] = array.reshape(-1)
    elif kind == 5 and array.size and array.dtype.kind in "iuf":
        odd = {"f": [np.nan, np.inf, -1.0, 2.0, 1e4], "i": [-1, 0, 100], "u": [0, 1, 200]}[array.dtype.kind]
        arrays[name] = array.copy()
        arrays[name].reshape(-1)[rng.randrange(array.size)] = rng.choice(odd)
    else:
        arrays[name] = np.array(["x", "y"])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def changed_recording(data: bytes, rng: random.Random) -> bytes:
    """A recording in which an object is missing or of another kind.

    Never bytes within it: faults of the HDF5 library, which is C, are not guarded against (docs/data-formats.md).
    """
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        if rng.random() < 0.2:
            file.attrs[rng.choice(["site", "x"])] = rng.choice([1, "x", np.zeros(3), "\0"[:0]])
        else:
            del file[name]
        odd: list[Any] = [
            None, 7, -1.5, "x", b"\xff", np.zeros(0), np.zeros((2, 0)), np.zeros((3, 6)), np.full((2, 6), np.nan),
            np.array(["a", "b"], h5py.string_dtype()), np.zeros(2, [("a", "i4"), ("b", "S3")]), np.zeros((1, 2, 3), np.int8),
            np.full((2, 6), 1e300), h5py.Empty("f"),
        ]  # fmt: skip
        value = rng.choice(odd)
        if value is None and name not in file and rng.random() < 0.5:
            file.require_group(name)
        elif value is not None and name not in file:
            file[name] = value
        if rng.random() < 0.2:
            file[f"SCAN_{rng.choice(['00001x', '99999999999999999999', '-1', '00009'])}"] = h5py.SoftLink("/" + name)
    return buffer.getvalue()


_PACKAGE = Path(traffic_yolo.__file__).parent
_LAYOUT = (_PACKAGE / "atm/layouts/atm-2024.yaml").read_text()
_KATIB = (_PACKAGE.parents[1] / "katib/thresholds_experiment.yaml").read_text()
_CALIBRATION = """image_wh: [960, 540]
site: A
camera: 10.0.0.1
fx: 900.0
fy: 900.0
cx: 480.0
cy: 270.0
distortion: [0.1, 0.01, 0.0, 0.0]
height_m: 8.0
pitch_deg: 10.0
yaw_deg: 5.0
"""
_NVINFER = "[property]\ngpu-id=0\nnet-scale-factor=0.0039215697906911373\nnum-detected-classes=2\ninfer-dims=3;416;416\n" \
    "[class-attrs-all]\npre-cluster-threshold=0.25\nnms-iou-threshold=0.45\n"  # fmt: skip
_NVINFER_YAML = "property:\n  gpu-id: 0\n  infer-dims: 3;416;416\nclass-attrs-all:\n  nms-iou-threshold: 0.45\n"
_TABLE = "TRT-8503-EntropyCalibration2\ninput: 3bfcf5fd\n/network/layers.0/conv/Conv_output_0: 3d82da39\n"
_KITTI = "CAR 0.0 0 0.0 10.0 20.0 40.0 60.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.9\n"


def _scales(folder: Path) -> Path:
    ScaleHistory(folder / "scales.csv").add(0, np.array([0.5, 0.25]))
    return folder / "scales.csv"


def _quantisers(folder: Path) -> Path:
    write_quantisers(folder / "quantisers.json", {(0,): 1.5, (3, 7): 0.25})
    return folder / "quantisers.json"


_HISTORY = "".join(
    ",".join(row) + "\n"
    for row in (
        [field.name for field in dataclasses.fields(HistoryRow)],
        HistoryRow(1, 64, 0.001, 2.5, 1.0, 1.0, 0.5, 1.5).to_texts(),
        HistoryRow(2, 128, 0.001, 2.25, 1.0, 0.75, 0.5, 3.0, ap50=0.5).to_texts(),
    )
)

READERS: dict[str, Sample] = {
    **{f"labels-{name}": _labels(name) for name in SAMPLES},
    "labels-sidecar": Sample(_sidecar, _read_sidecar),
    "archive": Sample(_archive, _source),
    "data-yaml": Sample(_yolo_set, lambda path: read_data_yaml(path)),
    "darknet-data": Sample(
        lambda folder: _yolo_set(folder).with_name("set.data"), lambda path: read_darknet_data(path)
    ),
    "yolo-list": Sample(
        lambda folder: _yolo_set(folder).with_name("list.txt"),
        lambda path: read_darknet_data(path.with_name("set.data")),
    ),
    "data-set-manifest": _data_set("manifest.json"),
    "data-set-classes": _data_set("classes.yaml"),
    "data-set-labels": _data_set("annotations/instances_test.json"),
    "truth": Sample(_truth, lambda path: read_ground_truth(path, ["CAR", "traffic light"])),
    "snapshot": Sample(_snapshot, lambda path: read_snapshot(path)),
    "record": Sample(_record, lambda path: EvaluationRecord.read(path)),
    "ledger": Sample(_ledger, lambda path: LedgerTable.read(path.parent)),
    "raw-detections": Sample(_raw_detections, lambda path: RawDetections.load(path), changed_arrays),
    "network-input": Sample(_arrays, lambda path: read_input(path), changed_arrays),
    "policy": Sample(
        _text("policy.yaml", "split_level: site\nfail_on: error\nlimits: picture_pixels=500\nthin_distance: 3\n"),
        lambda path: policy_at(str(path)),
    ),
    "class-map": Sample(
        _text("map.yaml", "classes: [CAR]\nrename: {VAN: CAR}\nignore: [A]\ndrop: [B]\n"),
        lambda path: ClassMap.read(path),
    ),
    "mapping": Sample(
        _text("mapping.yaml", "file: csv\nfields: {image: f, class: l, box: [a, b, c, d]}\nbox: {order: xywh}\n"),
        lambda path: read_mapping(path),
    ),
    "splits": Sample(_text("splits.yaml", "level: site\nsplits: {A: train, B: test}\n"), lambda path: read_pins(path)),
    "layout": Sample(_text("layout.yaml", _LAYOUT), lambda path: read_layout(path)),
    "calibration": Sample(_text("camera_calibration.yaml", _CALIBRATION), lambda path: read_calibration(path)),
    "training-options": Sample(
        _text("options.yaml", "max_batches: 100\nlearning_rate: 0.001\ndevice: cpu\n"),
        lambda path: TrainingOptions.read(path),
    ),
    "recording": Sample(
        lambda folder: write_good(folder / "20210901_siteA" / "20210901120000_0.h5"), _recording, changed_recording
    ),
    "picture-jpeg": Sample(_text("a.jpg", jpeg(1)), lambda path: _picture(path.read_bytes()), is_named=False),
    "kitti-dump": Sample(_text("00_000_000000.txt", _KITTI), lambda path: read_kitti(path.parent, [7], ["CAR", "BUS"])),
    "checkpoint": Sample(_checkpoint, lambda path: read_checkpoint(path)),
    "history": Sample(_text("history.csv", _HISTORY), lambda path: read_history(path)),
    "scales": Sample(_scales, lambda path: ScaleHistory(path, keep=9)),
    "quantisers": Sample(_quantisers, lambda path: read_quantisers(path)),
    "nvinfer-config": Sample(_text("config.txt", _NVINFER), lambda path: NvinferConfig.read(path)),
    "calibration-table": Sample(_text("calibration.table", _TABLE), lambda path: CalibrationTable.read(path)),
    "nvinfer-yaml": Sample(_text("config.yaml", _NVINFER_YAML), lambda path: NvinferConfig.read(path)),
    "katib-experiment": Sample(_text("experiment.yaml", _KATIB), lambda path: check_file(path)),
}


def examine(sample: Sample, folder: Path, path: Path, data: bytes) -> str:
    """Reads damaged bytes; the refusal, "" where they were read. `AssertionError` where it is not as it must be.

    Whatever else is raised is a finding too.
    """
    path.write_bytes(data)
    try:
        sample.read(path)
    except TrafficYoloError as error:
        text = str(error)
    else:
        return ""
    if not text.isprintable():
        raise AssertionError(f"a refusal is no printable line: {text!r:.300}")
    if len(text) > 1500:
        raise AssertionError(f"a refusal has {len(text)} characters: {text:.300}")
    if sample.is_named and str(folder) not in text:
        raise AssertionError(f"a refusal does not name the file: {text:.300}")
    return text
