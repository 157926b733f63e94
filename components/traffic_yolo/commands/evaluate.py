"""`traffic-yolo evaluate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.evaluation.options import EvaluateOptions


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@step_options(EvaluateOptions, NmsOptions, InferenceOptions)
@click.option(
    "--detections",
    type=click.Path(path_type=Path),
    help="Folder with raw detections of this model on this data set; a split whose file is not there is detected.",
)
@click.option("--sweep", type=click.Path(path_type=Path), help="Folder of `tune`: the report shows its surface.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Evaluation folder to write.")
def command(
    model: Path, dataset: Path, detections: Path | None, sweep: Path | None, out: Path, **flags: Any
) -> None:
    """Detect once, compute COCO metrics, write record and report."""
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate

    options = values_of(EvaluateOptions, flags)
    inputs = EvaluationInputs(detections, options.trained_on, sweep, options.engine)
    evaluated = evaluate(
        model,
        dataset,
        out,
        split=options.split,
        also=options.also,
        nms=values_of(NmsOptions, flags),
        inference=values_of(InferenceOptions, flags),
        inputs=inputs,
    )
    click.echo(evaluated.markdown)
    click.echo(f"report {out / 'report.html'}")
