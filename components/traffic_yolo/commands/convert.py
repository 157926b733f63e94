"""`traffic-yolo convert`."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import KEEP, READ, WRITE
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import DataPolicy, with_flags
from traffic_yolo.errors import OptionsError


@click.command()
@step_options(ConvertOptions, DataPolicy)
@click.option("--snapshot", type=READ, help="Snapshot of the source, kept in the manifest.")
@click.option("--snapshot-cache", default="", type=KEEP, help="Its --cache: files that it knows are not read again.")
@click.option("--shard", default="", help="Write only part K of N (K/N, from 1), for merge-shards to put together.")
@click.option("--processes", default=0, show_default=True, help="Processes side by side; 0: one a core.")
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
def command(snapshot: str | None, snapshot_cache: str, shard: str, processes: int, out: Path, **options: Any) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set."""
    from traffic_yolo.dataset.convert import SnapshotToMatch, convert
    from traffic_yolo.dataset.shards import Shard, convert_shard

    context = click.get_current_context()
    flags = {name: options.pop(name) for name in DataPolicy.__dataclass_fields__}
    given = {name: flags[name] for name in flags if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    options["policy"] = with_flags(options["policy"], given)
    if shard:
        listed = SnapshotToMatch(snapshot, cache=snapshot_cache) if snapshot else None
        click.echo(convert_shard(ConvertOptions(**options), out, Shard.parse(shard), snapshot=listed).text)
        return
    if snapshot_cache and not snapshot:
        raise OptionsError("snapshot_cache is the cache of a snapshot: give --snapshot too, or leave it out")
    summary = convert(
        ConvertOptions(**options),
        out,
        snapshot_path=snapshot,
        snapshot_cache=snapshot_cache,
        processes=processes,
    )
    click.echo(summary.text)
    click.echo(f"report {out / 'report.html'}")
