"""Shows every frame to every check that is on, and keeps what they find."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from traffic_yolo.dataset.checks.finding import OFF, DataFinding, Findings, Objection
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.checks.size_outliers import Place
from traffic_yolo.dataset.checks.table import CHECKS, CheckContext
from traffic_yolo.severity import severity_of


class CheckRun:
    """Feed it observations with `show`, then call `end` once. `severities` replaces those of the table; "off" skips."""

    def __init__(self, severities: Mapping[str, str] | None = None, context: CheckContext | None = None) -> None:
        chosen = {name: entry.severity for name, entry in CHECKS.items()} | dict(severities or {})
        context = context or CheckContext()
        self.severities = {name: severity_of(word) for name, word in chosen.items() if word != OFF}
        self._checks = {name: CHECKS[name].make(context) for name in self.severities}
        self.findings = Findings()
        self.frames = self.boxes = 0

    def show(self, observation: Observation) -> list[DataFinding]:
        """Runs the checks on one frame; what they found, which is also kept in `findings`."""
        self.frames += 1
        self.boxes += len(observation.boxes)
        found = [
            self._finding(name, observation.file, observation.frame, problem)
            for name, check in self._checks.items()
            for problem in check(observation)
        ]
        for finding in found:
            self.findings.add(finding)
        return found

    def end(self) -> Findings:
        """Asks the checks that had to see everything; all findings."""
        for name, check in self._checks.items():
            late: Callable[[], Iterator[tuple[Place, Objection]]] | None = getattr(check, "end", None)
            for place, problem in late() if late is not None else ():
                self.findings.add(self._finding(name, place.file, place.frame, problem))
        return self.findings

    def as_dict(self) -> dict[str, Any]:
        """What was looked at and found, as JSON values."""
        checks = {
            name: {
                "severity": self.severities.get(name, OFF),
                "summary": entry.summary,
                "count": self.findings.counts[name, self.severities.get(name, OFF)],
            }
            for name, entry in CHECKS.items()
        }
        return {"frames": self.frames, "boxes": self.boxes, "checks": checks, **self.findings.as_dict()}

    def _finding(self, name: str, file: str, frame: str, problem: Objection) -> DataFinding:
        return DataFinding(name, self.severities[name], file, frame, problem.box, problem.expected, problem.found)
