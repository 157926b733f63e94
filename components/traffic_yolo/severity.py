"""How bad a finding is, the same words in every check and lint. What each means there, its own docstring says."""

from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")  # worst first


def rank(severity: str) -> int:
    """0 for an error, 1 for a warning, 2 for a note; what is no severity ("off") comes after them."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def as_bad_as(severity: str) -> tuple[Severity, ...]:
    """The severities that are this one or worse; none for what is no severity ("never")."""
    return SEVERITIES[: SEVERITIES.index(severity) + 1] if severity in SEVERITIES else ()


def severity_of(word: str) -> Severity:
    """A word as a severity; `ValueError` for one that is none."""
    for severity in SEVERITIES:
        if word == severity:
            return severity
    raise ValueError(f"expected one of {', '.join(SEVERITIES)}, found {word!r}")
