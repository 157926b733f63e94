"""`traffic-yolo merge-detections`."""

from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.argument("shards", nargs=-1, required=True, type=READ)
@click.option("--out", required=True, type=WRITE, help="File of raw detections to write.")
@json_option
def command(shards: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Join the SHARDS that `detect --shard` wrote into the file of one run."""
    from traffic_yolo.detection.merge import merge_detections

    merged = merge_detections(shards, out)
    values = {"out": out, "pictures": len(merged), "boxes": len(merged.boxes_xyxy)}
    print_result(f"{len(merged)} pictures, {len(merged.boxes_xyxy)} boxes: {out}", values, as_json=as_json)
