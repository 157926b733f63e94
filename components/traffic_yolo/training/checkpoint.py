"""Checkpoints: everything that a run needs to go on, in a file that `torch.load(weights_only=True)` reads."""

import contextlib
import itertools
import logging
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

import torch

from traffic_yolo.errors import TrainingError
from traffic_yolo.messages import shown
from traffic_yolo.storage import atomic_file
from traffic_yolo.typed_values import wrong_field

SCHEMA_VERSION = 3
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A run after `iteration` updates. Tensors lie on the CPU; the rest are numbers, texts, lists and dicts.

    `network` and `averaged` are state dicts, `optimizer` the optimiser's, `scaler` the loss scaling's, `loss` what the
    loss remembers, `choice` which weights are the best so far (`Choice.state`), `skipped` the pictures that could not
    be used (`SkippedPictures.state`), `random_state` torch's generator (dropout), `learning_rate` the run's, which a
    rate test may have set; `options` are the fields of `TrainingOptions`. `is_validated`: whether the validation after
    `iteration` updates was taken in, where one was due.
    """

    iteration: int
    seen: int
    seconds: float
    is_validated: bool
    network: dict[str, torch.Tensor]
    averaged: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    loss: dict[str, Any]
    choice: dict[str, Any]
    skipped: list[dict[str, str]]
    random_state: torch.Tensor
    learning_rate: float
    options: dict[str, Any]
    classes: list[str]
    cfg: str
    dataset_fingerprint: str
    schema_version: int = SCHEMA_VERSION


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the file atomically; raises `StorageError` where the system refuses."""
    values = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    with atomic_file(path) as file:
        _save(values, file)


def _save(values: dict[str, Any], file: IO[bytes]) -> None:
    """`torch.save` that raises the `OSError` of a write: torch makes a `RuntimeError` about a position of it."""
    told = _ToldWriter(file)
    try:
        torch.save(values, told)  # type: ignore[arg-type]
    except RuntimeError as error:
        if told.refusal is None:
            raise
        raise told.refusal from error


class _ToldWriter:
    """What torch needs of a file, and what the system refused first."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.refusal: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.refusal = self.refusal or error
            raise

    def flush(self) -> None:
        self._file.flush()


def write_last(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes `last.pt`, and keeps the one before as `previous.pt`: one of the two is whole at any moment."""
    new = folder / "next.pt"
    write_checkpoint(new, checkpoint)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    new.replace(folder / LAST)


def read_last(folder: Path) -> Checkpoint:
    """The newest whole checkpoint of a run; a damaged one is named in a warning. `TrainingError` if none is whole."""
    problems = []
    for name in (LAST, PREVIOUS):
        if not (folder / name).exists():
            continue
        try:
            checkpoint = read_checkpoint(folder / name)
        except TrainingError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            _log.warning("%s; going on from %s, iteration %d", problem, folder / name, checkpoint.iteration)
        return checkpoint
    if not problems:
        raise TrainingError(f"checkpoint not found: {folder / LAST}")
    neither = f"; {PREVIOUS} neither" if len(problems) > 1 else ""
    raise TrainingError(f"{problems[0]}{neither}; bring a whole one back, or train into a new folder")


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file; raises `TrainingError` for a missing, damaged or foreign one."""
    try:
        _check_sums(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"checkpoint not found: {path}") from error
    except Exception as error:  # a flipped bit of names or pickles comes out as anything, an AttributeError even
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(f"{path} is not a checkpoint that can be read: {reason}") from error
    names = {field.name for field in fields(Checkpoint)}
    if not isinstance(values, dict) or set(values) != names or values["schema_version"] != SCHEMA_VERSION:
        raise TrainingError(f"{path}: expected a checkpoint of schema version {SCHEMA_VERSION}, found another file")
    reason = wrong_field(Checkpoint, values)
    below = [name for name in ("iteration", "seen", "seconds", "learning_rate") if not reason and values[name] < 0]
    if reason := reason or ", ".join(f"{name}: expected a number from 0; found {values[name]}" for name in below):
        raise TrainingError(f"{path}: not a checkpoint of ours: {reason}; bring a whole one back")
    return Checkpoint(**values)


@contextlib.contextmanager
def fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Raises `TrainingError` where a part of a checkpoint does not fit what takes it over in the block."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = shown(str(error) or type(error).__name__, most=200)
        raise TrainingError(
            f"resume: the checkpoint after iteration {checkpoint.iteration} does not fit the run: {reason}; bring a "
            f"whole one back, or train into a new folder"
        ) from error


def _check_sums(path: Path) -> None:
    """Raises `zipfile.BadZipFile` where a part has not the CRC-32 that was written with it: torch does not look.

    Nor does it see a flag that makes a folder of a part; it then hands out memory that nothing was read into.
    """
    with zipfile.ZipFile(path) as archive:
        flagged = (part.filename for part in archive.infolist() if part.external_attr)
        damaged = next(flagged, None) or archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} in it has not the checksum that it was written with")


# What a resumed run may have otherwise: none of it changes which updates are made
MAY_DIFFER = (
    *("device", "workers", "cache_mib", "cache_folder", "time_limit_minutes", "patience", "require_improvement"),
    *("log_to", "compile", "pictures"),
    *("validation_runtime", "validation_precision", "validation_batch", "evaluate_every", "max_bad_pictures"),
)


def differences(kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Options that differ between an interrupted run and now: those that may, and those that may not.

    `max_batches` may grow, and nothing but grow.
    """
    changed = [name for name, value in wanted.items() if kept.get(name) != value]

    def is_allowed(name: str) -> bool:
        if name == "max_batches":
            return None not in (kept.get(name), wanted[name]) and kept[name] < wanted[name]
        return name in MAY_DIFFER

    told = {name: f"{name} was {kept.get(name)!r}, now {wanted[name]!r}" for name in changed}
    return [told[name] for name in changed if is_allowed(name)], [
        told[name] for name in changed if not is_allowed(name)
    ]


def check_same_run(
    checkpoint: Checkpoint, options: Any, classes: tuple[str, ...], fingerprint: str, *, cfg: str
) -> None:
    """Raises `TrainingError` where a checkpoint was made with other options, classes or pictures, or another cfg."""
    kept = {**asdict(type(options)()), **checkpoint.options}  # an earlier version had fewer options
    allowed, refused = differences(kept, asdict(options))
    if refused:
        expected = "resume: expected the options of the interrupted run"
        raise TrainingError(f"{expected}, but {refused[0]}; take a new folder")
    for difference in allowed:
        _log.warning("resume: %s", difference)
    if checkpoint.classes != list(classes) or checkpoint.dataset_fingerprint != fingerprint:
        raise TrainingError("resume: the data set is not the one of the interrupted run; take a new folder")
    if checkpoint.cfg != cfg:
        pairs = itertools.zip_longest(checkpoint.cfg.splitlines(), cfg.splitlines(), fillvalue="")
        number, (before, now) = next((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1])
        raise TrainingError(
            f"resume: the cfg is not that of the interrupted run: line {number} was {shown(before)}, now {shown(now)}; "
            f"take that cfg again, or a new folder"
        )
