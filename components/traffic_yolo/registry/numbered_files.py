"""Small JSON files that are only ever added, below a model's folder in a zoo: a number that counts up, then a hash.

Nothing is overwritten and the same content is kept once, so two writers, a kill and a retry lose and repeat nothing.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from traffic_yolo.errors import AlreadyExistsError, TrafficYoloError
from traffic_yolo.storage import AnyPath, join, json_value, list_files, put_new, read

TIME_FORMAT = "%Y%m%dT%H%M%SZ"
Record = TypeVar("Record")


def digest_of(content: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the hash of a file's content, the time left out."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def add_numbered(home: AnyPath, folder_name: str, content: Mapping[str, Any], *, schema_version: int) -> None:
    """Writes `content` with its schema version and the time into a file of its own, unless one has it already."""
    folder, digest = join(home, folder_name), digest_of(content)
    names = [file.name for file in list_files(folder).files]
    if any(name.endswith(f"-{digest}.json") for name in names):
        return
    numbers = [int(number) for number in (name.partition("-")[0] for name in names) if _is_number(number)]
    name = f"{max(numbers, default=0) + 1:06d}-{digest}.json"
    document = {"schema_version": schema_version, "at": _now(), **content}
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with contextlib.suppress(AlreadyExistsError):  # another writer, the same number, the same content
        put_new(join(folder, name), text.encode())


def read_numbered(
    home: AnyPath, folder_name: str, parse: Callable[[Any], Record], *, known: dict[str, Record]
) -> tuple[list[Record], list[str]]:
    """What `parse` makes of each file, oldest first, and a line for each that is none.

    `parse` raises `ValueError` saying what is wrong. `known`: name of a file -> what was read of it before, to which
    this adds: no file ever changes.
    """
    found: list[Record] = []
    problems: list[str] = []
    folder = join(home, folder_name)
    for file in list_files(folder).files:  # by name, which begins with a number that counts up
        try:
            if file.name not in known:
                known[file.name] = parse(_json_of(read(join(folder, file.name))))
            found.append(known[file.name])
        except (TrafficYoloError, ValueError) as error:
            problems.append(f"{folder_name}/{file.name}: {error}")
    return found, problems


def _json_of(data: bytes) -> Any:
    try:
        return json_value(data)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from error


def _now() -> str:
    return datetime.now(UTC).strftime(TIME_FORMAT)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
