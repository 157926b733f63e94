"""A folder that trials share: what takes long is made once under a key of all that moves it, while the others wait.

    <store>/<kind>-<key>/            what was made, with key.json: complete, put in place by one rename
    <store>/attempt-<key>-<n>/       the same, being made by the holder of generation n of the lease
    <store>/leases/<key>/<n>         see `lease`
    <store>/log/<time>-<id>.json     one event a file: two writers never lose one

Works for processes, machines and pods alike, and through a kill at any moment. What a training or a pruning is moved by
is said in `training_store` and `pruning_store`.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from traffic_yolo.errors import StorageError
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, write_json
from traffic_yolo.storage.lease import LeaseTiming, lease
from traffic_yolo.typed_values import why_other

KEY_NAME = "key.json"
LOG_NAME = "log"

Event = Literal["training", "trained", "inferred", "reused", "failed", "pruned", "pruning_reused"]
Key = Mapping[str, str | int | float]
log = logging.getLogger(__name__)


class Note(Protocol):
    """Writes down what happened to the thing that is being made."""

    def __call__(self, event: Event, **details: Any) -> None:
        """Into the store's log, with the thing's key."""


def made_once(
    store: AnyPath,
    kind: str,
    moved_by: Key,
    make: Callable[[Path, Note], None],
    *,
    reused: Event,
    timing: LeaseTiming | None = None,
) -> Path:
    """The folder `<kind>-<key>` that `make` fills, from `store` or made now; one process makes, the others wait.

    `moved_by`: everything that what is made depends on. A process that is killed is replaced by one that waits: at once
    on the same machine, after `timing.expiry_s` elsewhere. `reused` is written down where the folder was there. Raises
    what `make` does, and `StorageError` for a store that cannot be written.
    """
    store = output_path(store)
    key = key_of(moved_by)
    folder = store / f"{kind}-{key}"
    leases = store / "leases" / key

    def is_complete() -> bool:
        return (folder / KEY_NAME).is_file()

    if not is_complete():
        with lease(leases, timing or LeaseTiming(), unless=is_complete) as held:
            # Another may have finished between our question and our lease
            if held is not None and not is_complete():
                _make(store, folder, key, make, moved_by, held.generation)
                shutil.rmtree(leases, ignore_errors=True)  # complete: nobody asks for it any more
                return folder
    record_event(store, reused, key)
    return folder


def key_of(moved_by: Key) -> str:
    """A short hash of everything that moves a result."""
    return hashlib.sha256(json.dumps(moved_by, sort_keys=True).encode()).hexdigest()[:20]


def _make(
    store: Path, folder: Path, key: str, make: Callable[[Path, Note], None], moved_by: Key, generation: int
) -> None:
    """Makes it in a folder of this generation's own, and puts that in place."""
    for left in store.glob(f"attempt-{key}-*"):
        shutil.rmtree(left, ignore_errors=True)  # of holders that were killed
    attempt = store / f"attempt-{key}-{generation}"

    def note(event: Event, **details: Any) -> None:
        record_event(store, event, key, generation=generation, **details)

    try:
        make(attempt, note)
        write_json(attempt / KEY_NAME, moved_by)
    except BaseException as error:
        with contextlib.suppress(StorageError):
            note("failed", error=f"{type(error).__name__}: {error}")
        shutil.rmtree(attempt, ignore_errors=True)
        raise
    _put_in_place(attempt, folder)


def _put_in_place(attempt: Path, folder: Path) -> None:
    """Renames a finished attempt; where another was faster (this process was paused and taken over), keeps theirs."""
    try:
        os.rename(attempt, folder)
    except OSError as error:
        if not (folder / KEY_NAME).is_file():
            raise StorageError(f"{folder}: what was made cannot be put in place: {error.strerror}") from error
        log.warning("%s was finished by another trial meanwhile; ours is dropped", folder)
        shutil.rmtree(attempt, ignore_errors=True)


def record_event(store: AnyPath, event: Event, key: str, **details: Any) -> None:
    """Writes one event to the store's log, as a file of its own."""
    now = time.time()
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now % 1 * 1e6):06d}-{uuid.uuid4().hex[:8]}.json"
    where = {"time": now, "host": socket.gethostname(), "pid": os.getpid()}
    write_json(output_path(store) / LOG_NAME / name, {"event": event, "key": key, **where, **details})


def events(store: AnyPath) -> list[dict[str, Any]]:
    """Every event of a store's log, the oldest first; `StorageError` for a file there that is none."""
    found = []
    for path in sorted((input_path(store, what="store") / LOG_NAME).glob("*.json")):
        content: Any = read_json(path, what="store event")
        reason = why_other(content, dict[str, Any])
        for name, hint in {"event": Event, "key": str}.items():
            reason = reason or (f"{name}{why}" if (why := why_other(content.get(name), hint)) else "")
        if reason:
            raise StorageError(f"{path}: not an event of a store: {reason}; remove it")
        found.append(content)
    return found


def count_events(store: AnyPath) -> dict[str, int]:
    """How often each event happened: `trained` and `inferred` count what was finished, `reused` what was spared, and of
    prunings `pruned` and `pruning_reused`.
    """
    counts: dict[str, int] = dict.fromkeys(get_args(Event), 0)
    for entry in events(store):
        counts[entry["event"]] += 1
    return counts
