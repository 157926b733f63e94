"""Looks into plain JSON values without ever raising: a wrong type counts as missing (another rule reports it)."""

from typing import Any


def at(value: Any, *path: str | int) -> Any:
    """The value at a path of keys and indices, or None where something on the way is missing or of another type."""
    for key in path:
        if isinstance(key, str) and isinstance(value, dict):
            value = value.get(key)
        elif isinstance(key, int) and isinstance(value, list) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """The text at a path, "" where there is none (Go's zero value)."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def whole_at(value: Any, *path: str | int) -> int | None:
    """The whole number at a path, or None."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def mapping_at(value: Any, *path: str | int) -> dict[str, Any]:
    """The mapping at a path, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, dict) else {}


def list_at(value: Any, *path: str | int) -> list[Any]:
    """The list at a path, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def texts_at(value: Any, *path: str | int) -> list[str]:
    """The texts in the list at a path; entries of other types are left out."""
    return [item for item in list_at(value, *path) if isinstance(item, str)]


def mappings_at(value: Any, *path: str | int) -> list[tuple[int, dict[str, Any]]]:
    """(index, entry) of the mappings in the list at a path; entries of other types are left out."""
    return [(index, item) for index, item in enumerate(list_at(value, *path)) if isinstance(item, dict)]
