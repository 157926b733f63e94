"""What a training tells programs beside its run folder: TensorBoard and MLflow, as `log_to` asks.

Nothing of them is loaded unless it is asked for. They are told, and never asked: whatever fails in them while a
training runs is one warning, and the training goes on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# Field of a history's row -> name of the scalar; a slash groups in both programs
SCALARS = {
    "loss": "loss/total",
    "box": "loss/box",
    "objectness": "loss/objectness",
    "classes": "loss/classes",
    "distillation": "loss/distillation",
    "learning_rate": "training/learning_rate",
    "images_per_s": "training/images_per_s",
    "ap": "val/map",
    "map": "val/map",
    "ap50": "val/map50",
    "map50": "val/map50",
    "f1": "val/f1",
}


@dataclass(frozen=True)
class LoggedRun:
    """The run that is told of: its folder, its options as resolved, and the iteration that it goes on after (0: new).

    `options`: name -> value; None where a number was left to nobody.
    """

    folder: Path
    options: Mapping[str, Any]
    resumed_after: int = 0


@dataclass(frozen=True)
class Outcome:
    """The end of a run: final numbers, words such as the verdict, and files of the run folder worth keeping."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Path] = ()


class EventLog(Protocol):
    """One program that is told. What its methods raise is caught by `EventLogs`."""

    def scalars(self, iteration: int, values: Mapping[str, float]) -> None:
        """Finite numbers after an update."""

    def picture(self, name: str, jpeg: bytes, iteration: int) -> None:
        """A JPEG to look at while the training runs."""

    def finish(self, outcome: Outcome) -> None:
        """The end of a run that came to one."""

    def close(self, *, failed: bool) -> None:
        """The last call, whatever happened."""


def row_scalars(row: Any) -> dict[str, float]:
    """The finite numbers of a history's row under the names that the programs show."""
    found = ((name, getattr(row, field_name, None)) for field_name, name in SCALARS.items())
    return {name: float(value) for name, value in found if value is not None and math.isfinite(value)}
