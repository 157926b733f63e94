"""What a training tells programs beside its run folder: TensorBoard and MLflow, as `log_to` asks.

Nothing of them is loaded unless it is asked for. They are told, and never asked: whatever fails in them while a
training runs is one warning, and the training goes on.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.training.batch_pictures import ShownPicture
from traffic_yolo.training.log_to import check_log_to, read_log_to

log = logging.getLogger(__name__)

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


@contextlib.contextmanager
def event_logs(log_to: str, run: LoggedRun) -> Iterator["EventLogs"]:
    """The programs that `log_to` names, told of a run until the block ends; how it ends is told too.

    Raises `OptionsError` where one is not installed or cannot be reached as the run begins. Of a run that goes on
    after an interruption it only warns: a tracking server that is away must not keep a restarted pod from training.
    """
    check_log_to(log_to)
    logs = EventLogs()
    for word in read_log_to(log_to):
        logs.open(word, run)
    failed = True
    try:
        yield logs
        failed = False
    finally:
        logs.close(failed=failed)


class EventLogs:
    """All programs that are told; one that fails is warned of once."""

    def __init__(self) -> None:
        self._logs: dict[str, EventLog] = {}
        self._warned: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anybody is told."""
        return bool(self._logs)

    def open(self, word: str, run: LoggedRun) -> None:
        """Starts to tell a program of a run."""
        try:
            self._logs[word] = _opened(word, run)
        except TrafficYoloError as error:
            if not run.resumed_after:
                raise
            log.warning("%s; the training goes on without it", error)

    def row(self, row: Any) -> None:
        """After an update or a validation: the numbers of a history's row, of those names that it has."""
        values = row_scalars(row)
        self._tell(lambda one: one.scalars(row.iteration, values))

    def picture(self, group: str, picture: ShownPicture, iteration: int) -> None:
        """A picture under `<group>/<its name>`."""
        self._tell(lambda one: one.picture(f"{group}/{picture.name}", picture.jpeg, iteration))

    def finish(self, outcome: Outcome) -> None:
        """The run has come to its end."""
        self._tell(lambda one: one.finish(outcome))

    def close(self, *, failed: bool) -> None:
        """Sends what is left."""
        self._tell(lambda one: one.close(failed=failed))
        self._logs.clear()

    def _tell(self, call: Callable[[EventLog], None]) -> None:
        for word, one in self._logs.items():
            try:
                call(one)
            except Exception as error:  # another program's fault, whatever it is, is no reason to end a training
                if word not in self._warned:
                    self._warned.add(word)
                    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                    log.warning("%s: %s; the training goes on, history.csv has every number", word, reason[:300])


def row_scalars(row: Any) -> dict[str, float]:
    """The finite numbers of a history's row under the names that the programs show."""
    found = ((name, getattr(row, field_name, None)) for field_name, name in SCALARS.items())
    return {name: float(value) for name, value in found if value is not None and math.isfinite(value)}


def _opened(word: str, run: LoggedRun) -> EventLog:
    # Here, so that nothing of another program is loaded unless it is asked for
    if word == "tensorboard":
        from traffic_yolo.training.event_log_tensorboard import TensorBoardLog

        return TensorBoardLog(run)
    from traffic_yolo.training.event_log_mlflow import MlflowLog

    return MlflowLog(run)
