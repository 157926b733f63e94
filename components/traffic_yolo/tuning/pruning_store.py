"""Prunings kept under a key of everything that moves them, so that trials that train one in several ways prune once.

<store>/pruning-<key>/           model/ (what training goes on from), key.json
"""

import dataclasses
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo._version import __version__
from traffic_yolo.compression.options import BY_LOSS, PruneOptions
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import NothingToPruneError
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.storage import AnyPath, existing_path, sha256_of_file
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.trained_on import TRAINED_ON_NAME
from traffic_yolo.tuning.shared_store import Key, Note, made_once
from traffic_yolo.tuning.training_store import CODE, code_fingerprint, library_versions

MODEL_NAME = "model"
FILES = (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME, TRAINED_ON_NAME, PRUNED_NAME)  # what a training goes on from
PRUNING_CODE = (*CODE, "compression")  # a test compares it with what a pruning imports
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PrunedOnce:
    """The folder `model` that a training goes on from, and how it was pruned; None where all of the model stayed."""

    model: Path
    pruned: PrunedFrom | None


def pruned_once(
    parent: ModelFolder,
    data: DataSet,
    store: AnyPath,
    pruning: PruneOptions,
    *,
    timing: LeaseTiming | None = None,
) -> PrunedOnce:
    """The pruned model, from `store` or made now (`made_once`).

    Where nothing is to be taken out, by a ratio of 0 or one so small, it is the model as it is: what others are
    compared with. Raises `OptionsError` for a network that cannot be pruned so.
    """

    def make(attempt: Path, note: Note) -> None:
        from traffic_yolo.compression.prune_files import write_pruned  # torch

        try:
            write_pruned(parent, attempt / MODEL_NAME, pruning, data)
        except NothingToPruneError:
            (attempt / MODEL_NAME).mkdir(parents=True)
            for name in FILES:
                if (parent.path / name).is_file():
                    shutil.copyfile(parent.path / name, attempt / MODEL_NAME / name)
        note("pruned")

    key = pruning_key(parent, data, pruning)
    model = made_once(store, "pruning", key, make, reused="pruning_reused", timing=timing) / MODEL_NAME
    record = PrunedFrom.read(model / PRUNED_NAME) if (model / PRUNED_NAME).is_file() else None
    if record is None or record.parent_weights_sha256 != parent.sha256(WEIGHTS_NAME):  # of an earlier pruning
        return PrunedOnce(model, None)
    for warning in record.warnings:
        log.warning("%s", warning)
    return PrunedOnce(model, record)


def pruning_key(parent: ModelFolder, data: DataSet, pruning: PruneOptions) -> Key:
    """Everything that moves a pruning's result: the parent's files, the data where it counts, options, code."""
    options = dataclasses.asdict(pruning)
    if pruning.latency_table:
        options["latency_table"] = sha256_of_file(existing_path(pruning.latency_table, what="latency_table"))
    hashes = {name: parent.sha256(name) for name in FILES if (parent.path / name).is_file()}
    looks_at_data = pruning.reestimate_pictures or pruning.refit_pictures or pruning.importance in BY_LOSS
    measured_on = {"data": data.fingerprint} if looks_at_data else {}
    own = {"version": __version__, "code": code_fingerprint(PRUNING_CODE)}
    return {**options, **hashes, **measured_on, **library_versions(), **own}
