"""How bad a finding is, the same words in every check and lint. What each means there, its own docstring says."""

from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")  # worst first
