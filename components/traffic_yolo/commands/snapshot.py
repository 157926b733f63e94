"""`traffic-yolo snapshot`."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.errors import OptionsError
from traffic_yolo.snapshot.changes import GateOptions
from traffic_yolo.snapshot.options import SnapshotOptions


@click.command()
@step_options(SnapshotOptions, GateOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Snapshot file to write (JSON).")
@click.option("--read-all", is_flag=True, help="Read every file, whatever the cache says, and keep no cache.")
@click.option("--changes", type=WRITE, help="File for what is new (JSON).")
@click.option("--gate-file", type=WRITE, help="File for the gate's word alone.")
def command(
    out: Path, read_all: bool, changes: Path | None, gate_file: Path | None, as_json: bool, **flags: Any
) -> None:
    """List what lies on a share, with checksums, and say what is new.

    The gate is `new` (a threshold is reached), `too_few`, or `unchanged`.
    """
    from traffic_yolo.snapshot.changes import compare, gate
    from traffic_yolo.snapshot.snapshot import load_snapshot, look_at, refuse_inside, write_snapshot
    from traffic_yolo.storage import write_json, write_text

    options, thresholds = values_of(SnapshotOptions, flags), values_of(GateOptions, flags)
    for what, path in (("--out", out), ("--changes", changes), ("--gate-file", gate_file)):
        refuse_inside(options.source, str(path or ""), what=what)
    if options.snapshot_cache and read_all:
        raise OptionsError("--read-all keeps no cache: leave out --cache")
    earlier = load_snapshot(options.previous) if options.previous else None
    kept = "" if read_all else options.snapshot_cache or str(out.with_name(f".{out.name}.cache"))
    taken = look_at(dataclasses.replace(options, snapshot_cache=kept))
    write_snapshot(out, taken)
    found = compare(earlier, taken)
    word = gate(found, thresholds)
    if changes:
        write_json(changes, {**found.as_json(), "gate": word})
    if gate_file:
        write_text(gate_file, f"{word}\n")
    notes = [f"{name}: {reason}" for name, reason in (*taken.skipped, *taken.totals.unreadable)]
    lines = [taken.summary, found.summary, *(f"note: {note}" for note in notes)]
    lines += [f"gate {word}", f"fingerprint {taken.fingerprint}"]
    values = {"out": out, "fingerprint": taken.fingerprint, "gate": word, "changes": found.as_json(), "notes": notes}
    print_result("\n".join(lines), values, as_json=as_json)
