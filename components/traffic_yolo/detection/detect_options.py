"""How the command `detect` runs the inference; loads no torch."""

from dataclasses import dataclass, field

from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR
from traffic_yolo.errors import OptionsError

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class DetectOptions:
    """How the inference is run. Raises `OptionsError` for what makes no sense.

    `shard`: "2/4" detects on the second of four equal parts of the pictures. `processes`: so many of this machine work
    on a part each; only on the CPU. What comes out is the same, byte for byte, whatever these two are.
    """

    batch: int = field(default=8, metadata={"help": "Pictures read ahead, and run together on a GPU."})
    device: str = field(default="auto", metadata={"help": "Where the network runs.", "choices": DEVICES})
    shard: str = field(
        default="", metadata={"help": "K/N: only the K-th of N parts, for a pod; merge-detections joins."}
    )
    processes: int = field(default=1, metadata={"help": "Processes of this machine that share the work."})
    confidence_floor: float = field(
        default=CONFIDENCE_FLOOR, metadata={"help": "Scores strictly above it are kept; [0, 1)."}
    )

    def __post_init__(self) -> None:
        for name in ("batch", "processes"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.processes > 1 and self.device == "cuda":
            raise OptionsError(
                "processes share the work on CPUs only; with a GPU use one, or shards on several machines"
            )
        if not 0 <= self.confidence_floor < 1:
            raise OptionsError(f"confidence_floor is {self.confidence_floor}, expected a number in [0, 1)")
        if self.device not in DEVICES:
            raise OptionsError(f"device is {self.device!r}, expected one of {', '.join(DEVICES)}")
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
