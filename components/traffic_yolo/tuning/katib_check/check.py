"""Checks a Katib Experiment, ours or anybody's: Katib's webhook rules, those it forgets, and what others know."""

from dataclasses import dataclass
from typing import Any

from traffic_yolo.storage import AnyPath
from traffic_yolo.tuning.katib_check import (
    rules_collector,
    rules_identity,
    rules_parameters,
    rules_pod,
    rules_schema,
    rules_search,
    rules_template,
)
from traffic_yolo.tuning.katib_check.findings import RULES, SEVERITIES, Finding, Subject, as_json
from traffic_yolo.tuning.katib_spec.document import YamlProblem, parse_object, read_text

SCHEMA_VERSION = 1
DEFAULT_KUBERNETES = "1.30"
# The modules register their rules when they are imported; the order is that of `katib rules`
MODULES = (
    rules_identity,
    rules_search,
    rules_parameters,
    rules_template,
    rules_pod,
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


ORIGINS_TEXT = """admission: Katib or the API server refuses the object
later:     a service, the controller or Kubernetes fails when the experiment already stands there
nobody:    it runs, or waits, and nobody says why"""


@dataclass(frozen=True)
class CheckReport:
    """All findings of one file, errors first, then in the order of the rules."""

    file: str
    findings: tuple[Finding, ...]

    def count(self, severity: str) -> int:
        """How many findings have this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """1 where there is an error, else 0."""
        return int(self.count("error") > 0)

    @property
    def summary(self) -> str:
        """One line: how many findings of which severity."""
        return f"{self.file}: {', '.join(_counted(name, self.count(name)) for name in SEVERITIES)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        counts = {name: self.count(name) for name in SEVERITIES}
        findings = [as_json(finding) for finding in self.findings]
        return {"schema_version": SCHEMA_VERSION, "file": self.file, "counts": counts, "findings": findings}

    def to_text(self) -> str:
        """A paragraph for each finding, then the summary."""
        return "\n".join([*(_paragraph(finding) for finding in self.findings), self.summary])


def check_file(path: AnyPath, *, old: AnyPath | None = None, kubernetes: str = DEFAULT_KUBERNETES) -> CheckReport:
    """The report of a file; `old` is the experiment that it would replace, as `kubectl get -o yaml` prints it.

    Raises `StorageError` for a file that cannot be read, and `OptionsError` for an unknown version of Kubernetes.
    """
    before = parse_object(read_text(old))[0] if old is not None else None
    return check_text(read_text(path), file=str(path), old=before, kubernetes=kubernetes)


def check_text(
    text: str, *, file: str = "experiment", old: dict[str, Any] | None = None, kubernetes: str = DEFAULT_KUBERNETES
) -> CheckReport:
    """The report of a YAML text. What is no YAML, or no Kubernetes object, is a finding as well."""
    document, problems = parse_object(text)
    findings = [_reading_finding(problem) for problem in problems]
    if document is not None:
        findings += check_document(document, old=old, kubernetes=kubernetes)
    return CheckReport(file, tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))))


def check_document(
    document: dict[str, Any], *, old: dict[str, Any] | None = None, kubernetes: str = DEFAULT_KUBERNETES
) -> list[Finding]:
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


def _reading_finding(problem: YamlProblem) -> Finding:
    expected = READING_RULES[problem.rule]
    return Finding(problem.rule, "error", "admission", problem.path, problem.message, expected, "", problem.fix)


def _paragraph(finding: Finding) -> str:
    head = f"{finding.severity}: {finding.path or 'file'}: {finding.message} [{finding.rule}]"
    parts = [f"{name} {text}" for name, text in (("expected", finding.expected), ("found", finding.found)) if text]
    lines = [head, *([f"    {'; '.join(parts)}"] if parts else [])]
    return "\n".join([*lines, *([f"    fix: {finding.fix}"] if finding.fix else [])])


def _counted(severity: str, count: int) -> str:
    noun = "note" if severity == "info" else severity
    return f"{count} {noun}{'' if count == 1 else 's'}"
