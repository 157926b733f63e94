"""What a training came to, for its last lines, for a table of runs and for the gate on improvement."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from traffic_yolo.errors import TrainingError
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, write_json
from traffic_yolo.training.verdict import IMPROVED, NO_BASELINE, WORSENED, Verdict
from traffic_yolo.typed_values import wrong_field

SUMMARY_NAME = "summary.json"  # in a run folder
SCHEMA_VERSION = 1
RISE = 0.005  # of AP50 from one evaluation to the next; less is taken for standing still


def rise_to_the_end(values: Sequence[float]) -> tuple[float, ...]:
    """The last three of a run's AP50s where each is at least `RISE` above the one before it, else none."""
    last = tuple(values[-3:])
    return last if len(last) == 3 and all(b - a >= RISE for a, b in pairwise(last)) else ()


@dataclass(frozen=True)
class TrainingSummary:
    """What a training came to.

    `best_ap50`: AP50 on val of the weights delivered, those after `best_iteration` updates (0: the start's);
    `baseline_ap50`: of the start weights, None where there is nothing to compare. `iteration`: updates made; `loss`:
    the last one per picture; `stopped`: why before `max_batches`, or "". `skipped`: training pictures that could not
    be used, by reason.
    """

    best_ap50: float
    best_iteration: int
    baseline_ap50: float | None
    iteration: int
    loss: float
    seconds: float
    stopped: str
    verdicts: tuple[Verdict, ...]
    skipped: dict[str, int]
    rising: tuple[float, ...] = ()  # `rise_to_the_end` of a run that was not stopped before

    @property
    def is_improvement(self) -> bool:
        """Whether every verdict says that the result is better than the start."""
        return bool(self.verdicts) and all(verdict.word == IMPROVED for verdict in self.verdicts)

    @property
    def learnt(self) -> bool:
        """Whether the weights delivered are not the start's."""
        return self.baseline_ap50 is None or self.best_iteration > 0

    def numbers(self) -> dict[str, float]:
        """What a table of runs shows: AP50 and gain in [0, 1], counts, seconds; `improvement` 1, 0 or -1 (worse)."""
        found = {"val_ap50": self.best_ap50, "iterations": float(self.iteration), "seconds": self.seconds}
        found["best_iteration"] = float(self.best_iteration)
        found["pictures_skipped"] = float(sum(self.skipped.values()))
        if self.baseline_ap50 is not None:
            found["start_val_ap50"] = self.baseline_ap50
        for verdict in self.verdicts:
            if verdict.word != NO_BASELINE:
                found[f"improvement_{verdict.split}"] = {IMPROVED: 1.0, WORSENED: -1.0}.get(verdict.word, 0.0)
            if verdict.difference is not None:
                found[f"gain_{verdict.split}"] = verdict.difference.difference.value
        return found

    @property
    def advice(self) -> list[str]:
        """Lines on what may bring more, for the command and the report."""
        if not self.rising:
            return []
        values = ", ".join(f"{value:.3f}" for value in self.rising)
        return [f"AP50 on val still rose at the end ({values}): a longer run (--max-batches) may bring more"]

    @property
    def text(self) -> str:
        """The last lines of the command."""
        ended = f" ({self.stopped})" if self.stopped else ""
        lines = [
            f"best AP50 on val {self.best_ap50:.4f} after {self.best_iteration} of {self.iteration} iterations{ended}, "
            f"{self.seconds:.0f} s"
        ]
        if self.baseline_ap50 is not None:
            lines.append(f"start AP50 on val {self.baseline_ap50:.4f}")
        lines += self.advice
        if self.skipped:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            lines.append(f"training pictures skipped: {counts}")
        return "\n".join([*lines, *(verdict.text for verdict in self.verdicts)])


@dataclass(frozen=True)
class FinishedTraining:
    """What a run folder says of its own training, for whoever did not run it. Fields as `TrainingSummary` has them."""

    text: str
    numbers: dict[str, float]
    verdicts: tuple[str, ...]
    is_improvement: bool

    @classmethod
    def of(cls, summary: TrainingSummary) -> "FinishedTraining":
        """The same of a training that was run here."""
        verdicts = tuple(verdict.text for verdict in summary.verdicts)
        return cls(summary.text, summary.numbers(), verdicts, summary.is_improvement)

    def write(self, run: AnyPath) -> None:
        """Writes the file into a run folder, atomically; it is the last one of a training."""
        content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "text": self.text, "numbers": self.numbers}
        content |= {"verdicts": list(self.verdicts), "is_improvement": self.is_improvement}
        write_json(output_path(run) / SUMMARY_NAME, content)

    @classmethod
    def read(cls, run: AnyPath) -> "FinishedTraining":
        """Reads it from a run folder; `TrainingError` where the training has not ended, or for a damaged file."""
        path = input_path(run, what="training run") / SUMMARY_NAME
        if not path.is_file():
            raise TrainingError(f"{path} is missing: the training in this folder has not ended")
        content = read_json(path, what="summary of a training", error=TrainingError)
        try:
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise TrainingError(f"{path}: expected schema version {SCHEMA_VERSION}; train again")
            if reason := wrong_field(cls, content):
                raise TrainingError(f"{path}: not a summary of a training: {reason}")
            return cls(**{**content, "verdicts": tuple(content["verdicts"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}: not a summary of a training: {error}") from error
