"""What was decided about a version when it was published: its gates, what it was compared with, and who overruled what.

A record of its own beside the bundles, because it belongs to the publication and not to the model: the same bundle held
against other versions is the same version. One small file for each decision, and nothing is ever overwritten.
"""

import contextlib
import getpass
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from traffic_yolo.errors import AlreadyExistsError, TrafficYoloError
from traffic_yolo.messages import shown
from traffic_yolo.registry.gates.gate import Gate, gate_of
from traffic_yolo.storage import AnyPath, join, json_value, list_files, put_new, read

SCHEMA_VERSION = 1
PUBLICATIONS_FOLDER = "publications"  # below a model's folder in the zoo
TIME_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Publication:
    """One decision about `version`; `at`: UTC as `TIME_FORMAT`.

    `made_current`: whether it was to come into use; `forced`: in spite of its gates. `by`, `reason`: who and why, as
    far as it was said. `rules`: gate, metric, minimum and accept_few. `pictures`: fingerprint, ground_truth_sha256 and
    split that all was measured on. `values`: version -> metric -> number, of this version and those it was compared
    with, on those pictures alike.
    """

    version: str
    made_current: bool
    forced: bool
    by: str
    reason: str
    rules: Mapping[str, Any]
    pictures: Mapping[str, str]
    values: Mapping[str, Mapping[str, float]]
    gates: tuple[Gate, ...]
    at: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the hash of the content, the time left out."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()[:16]

    def document(self) -> dict[str, Any]:
        """Plain values, as the file holds them."""
        return {"schema_version": SCHEMA_VERSION, "at": self.at, **self._content()}

    def _content(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "made_current": self.made_current,
            "forced": self.forced,
            "by": self.by,
            "reason": self.reason,
            "rules": dict(self.rules),
            "pictures": dict(self.pictures),
            "values": {version: dict(numbers) for version, numbers in self.values.items()},
            "gates": [gate.document() for gate in self.gates],
        }


def write_publication(home: AnyPath, publication: Publication) -> None:
    """Writes down a decision about a version of the model whose folder this is; the same one twice is kept once."""
    folder = join(home, PUBLICATIONS_FOLDER)
    names = [file.name for file in list_files(folder).files]
    if any(name.endswith(f"-{publication.digest}.json") for name in names):
        return
    numbers = [int(number) for number in (name.partition("-")[0] for name in names) if _is_number(number)]
    name = f"{max(numbers, default=0) + 1:06d}-{publication.digest}.json"
    content = json.dumps({**publication.document(), "at": _now()}, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with contextlib.suppress(AlreadyExistsError):  # another writer, the same number, the same content
        put_new(join(folder, name), content.encode())


def read_publications(
    home: AnyPath, *, known: dict[str, Publication] | None = None
) -> tuple[list[Publication], list[str]]:
    """The decisions about a model's versions, oldest first, and a line for each file that is none.

    `known`: name of a file -> what was read of it before, to which this adds: no file ever changes.
    """
    known = {} if known is None else known
    found: list[Publication] = []
    problems: list[str] = []
    folder = join(home, PUBLICATIONS_FOLDER)
    for file in list_files(folder).files:  # by name, which begins with a number that counts up
        try:
            if file.name not in known:
                known[file.name] = _parse(read(join(folder, file.name)))
            found.append(known[file.name])
        except (TrafficYoloError, ValueError) as error:
            problems.append(f"{PUBLICATIONS_FOLDER}/{file.name}: {error}")
    return found, problems


def latest(publications: Sequence[Publication], version: str) -> Publication | None:
    """The last decision about a version."""
    return next((each for each in reversed(publications) if each.version == version), None)


def publisher() -> str:
    """The user who runs this; in a pod, whose user has no name, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _now() -> str:
    return datetime.now(UTC).strftime(TIME_FORMAT)


def _parse(data: bytes) -> Publication:
    """Raises `ValueError` saying what is wrong."""
    try:
        content = json_value(data)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not a publication of schema version {SCHEMA_VERSION}")
    kinds = {"version": str, "at": str, "by": str, "reason": str, "made_current": bool, "forced": bool, "rules": dict,
             "pictures": dict, "values": dict, "gates": list}  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"expected a {kind.__name__} for {name}, found {shown(content.get(name))}")
    for numbers in content["values"].values():
        if not isinstance(numbers, dict) or any(
            isinstance(value, bool) or not isinstance(value, int | float) for value in numbers.values()
        ):
            raise ValueError(f"expected numbers for values, found {shown(numbers)}")
    fields = {name: content[name] for name in kinds}
    return Publication(**{**fields, "gates": tuple(gate_of(gate) for gate in content["gates"])})
