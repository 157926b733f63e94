"""What a user may choose about a quantisation; the names are those of the command line."""

import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import check_options, option

AUTO = "auto"
TRAIN = "train"  # the split that ranges are found on: what is judged must not be among it
PERCENTILE, ENTROPY = "percentile", "entropy"
_COUNT = re.compile(r"[0-9]{1,6}", re.ASCII)
_LAYERS = re.compile(r"layers?:([0-9]{1,6}(?:,[0-9]{1,6})*)", re.ASCII)


@dataclass(frozen=True)
class QuantizeOptions:
    """One quantisation. Raises `OptionsError` for values that make no sense."""

    split: str = option("val", "Split on which each setting's AP is measured, and by which auto chooses.")
    calibration_method: str = option(
        PERCENTILE, "How the range of a layer's input is found on the calibration pictures.",
        choices=(PERCENTILE, ENTROPY),
    )  # fmt: skip
    percentile: float = option(
        99.99, "Share of a layer's input that its range holds, for the method percentile.", least=50, most=100
    )
    calibration_pictures: int = option(
        128, "Pictures of the split train that ranges are found on, spread over sites, brightness and classes.", least=1
    )
    scan_pictures: int = option(
        8, "Calibration pictures on which the scan measures what each convolution costs in INT8.", least=1
    )
    keep_float: str = option(
        AUTO,
        "Convolutions that stay float besides those before [yolo]: auto (as few of the costliest as max_ap_drop "
        "needs), how many of the costliest, or Darknet's layers (layers:0,12).",
    )
    max_ap_drop: float = option(
        0.01, "Most that INT8 may lose in AP; auto keeps convolutions in float for it.", least=0, most=1
    )
    train: int = option(
        0, "Updates of a training that feels the rounding of INT8, before its file is written; 0: none.", least=0
    )
    train_rate: float = option(1e-4, "Learning rate of that training, above 0.", least=0, most=1)
    fp16: bool = option(True, "Also write the FP16 file.")
    table: bool = option(True, "Also write TensorRT's calibration table, for DeepStream before 9.")
    seed: int = option(0, "Of the draw of calibration pictures.", least=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.split == TRAIN:
            raise OptionsError(f"split: {TRAIN} is what ranges are found on; expected another one, such as val or test")
        if self.train_rate == 0:
            raise OptionsError("train_rate: expected a number above 0, found 0")
        if self.keep_float != AUTO and self.kept_count is None and self.kept_layers is None:
            raise OptionsError(
                f"keep_float: expected auto, a whole number, or layers such as layers:0,12, found "
                f"{shown(self.keep_float)}"
            )

    @property
    def kept_count(self) -> int | None:
        """How many of the costliest convolutions stay float, None where that is not what was asked for."""
        return int(self.keep_float) if _COUNT.fullmatch(self.keep_float) else None

    @property
    def kept_layers(self) -> tuple[int, ...] | None:
        """Darknet's indices of the layers that stay float, rising; None where none were named."""
        found = _LAYERS.fullmatch(self.keep_float)
        return tuple(sorted({int(text) for text in found[1].split(",")})) if found else None
