"""The checks as a part of every conversion: shown each frame as the source has it, before classes are mapped.

What could not be read is among their findings, so that it fails a conversion by the same rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.checks.finding import OFF, DataFinding, FailOn, Findings
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.checks.report import checks_section
from traffic_yolo.dataset.checks.run import CheckRun
from traffic_yolo.dataset.checks.source_problems import finding_of, noted_findings
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.problems import Noted, Problem
from traffic_yolo.dataset.records import Frame
from traffic_yolo.errors import OptionsError

# What a conversion cannot judge: it sees labelled frames only, and no radar
NOT_IN_CONVERSION = (
    "missing-scan",
    "scan-without-picture",
    "implausible-calibration",
    "track-without-box",
    "box-without-track",
)
# What it judges elsewhere: the readers stop it, or note it (`note`), and the leak check has an option of its own
ELSEWHERE = (
    "picture-without-label",
    "label-without-picture",
    "picture-left-out",
    "few-labels",
    "mixed-origins",
    "alike-classes",
    "turned-picture",
    "unreadable-file",
    "unfinished-recording",
    "broken-label",
    "labelled-twice",
    "split-leak",
)
EMPTY_SPLIT = "empty-split"
NEAR_DUPLICATE = "near-duplicate"  # the report has its own words for them, unless the conversion is to fail on them
LATE = ("size-outlier", EMPTY_SPLIT)  # need the whole set, and no pictures
NAMED = 20  # of what could not be read, in the notes; the JSON report has up to 200 of each check


class ChecksObserver:
    """Observer of a conversion. `pixels`: pictures may be decoded; `expected_splits`: those that are to have some."""

    name = "checks"
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        severities: Mapping[str, str],
        *,
        fail_on: str = "error",
        pixels: bool = True,
        expected_splits: Sequence[str] = (),
    ) -> None:
        named = FailOn.parse(fail_on).checks
        off = {name for name, entry in CHECKS.items() if entry.needs_pixels and not pixels}
        cannot = sorted(named & {*NOT_IN_CONVERSION, *off})
        if cannot:
            why = "leak_check is off" if cannot[0] in off else "`traffic-yolo check` does"
            raise OptionsError(f"fail_on: a conversion does not check {cannot[0]} ({why}); leave it out")
        silenced = sorted(name for name in named if severities.get(name) == OFF)
        if silenced:
            raise OptionsError(f"fail_on names {silenced[0]}, which check_severities turns off; leave one out")
        self._severities = {name: entry.severity for name, entry in CHECKS.items()} | dict(severities)
        off |= {*NOT_IN_CONVERSION, *ELSEWHERE, *({NEAR_DUPLICATE} - named)}
        chosen = dict(severities) | dict.fromkeys(off, OFF)
        self._early = CheckRun(chosen | dict.fromkeys(LATE, OFF))
        late = {name: OFF if name not in LATE else chosen.get(name, CHECKS[name].severity) for name in CHECKS}
        self._late = CheckRun(late)
        self._problems: dict[Problem, None] = {}
        self._fail_on = fail_on
        self._frames = 0
        self._empty = dict.fromkeys(expected_splits)

    def note_problem(self, problem: Problem) -> None:
        """Keeps what could not be read, each once."""
        self._problems[problem] = None

    def why_failed(self) -> str:
        """The failure by what could not be read alone; "" for none."""
        findings = Findings()
        self._add_problems(findings)
        return _failure(findings, self._fail_on)

    def _add_problems(self, findings: Findings) -> None:
        for problem in self._problems:
            finding = finding_of(problem, self._severities)
            if finding is not None:
                findings.add(finding)

    def note(self, noted: Noted) -> None:
        """What readers left out or mended counts with what the frames show."""
        found = noted_findings(noted, self._severities)
        for finding in found:
            self._late.findings.add(finding)
        for key, count in found.counts.items():
            self._late.findings.counts[key] += count - sum((f.rule, f.severity) == key for f in found)

    def refusal(self, noted: Noted) -> str:
        """Why a conversion has to stop before its first frame; "" where it may go on."""
        return _failure(noted_findings(noted, self._severities), self._fail_on)

    def fails_on(self, problem: Problem) -> bool:
        """Whether a problem is a finding that fails the conversion."""
        finding = finding_of(problem, self._severities)
        return finding is not None and FailOn.parse(self._fail_on).includes(finding.rule, finding.severity)

    def objections(self, measured: Any) -> list[DataFinding]:
        """The findings of one frame that fail the conversion."""
        bad = FailOn.parse(self._fail_on)
        found = [DataFinding(*row) for row in measured or ()]
        return [finding for finding in found if bad.includes(finding.rule, finding.severity)]

    def measure(self, frame: Frame, split: str, picture: bytes) -> list[list[str]] | None:
        """What the checks of one frame find; None for nothing."""
        del split
        stated = frame if frame.stated is None else replace(frame, annotations=frame.stated)
        found = self._early.show(Observation.of_frame(stated, picture or None))
        return [list(finding.to_json().values()) for finding in found] or None

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Adds up, and shows the frame to the checks that need the whole set."""
        self._frames += 1
        self._empty.pop(split, None)
        for row in measured or ():
            self._late.findings.add(DataFinding(*row))
        self._late.show(Observation.of_frame(frame, None))

    def finish(self, folder: Path) -> ObserverOutcome:
        """All findings; a failure where one is as bad as `fail_on`."""
        del folder
        findings = self._late.end()
        severity = self._late.severities.get(EMPTY_SPLIT)
        if severity is not None:
            for split in self._empty:
                findings.add(DataFinding(EMPTY_SPLIT, severity, f"split {split}", "", "", "pictures", "none"))
        self._add_problems(findings)
        unread = {check: self._severities[check] for check, _ in findings.counts}
        report = findings.as_dict() | {"severities": self._early.severities | self._late.severities | unread}
        return ObserverOutcome(
            notes=_notes(findings) + _left_out(list(self._problems)),
            failure=_failure(findings, self._fail_on),
            report=report,
            sections=[("Checks", checks_section(findings, report["severities"], frames=self._frames))],
        )


def _notes(findings: Findings) -> list[str]:
    return [
        f"check {check}: {count} {severity}{'s' if count > 1 and severity != 'info' else ''}"
        for (check, severity), count in sorted(findings.counts.items())
        if severity != "info"
    ]


def _left_out(problems: list[Problem]) -> list[str]:
    lines = [f"left out: {problem.message}" for problem in problems[:NAMED]]
    return [*lines, f"left out: {len(problems) - NAMED} more that cannot be read"] if problems[NAMED:] else lines


def _failure(findings: Findings, fail_on: str) -> str:
    if not findings.fails(fail_on):
        return ""
    bad = FailOn.parse(fail_on)
    first = next(finding for finding in findings if bad.includes(finding.rule, finding.severity))
    more = findings.failing(fail_on) - 1
    rest = f"; and {more} more" if more else ""
    advice = "`traffic-yolo check` lists them all; mend them, or choose another fail_on"
    return f"checks failed: {first.to_line()}{rest}; {advice}"
