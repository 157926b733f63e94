"""`traffic-yolo export`."""

import dataclasses
from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.option("--run", "run_folder", required=True, type=READ, help="Training run folder.")
@click.option("--dataset", type=READ, help="Data set whose pictures check the ONNX file.")
@click.option(
    "--check-pictures",
    "pictures",
    type=READ,
    help="Folder of JPEG files that check the ONNX file, without a data set.",
)
@click.option("--out", required=True, type=WRITE, help="Model folder to write.")
@json_option
def command(run_folder: str, dataset: str | None, pictures: str | None, out: Path, as_json: bool) -> None:
    """Write the Darknet pair and the ONNX file of a training run."""
    from traffic_yolo.export.export_model import export_model

    summary = export_model(run_folder, out, dataset=dataset, pictures=pictures)
    print_result(summary.text, dataclasses.asdict(summary), as_json=as_json)
