"""The evaluation record: the metrics of one evaluation with everything that moves them, as one JSON file."""

import dataclasses
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from traffic_yolo._version import __version__
from traffic_yolo.errors import EvaluationError
from traffic_yolo.storage import read_json, write_json

SCHEMA_VERSION = 1
RECORD_NAME = "record.json"
LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pycocotools")

Number = float | int | None


@dataclass(frozen=True)
class EvaluationRecord:
    """One model on one split.

    `metrics`: COCO's twelve numbers (`ap`, `ap50` …, None where undefined), then `precision`, `recall`, `f1`,
    `true_positives`, `false_positives`, `false_negatives` and `false_positives_per_picture` at the thresholds of
    `nms`. `per_class`: for each class `class_name`, `ap`, `ap50`, `num_truths`, `precision`, `recall`, `f1`.
    `confusion`: `labels` and `counts` (truth by row). `nms`: the fields of `NmsOptions`. `matching`: `iou` of precision
    and recall, `coco_max_detections`. `protocol`: the fields of `Protocol` (model hashes, network size, resize rule,
    runtime, precision). `data`: `fingerprint` of the data set, `ground_truth_sha256`, and how many `pictures`, `truths`
    and `ignored` boxes. `training`: the training's options where the model folder tells them. `software`: versions.
    """

    split: str
    classes: tuple[str, ...]
    metrics: dict[str, Number]
    per_class: tuple[dict[str, Any], ...]
    confusion: dict[str, Any]
    nms: dict[str, Any]
    matching: dict[str, Any]
    protocol: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any] | None
    software: dict[str, str]

    def write(self, path: Path) -> None:
        """Writes the record as JSON, atomically."""
        write_json(path, {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, path: Path) -> "EvaluationRecord":
        """Reads what `write` wrote.

        Raises `StorageError` for a file that is missing or no JSON, `EvaluationError` for another schema version or a
        missing or unknown field.
        """
        content = read_json(path, what="evaluation record")
        if not isinstance(content, dict) or "schema_version" not in content:
            raise EvaluationError(f"{path}: not an evaluation record (no schema_version)")
        version = content.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise EvaluationError(f"{path}: schema version {version}, this program reads {SCHEMA_VERSION}")
        expected = {field.name for field in dataclasses.fields(cls)}
        if wrong := sorted(expected ^ set(content)):
            state = "missing" if wrong[0] in expected else "unknown"
            raise EvaluationError(f"{path}: field {wrong[0]!r} is {state}; this is not an evaluation record of ours")
        return cls(
            **{
                **content,
                "classes": tuple(content["classes"]),
                "per_class": tuple(content["per_class"]),
                "protocol": {**content["protocol"], "network_hw": tuple(content["protocol"]["network_hw"])},
            }
        )


def software_versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the libraries that can move a metric."""
    versions = {"python": platform.python_version(), "traffic-yolo": __version__}
    return versions | {name: metadata.version(name) for name in LIBRARIES}


def summary_markdown(record: EvaluationRecord) -> str:
    """The headline in a few lines of Markdown, for the Kubeflow UI and for a terminal."""
    metrics = record.metrics
    headline = [("AP", "ap"), ("AP50", "ap50"), ("AP75", "ap75"), ("AR100", "ar100")]
    point = [("precision", "precision"), ("recall", "recall"), ("F1", "f1")]
    shown = [(label, _shown(metrics[name])) for label, name in [*headline, *point]]
    per_class = "\n".join(
        f"| {entry['class_name']} | {_shown(entry['ap'])} | {_shown(entry['ap50'])} | {_shown(entry['precision'])} "
        f"| {_shown(entry['recall'])} | {entry['num_truths']} |"
        for entry in record.per_class
    )
    confidence, iou = record.nms["confidence_threshold"], record.nms["iou_threshold"]
    return (
        f"**Split {record.split}**: {record.data['pictures']} pictures, {record.data['truths']} true boxes. "
        f"Precision, recall and F1 at confidence {confidence:g}, NMS IoU {iou:g} ({record.nms['kind']}).\n\n"
        f"| {' | '.join(label for label, _ in shown)} |\n|{'---:|' * len(shown)}\n"
        f"| {' | '.join(value for _, value in shown)} |\n\n"
        f"| class | AP | AP50 | precision | recall | true boxes |\n|---|---:|---:|---:|---:|---:|\n{per_class}\n"
    )


def _shown(value: Number) -> str:
    return "–" if value is None else f"{value:.4f}"
