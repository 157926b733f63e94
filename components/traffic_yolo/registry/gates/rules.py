"""What a publication asks of a version before it may come into use, as its options say it; loads nothing heavy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

NO_WORSE, BETTER, ANY = GATES = ("no-worse", "better", "any")
# What a change must lie above. A loss of a hundredth is borne: to rule out any takes more pictures than there are
LIMITS = {NO_WORSE: -0.01, BETTER: 0.0}
# an option's word -> the name in records
METRICS = {"map50": "ap50", "map": "ap", "f1": "f1"}
MINIMUM_METRICS = (*METRICS, "precision", "recall")
FINDS_NOTHING = "f1"  # must be above 0 where no minimum is given for it: a model that finds nothing is never used


@dataclass(frozen=True)
class GateRules:
    """The rules of one publication; the fields are those of `PublishOptions`.

    `minimum`: metric -> the least value that passes. `reason` and `by`: why and by whom gates were overruled, for the
    record. `earlier_detections`: folders with raw detections of other versions on the same pictures. `run_id`: of the
    pipeline run that publishes, for the record.
    """

    gate: str = NO_WORSE
    metric: str = "map50"
    minimum: Mapping[str, float] = field(default_factory=dict)
    accept_few: bool = False
    force: bool = False
    reason: str = ""
    by: str = ""
    earlier_detections: tuple[str, ...] = ()
    run_id: str = ""

    def __post_init__(self) -> None:
        for name, value, words in (("gate", self.gate, GATES), ("gate_metric", self.metric, tuple(METRICS))):
            if value not in words:
                raise OptionsError(f"{name}: expected one of {', '.join(words)}, found {shown(value)}")


def parse_minimum(text: str) -> dict[str, float]:
    """Reads "map50=.3,f1=.5". Raises `OptionsError` for another form, a metric twice, or a number outside [0, 1]."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in MINIMUM_METRICS or name in found:
            words = f"METRIC=NUMBER, each metric once, of {', '.join(MINIMUM_METRICS)}"
            raise OptionsError(f"minimum: expected {words}, found {shown(part)}")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        if not 0 <= least <= 1:
            raise OptionsError(f"minimum: expected a number from 0 to 1 for {name}, found {shown(value)}")
        found[name] = least
    return found
