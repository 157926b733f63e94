"""The table at the end of `traffic-yolo run --local`: read from what the tasks left, nothing computed again."""

from pathlib import Path
from typing import Any

from traffic_yolo.storage import read_json


def run_summary(run: Path, zoo: str) -> str:
    """The headline of a finished local run and the paths of its reports and of its bundle.

    `run` is the folder of the run, with one folder for each task; `zoo` the location of the model zoo.
    """
    record = read_json(run / "evaluate" / "evaluation" / "record.json", what="evaluation record")
    point = read_json(run / "tune" / "tuning" / "operating_point.json", what="operating point")
    validated = _metrics(run / "validate")
    published = read_json(run / "publish" / "executor_output.json", what="output of publish")
    test = point["test"]
    rows = [
        ("AP (COCO, test split)", _number(record["metrics"]["ap"])),
        ("AP50", _number(record["metrics"]["ap50"])),
        ("confidence threshold", f"{point['confidence_threshold']:.2f}   chosen on the validation split"),
        ("IoU threshold", f"{point['iou_threshold']:.2f}"),
        ("precision / recall / F1", " / ".join(_number(test[name]) for name in ("precision", "recall", "f1"))),
        (
            "parity of the deployed model",
            f"{validated['parity_agreement']:.3f} of the boxes agree; "
            f"AP50 {_number(validated.get('ap50_deepstream'))} under nvinfer's rules, "
            f"{_number(validated.get('ap50_pytorch_single_label'))} in PyTorch with one class a box",
        ),
    ]
    places = [
        ("data report", run / "convert" / "dataset" / "report.html"),
        ("training report", run / "train" / "run" / "report.html"),
        ("evaluation report", run / "evaluate" / "evaluation" / "report.html"),
        ("threshold report", run / "tune" / "tuning" / "report.html"),
        ("parity report", run / "validate" / "validation" / "report.html"),
        ("model bundle", published["parameterValues"]["Output"]),
        ("models compared", f"traffic-yolo ledger table --zoo {zoo}"),
    ]
    width = max(len(name) for name, _ in [*rows, *places])
    lines = [f"  {name:<{width}}  {value}" for name, value in [*rows, ("", ""), *places]]
    return "\n".join(["", *(line.rstrip() for line in lines), ""])


def _metrics(task: Path) -> dict[str, float]:
    """The scalars that a task logged, from kfp's own record of it."""
    written: dict[str, Any] = read_json(task / "executor_output.json", what="output of a task")
    metadata = written["artifacts"]["metrics"]["artifacts"][0]["metadata"]
    return {str(name): float(value) for name, value in metadata.items() if isinstance(value, int | float)}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
