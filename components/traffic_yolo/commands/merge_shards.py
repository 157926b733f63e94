"""`traffic-yolo merge-shards`."""

from pathlib import Path

import click


@click.command()
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Data set folder to write.")
def command(shards: tuple[Path, ...], out: Path) -> None:
    """Make the data set of the folders that `convert --shard K/N` wrote: the same bytes as without shards."""
    from traffic_yolo.dataset.shards import merge_shards

    click.echo(merge_shards(shards, out).text)
    click.echo(f"report {out / 'report.html'}")
