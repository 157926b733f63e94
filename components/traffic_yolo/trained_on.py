"""Which pictures a model's weights have seen: written by a training, carried along by export, read by evaluate.

A record of this kind is what tells a fair number from one measured on pictures that the model was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, sha256_of_file, write_json
from traffic_yolo.typed_values import wrong_field

TRAINED_ON_NAME = "trained_on.json"
SCHEMA_VERSION = 1
HASH_DIGITS = 16  # of a SHA-256: two of a million pictures agree by chance once in 40 million such sets


@dataclass(frozen=True)
class TrainedOn:
    """`pictures`, `chosen_on`: `picture_hashes` of those that gradients came from, and of those that chose the best
    weights. `start_weights_sha256`: of the file that the training started from, "" for random weights;
    `start_weights`: its name. `teacher_weights_sha256`, `teacher_weights`: of a model that it learnt from besides the
    labels, "" for none; what that one has seen is among `pictures` and `chosen_on`, as far as it is known.
    """

    data_fingerprint: str
    pictures: tuple[str, ...]
    chosen_on: tuple[str, ...]
    start_weights: str
    start_weights_sha256: str
    teacher_weights: str = ""
    teacher_weights_sha256: str = ""

    def taught_by(self, teacher: "TrainedOn | None", *, weights: AnyPath) -> "TrainedOn":
        """With what a teacher brings: `teacher` is its own list, None where it has none."""
        path = input_path(weights, what="weights of the teacher")
        seen = (teacher.pictures, teacher.chosen_on) if teacher is not None else ((), ())
        return replace(
            self,
            pictures=tuple(dict.fromkeys((*self.pictures, *seen[0]))),
            chosen_on=tuple(dict.fromkeys((*self.chosen_on, *seen[1]))),
            teacher_weights=path.name,
            teacher_weights_sha256=sha256_of_file(path),
        )

    def write(self, path: AnyPath) -> None:
        """Writes the file, atomically."""
        write_json(output_path(path), {"schema_version": SCHEMA_VERSION, **asdict(self)})

    @classmethod
    def read(cls, path: AnyPath) -> "TrainedOn":
        """Reads what `write` wrote; raises `StorageError` or `ModelError` for anything else."""
        path = input_path(path, what="list of the pictures trained on")
        return cls.of_dict(read_json(path, what="list of the pictures trained on"), where=str(path))

    @classmethod
    def of_dict(cls, content: Any, *, where: str) -> "TrainedOn":
        """The values of such a file, which lies at `where`; raises `ModelError` for anything else."""
        try:
            content = dict(content)
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise ModelError(f"{where}: expected schema version {SCHEMA_VERSION}; train again, or remove the file")
            if reason := wrong_field(cls, content):
                raise ModelError(f"{where}: not a list of the pictures trained on: {reason}")
            return cls(**{**content, **{name: tuple(content[name]) for name in ("pictures", "chosen_on")}})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{where}: not a list of the pictures trained on: {error}") from error


def picture_hashes(root: Path, manifest: Mapping[str, Any], file_names: Sequence[str]) -> tuple[str, ...]:
    """The first 16 hexadecimal digits of the SHA-256 of each picture of a data set.

    `file_names`: below `images/`. From the manifest, which has the hash of every file; a picture that it does not
    list is read.
    """
    listed = {str(entry["path"]): str(entry["sha256"]) for entry in manifest.get("files", ())}
    return tuple(
        (listed.get(f"images/{name}") or sha256_of_file(root / "images" / name))[:HASH_DIGITS] for name in file_names
    )
