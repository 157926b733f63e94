"""The end of `traffic-yolo run --local`, a table or JSON: read from what the tasks left, nothing computed again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_yolo.report_index import find_reports, write_index
from traffic_yolo.storage import read_json

_REPORT_NAMES = {"all": "all reports", "compression": "report on both models"}


def run_summary(run: Path, zoo: str) -> str:
    """The headline of a finished local run, its gates, and the paths of its reports and of its bundle.

    `run` is the folder of the run, with one folder for each task; `zoo` the location of the model zoo. Writes the page
    of all reports, `index.html`, into `run`. A run whose last task ended as failed because of its gates has one too.
    """
    record, point, parity, published = _records(run)
    split = record["split"]
    at_point = point.get(split) or {}
    rows = [
        (f"AP (COCO, {split} split)", _number(record["metrics"]["ap"])),
        ("AP50", _number(record["metrics"]["ap50"])),
        ("confidence threshold", f"{point['confidence_threshold']:.2f}   chosen on the validation split"),
        ("IoU threshold", f"{point['iou_threshold']:.2f}"),
        ("precision / recall / F1", " / ".join(_number(at_point.get(name)) for name in ("precision", "recall", "f1"))),
        ("parity of the deployed model", _parity(parity, _metrics(run / "validate"))),
        *_gates(published),
    ]
    places = [
        *((_REPORT_NAMES.get(name, f"{name} report"), path) for name, path in _reports(run).items()),
        ("model bundle", published["bundle"]),
        ("models compared", f"traffic-yolo ledger table --zoo {zoo}"),
    ]
    width = max(len(name) for name, _ in [*rows, *places])
    lines = [f"  {name:<{width}}  {value}" for name, value in [*rows, ("", ""), *places]]
    return "\n".join(["", *(line.rstrip() for line in lines), ""])


def run_values(run: Path) -> dict[str, Any]:
    """The same as values of JSON, numbers in full: what was measured, each gate, where reports and bundle lie."""
    record, point, parity, published = _records(run)
    return {
        "run": run,
        "split": record["split"],
        "metrics": record["metrics"],
        "operating_point": point,
        "parity": {"passed": parity["passed"], "problems": parity["problems"], **_metrics(run / "validate")},
        "gates": published["gates"],
        "model_name": published["name"],
        "version": published["version"],
        "is_current": published["is_current"],
        "is_forced": published["forced"],
        "nothing_new": published["nothing_new"],
        "bundle": published["bundle"],
        "reports": _reports(run),
    }


def _records(run: Path) -> tuple[Any, Any, Any, Any]:
    """What evaluate, tune, validate and publish found."""
    return (
        read_json(run / "evaluate" / "evaluation" / "record.json", what="evaluation record"),
        read_json(run / "tune" / "tuning" / "operating_point.json", what="operating point"),
        read_json(run / "validate" / "validation" / "parity.json", what="parity record"),
        read_json(run / "publish" / "publication", what="publication"),
    )


def _reports(run: Path) -> dict[str, Path]:
    """The reports that the steps of this pipeline wrote, and "all": the page of all of them, which is written here."""
    places = {
        "data": run / "convert" / "dataset" / "report.html",
        "training": run / "train" / "run" / "report.html",
        "evaluation": run / "evaluate" / "evaluation" / "report.html",
        "threshold": run / "tune" / "tuning" / "report.html",
        "parity": run / "validate" / "validation" / "report.html",
        "compression": run / "compression-report" / "comparison" / "report.html",
    }
    reports = {name: page for name, page in places.items() if page.is_file()}
    return {**reports, "all": write_index(run)} if find_reports(run) else reports


def _parity(parity: dict[str, Any], metrics: dict[str, float]) -> str:
    text = (
        f"{_number(metrics.get('parity_agreement'))} of the boxes agree; "
        f"AP50 {_number(metrics.get('ap50_deepstream'))} under nvinfer's rules, "
        f"{_number(metrics.get('ap50_pytorch_single_label'))} in PyTorch with one class a box"
    )
    return text if parity["passed"] else f"FAILED: {'; '.join(parity['problems'])} ({text})"


def _gates(published: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A row for each gate, then what came of them."""
    for gate in published["gates"]:
        verdict = gate["verdict"] if gate["verdict"] in ("passed", "skipped") else gate["verdict"].upper()
        found = "" if gate["measured"] is None else f" {_number(gate['measured'])}"
        limit = f" (limit {gate['limit']})" if gate["limit"] else ""
        yield f"gate {gate['name']}", f"{verdict}{found}{limit} {gate['sentence']}"
    if published["nothing_new"]:
        outcome = f"in use as before: {published['nothing_new']}"
    elif published["is_current"]:
        outcome = "IN USE BY FORCE, in spite of its gates" if published["forced"] else "in use (current)"
    else:
        outcome = "NOT IN USE"
    yield f"{published['name']} {published['version']}", outcome


def _metrics(task: Path) -> dict[str, float]:
    """The scalars that a task logged, from kfp's own record of it."""
    written: dict[str, Any] = read_json(task / "executor_output.json", what="output of a task")
    metadata = written["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    return {str(name): float(value) for name, value in metadata.items() if isinstance(value, int | float)}


def _number(value: float | int | None) -> str:
    """Three digits; a count as it is."""
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
