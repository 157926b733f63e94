"""Decides of what readers tell an export: it ends, or goes on with a note; `fail_on` is as `convert` has it."""

from traffic_yolo.dataset.checks.finding import FailOn, Findings
from traffic_yolo.dataset.checks.source_problems import CHECK_OF_KIND, WORDS, check_of, finding_of
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.dataset.problems import NOTED, OF_ONE_FILE, Problem
from traffic_yolo.errors import OptionsError

JUDGED = frozenset(CHECK_OF_KIND.values()) | {name for words in WORDS.values() for name, _ in words}
SEVERITIES = {name: CHECKS[name].severity for name in JUDGED}
NAMED = 20  # of what was left out, in the notes


class ExportJudge:
    """The sink of an export. Raises `OptionsError` for a `fail_on` that names a check which looks at whole frames.

    What lies inside one file, and what readers leave out or mend, is judged; all else always ends an export, as it does
    a conversion.
    """

    def __init__(self, fail_on: str) -> None:
        self._fail_on = FailOn.parse(fail_on)
        cannot = sorted(self._fail_on.checks - JUDGED)
        if cannot:
            raise OptionsError(
                f"fail_on: an export does not check {cannot[0]} (`traffic-yolo check` does); expected some of "
                f"{', '.join(sorted(JUDGED))}"
            )
        self._findings = Findings()
        self._passed: dict[Problem, None] = {}

    def fails(self, problem: Problem) -> bool:
        """Whether the problem ends the export, unless what it is about is put aside."""
        if problem.kind not in NOTED and problem.kind not in OF_ONE_FILE:
            return True
        check = check_of(problem)
        return self._fail_on.includes(check, SEVERITIES[check])

    def __call__(self, problem: Problem) -> None:
        """Takes one problem; raises its error where it ends the export. One that is told twice counts once."""
        if self.fails(problem):
            if problem.kind not in NOTED:
                raise problem.error
            advice = "`traffic-yolo check` lists them all; mend it, or choose another fail_on"
            raise Problem(problem.kind, f"{problem.message.removesuffix('; left out')}; {advice}").error
        found = finding_of(problem, SEVERITIES)
        if problem.in_words not in self._passed and found is not None:
            self._passed[problem.in_words] = None
            self._findings.add(found)

    def notes(self) -> list[str]:
        """Lines on what was passed over: each check's count, and the first things that could not be read."""
        counted = [
            f"check {check}: {count} {severity}{'s' if count > 1 and severity != 'info' else ''}"
            for (check, severity), count in sorted(self._findings.counts.items())
            if severity != "info"
        ]
        unread = [problem for problem in self._passed if problem.kind in OF_ONE_FILE]
        named = [f"left out: {problem.message}" for problem in unread[:NAMED]]
        more = [f"left out: {len(unread) - NAMED} more that cannot be read"] if unread[NAMED:] else []
        return [*counted, *named, *more]
