"""A model folder: the Darknet pair with its class names, and the ONNX file where one was exported.

Checks that the files exist and that names and cfg agree; whether the weights fit the cfg, `Network.load_weights` says.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import ModelError
from traffic_yolo.page_origin import Subject, folder_subject
from traffic_yolo.storage import AnyPath, input_path, output_path, sha256_of_file

CFG_NAME = "model.cfg"
WEIGHTS_NAME = "model.weights"
CLASSES_NAME = "classes.names"
LABELS_NAME = "labels.txt"
ONNX_NAME = "model.onnx"
EXPORT_NAME = "export.json"
INT8_NAME, FP16_NAME = "model-int8.onnx", "model-fp16.onnx"  # as `quantize` writes them
TABLE_NAME = "calibration.table"  # TensorRT's, for INT8 without Q/DQ nodes


@dataclass(frozen=True)
class ModelFolder:
    """What the steps after training read: a training run, an exported model, or a bundle of the zoo.

    `classes`: names by class_id. `network_hw`: height and width of the network's input in pixels, from [net].
    `letterbox`: whether a picture keeps its aspect when resized (`letter_box=1` in [net]; Darknet's default is to
    stretch).
    """

    path: Path
    classes: tuple[str, ...]
    network_hw: tuple[int, int]
    letterbox: bool

    @classmethod
    def open(cls, path: AnyPath) -> "ModelFolder":
        """Reads the folder at `path`.

        Raises `ModelError` for a missing or empty file, or names that do not fit the cfg's class count;
        `DarknetFormatError` for a cfg that cannot be read.
        """
        folder = input_path(path, what="model folder")
        if not folder.is_dir():
            raise ModelError(f"model folder not found: {folder}; give the folder that train or export wrote")
        for name in (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME):
            if not (folder / name).is_file():
                expected = f"{CFG_NAME}, {WEIGHTS_NAME} and {CLASSES_NAME}"
                raise ModelError(f"{folder}: {name} is missing; a model folder holds {expected}")
        cfg = Cfg.read(folder / CFG_NAME)
        classes = read_names(folder / CLASSES_NAME)
        check_class_count(cfg, classes, names_file=folder / CLASSES_NAME)
        return cls(path=folder, classes=classes, network_hw=network_hw(cfg), letterbox=is_letterbox(cfg))

    @property
    def cfg_path(self) -> Path:
        """The Darknet cfg."""
        return self.path / CFG_NAME

    @property
    def weights_path(self) -> Path:
        """The Darknet weights."""
        return self.path / WEIGHTS_NAME

    @property
    def names_path(self) -> Path:
        """The class names, one a line."""
        return self.path / CLASSES_NAME

    @property
    def onnx_path(self) -> Path:
        """The ONNX file; `ModelError` where the folder has none (a training run before export)."""
        path = self.path / ONNX_NAME
        if not path.is_file():
            raise ModelError(f"{self.path}: {ONNX_NAME} is missing; run the export step on this model first")
        return path

    @property
    def resize(self) -> str:
        """`letterbox` or `stretch`, as records spell it."""
        return "letterbox" if self.letterbox else "stretch"

    @cached_property
    def _sha256(self) -> dict[str, str]:
        return {}

    def subject(self, folder: AnyPath | None) -> Subject:
        """What a page says of it that lies in `folder`: where it is, and which weights."""
        return folder_subject("model", self.path, self.sha256(WEIGHTS_NAME), output_path(folder) if folder else None)

    def sha256(self, name: str) -> str:
        """Hexadecimal SHA-256 of the file `name` in the folder, read once; `StorageError` where it is missing."""
        if name not in self._sha256:
            self._sha256[name] = sha256_of_file(self.path / name)
        return self._sha256[name]


def read_names(path: AnyPath) -> tuple[str, ...]:
    """Class names of a Darknet names file, one a line; blank lines at the end do not count.

    Raises `ModelError` for a file that cannot be read, has no names, repeats one, or has a blank line between names
    (every class after it would be shifted).
    """
    path = input_path(path, what="class names")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: class names cannot be read: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ModelError(f"{path}: no class names; expected one a line")
    seen: dict[str, int] = {}
    for number, name in enumerate(lines, start=1):
        if not name:
            raise ModelError(f"{path} line {number}: blank line between class names; it would shift those after it")
        if name in seen:
            raise ModelError(f"{path} line {number}: class {name!r} stands on line {seen[name]} already")
        seen[name] = number
    return tuple(lines)


def label(class_name: str) -> str:
    """A class name as DeepStream shows it: white space, which would shift KITTI's columns, and the semicolon, at which
    nvinfer cuts a label, become underscores.
    """
    return "_".join(class_name.replace(";", "_").split())


def labels_text(classes: tuple[str, ...]) -> str:
    """DeepStream's labels file: one `label` a line, by class_id. `ModelError` where two names give the same label."""
    labels = [label(name) for name in classes]
    for index, text in enumerate(labels):
        if text in labels[:index]:
            other = classes[labels.index(text)]
            raise ModelError(f"classes {other!r} and {classes[index]!r} are both {text!r} in {LABELS_NAME}; rename one")
    return "".join(f"{text}\n" for text in labels)


def check_class_count(cfg: Cfg, classes: tuple[str, ...], *, names_file: Path) -> None:
    """Raises `ModelError` unless every [yolo] section of `cfg` has as many classes as there are names."""
    heads = [section for section in cfg.layers if section.name == "yolo"]
    if not heads:
        raise ModelError(f"{cfg.file}: no [yolo] section; a detector has at least one")
    for head in heads:
        # 20 is what Darknet itself takes when the key is absent (parse_yolo).
        expected = head.get_int("classes", 20)
        if expected != len(classes):
            raise ModelError(
                f"{names_file}: {len(classes)} class names, but [yolo] on line {head.line} of {cfg.file} has "
                f"classes={expected}; take the names file this model was trained with"
            )


def network_hw(cfg: Cfg) -> tuple[int, int]:
    """Height and width of the network's input in pixels; `ModelError` where [net] does not state them."""
    height, width = (cfg.net.get_int(key, 0) for key in ("height", "width"))
    if height <= 0 or width <= 0:
        where = f"{cfg.file}: [net] on line {cfg.net.line}"
        raise ModelError(f"{where} needs width and height above 0, found {width} x {height}")
    return height, width


def is_letterbox(cfg: Cfg) -> bool:
    """Whether [net] says `letter_box=1`."""
    return cfg.net.get_int("letter_box", 0) != 0
