"""The end of `traffic-yolo run --local`, a table or JSON: read from what the tasks left, nothing computed again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.json_result import print_json
from traffic_yolo.report_index import find_reports, write_index
from traffic_yolo.storage import read_json, write_text

CARD_NAME = "card.html"

# Of a publication, and how JSON calls it
_OF_PUBLICATION = {
    "gates": "gates",
    "model_name": "name",
    "version": "version",
    "is_current": "is_current",
    "is_forced": "forced",
    "nothing_new": "nothing_new",
    "bundle": "bundle",
}
_REPORT_NAMES = {"all": "all reports", "card": "model card", "compression": "report on both models"}


def print_run(run: Path, zoo: str, *, as_json: bool, outcome: str = "", more: Mapping[str, Any] | None = None) -> None:
    """Prints a finished local run for people, with `outcome` below it, or as JSON, with the values `more`."""
    if as_json:
        print_json(run_values(run) | dict(more or {}))
    else:
        click.echo("\n".join(filter(None, (run_summary(run, zoo), outcome))))


def run_summary(run: Path, zoo: str) -> str:
    """The headline of a finished local run, its gates, and the paths of its reports and of its bundle.

    `run` is the folder of the run, with one folder for each task; `zoo` the location of the model zoo. Writes the page
    of all reports, `index.html`, into `run`, and the model card as a page beside the task's own. A run whose last task
    ended as failed because of its gates has one too: that task is publish, or validate where a stage of its waterfall
    is beyond its limits.
    """
    record, point, parity, stages, published = _records(run)
    split = record["split"]
    at_point = point.get(split) or {}
    rows = [
        (f"AP (COCO, {split} split)", _number(record["metrics"]["ap"])),
        ("AP50", _number(record["metrics"]["ap50"])),
        ("confidence threshold", f"{point['confidence_threshold']:.2f}   chosen on the validation split"),
        ("IoU threshold", f"{point['iou_threshold']:.2f}"),
        ("precision / recall / F1", " / ".join(_number(at_point.get(name)) for name in ("precision", "recall", "f1"))),
        ("parity of the deployed model", _parity(parity)),
        *_waterfall(stages),
        *(_gates(published) if published else [("published", "nothing: the run ended before it")]),
    ]
    places = [
        *((_REPORT_NAMES.get(name, f"{name} report"), path) for name, path in _reports(run).items()),
        *([("model bundle", published["bundle"])] if published else []),
        ("models compared", f"traffic-yolo ledger table --zoo {zoo}"),
    ]
    width = max(len(name) for name, _ in [*rows, *places])
    lines = [f"  {name:<{width}}  {value}" for name, value in [*rows, ("", ""), *places]]
    return "\n".join(["", *(line.rstrip() for line in lines), ""])


def run_values(run: Path) -> dict[str, Any]:
    """The same as values of JSON, numbers in full: what was measured, each gate, where reports and bundle lie."""
    record, point, parity, stages, published = _records(run)
    return {
        "run": run,
        "split": record["split"],
        "metrics": record["metrics"],
        "operating_point": point,
        "parity": {name: parity[name] for name in ("passed", "problems", "agreement", "metrics")},
        "waterfall": {name: stages[name] for name in ("passed", "problems")} if stages else None,
        **({name: published[key] for name, key in _OF_PUBLICATION.items()} if published else {}),
        "reports": _reports(run),
    }


def _records(run: Path) -> tuple[Any, Any, Any, Any, Any]:
    """What evaluate, tune and validate found, its waterfall and the publication; None of the last two where none is."""
    waterfall = run / "validate" / "validation" / "waterfall.json"
    publication = run / "publish" / "publication"
    return (
        read_json(run / "evaluate" / "evaluation" / "record.json", what="evaluation record"),
        read_json(run / "tune" / "tuning" / "operating_point.json", what="operating point"),
        read_json(run / "validate" / "validation" / "parity.json", what="parity record"),
        read_json(waterfall, what="waterfall") if waterfall.is_file() else None,
        read_json(publication, what="publication") if publication.is_file() else None,
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
    if (card := _card(run / "publish")) is not None:
        reports["card"] = card
    return {**reports, "all": write_index(run)} if find_reports(run) else reports


def _card(task: Path) -> Path | None:
    """The model card, under a name by which browsers and the page of all reports know what it is."""
    if not (task / "card").is_file():
        return None
    write_text(task / CARD_NAME, (task / "card").read_text(encoding="utf-8"))
    return task / CARD_NAME


def _parity(parity: dict[str, Any]) -> str:
    ap50 = {side: values["ap50"] for side, values in parity["metrics"].items()}
    text = (
        f"{_number(parity['agreement'])} of the boxes agree; AP50 {_number(ap50['deepstream'])} under nvinfer's rules, "
        f"{_number(ap50['pytorch_single_label'])} in PyTorch with one class a box"
    )
    return text if parity["passed"] else f"FAILED: {'; '.join(parity['problems'])} ({text})"


def _waterfall(found: Any) -> Iterator[tuple[str, str]]:
    """A row for the stages from Darknet to DeepStream, where the run was asked for them."""
    if found is not None:
        held = f"every stage of {len(found['stages'])} within its limits"
        yield "waterfall", held if found["passed"] else f"FAILED: {'; '.join(found['problems'])}"


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


def _number(value: float | int | None) -> str:
    """Three digits; a count as it is."""
    return "–" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
