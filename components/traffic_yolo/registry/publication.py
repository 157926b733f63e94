"""What was decided about a version when it was published: its gates, what it was compared with, and who overruled what.

A record of its own beside the bundles, because it belongs to the publication and not to the model: the same bundle held
against other versions is the same version. One small file for each decision, and nothing is ever overwritten.
"""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.messages import shown
from traffic_yolo.registry.gates.gate import Gate, gate_of
from traffic_yolo.registry.numbered_files import add_numbered, read_numbered
from traffic_yolo.storage import AnyPath

SCHEMA_VERSION = 1
PUBLICATIONS_FOLDER = "publications"  # below a model's folder in the zoo
ORIGIN = "origin"


@dataclass(frozen=True)
class Publication:
    """One decision about `version`; `at`: UTC as `numbered_files.TIME_FORMAT`.

    `made_current`: whether it was to come into use; `forced`: in spite of its gates. `by`, `reason`: who and why, as
    far as it was said. `rules`: gate, metric, minimum and accept_few. `pictures`: fingerprint, ground_truth_sha256 and
    split that all was measured on. `values`: version -> metric -> number, of this version and those it was compared
    with, on those pictures alike. `origin`: where it was decided: `run_id`, `in_use` (the champion),
    `data_source` and `code_version`, each as far as it is known; empty in records of an older program.
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
    origin: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Plain values, as the file holds them."""
        return {"schema_version": SCHEMA_VERSION, "at": self.at, **self.content()}

    def content(self) -> dict[str, Any]:
        """The same without schema version and time."""
        origin = {ORIGIN: dict(self.origin)} if self.origin else {}
        return {
            **origin,
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
    add_numbered(home, PUBLICATIONS_FOLDER, publication.content(), schema_version=SCHEMA_VERSION)


def read_publications(
    home: AnyPath, *, known: dict[str, Publication] | None = None
) -> tuple[list[Publication], list[str]]:
    """The decisions about a model's versions, oldest first, and a line for each file that is none.

    `known`: see `read_numbered`.
    """
    return read_numbered(home, PUBLICATIONS_FOLDER, _parse, known={} if known is None else known)


def latest(publications: Sequence[Publication], version: str) -> Publication | None:
    """The last decision about a version."""
    return next((each for each in reversed(publications) if each.version == version), None)


def publisher() -> str:
    """The user who runs this; in a pod, whose user has no name, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _parse(content: Any) -> Publication:
    """Raises `ValueError` saying what is wrong."""
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
    origin = content.get(ORIGIN, {})
    if not isinstance(origin, dict) or not all(isinstance(value, str) for value in origin.values()):
        raise ValueError(f"expected texts for {ORIGIN}, found {shown(origin)}")
    fields = {name: content[name] for name in kinds}
    return Publication(**{**fields, "gates": tuple(gate_of(gate) for gate in content["gates"]), "origin": origin})
