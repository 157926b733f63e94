"""What a check finds, how severe it is, and the collection of it all: every finding counted, the first ones kept."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.finding import Finding, worst_first
from traffic_yolo.messages import shown
from traffic_yolo.severity import SEVERITIES, as_bad_as

OFF = "off"
NEVER = "never"
KEPT_OF_A_CHECK = 200
# The keys of table.CHECKS, which is heavy to import
CHECK_NAMES = (
    "unreadable-file",
    "unfinished-recording",
    "broken-label",
    "labelled-twice",
    "split-leak",
    "empty-split",
    "unreadable-picture",
    "truncated-picture",
    "turned-picture",
    "size-mismatch",
    "picture-left-out",
    "label-without-picture",
    "few-labels",
    "unknown-class",
    "not-a-number",
    "no-area",
    "emptied-picture",
    "reversed-corners",
    "mixed-origins",
    "alike-classes",
    "shape-left-out",
    "outside-picture",
    "sticks-out",
    "duplicate-box",
    "two-classes",
    "size-outlier",
    "time-backwards",
    "frozen-picture",
    "missing-scan",
    "scan-without-picture",
    "picture-without-label",
    "empty-frame",
    "implausible-calibration",
    "track-without-box",
    "box-without-track",
    "near-duplicate",
)


@dataclass(frozen=True)
class FailOn:
    """What fails a conversion or a check: findings as bad as a severity (or "never"), and those of named checks."""

    severity: str
    checks: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "FailOn":
        """`"error"`, `"no-area"`, `"error, sticks-out"`: a severity, checks or both. `OptionsError` for other words."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        severities = [word for word in words if word in (*SEVERITIES, NEVER)]
        unknown = [word for word in words if word not in (*severities, *CHECK_NAMES)]
        if unknown or len(severities) > 1 or not words:
            expected = f"one of {', '.join((*SEVERITIES, NEVER))}, or names of checks, with commas between"
            raise OptionsError(f"fail_on: expected {expected}; found {', '.join(unknown) or text!r}")
        return cls(severities[0] if severities else NEVER, frozenset(words) - set(severities))

    def includes(self, check: str, severity: str) -> bool:
        """Whether a finding of this check and severity is one to fail on."""
        return severity in as_bad_as(self.severity) or check in self.checks


@dataclass(frozen=True, slots=True)
class Objection:
    """What a check objects to in the frame that it was shown; `box` names the box, "" for the whole frame."""

    expected: str
    found: str
    box: str = ""


@dataclass(frozen=True, slots=True)
class DataFinding(Finding):
    """An objection with its place: `file` holds the picture or label, `frame` names the picture in it.

    Its rule is a check, and "check" is what the rule is called in files.
    """

    file: str
    frame: str
    box: str
    expected: str
    found: str

    @property
    def place(self) -> str:
        """File, frame and box, as far as there are."""
        return " ".join(part for part in (self.file, self.frame, self.box) if part)

    @property
    def statement(self) -> str:
        """What was expected, and what was found."""
        return f"expected {self.expected}, found {self.found}"

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values for JSON, in their order: `DataFinding(*values)` makes it again."""
        return {"check" if name == "rule" else name: value for name, value in Finding.to_json(self).items()}


@dataclass
class Findings:
    """Collects findings: all are counted, by check and severity; of each check the first 200 are kept."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: dict[str, list[DataFinding]] = field(default_factory=dict)

    def add(self, finding: DataFinding) -> None:
        """Counts the finding, and keeps it while its check has few."""
        self.counts[finding.rule, finding.severity] += 1
        kept = self.kept.setdefault(finding.rule, [])
        if len(kept) < KEPT_OF_A_CHECK:
            kept.append(finding)

    def of_severity(self, severity: str) -> int:
        """How many findings have this severity."""
        return sum(count for (_, found), count in self.counts.items() if found == severity)

    def __iter__(self) -> Iterator[DataFinding]:
        """Kept findings, the worst first, then by check."""
        return iter(worst_first(finding for name in sorted(self.kept) for finding in self.kept[name]))

    def fails(self, fail_on: str) -> bool:
        """Whether something was found on which to fail (`FailOn.parse`)."""
        return self.failing(fail_on) > 0

    def failing(self, fail_on: str) -> int:
        """How many findings there are on which to fail."""
        bad = FailOn.parse(fail_on)
        return sum(count for (check, severity), count in self.counts.items() if bad.includes(check, severity))

    def as_dict(self) -> dict[str, Any]:
        """Counts and kept findings as JSON values."""
        return {
            "by_severity": {severity: self.of_severity(severity) for severity in SEVERITIES},
            "by_check": {
                check: {"severity": severity, "count": count}
                for (check, severity), count in sorted(self.counts.items())
            },
            "findings": [finding.to_json() for finding in self],
        }


def parse_severities(text: str, known: Mapping[str, Any]) -> dict[str, str]:
    """`"missing-scan=error,empty-frame=off"` taken apart; `OptionsError` for an unknown check or severity."""
    chosen = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, separator, severity = (word.strip() for word in part.partition("="))
        if not separator or severity not in (*SEVERITIES, OFF):
            words = ", ".join((*SEVERITIES, OFF))
            raise OptionsError(f"severity {shown(part)}: expected check=severity with a severity of {words}")
        if name not in known:
            raise OptionsError(f"severity {shown(part)}: no such check; known: {', '.join(known)}")
        chosen[name] = severity
    return chosen
