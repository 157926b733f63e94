"""What a user may choose about a training; everything left at its default comes from the cfg, as in Darknet.

The field names are the command line's flags and the parameters of the KFP component and of Katib.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from traffic_yolo.darknet.class_pairs import read_class_pairs
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.storage import read_yaml, write_text

OPTIMIZERS = ("", "sgd", "adamw")
POLICIES = ("", "constant", "steps", "cosine", "poly", "sgdr")
FINE_TUNE_WORDS = ("all", "neck_and_heads", "heads")
PRECISIONS = ("float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")

# What the pipeline, the component and Katib's trials pass on; the rest is for the command line.
PIPELINE_FIELDS = (
    "cfg",
    "weights",
    "weights_names",
    "class_seeds",
    "fine_tune_layers",
    "width",
    "height",
    "batch",
    "subdivisions",
    "max_batches",
    "optimizer",
    "learning_rate",
    "seed",
)

AS_CFG = -1  # the value of a number that is left to the cfg where 0 means something
_MOST = {  # options that may be AS_CFG, with the largest value that makes sense
    "burn_in": math.inf,
    "momentum": 1.0,
    "decay": 1.0,
    "mosaic": 1.0,
    "jitter": 0.5,
    "flip": 1.0,
    "hue": 0.5,
    "saturation": 10.0,
    "exposure": 10.0,
    "ema_alpha": 1.0,
}
_LEAST = {
    "width": 0,
    "height": 0,
    "batch": 1,
    "subdivisions": 1,
    "max_batches": 1,
    "learning_rate": 0.0,
    "evaluate_every": 0,
    "cache_mib": 0,
    "workers": 0,
    "seed": 0,
}


def _text(default: str, help_text: str, choices: tuple[str, ...] | None = None) -> str:
    metadata = {"help": help_text} | ({"choices": choices} if choices else {})
    return field(default=default, metadata=metadata)


def _whole(default: int, help_text: str) -> int:
    return field(default=default, metadata={"help": help_text})


def _real(default: float, help_text: str) -> float:
    return field(default=float(default), metadata={"help": help_text})


@dataclass(frozen=True)
class TrainingOptions:
    """One training. Raises `OptionsError` when made with values that make no sense."""

    cfg: str = _text("", "Darknet .cfg file; empty: the package's traffic-small.cfg.")
    weights: str = _text("", "Darknet .weights to start from, whole or a backbone cut; empty: random weights.")
    weights_names: str = _text("", "File with the class names that whole weights were trained for, one a line.")
    class_seeds: str = _text("", "New classes and the old ones they start from: LONG_TRUCK=truck,MOTORCYCLE=motorbike.")
    fine_tune_layers: str = _text("all", "What may change: all, neck_and_heads, heads, or from:<layer index>.")
    width: int = _whole(0, "Network width in pixels, a multiple of 32; 0: the cfg's.")
    height: int = _whole(0, "Network height in pixels, a multiple of 32; 0: the cfg's.")
    batch: int = _whole(16, "Pictures per weight update.")
    subdivisions: int = _whole(1, "Slices that a batch is run in.")
    max_batches: int = _whole(400, "Weight updates in all; the cfg's steps are scaled to it.")
    optimizer: str = _text("", "sgd as Darknet, or adamw; empty: sgd, or adamw where [net] says adam=1.", OPTIMIZERS)
    learning_rate: float = _real(0.0, "Rate after the warm-up; 0: the cfg's.")
    policy: str = _text("", "How the rate falls; empty: the cfg's.", POLICIES)
    burn_in: int = _whole(AS_CFG, "Iterations of warm-up; -1: the cfg's, at most a tenth of the run.")
    momentum: float = _real(AS_CFG, "Momentum, or AdamW's beta1; -1: the cfg's.")
    decay: float = _real(AS_CFG, "Weight decay of convolution weights; -1: the cfg's.")
    mosaic: float = _real(AS_CFG, "Share of pictures put together from four; -1: one half where the cfg has mosaic=1.")
    jitter: float = _real(AS_CFG, "Most that a side is cut or extended, share of the picture; -1: the cfg's.")
    flip: float = _real(AS_CFG, "Share of pictures mirrored left to right; -1: one half unless the cfg has flip=0.")
    hue: float = _real(AS_CFG, "Most that hue turns, share of the colour circle; -1: the cfg's.")
    saturation: float = _real(AS_CFG, "Largest factor of saturation, 1: unchanged; -1: the cfg's.")
    exposure: float = _real(AS_CFG, "Largest factor of brightness, 1: unchanged; -1: the cfg's.")
    ema_alpha: float = _real(AS_CFG, "Averaging: share of the old weights kept per update, 0: off; -1: the cfg's.")
    evaluate_every: int = _whole(0, "Iterations between validations and checkpoints; 0: four times a run or oftener.")
    precision: str = _text("float32", "bfloat16 is faster where the processor knows it.", PRECISIONS)
    device: str = _text("auto", "Where to train; auto takes a GPU where there is one.", DEVICES)
    cache_mib: int = _whole(1024, "Decoded pictures are kept when all of them fit into this much memory.")
    workers: int = _whole(0, "Processes that prepare pictures; 0: the training process itself.")
    seed: int = _whole(0, "Seed of first weights, order and augmentation.")

    def __post_init__(self) -> None:
        """Checks each field, then the combinations that need no file."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise OptionsError(f"{name}: expected a finite number, found {value}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise OptionsError(f"{name}: expected at least {least}, found {getattr(self, name)}")
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value > most or (value < 0 and value != AS_CFG):
                limit = "" if most == math.inf else f" up to {most:g}"
                raise OptionsError(f"{name}: expected -1 (as the cfg says) or a number from 0{limit}, found {value:g}")
        for option in dataclasses.fields(self):
            words, word = option.metadata.get("choices"), getattr(self, option.name)
            if words and word not in words:
                raise OptionsError(f"{option.name}: expected one of {', '.join(filter(None, words))}, found {word!r}")
        for name in ("width", "height"):
            if getattr(self, name) % 32:
                raise OptionsError(f"{name}: expected a multiple of 32, found {getattr(self, name)}")
        if self.batch % self.subdivisions:
            raise OptionsError(f"batch: expected a multiple of subdivisions={self.subdivisions}, found {self.batch}")
        if 0 <= self.saturation < 1 or 0 <= self.exposure < 1:
            raise OptionsError("saturation and exposure: expected a factor of at least 1 (1: unchanged)")
        self._check_text()

    def _check_text(self) -> None:
        word, separator, index = self.fine_tune_layers.partition(":")
        if self.fine_tune_layers not in FINE_TUNE_WORDS and not (word == "from" and separator and index.isdecimal()):
            expected = f"{', '.join(FINE_TUNE_WORDS)} or from:<layer index>"
            raise OptionsError(f"fine_tune_layers: expected {expected}, found {self.fine_tune_layers!r}")
        if self.weights_names and not self.weights:
            raise OptionsError("weights_names names the classes of `weights`: give weights too")
        if self.class_seeds and not self.weights_names:
            raise OptionsError("class_seeds takes rows of the classes in weights_names: give weights_names too")
        if self.fine_tune_layers != "all" and not self.weights:
            raise OptionsError(
                f"fine_tune_layers={self.fine_tune_layers} freezes layers, which without weights are random: "
                "give weights, or fine_tune_layers=all"
            )
        self.seeds_of_classes()

    def seeds_of_classes(self) -> dict[str, str]:
        """`class_seeds` as new class -> old class; raises `OptionsError` for what is not `new=old`."""
        return read_class_pairs(self.class_seeds, option="class_seeds", form="new=old")

    def describe(self) -> str:
        """The options as YAML text, one a line, in the order of the fields."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)

    def write(self, path: Path) -> None:
        """Writes `describe()` to a file, atomically."""
        write_text(path, self.describe())

    @classmethod
    def read(cls, path: Path) -> "TrainingOptions":
        """The options in a file made by `write`; raises `StorageError` or `OptionsError` naming the file."""
        values = read_yaml(path, what="training options", error=OptionsError)
        types = {option.name: type_ for option in dataclasses.fields(cls) if isinstance(type_ := option.type, type)}
        if not isinstance(values, dict):
            raise OptionsError(f"{path}: expected training options, one name: value a line")
        for name, value in values.items():
            if name not in types:
                raise OptionsError(f"{path}: unknown option {shown(name)}; known: {', '.join(types)}")
            if type(value) is not types[name] and not (types[name] is float and type(value) is int):
                raise OptionsError(f"{path}: {name}: expected {types[name].__name__}, found {shown(value)}")
        return cls(**values)
