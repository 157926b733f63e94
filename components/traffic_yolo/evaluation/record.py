"""The evaluation record: the metrics of one evaluation with everything that moves them, as one JSON file.

`record.schema.json` beside this file is its JSON schema; reading checks against it.
"""

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from traffic_yolo._version import __version__
from traffic_yolo.errors import EvaluationError
from traffic_yolo.storage import AnyPath, input_path, read_json, write_json

SCHEMA_VERSION = 2
RECORD_NAME = "record.json"
SCHEMA_PATH = Path(__file__).with_name("record.schema.json")
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pycocotools")

Number = float | int | None


@dataclass(frozen=True)
class EvaluationRecord:
    """One model on one split.

    `metrics`: COCO's twelve numbers (`ap`, `ap50` …, None where undefined), then `precision`, `recall`, `f1`,
    `true_positives`, `false_positives`, `false_negatives` and `false_positives_per_picture` at the thresholds of
    `nms`. `per_class`: for each class `class_name`, `ap`, `ap50`, `num_truths`, `precision`, `recall`, `f1`.
    `confusion`: `labels` and `counts` (truth by row). `slices`, `errors`, `counting`: see `analysis`. `nms`: the fields
    of `NmsOptions`. `matching`: `iou` of precision and recall, `coco_max_detections`. `protocol`: the fields of
    `Protocol` (model hashes, network size, resize rule, runtime, precision). `data`: `fingerprint` of the data set,
    `ground_truth_sha256`, and how many `pictures`, `truths` and `ignored` boxes. `provenance`: whether the weights may
    have seen the pictures. `training`: the training's options where the model folder tells them. `software`: versions.
    `engine`: what computed the COCO numbers. `detections`: for each split in the folder, whether its raw detections
    were "made" or "reused"; empty in records that do not say.
    """

    split: str
    classes: tuple[str, ...]
    engine: str
    metrics: dict[str, Number]
    per_class: tuple[dict[str, Any], ...]
    confusion: dict[str, Any]
    slices: tuple[dict[str, Any], ...]
    errors: dict[str, Any]
    counting: dict[str, Any]
    nms: dict[str, Any]
    matching: dict[str, Any]
    protocol: dict[str, Any]
    data: dict[str, Any]
    provenance: dict[str, Any]
    training: dict[str, Any] | None
    software: dict[str, str]
    detections: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON values, with its schema version."""
        content = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
        return dict(json.loads(json.dumps(content, allow_nan=False)))

    def write(self, path: AnyPath) -> None:
        """Writes the record as JSON, atomically; NaN is refused with `ValueError`."""
        write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: AnyPath) -> "EvaluationRecord":
        """Reads what `write` wrote.

        Raises `StorageError` for a file that is missing or no JSON, `EvaluationError` for another schema version or
        anything that the schema does not allow.
        """
        path = input_path(path, what="evaluation record")
        return cls.from_dict(read_json(path, what="evaluation record", error=EvaluationError), where=str(path))

    @classmethod
    def from_dict(cls, content: Any, *, where: str) -> "EvaluationRecord":
        """The record of `as_dict`'s values; `EvaluationError`, naming `where` and the field, for anything else."""
        check_record(content, where)
        fields = {key: value for key, value in content.items() if key != "schema_version"}
        return cls(
            **{
                **fields,
                "classes": tuple(content["classes"]),
                "per_class": tuple(content["per_class"]),
                "slices": tuple(content["slices"]),
                "protocol": {**content["protocol"], "network_hw": tuple(content["protocol"]["network_hw"])},
            }
        )


def check_record(content: Any, where: str) -> None:
    """Raises `EvaluationError` unless `content` is an evaluation record of this schema version."""
    if not isinstance(content, Mapping) or "schema_version" not in content:
        raise EvaluationError(f"{where}: not an evaluation record (no schema_version)")
    version = content["schema_version"]
    if version != SCHEMA_VERSION:
        raise EvaluationError(f"{where}: schema version {version}, this program reads {SCHEMA_VERSION}; evaluate again")
    from jsonschema.exceptions import best_match  # 0.15 s, which only readers of records pay

    error = best_match(_validator().iter_errors(content))
    if error is not None:
        field = ".".join(str(part) for part in error.absolute_path) or "the record"
        raise EvaluationError(f"{where}: {field}: {_one_line(error.message)}; this is not an evaluation record of ours")
    try:
        json.dumps(content, allow_nan=False)
    except ValueError as error_:
        raise EvaluationError(f"{where}: holds NaN or infinity, which a record never does") from error_


@cache
def record_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a record."""
    return dict(json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(record_schema())


def _one_line(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= 200 else f"{text[:160]} … {text[-36:]}"


def software_versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the libraries that can move a metric."""
    versions = {"python": platform.python_version(), "traffic-yolo": __version__}
    return versions | {name: metadata.version(name) for name in LIBRARIES}
