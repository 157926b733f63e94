"""JSON that a device wrote into a recording, such as a scan's status: bounded, so that it can be walked."""

import json
from typing import Any

from traffic_yolo.limits import limits
from traffic_yolo.storage.json_bounds import passed_limit

MOST_DEPTH = 32


def json_of(data: bytes) -> Any:
    """The JSON value in some bytes, which zeros may follow; `ValueError` for what is none, or nested too deep."""
    data = data.rstrip(b"\x00")
    if reason := passed_limit(data, limits()):  # before it is parsed: the parser is as deep as the text
        raise ValueError(f"not valid JSON: {reason}")
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ValueError(f"not valid JSON: {str(error)[:200]}") from error
    layer = [value]
    for _ in range(MOST_DEPTH + 1):
        layer = [item for one in layer if isinstance(one, dict | list) for item in _items(one)]
    if layer:
        raise ValueError(f"JSON nested more than {MOST_DEPTH} deep")
    return value


def status_of(data: bytes) -> dict[str, Any]:
    """The JSON object in some bytes; `ValueError` says what else is there."""
    status = json_of(data)
    if not isinstance(status, dict):
        raise ValueError(f"expected a JSON object, found {type(status).__name__}")
    return status


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
