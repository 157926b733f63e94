"""The step `export`: from a training run, or published Darknet files, to a model folder with an ONNX file."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from traffic_yolo._version import __version__
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.resize import letterbox, stretch
from traffic_yolo.darknet.rgb_input import require_rgb
from traffic_yolo.darknet.tracing import INPUT_NAME
from traffic_yolo.dataset.pictures.decode import decode_file
from traffic_yolo.dataset.store.opening import data_set_folder
from traffic_yolo.errors import ModelError
from traffic_yolo.export.onnx import (
    OPSET,
    OUTPUT_NAME,
    SCORE_FLOOR,
    OnnxDifference,
    compare_with_pytorch,
    write_onnx,
)
from traffic_yolo.model_folder import (
    CFG_NAME,
    CLASSES_NAME,
    EXPORT_NAME,
    LABELS_NAME,
    ONNX_NAME,
    WEIGHTS_NAME,
    ModelFolder,
    check_class_count,
    label,
    labels_text,
    read_names,
)
from traffic_yolo.progress import stage
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    existing_folder,
    existing_path,
    output_path,
    read_yaml,
    sha256_of_file,
    write_json,
    write_text,
)
from traffic_yolo.trained_on import TRAINED_ON_NAME
from traffic_yolo.verdict_file import VERDICT_NAME

SCHEMA_VERSION = 1
OPTIONS_NAME = "options.yaml"  # a training run's; its content goes into export.json
# What a training run, or a pruning, says of its weights, which goes with them
TOLD_BY_TRAINING = (TRAINED_ON_NAME, VERDICT_NAME, PRUNED_NAME)
MAX_PICTURES = 8  # that the ONNX file is compared on; each costs two inferences
NOISE_SEED = 0


@dataclass(frozen=True)
class ExportSummary:
    """What was written: the folder, the weights' SHA-256, and how far ONNX is from PyTorch, over how many `boxes`.

    With 0 boxes nothing was compared, whatever the differences (0) look like.
    """

    path: Path
    weights_sha256: str
    max_score_difference: float
    max_box_difference_px: float
    pictures: int
    boxes: int

    @property
    def text(self) -> str:
        """One line for people; where no box was compared, that line says so instead of a difference of 0."""
        if not self.boxes:
            inputs = f"{self.pictures} pictures and noise" if self.pictures else "noise alone"
            return (
                f"{self.path}: ONNX WAS NOT COMPARED with PyTorch: neither gives a box above a score of {SCORE_FLOOR} "
                f"on {inputs}; give pictures of what the model knows (--dataset or --check-pictures)"
            )
        return (
            f"{self.path}: ONNX differs from PyTorch by at most {self.max_score_difference:.1e} in score and "
            f"{self.max_box_difference_px:.1e} px in boxes ({self.boxes} boxes of {self.pictures} pictures and noise)"
        )


def export_model(
    run: AnyPath,
    out: AnyPath,
    *,
    dataset: AnyPath | None = None,
    pictures: AnyPath | None = None,
    opset: int = OPSET,
) -> ExportSummary:
    """Writes the model folder of a training run, or of any folder with model.cfg, model.weights and classes.names.

    The Darknet pair is copied byte for byte. `dataset`, or any folder with JPEG files as `pictures`: what, besides
    noise, ONNX and PyTorch are compared on; without, a model that is silent on noise is not compared at all, and the
    summary says so. Raises `ModelError` or `DarknetFormatError` for files that do not fit each other or an ONNX file
    that differs; nothing is left behind then.
    """
    target = output_path(out)
    model = ModelFolder.open(run)
    options = model.path / OPTIONS_NAME
    training = _read_options(options) if options.is_file() else None
    files = (model.cfg_path, model.weights_path, model.names_path)
    on = _paths(dataset, pictures)
    return _export(*files, target, paths=on, opset=opset, training=training, told_by=model.path)


def export_files(
    cfg: AnyPath,
    weights: AnyPath,
    names: AnyPath,
    out: AnyPath,
    *,
    dataset: AnyPath | None = None,
    pictures: AnyPath | None = None,
    opset: int = OPSET,
) -> ExportSummary:
    """`export_model` of a cfg, weights and names file that lie anywhere, under any name."""
    target = output_path(out)
    named = ((cfg, "cfg"), (weights, "weights"), (names, "names file"))
    files = [existing_path(path, what=what) for path, what in named]
    on = _paths(dataset, pictures)
    return _export(files[0], files[1], files[2], target, paths=on, opset=opset, training=None)


def _export(
    cfg_path: Path,
    weights_path: Path,
    names_path: Path,
    out: Path,
    *,
    paths: list[Path],
    opset: int,
    training: dict[str, Any] | None,
    told_by: Path | None = None,
) -> ExportSummary:
    cfg = Cfg.read(cfg_path)
    classes = read_names(names_path)
    check_class_count(cfg, classes, names_file=names_path)
    require_rgb(cfg)
    labels = labels_text(classes)
    with stage("reading the weights"):
        network = Network.read(cfg, weights_path).eval()
    pictures = _pictures(paths, network)
    with atomic_folder(out) as folder:
        for source, name in ((cfg_path, CFG_NAME), (weights_path, WEIGHTS_NAME), (names_path, CLASSES_NAME)):
            shutil.copyfile(source, folder / name)
        for name in TOLD_BY_TRAINING:
            if told_by is not None and (told_by / name).is_file():
                shutil.copyfile(told_by / name, folder / name)
        write_text(folder / LABELS_NAME, labels)
        copied = (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME, LABELS_NAME, *TOLD_BY_TRAINING)
        hashes = {name: sha256_of_file(folder / name) for name in copied if (folder / name).is_file()}
        metadata = {
            "classes": ",".join(label(name) for name in classes),
            "cfg_sha256": hashes[CFG_NAME],
            "weights_sha256": hashes[WEIGHTS_NAME],
            "resize": "letterbox" if network.letterbox else "stretch",
            "traffic_yolo_version": __version__,
        }
        with stage("writing ONNX"):
            write_onnx(network, folder / ONNX_NAME, opset=opset, metadata=metadata)
        difference = compare_with_pytorch(folder / ONNX_NAME, network, np.stack([*pictures, _noise(network)]))
        hashes[ONNX_NAME] = sha256_of_file(folder / ONNX_NAME)
        description = _description(network, classes, hashes, difference, opset=opset, pictures=len(pictures))
        write_json(folder / EXPORT_NAME, description | {"training": training})
    return ExportSummary(
        path=out,
        weights_sha256=hashes[WEIGHTS_NAME],
        max_score_difference=difference.max_score_difference,
        max_box_difference_px=difference.max_box_difference_px,
        pictures=len(pictures),
        boxes=difference.boxes,
    )


def _description(
    network: Network,
    classes: tuple[str, ...],
    hashes: dict[str, str],
    difference: OnnxDifference,
    *,
    opset: int,
    pictures: int,
) -> dict[str, Any]:
    """The content of export.json."""
    height, width = network.input_hw
    return {
        "schema_version": SCHEMA_VERSION,
        "classes": list(classes),
        "renamed_labels": {name: label(name) for name in classes if label(name) != name},
        "network": {"width": width, "height": height},
        "resize": "letterbox" if network.letterbox else "stretch",
        "sha256": hashes,
        "onnx": {"opset": opset, "input": INPUT_NAME, "output": OUTPUT_NAME},
        "onnx_against_pytorch": {"pictures": pictures, "noise": 1, **asdict(difference)},
        "seen": network.header.seen if network.header else None,
        "versions": {
            "traffic_yolo": __version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def _paths(dataset: AnyPath | None, pictures: AnyPath | None) -> list[Path]:
    """The JPEG files of a data set and of a folder of pictures, sorted; none where neither is given."""
    paths: list[Path] = []
    if dataset is not None:
        paths += sorted((data_set_folder(dataset) / "images").rglob("*.jpg"))
        if not paths:
            raise ModelError(f"{dataset}: no pictures (images/**/*.jpg) to compare ONNX and PyTorch on")
    if pictures is not None:
        folder = existing_folder(pictures, what="pictures")
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        if not found:
            raise ModelError(f"{pictures}: no pictures (*.jpg, *.jpeg) to compare ONNX and PyTorch on")
        paths += found
    return paths


def _pictures(paths: list[Path], network: Network) -> list[NDArray[np.float32]]:
    """Up to 8 of the JPEG files, evenly spread, as network inputs (3, H, W)."""
    step = max(1, len(paths) // MAX_PICTURES)
    resize = letterbox if network.letterbox else stretch
    height, width = network.input_hw
    inputs = []
    for path in paths[::step][:MAX_PICTURES]:
        picture_bgr = decode_file(path)
        if picture_bgr is None:
            raise ModelError(f"{path}: does not decode as a JPEG; convert the data set again, or leave the file out")
        picture_rgb = np.ascontiguousarray(picture_bgr[..., ::-1]).astype(np.uint8, copy=False)
        inputs.append(resize(picture_rgb, (width, height)))
    return inputs


def _noise(network: Network) -> NDArray[np.float32]:
    """Uniform noise (3, H, W): an input no picture resembles, so that no activation stays at rest."""
    shape = (network.input_channels, *network.input_hw)
    return np.random.default_rng(NOISE_SEED).random(shape, dtype=np.float32)


def _read_options(path: Path) -> dict[str, Any]:
    options = read_yaml(path, what="training options", error=ModelError)
    if not isinstance(options, dict):
        raise ModelError(f"{path}: expected a mapping of training options, found {type(options).__name__}")
    return dict(options)
