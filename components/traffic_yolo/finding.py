"""What a check or a lint has to say, one vocabulary for all of them: the finding, its order, counts, line and JSON.

A room extends `Finding` by the fields that are its own. What a rule yields before its name and severity are added, and
what a reading cannot read (`dataset/problems.py`), are no findings yet.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from traffic_yolo.severity import SEVERITIES, Severity, rank

Found = TypeVar("Found", bound="Finding")
NOUNS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}


@dataclass(frozen=True, slots=True)
class Finding(ABC):
    """One thing that a rule found. `rule`: its id, by which it is turned off, ignored or looked up."""

    rule: str
    severity: Severity

    @property
    @abstractmethod
    def place(self) -> str:
        """Where a person finds it: a file with its line, a path in an object, a picture's box."""

    @property
    @abstractmethod
    def statement(self) -> str:
        """What is wrong there, on one line."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else there is to say, a line each: what was expected and found, what to do."""
        return ()

    def to_line(self) -> str:
        """One line: place, severity, what is wrong, and the rule's id."""
        return f"{self.place}: {self.severity}: {self.statement} [{self.rule}]"

    def to_text(self) -> str:
        """The line, and the notes below it."""
        return "\n".join([self.to_line(), *(f"    {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values for JSON."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True, slots=True)
class FileFinding(Finding, ABC):
    """A finding at a line of a text file: `line` is 1-based, 0 for the file as a whole; `advice`: what to do."""

    file: str
    line: int
    message: str
    advice: str

    @property
    def place(self) -> str:
        """`file:line`, which editors and terminals open."""
        return f"{self.file}:{self.line}" if self.line else self.file

    @property
    def statement(self) -> str:
        """The message."""
        return self.message

    @property
    def notes(self) -> tuple[str, ...]:
        """The advice."""
        return (self.advice,) if self.advice else ()

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values for JSON; the line is null where there is none."""
        return {**Finding.to_json(self), "line": self.line or None}


def worst_first(findings: Iterable[Found], then: Callable[[Found], Any] = lambda _: 0) -> list[Found]:
    """Errors, then warnings, then notes; among equals by `then`, and else in the order that they had."""
    return sorted(findings, key=lambda finding: (rank(finding.severity), then(finding)))


def count_severities(findings: Iterable[Finding]) -> dict[str, int]:
    """Severity -> how many findings have it, the worst first; those without any are there with 0."""
    found = [finding.severity for finding in findings]
    return {severity: found.count(severity) for severity in SEVERITIES}


def counts_text(counts: dict[str, int]) -> str:
    """`"1 error, 2 warnings, 0 notes"` of what `count_severities` gives."""
    words = ((counts[severity], NOUNS[severity]) for severity in SEVERITIES)
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in words)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 where a finding is an error, else 0: what a lint ends with."""
    return int(any(finding.severity == "error" for finding in findings))
