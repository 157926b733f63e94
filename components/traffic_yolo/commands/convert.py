"""`traffic-yolo convert`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import DataPolicy, with_flags


@click.command()
@options_of(ConvertOptions)
@options_of(DataPolicy)
@click.option("--snapshot", type=click.Path(path_type=Path), help="Snapshot of the source, kept in the manifest.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Data set folder to write.")
def command(snapshot: Path | None, out: Path, **options: Any) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set."""
    from traffic_yolo.dataset.convert import convert

    flags = {name: options.pop(name) for name in DataPolicy.__dataclass_fields__}
    options["policy"] = with_flags(options["policy"], flags)
    summary = convert(ConvertOptions(**options), out, snapshot_path=snapshot)
    click.echo(summary.text)
    click.echo(f"report {out / 'report.html'}")
