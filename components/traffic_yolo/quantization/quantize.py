"""The step `quantize`: INT8 and FP16 files of a model, and what each setting costs in AP and saves in size."""

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import network_input
from traffic_yolo.detection.protocol import check_same_classes
from traffic_yolo.errors import EvaluationError, ModelError, OptionsError
from traffic_yolo.export.export_model import export_model
from traffic_yolo.model_folder import FP16_NAME, INT8_NAME, TABLE_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.page_origin import REPORT_NAME, About, Subject
from traffic_yolo.progress import stage
from traffic_yolo.quantization.calibration import Inputs, tensor_ranges
from traffic_yolo.quantization.calibration_set import choose_pictures
from traffic_yolo.quantization.graph import Convolution, convolutions, float_tensors, read_float_graph
from traffic_yolo.quantization.half import in_half
from traffic_yolo.quantization.implicit import calibration_table
from traffic_yolo.quantization.judge import Precision, judge
from traffic_yolo.quantization.options import AUTO, TRAIN, QuantizeOptions
from traffic_yolo.quantization.qat import QatTraining, train_quantised
from traffic_yolo.quantization.qdq import QdqGraph
from traffic_yolo.quantization.quantize_page import quantization_html
from traffic_yolo.quantization.result import Quantization, Setting, drop, training_folder
from traffic_yolo.quantization.scan import noise_by_convolution
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, write_bytes, write_json, write_text
from traffic_yolo.storage.whole_folder import check_new_folder
from traffic_yolo.training.fake_quantise import QUANTISERS_NAME

RESULT_NAME, TEXT_NAME = "quantization.json", "quantization.txt"


def quantize(model: AnyPath, dataset: AnyPath, out: AnyPath, options: QuantizeOptions | None = None) -> Quantization:
    """Writes the folder `out`: the INT8 and FP16 files, the calibration table, report.html, quantization.json and .txt.

    Ranges are found on pictures of the data set's split train, AP is measured on `options.split`. Convolutions before
    [yolo] always stay float. Raises `ModelError` for a model folder without an ONNX file, for one that is quantised
    already or was made of other weights, `EvaluationError` for a data set of other classes or with an empty split,
    `OptionsError` for layers that are no convolutions and a split that is calibrated on.
    """
    options = options or QuantizeOptions()
    target = output_path(out)
    check_new_folder(target)
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    graph = read_float_graph(folder.onnx_path)
    _check_own(graph, folder)
    found = convolutions(graph, where=folder.onnx_path)
    candidates = [each for each in found if not each.is_output]
    _check_kept(options, found, candidates)
    check_same_classes(folder.classes, data.classes)
    for split in (TRAIN, options.split):
        if not data.split(split):
            raise EvaluationError(f"{dataset}: split {split!r} has no pictures; {data.filled_splits}")
    load = partial(network_input, network_hw=folder.network_hw, letterboxed=folder.letterbox)
    with stage("choosing calibration pictures"):
        chosen, bands = choose_pictures(data.split(TRAIN), options.calibration_pictures, load, seed=options.seed)
    with stage("finding ranges"):
        ranges = _ranges(graph, candidates, lambda: map(load, chosen), options)
    quantised = QdqGraph(graph, candidates, ranges)
    noise: dict[str, float] = {}
    if options.kept_layers is None and options.kept_count != 0:
        some = chosen[:: -(-len(chosen) // options.scan_pictures)]
        noise = noise_by_convolution(graph, quantised, found, lambda: map(load, some))
    trials = {
        tuple(each.layer for each in kept): quantised.with_int8([each for each in candidates if each not in kept])
        for kept in kept_sets(options, candidates, noise)
    }
    half = [in_half(graph)] if options.fp16 else []
    named = {
        "float32": graph,
        **dict(zip(["fp16"], half, strict=False)),
        **{_name(kept): each for kept, each in trials.items()},
    }
    measured = judge(named, folder, data, options.split, what="measuring AP")
    sizes = [each.ByteSize() for each in named.values()]
    start = Setting("float32", measured[0], sizes[0], 0, (), "")
    halves = [Setting("fp16", measured[1], sizes[1], 0, (), FP16_NAME)] if half else []
    tried = [
        Setting(_name(kept), precision, size, len(candidates) - len(kept), tuple(sorted(kept)))
        for kept, precision, size in zip(trials, measured[len(half) + 1 :], sizes[len(half) + 1 :], strict=True)
    ]
    written = {
        INT8_NAME: list(trials.values())[smallest_within(start.precision, tried, options.max_ap_drop)],
        **dict(zip([FP16_NAME], half, strict=False)),
    }
    with tempfile.TemporaryDirectory() as scratch:
        taught = None
        if options.train:
            kept = next(iter(trials))
            chosen_ones = [each for each in candidates if each.layer not in kept]
            trained = train_quantised(
                folder, data.root, training_folder(target), chosen_ones, ranges,
                updates=options.train, learning_rate=options.train_rate, seed=options.seed,
            )  # fmt: skip
            delivered = trained.delivered(Path(scratch) / "run", folder)
            taught = _Trained.of(
                trained, delivered, Path(scratch) / "model", data, options, kept, lambda: map(load, chosen)
            )
            tried = [*tried, taught.int8]
        best = smallest_within(start.precision, tried, options.max_ap_drop)
        if taught is not None and drop_within(start.precision, taught.int8.precision, options.max_ap_drop):
            best = len(tried) - 1
        is_trained = taught is not None and tried[best] is taught.int8
        rows = [dataclasses.replace(each, written=INT8_NAME) if each is tried[best] else each for each in tried]
        if taught is not None and is_trained:
            written = taught.files
            halves = [dataclasses.replace(each, written="") for each in halves] + taught.halves
            rows.insert(-1, taught.float32)
        table = None
        if options.table:
            if taught is not None and is_trained:
                table = taught.table
            else:
                table = calibration_table(graph, found, tried[best].kept, ranges)
        result = Quantization(
            out=target, split=options.split, pictures=len(data.split(options.split)), convolutions=len(found),
            settings=(start, *halves, *rows), chosen=next(each for each in rows if each.written == INT8_NAME),
            table=len(table.scales) if table else 0, problem=_problem(start.precision, tried[best], options),
            noise={each.layer: noise[each.node] for each in candidates if each.node in noise},
            calibration=_calibration(chosen, bands), options=options,
        )  # fmt: skip
        with atomic_folder(target) as place:
            if taught is not None and is_trained:
                shutil.copytree(taught.folder, place, dirs_exist_ok=True)
            for name, model_proto in written.items():
                write_bytes(place / name, model_proto.SerializeToString(deterministic=True))
            if table is not None:
                write_text(place / TABLE_NAME, table.text)
            write_json(place / RESULT_NAME, result.document())
            write_text(place / TEXT_NAME, f"{result.text}\n")
            about = About((folder.subject(target), data.subject(target), Subject("split", options.split)), target)
            write_text(place / REPORT_NAME, quantization_html(result, about))
    return result


@dataclass(frozen=True)
class _Trained:
    """What a training made: its model folder, its rows, the graphs of its files by name, and its calibration table."""

    folder: Path
    float32: Setting
    int8: Setting
    halves: list[Setting]
    files: dict[str, onnx.ModelProto]
    table: CalibrationTable | None

    @classmethod
    def of(
        cls,
        training: QatTraining,
        run: Path,
        folder: Path,
        data: DataSet,
        options: QuantizeOptions,
        kept: tuple[int, ...],
        inputs: Inputs,
    ) -> "_Trained":
        """Exports what lies in `run` to `folder` and measures it; layers `kept` stay float. `inputs`: for the table."""
        export_model(run, folder, dataset=data.root)
        shutil.copy(training.run / QUANTISERS_NAME, folder)
        model = ModelFolder.open(folder)
        graph = read_float_graph(model.onnx_path)
        found = convolutions(graph, where=model.onnx_path)
        chosen = [each for each in found if not each.is_output and each.layer not in kept]
        trained = training.by_tensor(chosen)
        int8 = QdqGraph(graph, chosen, trained).with_int8(chosen)
        table = None
        if options.table:
            candidates = [each for each in found if not each.is_output]
            table = calibration_table(graph, found, kept, _ranges(graph, candidates, inputs, options) | trained)
        files = {INT8_NAME: int8, **({FP16_NAME: in_half(graph)} if options.fp16 else {})}
        named = {"float32": graph, **files}
        measured = judge(named, model, data, options.split, what="measuring AP")
        sizes = [each.ByteSize() for each in named.values()]
        halves = [Setting("fp16, trained", measured[2], sizes[2], 0, (), FP16_NAME)] if options.fp16 else []
        return cls(
            folder,
            Setting("float32, trained", measured[0], sizes[0], 0, (), ""),
            Setting(f"{_name(kept)}, trained", measured[1], sizes[1], len(chosen), tuple(sorted(kept))),
            halves,
            files,
            table,
        )


def _ranges(
    graph: onnx.ModelProto, candidates: Sequence[Convolution], inputs: Inputs, options: QuantizeOptions
) -> dict[str, float]:
    """What becomes 127 of each tensor that `candidates` read; for a table, of every tensor that TensorRT asks for."""
    read = sorted({each.reads for each in candidates})
    others = [name for name in float_tensors(graph) if name not in read] if options.table else []
    return tensor_ranges(
        graph, read, inputs, method=options.calibration_method, percentile=options.percentile, others=others
    )


def kept_sets(
    options: QuantizeOptions, candidates: Sequence[Convolution], noise: dict[str, float]
) -> list[list[Convolution]]:
    """Which of `candidates` stay float in each setting that is tried, fewest first.

    For auto none, then 1, 2, 4, 8 … of the costliest by `noise`, up to half of them.
    """
    if options.kept_layers is not None:
        return [[each for each in candidates if each.layer in options.kept_layers]]
    costliest = sorted(candidates, key=lambda each: -noise.get(each.node, 0.0))
    if options.kept_count is not None:
        return [costliest[: options.kept_count]]
    counts, count = [0], 1
    while count <= len(candidates) // 2:
        counts.append(count)
        count *= 2
    return [costliest[:count] for count in counts]


def smallest_within(start: Precision, tried: Sequence[Setting], most: float) -> int:
    """Index of the first of `tried` that loses at most `most` AP; where none does, of the one that loses least."""
    lost = [drop(start, each.precision) or 0.0 for each in tried]
    within = [index for index, each in enumerate(lost) if each <= most]
    return within[0] if within else lost.index(min(lost))


def drop_within(start: Precision, after: Precision, most: float) -> bool:
    """Whether at most `most` AP is lost; where AP is undefined, too."""
    return (drop(start, after) or 0.0) <= most


def _check_own(graph: onnx.ModelProto, folder: ModelFolder) -> None:
    stated = {entry.key: entry.value for entry in graph.metadata_props}.get("weights_sha256")
    if stated is not None and stated != folder.sha256(WEIGHTS_NAME):
        raise ModelError(f"{folder.onnx_path}: was not made of {WEIGHTS_NAME} beside it ({stated[:12]}…); export again")


def _check_kept(options: QuantizeOptions, found: Sequence[Convolution], candidates: Sequence[Convolution]) -> None:
    layers = {each.layer for each in found}
    if strangers := sorted(set(options.kept_layers or ()) - layers):
        raise OptionsError(
            f"keep_float: layer {strangers[0]} is no convolution of this model; its convolutions are the layers "
            f"{', '.join(str(layer) for layer in sorted(layers))}"
        )
    count = len(set(options.kept_layers or ()) & {each.layer for each in candidates})
    if max(options.kept_count or 0, count) >= len(candidates):
        raise OptionsError(
            f"keep_float: {options.keep_float} leaves nothing in INT8; this model has {len(candidates)} convolutions "
            f"besides those before [yolo]"
        )


def _problem(start: Precision, chosen: Setting, options: QuantizeOptions) -> str:
    lost = drop(start, chosen.precision)
    if lost is None:
        return f"AP is undefined: the split {options.split} has no boxes"
    if not start.ap:
        return f"the float file has an AP of 0 on the split {options.split}: what INT8 costs cannot be seen"
    if lost <= options.max_ap_drop:
        return ""
    advice = "" if options.keep_float == AUTO else "; --keep-float auto looks for one that loses less"
    return f"INT8 loses {lost:.4f} AP, max_ap_drop is {options.max_ap_drop:g}{advice}"


def _calibration(chosen: Sequence[Any], bands: Sequence[int]) -> dict[str, Any]:
    sites: dict[str, int] = {}
    for picture in chosen:
        sites[picture.site] = sites.get(picture.site, 0) + 1
    names = ("dark", "middle", "bright")
    brightness = {name: sum(1 for band in bands if band == index) for index, name in enumerate(names)}
    files = [picture.file_name for picture in chosen]
    return {"pictures": len(chosen), "sites": sites, "brightness": brightness, "files": files}


def _name(kept: Sequence[int]) -> str:
    return f"int8, {len(kept)} more in float" if kept else "int8"
