"""`traffic-yolo convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import KEEP, READ, WRITE
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.policy import DataPolicy, with_flags
from traffic_yolo.errors import OptionsError

if TYPE_CHECKING:
    from traffic_yolo.dataset.convert import ConvertSummary


@click.command()
@step_options(ConvertOptions, DataPolicy)
@click.option("--snapshot", type=READ, help="Snapshot of the source, kept in the manifest.")
@click.option("--snapshot-cache", default="", type=KEEP, help="Its --cache: files that it knows are not read again.")
@click.option("--shard", default="", help="Write only part K of N (K/N, from 1), for merge-shards to put together.")
@click.option("--processes", default=0, show_default=True, help="Processes side by side; 0: one a core.")
@json_option
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
def command(
    snapshot: str | None, snapshot_cache: str, shard: str, processes: int, out: Path, as_json: bool, **options: Any
) -> None:
    """Make a COCO + YOLO data set of recordings or of another data set."""
    from traffic_yolo.dataset.convert import SnapshotToMatch, convert
    from traffic_yolo.dataset.folder.shards import Shard, convert_shard

    context = click.get_current_context()
    flags = {name: options.pop(name) for name in DataPolicy.__dataclass_fields__}
    given = {name: flags[name] for name in flags if context.get_parameter_source(name) != ParameterSource.DEFAULT}
    options["policy"] = with_flags(options["policy"], given)
    if shard:
        listed = SnapshotToMatch(snapshot, cache=snapshot_cache) if snapshot else None
        part = convert_shard(ConvertOptions(**options), out, Shard.parse(shard), snapshot=listed)
        values = {"out": out, "shard": str(part.shard), "pictures": part.num_pictures}
        print_result(part.text, values, as_json=as_json)
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
    print_result(f"{summary.text}\nreport {out / 'report.html'}", summary_values(summary, out), as_json=as_json)


def summary_values(summary: "ConvertSummary", out: Path) -> dict[str, Any]:
    """A data set that was made, as values of JSON."""
    made = {"fingerprint": summary.fingerprint, "counts": summary.counts, "notes": summary.notes}
    return {"out": out, **made, "report": out / "report.html"}
