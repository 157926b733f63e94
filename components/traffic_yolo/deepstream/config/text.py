"""Writes groups of a DeepStream configuration in either form, each reason as a comment above its key."""

import json
import re
from collections.abc import Mapping

from traffic_yolo.errors import OptionsError

Reasons = Mapping[tuple[str, str], str]
_PLAIN = re.compile(r"[\w./%@+-][\w./;:%@+=&?,~-]*")


def config_text(groups: Mapping[str, Mapping[str, str]], reasons: Reasons, *, form: str = "txt") -> str:
    """The file's text; `key_file` reads it back. `form`: "txt" or "yaml".

    Raises `OptionsError` for a value that the form cannot hold: a line break, or in .txt a backslash.
    """
    lines: list[str] = []
    for group, values in groups.items():
        lines += [""] if lines else []
        lines.append(f"{group}:" if form == "yaml" else f"[{group}]")
        for key, value in values.items():
            if not value.isprintable() or (form == "txt" and "\\" in value):
                raise OptionsError(f"[{group}] {key}: {value!r} holds what a configuration of this form cannot hold")
            margin = "  " if form == "yaml" else ""
            if reason := reasons.get((group, key)):
                lines += [f"{margin}# {line}" for line in reason.splitlines()]
            lines.append(f"{margin}{key}: {_yaml(value)}" if form == "yaml" else f"{key}={value}")
    return "\n".join(lines) + "\n"


def _yaml(value: str) -> str:
    """A value as YAML spells it: plain where that is safe."""
    return value if _PLAIN.fullmatch(value) and not value.endswith(":") else json.dumps(value, ensure_ascii=False)
