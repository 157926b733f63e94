"""`traffic-yolo validate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of, taken_from
from traffic_yolo.detection.inference_options import InferenceOptions


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@click.option("--tuning", required=True, type=click.Path(path_type=Path), help="Folder of `tune`.")
@click.option("--split", default="test", show_default=True, help="Split that is compared.")
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Folder of `evaluate` with raw detections of this model on the split, which saves the inference.",
)
@options_of(InferenceOptions)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Validation folder to write.")
def command(
    model: Path, dataset: Path, tuning: Path, split: str, evaluation: Path | None, out: Path, **flags: Any
) -> None:
    """Check that DeepStream's rules leave the model's results as they are."""
    from traffic_yolo.deepstream.validate import validate

    point, inference = tuning / "operating_point.json", taken_from(flags, InferenceOptions)
    validated = validate(model, dataset, point, out, split=split, evaluation=evaluation, inference=inference)
    click.echo(validated.text)
    click.echo(f"report {out / 'report.html'}")
