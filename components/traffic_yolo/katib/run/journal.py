"""What happened in a local run, one JSON line an event, flushed to the disk before the run goes on: kills lose nothing.

A last line that a kill cut short is taken away when the journal is opened again.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from traffic_yolo.errors import StorageError
from traffic_yolo.katib.run.collector import ObservedMetric
from traffic_yolo.messages import one_line
from traffic_yolo.storage import json_value
from traffic_yolo.typed_values import why_other

State = Literal["Running", "Succeeded", "Failed", "MetricsUnavailable", "EarlyStopped", "Killed"]
# What a line says of an event, beside its kind and the time
EVENTS: dict[str, dict[str, Any]] = {
    "experiment": {"document": dict[str, Any]},
    "trial": {"name": str, "assignments": dict[str, str]},
    "process": {"name": str, "process": dict[str, Any]},
    "killed": {"name": str, "message": str},
    "ended": {
        "name": str,
        "state": State,
        "message": str,
        "reports": list[float],
        "observation": list[ObservedMetric] | None,
    },
}
UNFINISHED: tuple[State, ...] = ("Running", "Killed")  # a later run starts them again, under their names


@dataclass
class Trial:
    """One trial. `reports`: the objective's values in the order of the log; `pid`, `started`: its process."""

    name: str
    assignments: dict[str, str]
    started_at: str
    state: State = "Running"
    ended_at: str = ""
    message: str = ""
    observation: list[ObservedMetric] | None = None
    reports: tuple[float, ...] = ()
    process: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The file `path`. `trials` by name, in the order in which they were made."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; `StorageError` for a file that is no journal or cannot be written."""
        self.path = path
        self.started_at = ""
        self.experiment: dict[str, Any] = {}
        self.trials: dict[str, Trial] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._cut_half_line()
        except OSError as error:
            raise StorageError(f"journal cannot be written: {path}: {error.strerror}") from error
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(json_value(line))
            except (ValueError, KeyError, TypeError) as error:
                reason = one_line(str(error))
                raise StorageError(
                    f"{path} line {number}: no event of a local Katib run ({reason}); take another --out"
                ) from error

    def _cut_half_line(self) -> bytes:
        with self.path.open("a+b") as file:
            file.seek(0)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) < len(data):
                file.truncate(len(whole))
        return whole

    def _take(self, event: Any) -> None:
        """Takes in one line's value; `ValueError`, `KeyError` or `TypeError` where it is no event, or of no trial."""
        if reason := why_other(event, dict[str, Any]):
            raise ValueError(reason)
        kind = event["event"]
        for name, hint in {**EVENTS[kind], "time": str}.items():
            if reason := why_other(event[name], hint):
                raise ValueError(f"{name}{reason}")
        if kind == "experiment":
            self.experiment, self.started_at = event["document"], self.started_at or event["time"]
        elif kind == "trial":
            self.trials[event["name"]] = Trial(event["name"], event["assignments"], event["time"])
        elif kind == "process":
            trial = self.trials[event["name"]]
            trial.process, trial.state, trial.message = event["process"], "Running", ""
        elif kind == "killed":
            trial = self.trials[event["name"]]
            trial.state, trial.message = "Killed", event["message"]
        else:
            trial = self.trials[event["name"]]
            trial.state, trial.ended_at, trial.message = event["state"], event["time"], event["message"]
            trial.reports = tuple(event["reports"])
            observed = event["observation"]
            trial.observation = None if observed is None else [ObservedMetric(**metric) for metric in observed]

    def _write(self, event: dict[str, Any]) -> None:
        event = {**event, "time": now()}
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"journal cannot be written: {self.path}: {error.strerror}") from error
        self._take(event)

    def begin(self, document: dict[str, Any]) -> None:
        """Notes the experiment as it is run from now on."""
        self._write({"event": "experiment", "document": document})

    def add(self, name: str, assignments: dict[str, str]) -> Trial:
        """Notes a trial before anything of it is started."""
        self._write({"event": "trial", "name": name, "assignments": assignments})
        return self.trials[name]

    def note_process(self, name: str, process: dict[str, Any]) -> None:
        """Notes the process of a trial, so that a later run can end it when this one is killed."""
        self._write({"event": "process", "name": name, "process": process})

    def end(
        self,
        name: str,
        state: State,
        *,
        message: str = "",
        observation: list[ObservedMetric] | None = None,
        reports: tuple[float, ...] = (),
    ) -> Trial:
        """Notes how a trial ended."""
        observed = None if observation is None else [dict(metric.__dict__) for metric in observation]
        self._write(
            {
                "event": "ended",
                "name": name,
                "state": state,
                "message": message,
                "observation": observed,
                "reports": list(reports),
            }
        )
        return self.trials[name]

    def cut_off(self, name: str, message: str) -> None:
        """Notes that a trial was ended before its own end, and why: a later run starts it again."""
        self._write({"event": "killed", "name": name, "message": message})

    def in_state(self, *states: State) -> Iterator[Trial]:
        """The trials in these states, in the order in which they were made."""
        return (trial for trial in self.trials.values() if trial.state in states)


def now() -> str:
    """The time as Kubernetes writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
