"""Checkpoints: everything that a run needs to go on, in a file that `torch.load(weights_only=True)` reads."""

import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from traffic_yolo.errors import TrainingError
from traffic_yolo.storage import atomic_file

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A run after `iteration` updates. Tensors lie on the CPU; the rest are numbers, texts, lists and dicts.

    `network` and `averaged` are state dicts, `optimizer` the optimiser's, `random_state` torch's generator (dropout);
    `options` are the fields of `TrainingOptions`; `best_ap50` is None before the first validation.
    """

    iteration: int
    seen: int
    seconds: float
    best_ap50: float | None
    best_iteration: int
    network: dict[str, Any]
    averaged: dict[str, Any]
    optimizer: dict[str, Any]
    random_state: torch.Tensor
    options: dict[str, Any]
    classes: list[str]
    cfg: str
    dataset_fingerprint: str
    schema_version: int = SCHEMA_VERSION


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the file atomically; raises `StorageError` where the system refuses."""
    values = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    with atomic_file(path) as file:
        torch.save(values, file)


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file; raises `TrainingError` for a missing, damaged or foreign one."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"checkpoint not found: {path}") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(f"{path} is not a checkpoint that can be read: {reason}") from error
    names = {field.name for field in fields(Checkpoint)}
    if not isinstance(values, dict) or set(values) != names or values["schema_version"] != SCHEMA_VERSION:
        raise TrainingError(f"{path}: expected a checkpoint of schema version {SCHEMA_VERSION}, found another file")
    return Checkpoint(**values)


def check_same_run(checkpoint: Checkpoint, options: Any, classes: tuple[str, ...], fingerprint: str) -> None:
    """Raises `TrainingError` where a checkpoint was made with other options, classes or pictures."""
    wanted = asdict(options)
    changed = [name for name, value in wanted.items() if checkpoint.options.get(name) != value]
    if changed:
        name = changed[0]
        found = f"{name} was {checkpoint.options.get(name)!r}, now {wanted[name]!r}"
        raise TrainingError(f"resume: expected the options of the interrupted run, but {found}; take a new folder")
    if checkpoint.classes != list(classes) or checkpoint.dataset_fingerprint != fingerprint:
        raise TrainingError("resume: the data set is not the one of the interrupted run; take a new folder")
