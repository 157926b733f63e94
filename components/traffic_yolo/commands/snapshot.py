"""`traffic-yolo snapshot`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import KEEP, READ, WRITE
from traffic_yolo.errors import OptionsError
from traffic_yolo.snapshot.changes import GateOptions
from traffic_yolo.snapshot.snapshot import DEFAULT_JOBS


@click.command()
@click.option(
    "--source", required=True, type=READ, help="Folder of recordings, or a data set: a path, file://, nas:// or s3://."
)
@click.option("--labels", default="", type=READ, help="Label file or folder that belongs to the source.")
@click.option(
    "--layout", default="", type=READ, help="Layout of the recordings, a name or a YAML file; empty: each file's own."
)
@click.option("--previous", default="", type=READ, help="Snapshot to compare with: a path, nas:// or s3://.")
@click.option("--out", required=True, type=WRITE, help="Snapshot file to write (JSON).")
@click.option(
    "--cache", default="", type=KEEP, help="File that keeps checksums between looks; by default it lies beside --out."
)
@click.option("--read-all", is_flag=True, help="Read every file, whatever the cache says, and keep no cache.")
@click.option(
    "--settle-s", default=0.0, show_default=True, help="Leave out recordings written to within so many seconds."
)
@click.option("--jobs", default=DEFAULT_JOBS, show_default=True, help="Files read at the same time.")
@click.option("--changes", type=WRITE, help="File for what is new (JSON).")
@click.option("--gate", "gate_file", type=WRITE, help="File for the gate's word alone.")
@options_of(GateOptions)
def command(
    source: str,
    labels: str,
    layout: str,
    previous: str,
    out: Path,
    cache: str,
    read_all: bool,
    settle_s: float,
    jobs: int,
    changes: Path | None,
    gate_file: Path | None,
    **thresholds: Any,
) -> None:
    """List what lies on a share, with checksums, and say what is new.

    The gate is `new` (a threshold is reached), `too_few`, or `unchanged`.
    """
    from traffic_yolo.snapshot.changes import compare, gate
    from traffic_yolo.snapshot.snapshot import load_snapshot, refuse_inside, take_snapshot, write_snapshot
    from traffic_yolo.storage import write_json, write_text

    options = GateOptions(**thresholds)
    for what, path in (("--out", out), ("--changes", changes), ("--gate", gate_file)):
        refuse_inside(source, str(path or ""), what=what)
    if cache and read_all:
        raise OptionsError("--read-all keeps no cache: leave out --cache")
    earlier = load_snapshot(previous) if previous else None
    kept = "" if read_all else cache or str(out.with_name(f".{out.name}.cache"))
    taken = take_snapshot(source, labels=labels, layout=layout, cache=kept, settle_s=settle_s, jobs=jobs)
    write_snapshot(out, taken)
    found = compare(earlier, taken)
    word = gate(found, options)
    if changes:
        write_json(changes, {**found.as_json(), "gate": word})
    if gate_file:
        write_text(gate_file, f"{word}\n")
    click.echo(taken.summary)
    click.echo(found.summary)
    for name, reason in (*taken.skipped, *taken.totals.unreadable):
        click.echo(f"note: {name}: {reason}")
    click.echo(f"gate {word}")
    click.echo(f"fingerprint {taken.fingerprint}")
