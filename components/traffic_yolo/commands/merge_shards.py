"""`traffic-yolo merge-shards`."""

from pathlib import Path

import click

from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.argument("shards", nargs=-1, required=True, type=READ)
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
def command(shards: tuple[str, ...], out: Path) -> None:
    """Make the data set of the folders that `convert --shard K/N` wrote: the same bytes as without shards."""
    from traffic_yolo.dataset.shards import merge_shards

    click.echo(merge_shards(shards, out).text)
    click.echo(f"report {out / 'report.html'}")
