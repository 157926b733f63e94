"""What the command `detect` keeps, and of which part of a split; how it infers is for `InferenceOptions`."""

from dataclasses import dataclass

from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import option


@dataclass(frozen=True)
class DetectOptions:
    """Raises `OptionsError` for what makes no sense.

    `shard`: "2/4" detects on the second of four equal parts of the pictures. The parts together are what one run gives,
    byte for byte.
    """

    shard: str = option("", "K/N: only the K-th of N parts, for a pod; merge-detections joins.")
    confidence_floor: float = option(CONFIDENCE_FLOOR, "Scores strictly above it are kept; [0, 1).")

    def __post_init__(self) -> None:
        if not 0 <= self.confidence_floor < 1:
            raise OptionsError(f"confidence_floor is {self.confidence_floor}, expected a number in [0, 1)")
        parse_shard(self.shard)


def parse_shard(text: str) -> tuple[int, int]:
    """(k, n) of "k/n", counted from 1; (1, 1) for "". Raises `OptionsError` for another form."""
    if not text:
        return 1, 1
    try:
        part, count = (int(number) for number in text.split("/"))
    except ValueError as error:
        raise OptionsError(f"shard: expected K/N such as 2/4, found {text!r}") from error
    if not 1 <= part <= count:
        raise OptionsError(f"shard: expected K from 1 to N, found {text!r}")
    return part, count
