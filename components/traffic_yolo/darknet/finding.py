"""One thing that a lint reports."""

from dataclasses import dataclass
from typing import Any

from traffic_yolo.severity import Severity


@dataclass(frozen=True)
class Finding:
    """One thing to know: `rule` is the rule's id, `line` is 1-based (0: the file as a whole), `layer` -1 for none.

    error: the target stops, or computes something else; warning: results may differ from Darknet's; info: a difference
    in behaviour that no change of the cfg removes.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    section: str
    layer: int
    message: str
    advice: str


def as_json(finding: Finding) -> dict[str, Any]:
    """Plain values for JSON; line and layer are null where there is none."""
    return {
        **finding.__dict__,
        "line": finding.line or None,
        "layer": finding.layer if finding.layer >= 0 else None,
    }
