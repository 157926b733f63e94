"""`traffic-yolo evaluate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--split", default="test", show_default=True, help="Split that the metrics are of.")
@click.option("--confidence-threshold", default=0.25, show_default=True, help="For precision, recall, F1.")
@click.option("--iou-threshold", default=0.45, show_default=True, help="NMS: overlap above which the weaker box goes.")
@click.option("--detections", type=READ, help="Folder with raw detections of this model on this data set.")
@click.option(
    "--trained-on",
    multiple=True,
    type=READ,
    help="What the weights were trained on: a data set folder, coco, coco/train2017 or coco/val2017. Repeatable.",
)
@click.option("--sweep", type=READ, help="Folder of `tune`: the report shows its surface.")
@click.option("--engine", default="fast", type=click.Choice(["fast", "pycocotools"]), show_default=True)
@click.option("--out", required=True, type=WRITE, help="Evaluation folder to write.")
def command(
    model: str,
    dataset: str,
    split: str,
    confidence_threshold: float,
    iou_threshold: float,
    out: Path,
    **inputs: Any,
) -> None:
    """Detect once, compute COCO metrics, write record and report."""
    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate

    nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
    click.echo(evaluate(model, dataset, out, split=split, nms=nms, inputs=EvaluationInputs(**inputs)).markdown)
    click.echo(f"report {out / 'report.html'}")
