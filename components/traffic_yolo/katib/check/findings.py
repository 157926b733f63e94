"""What a rule reports, how rules are registered, and what all rules are given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from traffic_yolo.cluster.access import mapping_at
from traffic_yolo.finding import Finding
from traffic_yolo.katib.spec.defaults import with_defaults
from traffic_yolo.severity import Severity

# Who would have said so: Katib when the object is created; Katib's services, its controller or Kubernetes later, when
# the experiment already stands there; or nobody.
Origin = Literal["admission", "later", "nobody"]


@dataclass(frozen=True)
class Violation:
    """What a rule yields: where, what is wrong, what was expected and found, what to do."""

    path: str
    message: str
    expected: str = ""
    found: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentFinding(Finding):
    """A violation with the rule that it is of; `path`: its place in the object, "" for the file as a whole.

    error: Katib refuses the Experiment, or it cannot do what it says. warning: it may run, but probably not as meant.
    info: a fact about the cluster that nobody can see from here.
    """

    origin: Origin
    path: str
    message: str
    expected: str
    found: str
    fix: str

    @property
    def place(self) -> str:
        """The path, or that it is the file."""
        return self.path or "file"

    @property
    def statement(self) -> str:
        """The message."""
        return self.message

    @property
    def notes(self) -> tuple[str, ...]:
        """What was expected and found, and what to do."""
        parts = [f"{name} {text}" for name, text in (("expected", self.expected), ("found", self.found)) if text]
        return (*(["; ".join(parts)] if parts else []), *([f"fix: {self.fix}"] if self.fix else []))


@dataclass(frozen=True)
class Subject:
    """An Experiment under examination.

    `document`: as it is written. `old`: the Experiment that it would replace, with its status, or None. `kubernetes`:
    the version whose schemas judge the trial's Job.
    """

    document: dict[str, Any]
    old: dict[str, Any] | None = None
    kubernetes: str = "1.30"

    @cached_property
    def filled(self) -> dict[str, Any]:
        """The document with Katib's defaults."""
        return with_defaults(self.document)

    @property
    def spec(self) -> dict[str, Any]:
        """Its spec, with Katib's defaults."""
        return mapping_at(self.filled, "spec")

    @property
    def template(self) -> dict[str, Any]:
        """Its trialTemplate, with Katib's defaults."""
        return mapping_at(self.filled, "spec", "trialTemplate")


Check = Callable[[Subject], Iterator[Violation]]


@dataclass(frozen=True)
class Rule:
    """A rule: its id, how grave it is, who else would have noticed, one sentence, and the check."""

    name: str
    severity: Severity
    origin: Origin
    text: str
    check: Check

    def findings(self, subject: Subject) -> Iterator[ExperimentFinding]:
        """What the rule says of an Experiment."""
        for violation in self.check(subject):
            yield ExperimentFinding(
                self.name,
                self.severity,
                self.origin,
                violation.path,
                violation.message,
                violation.expected,
                violation.found,
                violation.fix,
            )


RULES: dict[str, Rule] = {}


def rule(name: str, severity: Severity, origin: Origin) -> Callable[[Check], Check]:
    """Registers a check under the id `name`; the first line of its docstring says what must hold."""

    def register(check: Check) -> Check:
        text = (check.__doc__ or "").strip().splitlines()[0]
        if name in RULES:
            raise AssertionError(f"rule {name} is defined twice")
        RULES[name] = Rule(name, severity, origin, text, check)
        return check

    return register


def shown(value: Any) -> str:
    """A value as a finding shows it: short, on one line."""
    text = " ".join(str(value).split()) if isinstance(value, str) else repr(value)
    if not text:
        return "an empty text"
    return text if len(text) <= 80 else f"{text[:77]}..."
