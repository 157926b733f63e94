"""What a training found out about its own result, as it travels with the model: written by train, read by publish."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, input_path, output_path, read_json, write_json

VERDICT_NAME = "verdict.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TrainingVerdict:
    """`learnt`: False where the weights are the start's own; `worse`: a sentence for each split that they lost on."""

    learnt: bool
    worse: tuple[str, ...]


def write_verdict(path: AnyPath, *, learnt: bool, worse: tuple[str, ...], details: Mapping[str, Any]) -> None:
    """Writes the file, atomically; `details` are plain values for people and their tools."""
    content = {"schema_version": SCHEMA_VERSION, "learnt": learnt, "worse": list(worse), **details}
    write_json(output_path(path), content)


def read_verdict(folder: AnyPath) -> TrainingVerdict | None:
    """The verdict in a model folder; None where no training of ours made it. `ModelError` for a damaged file."""
    path = Path(input_path(folder, what="model folder")) / VERDICT_NAME
    if not path.is_file():
        return None
    content = read_json(path, what="verdict of a training", error=ModelError)
    expected = f"{path}: expected a verdict of schema version {SCHEMA_VERSION}"
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(f"{expected}; export the training again")
    learnt, worse = content.get("learnt"), content.get("worse")
    if not isinstance(learnt, bool) or not isinstance(worse, list) or not all(isinstance(line, str) for line in worse):
        raise ModelError(f"{expected} with learnt (true or false) and worse (a list of texts)")
    return TrainingVerdict(learnt, tuple(worse))
