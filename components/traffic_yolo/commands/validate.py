"""`traffic-yolo validate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.deepstream.options import ValidateOptions
from traffic_yolo.detection.inference_options import InferenceOptions


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@click.option("--tuning", required=True, type=click.Path(path_type=Path), help="Folder of `tune`.")
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Folder of `evaluate` with raw detections of this model on the split, which saves the inference.",
)
@step_options(ValidateOptions, InferenceOptions)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Validation folder to write.")
def command(
    model: Path, dataset: Path, tuning: Path, evaluation: Path | None, out: Path, **flags: Any
) -> None:
    """Check that DeepStream's rules leave the model's results as they are."""
    from traffic_yolo.deepstream.validate import validate

    options, inference = values_of(ValidateOptions, flags), values_of(InferenceOptions, flags)
    validated = validate(
        model,
        dataset,
        tuning / "operating_point.json",
        out,
        split=options.split,
        evaluation=evaluation,
        inference=inference,
        require_parity=options.require_parity,
    )
    click.echo(validated.text)
    click.echo(f"report {out / 'report.html'}")
