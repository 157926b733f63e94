"""`traffic-yolo detect`."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.detection.detect_options import DetectOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--split", default="test", show_default=True, help="Split to detect on.")
@click.option("--out", required=True, type=WRITE, help="File of raw detections to write.")
@options_of(DetectOptions)
@options_of(RuntimeOptions)
def command(model: str, dataset: str, split: str, out: Path, **flags: Any) -> None:
    """Run the network once over a split and keep every box above the floor, before NMS."""
    from traffic_yolo.detection.detect_step import detect_file

    options = DetectOptions(**{field.name: flags[field.name] for field in dataclasses.fields(DetectOptions)})
    runtime = RuntimeOptions(**{field.name: flags[field.name] for field in dataclasses.fields(RuntimeOptions)})
    found = detect_file(model, dataset, split, out, options, runtime)
    protocol = found.protocol
    click.echo(
        f"{len(found)} pictures, {len(found.boxes_xyxy)} boxes, {len(found.scores)} scores above "
        f"{protocol.confidence_floor:g}, by {protocol.runtime} in {protocol.precision}: {out}"
    )
