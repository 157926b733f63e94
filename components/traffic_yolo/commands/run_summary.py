"""The table at the end of `traffic-yolo run --local`: read from what the tasks left, nothing computed again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_yolo.report_index import find_reports, write_index
from traffic_yolo.storage import read_json, write_text

CARD_NAME = "card.html"


def run_summary(run: Path, zoo: str) -> str:
    """The headline of a finished local run, its gates, and the paths of its reports and of its bundle.

    `run` is the folder of the run, with one folder for each task; `zoo` the location of the model zoo. Writes the page
    of all reports, `index.html`, into `run`, and the model card as a page beside the task's own. A run whose last task
    ended as failed because of its gates has one too.
    """
    record = read_json(run / "evaluate" / "evaluation" / "record.json", what="evaluation record")
    point = read_json(run / "tune" / "tuning" / "operating_point.json", what="operating point")
    parity = read_json(run / "validate" / "validation" / "parity.json", what="parity record")
    published = read_json(run / "publish" / "publication", what="publication")
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
        ("data report", run / "convert" / "dataset" / "report.html"),
        ("training report", run / "train" / "run" / "report.html"),
        ("evaluation report", run / "evaluate" / "evaluation" / "report.html"),
        ("threshold report", run / "tune" / "tuning" / "report.html"),
        ("parity report", run / "validate" / "validation" / "report.html"),
        *_card(run / "publish"),
        *([("all reports", write_index(run))] if find_reports(run) else []),
        ("model bundle", published["bundle"]),
        ("models compared", f"traffic-yolo ledger table --zoo {zoo}"),
    ]
    width = max(len(name) for name, _ in [*rows, *places])
    lines = [f"  {name:<{width}}  {value}" for name, value in [*rows, ("", ""), *places]]
    return "\n".join(["", *(line.rstrip() for line in lines), ""])


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


def _card(task: Path) -> Iterator[tuple[str, Path]]:
    """The model card, under a name by which browsers and the page of all reports know what it is."""
    if (task / "card").is_file():
        write_text(task / CARD_NAME, (task / "card").read_text(encoding="utf-8"))
        yield "model card", task / CARD_NAME


def _metrics(task: Path) -> dict[str, float]:
    """The scalars that a task logged, from kfp's own record of it."""
    written: dict[str, Any] = read_json(task / "executor_output.json", what="output of a task")
    metadata = written["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    return {str(name): float(value) for name, value in metadata.items() if isinstance(value, int | float)}


def _number(value: float | int | None) -> str:
    """Three digits; a count as it is."""
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
