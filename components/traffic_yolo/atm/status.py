"""JSON that a device wrote into a recording, such as a scan's status: bounded, so that it can be walked."""

import json
from typing import Any

MOST_DEPTH = 32


def json_of(data: bytes) -> Any:
    """The JSON value in some bytes, which zeros may follow; `ValueError` for what is none, or nested too deep."""
    try:
        value = json.loads(data.rstrip(b"\x00"))
    except RecursionError as error:
        raise ValueError(f"JSON nested more than {MOST_DEPTH} deep") from error
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
