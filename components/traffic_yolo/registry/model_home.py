"""Where a zoo keeps one model, as publishing and the zoo's commands see it; and which models a zoo has.

`folder_home.py` is such a place on a path or the NAS, `object_home.py` in object storage.
"""

import math
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from traffic_yolo.errors import ModelError, OptionsError, StorageError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.registry.bundle import Bundle
from traffic_yolo.registry.ledger import LEDGER_FOLDER
from traffic_yolo.storage import AnyPath, StoredFile, exists

CURRENT_NAME = "current"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
VERSION_NAME = re.compile(r"(\d{4,})-([0-9a-f]{12})")


@dataclass(frozen=True)
class InUse:
    """What `current` says: the version, or None where none is in use. `seen`: what lay there, for `write_current`."""

    version: str | None
    seen: StoredFile | None = None


class ModelHome(Protocol):
    """One model of a zoo. Every method raises `StorageError`, in one line, for what it cannot do."""

    name: str

    @property
    def location(self) -> str:
        """Where the model's versions, `current` and history lie."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other writers of this model waiting where the place can; `write_current` copes where it cannot."""
        ...

    def versions(self) -> list[str]:
        """The names of the whole versions, oldest first; empty where the zoo has no such model."""
        ...

    def bundle(self, version: str) -> Path | str:
        """Where the bundle of a version lies."""
        ...

    def current(self) -> InUse:
        """What is in use."""
        ...

    def write_current(self, version: str, before: InUse) -> None:
        """Makes a version the one in use. `ChangedMeanwhileError` where another writer was seen to be faster."""
        ...

    def place(self, bundle: Bundle) -> str:
        """Writes a bundle that the model does not have, whole or not at all, and gives it its name."""
        ...

    def clear_current(self) -> None:
        """Makes no version the one in use."""
        ...

    def is_going(self, version: str) -> bool:
        """Whether a version is not there, or a collection has begun to take it away.

        Ask after naming a version (in `current`, in a record): a collection looks for names after it has begun, so one
        of the two sees the other.
        """
        ...

    def remove(self, version: str, is_named: Callable[[], bool]) -> bool:
        """Takes a version away; killed in the middle, it leaves nothing that looks like one.

        `is_named` is asked once it has begun, so that whoever names the version from then on sees that (`is_going`);
        False, and the version is there as before, where it says so.
        """
        ...

    def remove_abandoned(self) -> None:
        """Takes away what killed writers left behind."""
        ...


def check_zoo(zoo: AnyPath) -> None:
    """Raises `StorageError` where there is no zoo."""
    if not exists(zoo):
        raise StorageError(f"model zoo not found: {zoo}; check the path, or that the share is mounted")


def check_model_name(name: str) -> None:
    """Raises `OptionsError` for a name that cannot be that of a model's folder in a zoo."""
    if not MODEL_NAME.fullmatch(name) or name == LEDGER_FOLDER:
        expected = f"letters, digits, '.', '_' and '-', and not {LEDGER_FOLDER!r}"
        raise OptionsError(f"model name {name!r}: expected {expected}")


def chosen_version(home: ModelHome, version: str) -> str:
    """A version that is there, by its name or its number; the one in use for "".

    Raises `ModelError`, naming those that are there.
    """
    known = home.versions()
    if not version:
        in_use = home.current().version
        if in_use is None:
            raise ModelError(f"{home.location}: no version is in use; publish one, or set one current")
        if in_use not in known:
            raise ModelError(f"{home.location}: current names {shown(in_use)}, which is not there; set another current")
        return in_use
    found = [name for name in known if name == version or _number_of(name) == version.lstrip("0")]
    if len(found) != 1:
        several = f"{version!r} names {len(found)} versions" if found else f"no version {version!r}"
        raise ModelError(f"{home.location}: {several}; found {shown_names(found or known, most=20) or 'none'}")
    return found[0]


def in_order(versions: Iterable[str]) -> list[str]:
    """Names of versions, oldest first; what is no such name is left out."""
    return sorted((version for version in versions if VERSION_NAME.fullmatch(version)), key=version_key)


def version_key(version: str) -> tuple[float, str]:
    """What puts versions in order: 9999 comes before 10000, and what has no number last."""
    match = VERSION_NAME.fullmatch(version)
    return (int(match[1]) if match else math.inf, version)


def next_version(versions: list[str], version_hash: str) -> str:
    """The name of the version that comes after these, which are in order."""
    number = int(versions[-1].split("-")[0]) + 1 if versions else 1
    return f"{number:04d}-{version_hash}"


def _number_of(version: str) -> str:
    return version.split("-")[0].lstrip("0")
