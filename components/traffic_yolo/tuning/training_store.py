"""Trainings kept under a key of everything that moves them, so that trials that share one train and infer once.

    <store>/training-<key>/          run/, detections_val.npz, key.json: complete, put in place by one rename
    <store>/attempt-<key>-<n>/       the same, being made by the holder of generation n of the lease
    <store>/leases/<key>/<n>         see `lease`
    <store>/log/<time>-<id>.json     one event a file: two writers never lose one

Works for processes, machines and pods alike, and through a kill at any moment.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from traffic_yolo._version import __version__
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.protocol import detections_name
from traffic_yolo.errors import StorageError
from traffic_yolo.storage import AnyPath, existing_path, input_path, output_path, read_json, sha256_of_file, write_json
from traffic_yolo.storage.lease import Lease, LeaseTiming, lease
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.teacher_files import TeacherFiles
from traffic_yolo.typed_values import why_other

SPLIT = "val"  # the test split stays unseen by whatever chooses hyper-parameters
RUN_NAME = "run"
KEY_NAME = "key.json"
LOG_NAME = "log"
# Where the training is done, how its pictures are read and shown: they change nothing of what it comes to.
NOT_IN_KEY = ("device", "cache_mib", "workers", "validation_batch", "log_to", "pictures")
FILE_OPTIONS = ("cfg", "weights", "weights_names", "quantisers")  # a file's content counts, not where it lies
# Our own code that a training's result passes through, below the package; a test compares it with what is imported.
CODE = (
    *("darknet", "training", "dataset", "storage", "detection", "metrics", "tuning/trained_run.py"),
    *("boxes.py", "errors.py", "jit.py", "model_folder.py", "progress.py", "html_report.py", "trained_on.py"),
    *("limits.py", "messages.py", "option_settings.py", "options.py", "atm/jpeg.py"),
    *("processors.py", "process_identity.py", "patterns.py", "verdict_file.py", "snapshot/options.py"),
    *("typed_values.py", "darknet_pair.py", "pruned_from.py", "page_origin.py", "number_format.py", "severity.py"),
    *("finding.py", "checked_values.py"),
)
LIBRARIES = ("torch", "numpy", "opencv-python-headless")

Event = Literal["training", "trained", "inferred", "reused", "failed"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedOnce:
    """A finished training with its raw detections on the validation split."""

    run: Path
    detections: Path


def trained_once(
    data: DataSet, store: AnyPath, training: TrainingOptions, *, timing: LeaseTiming | None = None
) -> TrainedOnce:
    """The training of these options, from `store` or done now; one process trains while the others wait.

    A process that is killed is replaced by one that waits: at once on the same machine, after `timing.expiry_s`
    elsewhere. Raises `StorageError` for a store that cannot be written.
    """
    store = output_path(store)
    moved_by = training_key(data, training)
    key = hashlib.sha256(json.dumps(moved_by, sort_keys=True).encode()).hexdigest()[:20]
    folder = store / f"training-{key}"
    done = TrainedOnce(folder / RUN_NAME, folder / detections_name(SPLIT))
    leases = store / "leases" / key

    def is_complete() -> bool:
        return (folder / KEY_NAME).is_file()

    if not is_complete():
        with lease(leases, timing or LeaseTiming(), unless=is_complete) as held:
            # Another may have finished between our question and our lease
            if held is not None and not is_complete():
                _train(data, store, key, training, moved_by, held)
                shutil.rmtree(leases, ignore_errors=True)  # complete: nobody asks for it any more
                return done
    record_event(store, "reused", key)
    return done


def _train(
    data: DataSet, store: Path, key: str, training: TrainingOptions, moved_by: dict[str, Any], held: Lease
) -> None:
    """Trains and infers in a folder of this generation's own, and puts it in place."""
    from traffic_yolo.tuning import trained_run  # torch: a trial that finds its training does not pay for it

    for left in store.glob(f"attempt-{key}-*"):
        shutil.rmtree(left, ignore_errors=True)  # of holders that were killed
    attempt = store / f"attempt-{key}-{held.generation}"
    started = time.monotonic()
    record_event(store, "training", key, generation=held.generation)
    try:
        trained_run.train(data.root, attempt / RUN_NAME, training)
        record_event(store, "trained", key, generation=held.generation, seconds=time.monotonic() - started)
        trained_run.infer(attempt / RUN_NAME, data, SPLIT, attempt / detections_name(SPLIT), training)
        record_event(store, "inferred", key, generation=held.generation)
        write_json(attempt / KEY_NAME, moved_by)
    except BaseException as error:
        with contextlib.suppress(StorageError):
            record_event(store, "failed", key, generation=held.generation, error=f"{type(error).__name__}: {error}")
        shutil.rmtree(attempt, ignore_errors=True)
        raise
    _put_in_place(attempt, store / f"training-{key}")


def _put_in_place(attempt: Path, folder: Path) -> None:
    """Renames a finished attempt; where another was faster (this process was paused and taken over), keeps theirs."""
    try:
        os.rename(attempt, folder)
    except OSError as error:
        if not (folder / KEY_NAME).is_file():
            raise StorageError(f"{folder}: the finished training cannot be put in place: {error.strerror}") from error
        log.warning("%s was finished by another trial meanwhile; ours is dropped", folder)
        shutil.rmtree(attempt, ignore_errors=True)


def training_key(data: DataSet, training: TrainingOptions) -> dict[str, str | int | float]:
    """Everything that moves a training's result: data, content of the files it starts from, options, seed, code.

    Raises `StorageError` for a file that is missing.
    """
    options = {name: value for name, value in dataclasses.asdict(training).items() if name not in NOT_IN_KEY}
    for name in FILE_OPTIONS:
        if options[name]:
            options[name] = sha256_of_file(existing_path(options[name], what=name))
    if training.teacher:
        options["teacher"] = TeacherFiles.find(training.teacher).sha256
    libraries = {name: version(name) for name in LIBRARIES}
    return {**options, **libraries, "data": data.fingerprint, "version": __version__, "code": code_fingerprint()}


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Hash of the source of everything in `CODE`."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(code_files(package)):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_files(package: Path) -> Iterator[Path]:
    """The files of `CODE`: of a folder, its Python sources and its cfgs."""
    for name in CODE:
        path = package / name
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.suffix in (".py", ".cfg"))
        elif path.exists():
            yield path


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
    """How often each event happened: `trained` and `inferred` count what was finished, `reused` what was spared."""
    counts = dict.fromkeys(("training", "trained", "inferred", "reused", "failed"), 0)
    for entry in events(store):
        counts[entry["event"]] += 1
    return counts
