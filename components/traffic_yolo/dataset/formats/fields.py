"""Reads numbers and words out of label files, with messages that name the place; and what our writers add to a box."""

import math
from collections.abc import Mapping
from typing import Any

from traffic_yolo.errors import LabelError
from traffic_yolo.messages import shown

# Attributes by which our writers carry, in formats with free attributes, what a record says beside its box
LABEL_SOURCE, CONFIDENCE, IGNORE, IS_CROWD = "label_source", "confidence", "ignore", "iscrowd"
TRUE_WORDS, FALSE_WORDS = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no", ""})


def is_plain(text: str) -> bool:
    """Whether Python reads a number in it as others do: it takes 1_0 for ten, and the digits of any script."""
    return text.isascii() and "_" not in text


def number(text: Any, what: str, where: str) -> float:
    """A finite number; `LabelError` naming `where` and `what` for anything else."""
    try:
        value = float(text) if not isinstance(text, str) or is_plain(text) else math.nan
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value) or isinstance(text, bool):
        raise LabelError(f"{where}: {what} must be a number; found {shown(text)}")
    return value


def whole_number(text: Any, what: str, where: str) -> int:
    """A whole number from 0 to 2**53, from a text, an int or a float without a fraction."""
    value = number(text, what, where)
    if value != int(value) or not 0 <= value <= 2**53:
        raise LabelError(f"{where}: {what} must be a whole number from 0; found {shown(text)}")
    return int(value)


def flag(text: Any, what: str, where: str) -> bool:
    """Yes or no, in the spellings that label files have."""
    found = is_flag(text if text is not None else "")
    if found is None:
        raise LabelError(f"{where}: {what} must be 0 or 1; found {shown(text)}")
    return found


def is_flag(value: Any) -> bool | None:
    """Yes or no, in the spellings that label files have; None for a word that is neither."""
    word = str(value).strip().lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


def plain_value(text: str) -> str | float | int | bool:
    """The value that a text of an attribute stands for: a bool, a number, else the text."""
    if text in ("true", "True"):
        return True
    if text in ("false", "False"):
        return False
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value) or str(int(value) if value == int(value) else value) != text:
        return text  # 0003 and 1e5 are somebody's words
    return int(value) if value == int(value) else value


def attribute_text(value: Any) -> str:
    """The text that `plain_value` turns back into the value, for the values that label files hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def survives_as_text(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes come back the same after they were written as text."""
    simple = all(isinstance(value, str | int | float) for value in attributes.values())
    return simple and all(plain_value(attribute_text(value).strip()) == value for value in attributes.values())
