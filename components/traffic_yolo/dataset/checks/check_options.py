"""What a user may choose about a check; light, for the command line."""

from dataclasses import dataclass, field

from traffic_yolo.dataset.checks.finding import FailOn
from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.dataset.policy import FAIL_ON_HELP
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

DECODES = ("full", "sampled", "none")


@dataclass(frozen=True)
class CheckOptions(PictureChoice):
    """How a source is checked. Raises `OptionsError` when made with values that make no sense."""

    calibration: str = field(
        default="",
        metadata={
            "help": "Camera calibration, or a folder of them; empty: those beside the recordings.",
            "location": "read",
        },
    )
    severities: str = field(
        default="", metadata={"help": "Comma-separated check=error|warning|info|off that replace the table's."}
    )
    fail_on: str = field(default="error", metadata={"help": f"What makes the exit code 1: {FAIL_ON_HELP}."})
    decode: str = option(
        "full",
        "Pictures that are decoded, which finds damage inside: full (all), sampled (1 in 20), none (headers alone).",
        choices=DECODES,
    )
    cvat_pictures: int = option(
        0,
        "Of the labelled pictures on which labels and radar disagree, so many as a CVAT task below --out; 0: none.",
        least=0,
    )
    near_distance: int = field(default=4, metadata={"help": "Bits of 64 in which hashes of near-duplicates differ."})

    def __post_init__(self) -> None:
        check_options(self)
        FailOn.parse(self.fail_on)
        if not 0 <= self.near_distance <= 15:
            raise OptionsError(f"near_distance: expected 0 to 15 bits; found {self.near_distance}")
