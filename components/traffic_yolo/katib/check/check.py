"""Checks a Katib Experiment, ours or anybody's: Katib's webhook rules, those it forgets, and what others know."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.finding import count_severities, counts_text, exit_code, worst_first
from traffic_yolo.katib.check import (
    rules_collector,
    rules_identity,
    rules_job,
    rules_parameters,
    rules_pod,
    rules_ranges,
    rules_schema,
    rules_search,
    rules_template,
)
from traffic_yolo.katib.check.findings import RULES, ExperimentFinding, Subject
from traffic_yolo.katib.check.rules_search import nearest
from traffic_yolo.katib.spec.document import YamlProblem, parse_object, read_text
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath

SCHEMA_VERSION = 1
DEFAULT_KUBERNETES = "1.30"
# The modules register their rules when they are imported; the order is that of `katib rules`
MODULES = (
    rules_identity,
    rules_search,
    rules_parameters,
    rules_ranges,
    rules_template,
    rules_pod,
    rules_job,
    rules_collector,
    rules_schema,
)
# Reading can fail in ways that no rule sees, because there is no object to look at
READING_RULES = {
    "yaml": "The file is YAML.",
    "one-object": "The file holds one Kubernetes object.",
    "repeated-key": "No mapping has a key twice: the last one would count.",
    "json-value": "Keys and values are ones that JSON has.",
    "too-large": "The object is of a size that an API server takes.",
}
# Without an object there is nothing to go on with, so these cannot be passed over
UNREADABLE = frozenset(READING_RULES) - {"repeated-key"}
IGNORE_FLAG = "--ignore"

ORIGINS_TEXT = """admission: Katib or the API server refuses the object
later:     a service, the controller or Kubernetes fails when the experiment already stands there
nobody:    it runs, or waits, and nobody says why"""


@dataclass(frozen=True)
class CheckReport:
    """All findings of one file, errors first, then in the order of the rules; `ignored`: those passed over as asked."""

    file: str
    findings: tuple[ExperimentFinding, ...]
    ignored: tuple[ExperimentFinding, ...] = ()

    @property
    def first_error(self) -> str:
        """The first error in one line with its rule, and how many more there are; "" where there is none."""
        errors = [finding for finding in self.findings if finding.severity == "error"]
        if not errors:
            return ""
        first, more = errors[0], f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        found = f": {first.found}" if first.found else ""
        return f"{first.place}: {first.message}{found} [{first.rule}]{more}"

    @property
    def counts(self) -> dict[str, int]:
        """Severity -> how many findings have it."""
        return count_severities(self.findings)

    @property
    def exit_code(self) -> int:
        """1 where there is an error, else 0."""
        return exit_code(self.findings)

    @property
    def summary(self) -> str:
        """One line: how many findings of which severity, and how many were passed over."""
        names = Counter(finding.rule for finding in self.ignored)
        passed_over = ", ".join(f"{count} of {name}" for name, count in sorted(names.items()))
        return f"{self.file}: {counts_text(self.counts)}{f'; ignored: {passed_over}' if passed_over else ''}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        findings = [finding.to_json() for finding in self.findings]
        ignored = dict(Counter(finding.rule for finding in self.ignored))
        values = {"file": self.file, "counts": self.counts, "ignored": ignored, "findings": findings}
        return {"schema_version": SCHEMA_VERSION, **values}

    def to_text(self) -> str:
        """A paragraph for each finding, then the summary."""
        return "\n".join([*(finding.to_text() for finding in self.findings), self.summary])


def check_file(
    path: AnyPath, *, old: AnyPath | None = None, kubernetes: str = DEFAULT_KUBERNETES, ignore: Sequence[str] = ()
) -> CheckReport:
    """The report of a file; `old` is the experiment that it would replace, as `kubectl get -o yaml` prints it.

    `ignore`: rules whose findings do not count. Raises `StorageError` for a file that cannot be read, and
    `OptionsError` for an unknown version of Kubernetes or an unknown rule.
    """
    check_rule_names(ignore)
    before = parse_object(read_text(old))[0] if old is not None else None
    return check_text(read_text(path), file=str(path), old=before, kubernetes=kubernetes, ignore=ignore)


def check_text(
    text: str,
    *,
    file: str = "experiment",
    old: dict[str, Any] | None = None,
    kubernetes: str = DEFAULT_KUBERNETES,
    ignore: Sequence[str] = (),
) -> CheckReport:
    """The report of a YAML text. What is no YAML, or no Kubernetes object, is a finding as well.

    Raises `OptionsError` as `check_file` does.
    """
    check_rule_names(ignore)
    document, problems = parse_object(text)
    findings = [_reading_finding(problem) for problem in problems]
    if document is not None:
        findings += check_document(document, old=old, kubernetes=kubernetes)
    findings = worst_first(findings)
    counted = tuple(finding for finding in findings if finding.rule not in ignore)
    return CheckReport(file, counted, tuple(finding for finding in findings if finding.rule in ignore))


def check_rule_names(names: Sequence[str], *, flag: str = IGNORE_FLAG) -> None:
    """Raises `OptionsError`, which begins with `flag`, for a rule that there is not, or one that must hold."""
    for name in names:
        if name in UNREADABLE:
            raise OptionsError(f"{flag} {name}: cannot be ignored: without an object there is nothing to go on with")
        if name not in RULES and name not in READING_RULES:
            near = nearest(name, [*RULES, *READING_RULES])
            advice = f"write {near}, or see" if near else "see"
            raise OptionsError(f"{flag} {shown(name)}: no such rule; {advice} `traffic-yolo katib rules`")


def check_document(
    document: dict[str, Any], *, old: dict[str, Any] | None = None, kubernetes: str = DEFAULT_KUBERNETES
) -> list[ExperimentFinding]:
    """The findings of every rule, in the order of the rules."""
    subject = Subject(document, old, kubernetes)
    return [finding for rule in RULES.values() for finding in rule.findings(subject)]


def rules_values() -> list[dict[str, str]]:
    """Every rule: id, severity, who else would have noticed, and what must hold."""
    reading = [
        {"rule": name, "severity": "error", "origin": "admission", "text": text} for name, text in READING_RULES.items()
    ]
    ruled = [
        {"rule": rule.name, "severity": rule.severity, "origin": rule.origin, "text": rule.text}
        for rule in RULES.values()
    ]
    return reading + ruled


def rules_text() -> str:
    """The rules as a table for people."""
    rows = rules_values()
    width = max(len(row["rule"]) for row in rows)
    lines = [f"{row['rule']:{width}}  {row['severity']:7}  {row['origin']:9}  {row['text']}" for row in rows]
    return "\n".join([*lines, "", ORIGINS_TEXT])


def _reading_finding(problem: YamlProblem) -> ExperimentFinding:
    expected = READING_RULES[problem.rule]
    return ExperimentFinding(
        problem.rule, "error", "admission", problem.path, problem.message, expected, "", problem.fix
    )
