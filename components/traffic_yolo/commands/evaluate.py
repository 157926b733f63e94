"""`traffic-yolo evaluate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of, taken_from
from traffic_yolo.detection.inference_options import InferenceOptions


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@click.option("--split", default="test", show_default=True, help="Split that the metrics are of.")
@click.option("--also", multiple=True, help="Another split to detect on: tune reads val and test. Repeatable.")
@click.option("--confidence-threshold", default=0.25, show_default=True, help="For precision, recall, F1.")
@click.option("--iou-threshold", default=0.45, show_default=True, help="NMS: overlap above which the weaker box goes.")
@click.option(
    "--detections",
    type=click.Path(path_type=Path),
    help="Folder with raw detections of this model on this data set; a split whose file is not there is detected.",
)
@click.option(
    "--trained-on",
    multiple=True,
    help="What the weights were trained on: a data set folder, coco, coco/train2017 or coco/val2017. Repeatable.",
)
@click.option("--sweep", type=click.Path(path_type=Path), help="Folder of `tune`: the report shows its surface.")
@click.option("--engine", default="fast", type=click.Choice(["fast", "pycocotools"]), show_default=True)
@options_of(InferenceOptions)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Evaluation folder to write.")
def command(
    model: Path,
    dataset: Path,
    split: str,
    also: tuple[str, ...],
    confidence_threshold: float,
    iou_threshold: float,
    out: Path,
    **flags: Any,
) -> None:
    """Detect once, compute COCO metrics, write record and report."""
    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate

    nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
    inference, inputs = taken_from(flags, InferenceOptions), taken_from(flags, EvaluationInputs)
    evaluated = evaluate(model, dataset, out, split=split, also=also, nms=nms, inference=inference, inputs=inputs)
    click.echo(evaluated.markdown)
    click.echo(f"report {out / 'report.html'}")
