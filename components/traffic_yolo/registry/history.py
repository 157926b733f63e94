"""What of a model was in use, in order: one small file for each change of `current`, and nothing is ever overwritten.

`current` says what is in use now, the history what was before it. Whoever changes `current` first writes down what it
finds there, so every version that was in use is named by one of the two, whatever is killed in between.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from traffic_yolo.errors import AlreadyExistsError, TrafficYoloError
from traffic_yolo.storage import AnyPath, join, json_value, list_files, put_new, read

SCHEMA_VERSION = 1
HISTORY_FOLDER = "history"  # below a model's folder in the zoo
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
# "found": `current` named it and nobody had written down why (a kill in between, an editor, a zoo of an older version)
How = Literal["publish", "set-current", "rollback", "found"]
HOWS: tuple[How, ...] = ("publish", "set-current", "rollback", "found")


@dataclass(frozen=True)
class Use:
    """A version that came into use; `number` counts from 1; `at`: UTC as `TIME_FORMAT`, when that was written down."""

    number: int
    version: str
    how: How
    at: str


@dataclass(frozen=True)
class History:
    """The uses of one model, oldest first; `problems`: a line for each file that is none."""

    uses: tuple[Use, ...]
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, home: AnyPath) -> "History":
        """The history of the model whose folder in the zoo this is; empty where there is none."""
        uses: list[Use] = []
        problems: list[str] = []
        folder = join(home, HISTORY_FOLDER)
        for file in list_files(folder).files:
            try:
                uses.append(_parse(file.name, read(join(folder, file.name))))
            except (TrafficYoloError, ValueError) as error:
                problems.append(f"{HISTORY_FOLDER}/{file.name}: {error}")
        return cls(tuple(uses), tuple(problems))

    @property
    def versions(self) -> frozenset[str]:
        """Every version that was ever in use, as far as it is written down."""
        return frozenset(use.version for use in self.uses)

    @property
    def last_number(self) -> int:
        """0 for an empty history."""
        return self.uses[-1].number if self.uses else 0

    @property
    def last_version(self) -> str | None:
        """What was in use last, as far as it is written down."""
        return self.uses[-1].version if self.uses else None

    def before(self, version: str) -> str | None:
        """What was in use before `version`, which is in use now; None where nothing was.

        Rolling back twice goes back two versions, not there and back: a roll-back takes away what came after its
        version.
        """
        chain = _chain([*self.uses, Use(self.last_number + 1, version, "found", "")])
        return chain[-2] if len(chain) > 1 else None


def note_use(home: AnyPath, version: str, how: How, *, after: int) -> None:
    """Writes down that a version came into use, unless the uses with numbers above `after` name it already."""
    folder = join(home, HISTORY_FOLDER)
    while True:
        numbers = {_number(file.name): file.name for file in list_files(folder).files}
        numbers.pop(0, None)
        if version in (_version_in(read(join(folder, name))) for number, name in numbers.items() if number > after):
            return
        content = {"schema_version": SCHEMA_VERSION, "version": version, "how": how, "at": _now()}
        number = max([*numbers, after]) + 1  # damaged files have their numbers too
        with contextlib.suppress(AlreadyExistsError):  # another writer took the number: perhaps with the same to say
            put_new(join(folder, f"{number:06d}.json"), json.dumps(content).encode() + b"\n")
            return


def _chain(uses: Sequence[Use]) -> list[str]:
    """The versions that a sequence of roll-backs would go through, the one in use last."""
    chain: list[str] = []
    for use in uses:
        # What is found in use and was so before is most likely a roll-back that was killed before it was written down
        if use.how in ("rollback", "found") and use.version in chain:
            del chain[len(chain) - chain[::-1].index(use.version) :]
        elif not chain or chain[-1] != use.version:
            chain.append(use.version)
    return chain


def _parse(name: str, data: bytes) -> Use:
    """Raises `ValueError` saying what is wrong."""
    if not (number := _number(name)):
        raise ValueError("not named as an entry of the history is (a number from 1, then .json)")
    try:
        content = json_value(data)
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"not an entry of a history of schema version {SCHEMA_VERSION}")
    version, how, at = content.get("version"), content.get("how"), content.get("at")
    if not isinstance(version, str) or how not in HOWS or not isinstance(at, str):
        raise ValueError("expected version and at (texts) and how")
    return Use(number, version, how, at)


def _version_in(data: bytes) -> str | None:
    try:
        return _parse("1.json", data).version
    except ValueError:
        return None


def _number(name: str) -> int:
    """Of an entry; 0 for what is not named as one."""
    stem = name.removesuffix(".json")
    return int(stem) if stem != name and stem.isascii() and stem.isdigit() else 0


def _now() -> str:
    return datetime.now(UTC).strftime(TIME_FORMAT)
