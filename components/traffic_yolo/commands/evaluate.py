"""`traffic-yolo evaluate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.evaluation.options import EvaluateOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(EvaluateOptions, NmsOptions, InferenceOptions)
@click.option(
    "--detections-folder",
    "detections",
    type=READ,
    help="Folder with raw detections of this model on this data set; a split whose file is not there is detected.",
)
@click.option("--sweep", type=READ, help="Folder of `tune`: the report shows its surface.")
@json_option
@click.option("--out", required=True, type=WRITE, help="Evaluation folder to write.")
def command(
    model: str, dataset: str, detections: str | None, sweep: str | None, out: Path, as_json: bool, **flags: Any
) -> None:
    """Detect once, compute COCO metrics, write record and report."""
    options = values_of(EvaluateOptions, flags)
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate

    evaluated = evaluate(
        model,
        dataset,
        out,
        split=options.split,
        also=options.also,
        nms=values_of(NmsOptions, flags),
        inference=values_of(InferenceOptions, flags),
        inputs=EvaluationInputs.of(options, detections=detections, sweep=sweep),
    )
    report = out / "report.html"
    values = {"out": out, "split": options.split, "metrics": evaluated.record.metrics, "report": report}
    print_result(f"{evaluated.markdown}\nreport {report}", values, as_json=as_json)
