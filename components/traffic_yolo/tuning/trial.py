"""One Katib trial: train with one choice of layers, detect on the validation split, measure at two thresholds.

Trainings are kept in a shared store under a key of everything that moves them, so that trials that differ only in
thresholds train and infer once, also when they run in parallel pods.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from traffic_yolo._version import __version__
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import StorageError
from traffic_yolo.evaluation.evaluate import detect_split, detections_name, measure, metrics_of
from traffic_yolo.evaluation.ground_truth import read_ground_truth
from traffic_yolo.evaluation.nms import NmsOptions
from traffic_yolo.evaluation.raw_detections import RawDetections
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import existing_path, sha256_of_file, write_json
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import choose_device, train
from traffic_yolo.tuning.metrics import METRICS, metric_lines

__all__ = ["TrainedOnce", "metric_lines", "run_trial", "trained_once"]

SPLIT = "val"  # the test split stays unseen by whatever chooses hyper-parameters
RUN_NAME = "run"
KEY_NAME = "key.json"  # written last: a folder with it is complete
# Where the training is done and how its pictures are read: they change nothing but the time that it takes.
NOT_IN_KEY = ("device", "cache_mib", "workers")
FILE_OPTIONS = ("cfg", "weights", "weights_names")  # a file's content counts, not where it lies


@dataclass(frozen=True)
class TrainedOnce:
    """A finished training with its raw detections on the validation split."""

    run: Path
    detections: Path


def run_trial(
    dataset: Path, work: Path, training: TrainingOptions, nms: NmsOptions, *, store: Path | None = None
) -> dict[str, float]:
    """f1, precision, recall, map and map50 on the validation split, in [0, 1]; what is undefined is 0.

    `work`: the trial's own folder; it keeps the run when there is no `store`, and `trial.json` with options and
    metrics. `store`: a folder that trials share (on a cluster, on the NAS), see `trained_once`.
    """
    data = DataSet.open(dataset)
    done = trained_once(data, store or work, training)
    raw = RawDetections.load(done.detections)
    truth = read_ground_truth(data.coco_path(SPLIT), raw.classes)
    measured = metrics_of(measure(raw, truth, nms))
    metrics = {name: float(measured[key] or 0.0) for name, key in METRICS.items()}
    described = {
        "training": dataclasses.asdict(training),
        "nms": dataclasses.asdict(nms),
        "run": str(done.run),
        "metrics": metrics,
    }
    write_json(work / "trial.json", described)
    return metrics


def trained_once(data: DataSet, store: Path, training: TrainingOptions) -> TrainedOnce:
    """The training of these options, from `store` or done now; one process trains while the others wait.

    A process that is killed leaves its lock free (the system releases it), and a half-done training which the next one
    clears away. The store needs a file system with POSIX locks: local disks and NFS 4 have them.
    """
    moved_by = training_key(data, training)
    key = hashlib.sha256(json.dumps(moved_by, sort_keys=True).encode()).hexdigest()[:20]
    folder = store / f"training-{key}"
    done = TrainedOnce(folder / RUN_NAME, folder / detections_name(SPLIT))
    if (folder / KEY_NAME).is_file():
        return done
    with exclusive_lock(store / f"training-{key}.lock"):
        if not (folder / KEY_NAME).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            train(data.root, done.run, training)
            _detect_split(data, done, training)
            write_json(folder / KEY_NAME, moved_by)
    return done


def training_key(data: DataSet, training: TrainingOptions) -> dict[str, str | int | float]:
    """Everything that moves a training's result: data, content of the files it starts from, options, version.

    Raises `StorageError` for a file that is missing.
    """
    options = {name: value for name, value in dataclasses.asdict(training).items() if name not in NOT_IN_KEY}
    for name in FILE_OPTIONS:
        if options[name]:
            options[name] = sha256_of_file(existing_path(options[name], what=name))
    return {**options, "data": data.fingerprint, "version": __version__, "torch": torch.__version__}


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`, waiting for it; the file stays, empty, when the block ends.

    Raises `StorageError` where the file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StorageError(f"store cannot be written: {path.parent}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise StorageError(f"{path}: the file system has no locks ({error.strerror}); use another store") from error
        yield
    finally:
        os.close(descriptor)


def _detect_split(data: DataSet, done: TrainedOnce, training: TrainingOptions) -> None:
    """Raw detections of the validation split, written beside the run."""
    model = ModelFolder.open(done.run)
    network = Network.read(model.cfg_path, model.weights_path)
    network.to(choose_device(training))
    detect_split(network, model, data, SPLIT).save(done.detections)
