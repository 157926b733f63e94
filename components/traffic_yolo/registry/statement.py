"""What people state of a version: who made it, under which licences, what for, and where its limits are.

It lies beside the bundles, because weights stay the same whatever is said of them. Nothing is overwritten: of several
statements about a version, each field's last one that is not empty holds.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.registry.numbered_files import add_numbered, read_numbered
from traffic_yolo.storage import AnyPath

SCHEMA_VERSION = 1
STATEMENTS_FOLDER = "statements"  # below a model's folder in the zoo
MOST_CHARACTERS = 4000  # of a field: a card is no place for a whole licence
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Statement:
    """Free text, "" for what nobody said. `weights_licence`, `data_licence`: best as SPDX identifiers.

    Raises `OptionsError` for a text that is too long to be read in a card.
    """

    author: str = ""
    weights_licence: str = ""
    data_licence: str = ""
    intended_use: str = ""
    limitations: str = ""

    def __post_init__(self) -> None:
        for name, text in dataclasses.asdict(self).items():
            if len(text) > MOST_CHARACTERS:
                raise OptionsError(f"{name}: expected at most {MOST_CHARACTERS} characters, found {len(text)}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return not any(dataclasses.asdict(self).values())

    def followed_by(self, later: "Statement") -> "Statement":
        """With what a later statement says instead."""
        said = {name: text for name, text in dataclasses.asdict(later).items() if text}
        return dataclasses.replace(self, **said)

    def document(self) -> dict[str, str]:
        """Plain values for a card, with a word for what nobody said."""
        return {name: text or NOT_STATED for name, text in dataclasses.asdict(self).items()}


def write_statement(home: AnyPath, version: str, statement: Statement) -> None:
    """Writes down what is stated of a version of the model whose folder this is, where that is new."""
    before = statement_of(home, version)
    after = before.followed_by(statement)
    if after != before:
        # What it replaces is part of the content: to say A, then B, then A again is three statements
        content = {"version": version, **dataclasses.asdict(after), "instead_of": dataclasses.asdict(before)}
        add_numbered(home, STATEMENTS_FOLDER, content, schema_version=SCHEMA_VERSION)


def statement_of(home: AnyPath, version: str) -> Statement:
    """What holds of a version; an empty statement where nobody said anything."""
    found = Statement()
    for about, statement in read_statements(home)[0]:
        found = found.followed_by(statement) if about == version else found
    return found


def read_statements(home: AnyPath) -> tuple[list[tuple[str, Statement]], list[str]]:
    """(version, statement) each, oldest first, and a line for each file that is none."""
    known: dict[str, tuple[str, Statement]] = {}
    return read_numbered(home, STATEMENTS_FOLDER, _parse, known=known)


def _parse(content: Any) -> tuple[str, Statement]:
    """Raises `ValueError` saying what is wrong."""
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not a statement of schema version {SCHEMA_VERSION}")
    names = ("version", *(field.name for field in dataclasses.fields(Statement)))
    for name in names:
        if not isinstance(content.get(name), str):
            raise ValueError(f"expected a text for {name}, found {shown(content.get(name))}")
    try:
        return content["version"], Statement(**{name: content[name] for name in names[1:]})
    except OptionsError as error:
        raise ValueError(str(error)) from error
