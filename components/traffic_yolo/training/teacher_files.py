"""The files of the model that a training learns from besides the labels; loads no torch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.darknet_pair import SUFFIXES, find_pair
from traffic_yolo.model_folder import CFG_NAME, WEIGHTS_NAME, ModelFolder, read_names
from traffic_yolo.storage import AnyPath, existing_path, sha256_of_file
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn


@dataclass(frozen=True)
class TeacherFiles:
    """A model as its files. `trained_on`: what it has seen, None where nothing says it."""

    name: str
    cfg: Path
    weights: Path
    classes: tuple[str, ...]
    trained_on: TrainedOn | None

    @classmethod
    def find(cls, model: AnyPath) -> "TeacherFiles":
        """Of a model folder, a training run, a bundle of a zoo, or a `.weights` file with cfg and names beside it.

        Raises `StorageError`, `ModelError` or `OptionsError` in one line for what is none of these.
        """
        path = existing_path(model, what="teacher")
        if path.suffix in SUFFIXES and path.is_file():
            pair = find_pair(path, of="--teacher")
            return cls(pair.weights.name, pair.cfg, pair.weights, read_names(pair.names), _seen(path.parent))
        folder = ModelFolder.open(path)
        return cls(path.name, path / CFG_NAME, path / WEIGHTS_NAME, folder.classes, _seen(path))

    @property
    def sha256(self) -> str:
        """Of cfg and weights together."""
        joined = sha256_of_file(self.cfg) + sha256_of_file(self.weights)
        return hashlib.sha256(joined.encode()).hexdigest()


def _seen(folder: Path) -> TrainedOn | None:
    path = folder / TRAINED_ON_NAME
    return TrainedOn.read(path) if path.is_file() else None
