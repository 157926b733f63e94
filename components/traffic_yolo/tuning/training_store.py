"""Trainings kept under a key of everything that moves them, so that trials that share one train and infer once.

    <store>/training-<key>/          run/, detections_val.npz, key.json

The folder that trials share, and how one of them trains while the others wait: `shared_store`.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from traffic_yolo._version import __version__
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.protocol import detections_name
from traffic_yolo.pruned_from import is_just_pruned
from traffic_yolo.storage import AnyPath, existing_path, sha256_of_file
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.teacher_files import TeacherFiles
from traffic_yolo.tuning.shared_store import Note, made_once

SPLIT = "val"  # the test split stays unseen by whatever chooses hyper-parameters
RUN_NAME = "run"
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
    *("beside.py", "finding.py", "checked_values.py", "onnx_session.py"),
)
LIBRARIES = ("torch", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class TrainedOnce:
    """A finished training with its raw detections on the validation split."""

    run: Path
    detections: Path


def trained_once(
    data: DataSet, store: AnyPath, training: TrainingOptions, *, timing: LeaseTiming | None = None
) -> TrainedOnce:
    """The training of these options, from `store` or done now; one process trains while the others wait (`made_once`).

    Raises `StorageError` for a store that cannot be written.
    """

    def make(attempt: Path, note: Note) -> None:
        from traffic_yolo.tuning import trained_run  # torch: a trial that finds its training does not pay for it

        started = time.monotonic()
        note("training")
        trained_run.train(data.root, attempt / RUN_NAME, training)
        note("trained", seconds=time.monotonic() - started)
        trained_run.infer(attempt / RUN_NAME, data, SPLIT, attempt / detections_name(SPLIT), training)
        note("inferred")

    folder = made_once(store, "training", training_key(data, training), make, reused="reused", timing=timing)
    return TrainedOnce(folder / RUN_NAME, folder / detections_name(SPLIT))


def training_key(data: DataSet, training: TrainingOptions) -> dict[str, str | int | float]:
    """Everything that moves a training's result: data, content of the files it starts from, options, seed, code.

    Raises `StorageError` for a file that is missing.
    """
    options = {name: value for name, value in dataclasses.asdict(training).items() if name not in NOT_IN_KEY}
    for name in FILE_OPTIONS:
        if options[name]:
            options[name] = sha256_of_file(existing_path(options[name], what=name))
    if training.weights:  # what a recipe trains hangs on it
        options["is_just_pruned"] = is_just_pruned(training.weights)
    if training.teacher:
        options["teacher"] = TeacherFiles.find(training.teacher).sha256
    return {
        **options,
        **library_versions(),
        "data": data.fingerprint,
        "version": __version__,
        "code": code_fingerprint(),
    }


def library_versions() -> dict[str, str]:
    """Of the foreign libraries that move a result."""
    return {name: version(name) for name in LIBRARIES}


@lru_cache
def code_fingerprint(names: tuple[str, ...] = CODE) -> str:
    """Hash of the source of everything in `names`, files and folders of the package."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(code_files(package, names)):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_files(package: Path, names: tuple[str, ...] = CODE) -> Iterator[Path]:
    """The files of `names`: of a folder, its Python sources and its cfgs."""
    for name in names:
        path = package / name
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.suffix in (".py", ".cfg"))
        elif path.exists():
            yield path
