"""Lint rules for what an nvinfer file says: its model, engine, classes, labels, input, resize and thresholds.

Each rule follows nvinfer's sources (DeepStream 9.1), where they were read; nobody has run them on a GPU.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.deepstream.config.deploy_config import OWN_NAME, hashed_name
from traffic_yolo.deepstream.config.engine_names import EngineName, onnx_is_quantized
from traffic_yolo.deepstream.config.findings import ConfigFinding, ConfigSubject
from traffic_yolo.deepstream.config.nvinfer_config import DETECTORS
from traffic_yolo.deepstream.config.nvinfer_keys import ALL_CLASSES, CLASS_ATTRIBUTES, PROPERTY, PROPERTY_KEYS
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import label
from traffic_yolo.onnx_file import read_onnx, tensor_names
from traffic_yolo.storage import sha256_of_file

PRECISION_WORDS = {0: "fp32", 1: "int8", 2: "fp16", 3: "best"}
MODEL_KEYS = ("onnx-file", "model-file", "uff-file", "tlt-encoded-model", "custom-network-config")
FILE_KEYS = (*MODEL_KEYS, "labelfile-path", "int8-calib-file", "custom-lib-path", "mean-file", "proto-file")
# What TensorRT 10 (DeepStream 7.1 and later) cannot build an engine of any more
REMOVED_MODELS = {"uff-file": "UFF", "proto-file": "Caffe", "tlt-encoded-model": "TLT's encoded"}
NEEDS_A_TABLE = 1  # network-mode of INT8


def model_files(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Something to build an engine of, or an engine; files that are named and are not there."""
    named = [key for key in MODEL_KEYS if subject.text(PROPERTY, key)]
    if not named and not subject.text(PROPERTY, "model-engine-file"):
        yield subject.finding(
            "no-model", "warning", PROPERTY, "", "names no model and no engine: nvinfer has nothing to run "
            "unless the application sets model-engine-file (nvdspostprocess's files look like this too)",
            "name one: onnx-file=model.onnx",
        )  # fmt: skip
    for key, words in REMOVED_MODELS.items():
        if subject.text(PROPERTY, key) and not _is_onnx(subject):
            yield subject.finding(
                "removed-model", "warning", PROPERTY, key,
                f"{key} is of a {words} model, of which TensorRT 10 (DeepStream 7.1 and later) builds no engine",
                "export the network to ONNX: onnx-file",
            )  # fmt: skip
    for key in FILE_KEYS:
        path = subject.path(PROPERTY, key)
        if path is not None and not path.exists():
            yield subject.finding(
                "missing-file", "info", PROPERTY, key,
                f"{key} names {subject.text(PROPERTY, key)}, which is not there", "what it holds was not looked at",
            )  # fmt: skip


def older_keys(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Older names that the parser of 9.1 still reads, with a warning in the log."""
    older = {"input-dims": "infer-dims", "uff-input-dims": "infer-dims", "enable-dbscan": "cluster-mode"}
    for key, instead in older.items():
        if subject.has(PROPERTY, key):
            passed = subject.has(PROPERTY, instead) and instead == "infer-dims"
            effect = f"is passed over, since {instead} is there" if passed else f"is the older name of {instead}"
            yield subject.finding("older-key", "warning", PROPERTY, key, f"{key} {effect}", f"write {instead} alone")
    for group in subject.file.groups:
        if subject.has(group, "threshold") and group.startswith(CLASS_ATTRIBUTES):
            both = subject.has(group, "pre-cluster-threshold")
            effect = "and pre-cluster-threshold are one: the later counts" if both else "sets pre-cluster-threshold"
            yield subject.finding(
                "older-key", "warning", group, "threshold", f"[{group}] threshold {effect}",
                "write pre-cluster-threshold alone",
            )  # fmt: skip


def engine(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """The engine that is looked for: whether it can be that of this model, batch and precision, and is not stale."""
    text = subject.text(PROPERTY, "model-engine-file")
    if not text:
        return
    name = EngineName.parse(Path(text).name)
    if name is not None:
        yield from _engine_name(subject, name)
    path = subject.folder / text
    if not path.is_file():
        return
    for key in MODEL_KEYS:
        source = subject.path(PROPERTY, key)
        if source is not None and source.is_file() and source.stat().st_mtime > path.stat().st_mtime:
            yield subject.finding(
                "stale-engine", "error", PROPERTY, "model-engine-file",
                f"{text} is older than {subject.text(PROPERTY, key)}, and nvinfer takes it whatever it was built of",
                "delete the engine, and it is built anew",
            )  # fmt: skip
            return


def precision(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """INT8 without a calibration table becomes FP16, with a line in the log alone."""
    if _integer(subject, "network-mode", 0) != NEEDS_A_TABLE:
        return
    table = subject.path(PROPERTY, "int8-calib-file")
    if table is not None:
        if not table.is_file() and _model_is_here(subject):
            yield subject.finding(
                "int8-without-table", "error", PROPERTY, "int8-calib-file",
                f"network-mode=1 (INT8), and its table {subject.text(PROPERTY, 'int8-calib-file')} is not there: "
                f"nvinfer builds FP16 instead",
                "put the table there",
            )  # fmt: skip
        elif table.is_file():
            yield from _table(subject, table)
        return
    if subject.has(PROPERTY, "engine-create-func-name"):
        return  # the library that builds the engine calibrates: DeepStream-Yolo's reads INT8_CALIB_IMG_PATH
    onnx = subject.path(PROPERTY, "onnx-file")
    if onnx is not None and onnx_is_quantized(onnx) and _integer(subject, "strongly-typed", 0) == 1:
        return
    if not any(subject.text(PROPERTY, key) for key in MODEL_KEYS):
        return  # an engine alone: it has the precision that it has
    yield subject.finding(
        "int8-without-table", "error", PROPERTY, "network-mode",
        "network-mode=1 (INT8) without int8-calib-file: nvinfer builds FP16 instead, and says so in the log alone",
        "name a table, or give an ONNX file with Q/DQ nodes and strongly-typed=1 (DeepStream 9)",
    )  # fmt: skip


def _table(subject: ConfigSubject, path: Path) -> Iterator[ConfigFinding]:
    """Whether TensorRT can build INT8 by the table: nvinfer has no pictures to calibrate on, so that it must fit."""
    onnx = subject.path(PROPERTY, "onnx-file")
    try:
        table = CalibrationTable.read(path)
        tensors = tensor_names(read_onnx(onnx)) if onnx is not None and onnx.is_file() else set(table.scales)
        problem = f"{path.name}: {found}" if (found := table.problem(tensors)) else ""
    except ModelError as error:
        problem = str(error)
    if problem:
        yield subject.finding(
            "int8-table", "error", PROPERTY, "int8-calib-file",
            f"{problem}: the engine cannot be built", "traffic-yolo quantize writes a table of the ONNX file",
        )  # fmt: skip


def builder(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Our parser's library has no function that builds an engine."""
    library = subject.text(PROPERTY, "custom-lib-path")
    function = subject.text(PROPERTY, "engine-create-func-name")
    if function and Path(library).name == OWN_NAME:
        yield subject.finding(
            "no-builder", "error", PROPERTY, "engine-create-func-name",
            f"{library} has no {function}: it reads boxes, and builds no engine",
            "remove the key where nvinfer builds an ONNX file, or name DeepStream-Yolo's library for a Darknet pair",
        )  # fmt: skip


def classes(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """num-detected-classes against the model, and groups of classes beyond it."""
    if not _is_detector(subject):
        return
    count = _integer(subject, "num-detected-classes", 0)
    if not subject.has(PROPERTY, "num-detected-classes"):
        yield subject.finding(
            "class-count", "error", PROPERTY, "num-detected-classes",
            "num-detected-classes is missing, and 0 is its default: every box is of a class beyond it",
            "write the number of the model's classes",
        )  # fmt: skip
        return
    model = subject.model
    if model is not None and model.num_classes and model.num_classes != count:
        fewer = count < model.num_classes
        effect = (
            "DeepStream-Yolo's parser reads thresholds beyond its table, and boxes of the classes beyond are dropped"
            if fewer
            else "classes of no model are waited for"
        )
        yield subject.finding(
            "class-count", "error", PROPERTY, "num-detected-classes",
            f"num-detected-classes={count}, but {model.source} has {model.num_classes} classes: {effect}",
            f"write num-detected-classes={model.num_classes}",
        )  # fmt: skip
    for group in subject.file.groups:
        name = group.removeprefix(CLASS_ATTRIBUTES)
        if name.isdecimal() and int(name) >= count:
            yield subject.finding(
                "class-beyond", "error", group, "",
                f"[{group}] is beyond num-detected-classes={count}; nvinfer stops", "remove the group",
            )  # fmt: skip


def labels(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """The labels file: as many as classes, and in the model's order where that is known."""
    path = subject.path(PROPERTY, "labelfile-path")
    if path is None or not path.is_file() or not _is_detector(subject):
        return
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        yield subject.finding(
            "labels", "error", PROPERTY, "labelfile-path", f"{path} cannot be read: {error}", "write it as UTF-8 text"
        )
        return
    if any(line.endswith("\r") for line in lines):
        yield subject.finding(
            "labels", "warning", PROPERTY, "labelfile-path",
            f"{path.name} has lines that end with CR LF: the CR becomes part of every label", "write it with LF alone",
        )  # fmt: skip
    found = [line.removesuffix("\r").split(";")[0] for line in lines if line]  # nvinfer skips empty lines
    count = _integer(subject, "num-detected-classes", 0)
    if len(found) != count and subject.has(PROPERTY, "num-detected-classes"):
        severity = "error" if len(found) < count else "warning"
        yield subject.finding(
            "labels", severity, PROPERTY, "labelfile-path",  # type: ignore[arg-type]
            f"{path.name} has {len(found)} labels, but num-detected-classes={count}",
            "one label a line, by class id" if ";" not in "".join(lines) else "one label a line: a ; ends the label",
        )  # fmt: skip
    yield from _label_order(subject, path, found)


def input_of(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Size, scale and colours of the input, against the model where it is known."""
    model, dims = subject.model, _infer_dims(subject)
    if model is not None and model.network_hw is not None and dims and dims[1:] != model.network_hw:
        height, width = model.network_hw
        yield subject.finding(
            "input-size", "error", PROPERTY, "infer-dims",
            f"infer-dims is {dims[2]} x {dims[1]} (width x height), but {model.source} has {width} x {height}",
            f"write infer-dims=3;{height};{width}",
        )  # fmt: skip
    if not _is_darknet(subject):
        return
    scale = subject.number(PROPERTY, "net-scale-factor", PROPERTY_KEYS["net-scale-factor"], 1.0)
    if abs(scale - 1 / 255) > SCALE_TOLERANCE:
        yield subject.finding(
            "input-scale", "error", PROPERTY, "net-scale-factor",
            f"net-scale-factor is {scale:g}, but Darknet's networks want pixels in 0..1, which is 1/255",
            "write net-scale-factor=0.0039215697906911373",
        )  # fmt: skip
    if _integer(subject, "model-color-format", 0) != 0:
        yield subject.finding(
            "input-colors", "error", PROPERTY, "model-color-format",
            f"model-color-format={_integer(subject, 'model-color-format', 0)}, but Darknet's networks want RGB",
            "write model-color-format=0",
        )  # fmt: skip


def resize(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """How pictures are resized, against the cfg's letter_box and what training did."""
    if not _is_detector(subject) or _integer(subject, "process-mode", 1) != 1:
        return
    keeps = _integer(subject, "maintain-aspect-ratio", 0) == 1
    model = subject.model
    if model is not None and model.letterbox is not None and model.letterbox != keeps:
        meant = "1" if model.letterbox else "0"
        trained = "keeps the aspect (letter_box=1)" if model.letterbox else "stretches (no letter_box)"
        yield subject.finding(
            "resize", "error", PROPERTY, "maintain-aspect-ratio",
            f"maintain-aspect-ratio={int(keeps)}, but {model.source} {trained}",
            f"write maintain-aspect-ratio={meant}",
        )  # fmt: skip
    if keeps and _integer(subject, "symmetric-padding", 0) != 1 and _is_yolo(subject):
        yield subject.finding(
            "resize", "warning", PROPERTY, "symmetric-padding",
            "symmetric-padding is off: the picture lies in the corner, where Darknet pastes it in the middle",
            "write symmetric-padding=1",
        )  # fmt: skip
    if _is_yolo(subject) and _integer(subject, "scaling-filter", 6) in (0, 6):
        yield subject.finding(
            "scaling-filter", "warning", PROPERTY, "scaling-filter",
            "the frame is resized to the nearest pixel (scaling-filter's default); networks are trained on bilinear",
            "write scaling-filter=1",
        )  # fmt: skip


def clustering(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """How boxes are merged and which are dropped, where that is left to defaults that people do not expect."""
    if not _is_detector(subject):
        return
    dbscan = _integer(subject, "enable-dbscan", 0)
    if not subject.has(PROPERTY, "cluster-mode") and not dbscan and _is_yolo(subject):
        yield subject.finding(
            "cluster-mode", "warning", PROPERTY, "cluster-mode",
            "cluster-mode is missing: boxes are grouped by OpenCV, or without it by NMS at 0.5 with topk 20, whatever "
            "the class groups say",
            "write cluster-mode=2",
        )  # fmt: skip
    if _is_yolo(subject) and _integer(subject, "crop-objects-to-roi-boundary", 0) != 1:
        yield subject.finding(
            "edge-boxes", "warning", PROPERTY, "crop-objects-to-roi-boundary",
            "boxes that reach below the frame's bottom edge are dropped, which is the default",
            "write crop-objects-to-roi-boundary=1, which cuts them at the edge",
        )  # fmt: skip
    stated = ("pre-cluster-threshold", "threshold")
    if _is_yolo(subject) and not any(subject.has(ALL_CLASSES, key) for key in stated):
        yield subject.finding(
            "threshold", "info", ALL_CLASSES, "pre-cluster-threshold",
            "pre-cluster-threshold is not stated: 0.2 is the default", "state the threshold that was chosen",
        )  # fmt: skip


def interval(subject: ConfigSubject) -> Iterator[ConfigFinding]:
    """Frames that are not looked at."""
    frames = _integer(subject, "interval", 0)
    if frames > 0 and _is_detector(subject):
        yield subject.finding(
            "interval", "info", PROPERTY, "interval",
            f"interval={frames}: {frames} of {frames + 1} frames are not looked at, and have boxes of a tracker alone",
            "write interval=0 where every frame counts",
        )  # fmt: skip


NVINFER_RULES = (
    model_files, older_keys, engine, precision, builder, classes, labels, input_of, resize, clustering, interval,
)  # fmt: skip
SCALE_TOLERANCE = 1e-6
HASHED = re.compile(r".*-[0-9a-f]{12}\.onnx")


def _engine_name(subject: ConfigSubject, name: EngineName) -> Iterator[ConfigFinding]:
    """An engine's name says of what nvinfer built it; where the file says something else, one of them is wrong."""
    batch = _integer(subject, "batch-size", 1)
    if name.batch != batch:
        effect = "it is refused and built anew at every start" if name.batch < batch else "it has room to spare"
        yield subject.finding(
            "engine-batch", "warning", PROPERTY, "model-engine-file",
            f"the engine's name says batch {name.batch}, but batch-size={batch}: {effect}",
            "name the engine that nvinfer writes for this batch size",
        )  # fmt: skip
    wanted = PRECISION_WORDS[_integer(subject, "network-mode", 0)]
    if wanted != "best" and name.precision != wanted:
        yield subject.finding(
            "engine-precision", "error", PROPERTY, "model-engine-file",
            f"the engine's name says {name.precision}, but network-mode is {wanted}: an engine that is there is taken "
            f"as it is",
            "name the engine that nvinfer writes for this precision",
        )  # fmt: skip
    by_library = subject.has(PROPERTY, "engine-create-func-name")
    model = subject.text(PROPERTY, "onnx-file")
    if model and not by_library and _is_hashed(subject, Path(model).name, name.model):
        yield subject.finding(
            "engine-name", "info", PROPERTY, "model-engine-file",
            f"the engine is looked for under the hash of {model}: never a stale one, but one that nvinfer built is "
            f"found only once it is renamed",
            "deploy by traffic-yolo deepstream config, whose ONNX file has that name",
        )  # fmt: skip
    elif model and not by_library and Path(model).name != name.model:
        yield subject.finding(
            "foreign-engine", "error", PROPERTY, "model-engine-file",
            f"the engine's name says that it was built of {name.model}, but onnx-file is {Path(model).name}: an engine "
            f"that is there is taken whatever it was built of, and nvinfer writes the right one under another name",
            f"write model-engine-file={model}_b{batch}_{name.device}_{wanted}.engine",
        )  # fmt: skip
    if model and by_library:
        yield subject.finding(
            "engine-place", "warning", PROPERTY, "engine-create-func-name",
            "with engine-create-func-name the engine is written as model_b…engine into the working directory, under "
            "the same name for every model",
            "remove the key: nvinfer builds an ONNX file itself, and names the engine after it",
        )  # fmt: skip


def _is_hashed(subject: ConfigSubject, model: str, named: str) -> bool:
    """Whether an engine's name is the ONNX file's with its own hash in it, where the file is there to tell."""
    if HASHED.fullmatch(named) is None or not named.startswith(f"{model.removesuffix('.onnx')}-"):
        return False
    path = subject.path(PROPERTY, "onnx-file")
    return path is None or not path.is_file() or named == hashed_name(model, sha256_of_file(path))


def _label_order(subject: ConfigSubject, path: Path, found: list[str]) -> Iterator[ConfigFinding]:
    model = subject.model
    if model is None or not model.classes:
        return
    wanted = [label(name) for name in model.classes]
    if found == wanted:
        return
    if plain(found) == plain(wanted):
        yield subject.finding(
            "labels", "warning", PROPERTY, "labelfile-path",
            f"{path.name} spells the classes of {model.source} otherwise",
            f"write them as {', '.join(wanted[:3])} …" if len(wanted) > 3 else f"write them as {', '.join(wanted)}",
        )  # fmt: skip
        return
    first = next((n for n, (one, other) in enumerate(zip(found, wanted, strict=False)) if one != other), len(found))
    what = f"class {first} is {found[first]!r}" if first < len(found) else f"class {first} has no label"
    rest = plain(found[first + 1 :])
    if rest and rest == plain(wanted[first : len(found) - 1]) and found[first] not in wanted:
        what += ", and all after it are shifted by one"
    expected = wanted[first] if first < len(wanted) else "no more classes"
    yield subject.finding(
        "labels", "error", PROPERTY, "labelfile-path",
        f"{path.name} is not in the order of {model.source}: {what}, expected {expected!r}",
        "write one label a line, by class id",
    )  # fmt: skip


def plain(names: list[str]) -> list[str]:
    """Names as people compare them."""
    return [name.lower().replace("_", " ").replace("-", " ").strip() for name in names]


def _integer(subject: ConfigSubject, key: str, default: int) -> int:
    return int(subject.number(PROPERTY, key, PROPERTY_KEYS[key], default))


def _is_detector(subject: ConfigSubject) -> bool:
    if subject.has(PROPERTY, "is-classifier") and not subject.has(PROPERTY, "network-type"):
        return _integer(subject, "is-classifier", 0) == 0
    return _integer(subject, "network-type", 0) in DETECTORS


def _is_yolo(subject: ConfigSubject) -> bool:
    """Whether the rules of Darknet's networks hold: the model is known, or its boxes are read by DeepStream-Yolo."""
    parser = subject.text(PROPERTY, "parse-bbox-func-name")
    return subject.model is not None or parser.startswith("NvDsInferParseYolo")


def _is_darknet(subject: ConfigSubject) -> bool:
    """Whether the network is one of Darknet's: DeepStream-Yolo's parser reads others too, with scales of their own."""
    return subject.model is not None or bool(subject.text(PROPERTY, "custom-network-config"))


def _is_onnx(subject: ConfigSubject) -> bool:
    return bool(subject.text(PROPERTY, "onnx-file"))


def _model_is_here(subject: ConfigSubject) -> bool:
    """Whether this machine has the model's files, so that a file which is not here is not elsewhere either."""
    paths = [subject.path(PROPERTY, key) for key in MODEL_KEYS]
    return any(path is not None and path.is_file() for path in paths)


def _infer_dims(subject: ConfigSubject) -> tuple[int, ...]:
    if not subject.has(PROPERTY, "infer-dims"):
        return ()
    try:
        numbers = PROPERTY_KEYS["infer-dims"].numbers(subject.text(PROPERTY, "infer-dims"), where="")
    except ValueError:
        return ()
    return tuple(int(number) for number in numbers) if len(numbers) == 3 else ()
