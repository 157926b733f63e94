"""What the folder of a step says in numbers and words, under the names that a tracking program shows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import AnyPath, input_path, read_json

Document = Mapping[str, Any]


@dataclass(frozen=True)
class StepNumbers:
    """One folder. `metrics`: finite numbers, `params`: what moved them, `tags`: what it is; names begin with the step.

    `files`: those of the folder that are worth keeping beside the numbers.
    """

    step: str
    folder: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def read_step(folder: AnyPath) -> StepNumbers:
    """The numbers of a folder that train, evaluate, tune, validate or publish left, told by its file.

    Raises `OptionsError` for a folder of another kind, `StorageError` for a file that is not there or is no JSON.
    """
    path = input_path(folder, what="folder of a step")
    for marker, (step, read, kept) in STEPS.items():
        if (path / marker).is_file():
            document = read_json(path / marker, what=f"file of {step}")
            if not isinstance(document, dict):
                raise OptionsError(f"{path / marker}: expected an object, found {type(document).__name__}")
            metrics, params, tags = read(document)
            return StepNumbers(
                step,
                path,
                {f"{step}/{name}": value for name, value in metrics.items()},
                {f"{step}/{name}": str(value) for name, value in params.items() if value not in (None, "")},
                {f"{step}.{name}": str(value) for name, value in tags.items() if value not in (None, "")},
                tuple(path / name for name in kept if (path / name).is_file()),
            )
    expected = ", ".join(f"{step} ({marker})" for marker, (step, _, _) in STEPS.items())
    raise OptionsError(f"{path}: expected the folder of one of the steps {expected}; none of these files is in it")


Parts = tuple[dict[str, float], dict[str, Any], dict[str, Any]]


def _bundle(card: Document) -> Parts:
    parity, point = _part(card, "parity"), _part(card, "operating_point")
    metrics = _numbers(_part(_part(card, "evaluation"), "metrics"))
    metrics |= _numbers(parity, "agreement", "explained_agreement", prefix="parity_")
    metrics |= _numbers(_part(_part(parity, "metrics"), "deepstream"), prefix="deepstream_")
    lineage = _part(card, "lineage")
    return (
        metrics,
        {name: point.get(name) for name in ("confidence_threshold", "iou_threshold", "objective")},
        {
            "weights_sha256": _part(card, "sha256").get("model.weights"),
            "data_fingerprint": lineage.get("data_fingerprint"),
            "parity_passed": parity.get("passed"),
        },
    )


def _evaluation(record: Document) -> Parts:
    protocol, data = _part(record, "protocol"), _part(record, "data")
    metrics = _numbers(_part(record, "metrics"))
    for each in record.get("per_class") or ():
        metrics |= _numbers(each, "ap", "ap50", prefix=f"{each.get('class_name')}/")
    params = {**_part(record, "nms"), "split": record.get("split"), "engine": record.get("engine")}
    params |= {name: protocol.get(name) for name in ("network_hw", "resize", "runtime", "precision")}
    return (
        metrics,
        params,
        {
            "weights_sha256": protocol.get("weights_sha256"),
            "data_fingerprint": data.get("fingerprint"),
            "weights_have_seen": _part(record, "provenance").get("verdict"),
        },
    )


def _tuning(point: Document) -> Parts:
    metrics = _numbers(point, "confidence_threshold", "iou_threshold")
    for split in ("train", "val", "test", "all"):
        metrics |= _numbers(_part(point, split), "precision", "recall", "f1", "ap", prefix=f"{split}_")
    params = {**_part(point, "nms"), "objective": point.get("objective"), "chosen_on": point.get("chosen_on")}
    tags = {
        "weights_sha256": _part(point, "model").get("weights_sha256"),
        "data_fingerprint": point.get("data_fingerprint"),
    }
    return metrics, params, tags


def _validation(parity: Document) -> Parts:
    metrics = _numbers(parity, "agreement", "explained_agreement")
    for side, values in _part(parity, "metrics").items():
        metrics |= _numbers(values if isinstance(values, dict) else {}, prefix=f"{side}_")
    tags = {"passed": parity.get("passed"), "problems": "; ".join(map(str, parity.get("problems") or ()))}
    return metrics, {"split": parity.get("split"), **_part(parity, "limits")}, tags


def _training(summary: Document) -> Parts:
    return _numbers(_part(summary, "numbers")), {}, {"verdicts": "; ".join(map(str, summary.get("verdicts") or ()))}


# A file that only the folder of this step has -> the step, its reader, the files to keep
STEPS: dict[str, tuple[str, Callable[[Document], Parts], tuple[str, ...]]] = {
    "card.json": ("publish", _bundle, ("card.json", "CARD.md", "config_infer_primary.txt", "SHA256SUMS")),
    "record.json": ("evaluate", _evaluation, ("record.json", "report.html")),
    "operating_point.json": ("tune", _tuning, ("operating_point.json", "sweep.csv", "report.html")),
    "parity.json": (
        "validate",
        _validation,
        ("parity.json", "config_infer_primary.txt", "report.html", "waterfall.svg"),
    ),
    "summary.json": ("train", _training, ("options.yaml", "history.csv", "curves.svg", "report.html")),
}


def _part(document: Any, name: str) -> dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _numbers(document: Any, *names: str, prefix: str = "") -> dict[str, float]:
    """The finite numbers among the values, of these names or of all."""
    if not isinstance(document, dict):
        return {}
    chosen = {name: document.get(name) for name in names or document}
    return {
        f"{prefix}{name}": float(value)
        for name, value in chosen.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
