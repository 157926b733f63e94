"""`traffic-yolo detect`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.detection.detect_options import DetectOptions
from traffic_yolo.detection.inference_options import InferenceOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--split", default="test", show_default=True, help="Split to detect on.")
@click.option("--out", required=True, type=WRITE, help="File of raw detections to write.")
@step_options(InferenceOptions, DetectOptions)
@json_option
def command(model: str, dataset: str, split: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Run the network once over a split and keep every box above the floor, before NMS."""
    from traffic_yolo.detection.detect_step import detect_file

    inference = values_of(InferenceOptions, flags)
    found = detect_file(model, dataset, split, out, values_of(DetectOptions, flags), inference)
    protocol = found.protocol
    values: dict[str, Any] = {"out": out, "pictures": len(found), "boxes": len(found.boxes_xyxy)}
    values |= {"scores": len(found.scores)}
    values |= {name: getattr(protocol, name) for name in ("confidence_floor", "runtime", "precision")}
    text = (
        f"{len(found)} pictures, {len(found.boxes_xyxy)} boxes, {len(found.scores)} scores above "
        f"{protocol.confidence_floor:g}, by {protocol.runtime} in {protocol.precision}: {out}"
    )
    print_result(text, values, as_json=as_json)
