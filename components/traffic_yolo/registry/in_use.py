"""Moving `current`: what it said is written down first, and a writer that was faster is noticed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from traffic_yolo.errors import ChangedMeanwhileError, ModelError, StorageError
from traffic_yolo.registry.history import History, How, note_use
from traffic_yolo.registry.model_home import InUse, ModelHome

Result = TypeVar("Result")
MOST_ATTEMPTS = 20  # at moving `current` while others move it


@dataclass(frozen=True)
class Now:
    """What one attempt starts from; the last use of the history is that of the version in use."""

    in_use: InUse
    history: History


class GoneError(ModelError):
    """A version was taken away while it was chosen; `current` is as it was."""


def use(home: ModelHome, version: str, now: Now, how: How) -> None:
    """Moves `current`, whose old content was written down; nothing to do where it is in use.

    Raises `GoneError` for a version that a collection takes away at the same time.
    """
    if version == now.in_use.version:
        return
    check_stays(home, version)
    home.write_current(version, now.in_use)
    try:
        check_stays(home, version)  # a collection that began before that did not see it named
    except GoneError:
        there = home.current()
        if there.version == version and now.in_use.version is None:
            home.clear_current()
        elif there.version == version:
            home.write_current(str(now.in_use.version), there)
        raise
    note_use(home.location, version, how, after=now.history.last_number)


def check_stays(home: ModelHome, version: str) -> None:
    """Raises `GoneError` where a version is gone or going."""
    if home.is_going(version):
        raise GoneError(
            f"{home.location}: {version} is gone or being taken away by `zoo gc`; choose another version, "
            f"or, where that was cut off and the version is still there, try again in a quarter of an hour"
        )


def retried(home: ModelHome, attempt: Callable[[Now], Result]) -> Result:
    """What `attempt` makes of the version in use, which is written down first; once more where that moved meanwhile."""
    for _ in range(MOST_ATTEMPTS):
        history = History.read(home.location)  # first: what moves `current` in between is then noted only once
        in_use = home.current()
        if in_use.version is not None and in_use.version != history.last_version:
            note_use(home.location, in_use.version, "found", after=history.last_number)
            history = History.read(home.location)
        try:
            return attempt(Now(in_use, history))
        except ChangedMeanwhileError:
            continue
    raise kept_changing(home)


def kept_changing(home: ModelHome) -> StorageError:
    """The error of who was never fast enough."""
    return StorageError(
        f"{home.location}: others changed what is in use {MOST_ATTEMPTS} times meanwhile; try again when they are done"
    )
