"""`traffic-yolo merge-shards`."""

from pathlib import Path

import click

from traffic_yolo.commands.convert import summary_values
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.argument("shards", nargs=-1, required=True, type=READ)
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
@json_option
def command(shards: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Make the data set of the folders that `convert --shard K/N` wrote: the same bytes as without shards."""
    from traffic_yolo.dataset.folder.shards import merge_shards

    summary = merge_shards(shards, out)
    print_result(f"{summary.text}\nreport {out / 'report.html'}", summary_values(summary, out), as_json=as_json)
