"""`traffic-yolo storage`: list, fetch, put, verify and sync files of any scheme; collect in a store of data sets."""

import dataclasses
from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import KEEP, READ, WRITE, WRITE_TEXT
from traffic_yolo.errors import ChecksumError, NotFoundError, OptionsError, StorageError
from traffic_yolo.messages import shown as shown_value

LOCATION = "a path, file://, nas:// or s3://"
OLDER_THAN = "30d"
UNITS_S = {"d": 24 * 3600.0, "h": 3600.0}
MOST_DIGITS = 6


@click.group()
def command() -> None:
    """List, fetch, put, verify and sync files: paths, nas:// and s3:// alike. Collect what a data store can miss.

    docs/storage.md lists the environment variables of object storage.
    """


@command.command("ls")
@click.argument("location", type=KEEP)
@click.option("--long", "-l", "is_long", is_flag=True, help="Size in bytes, time (UTC), name.")
@json_option
def list_command(location: str, is_long: bool, as_json: bool) -> None:
    """List what lies below LOCATION, one name a line; what is left out goes to stderr with its reason."""
    from datetime import UTC, datetime

    from traffic_yolo.storage import exists, list_files, shown

    if not exists(location):
        raise NotFoundError(f"{shown(location)}: nothing lies there")
    listing = list_files(location, was_there=True)
    if as_json:
        files = [{"name": file.name, "size": file.size, "modified_ns": file.modified_ns} for file in listing.files]
        print_json({"location": location, "files": files, "left_out": dict(listing.skipped)})
        return
    for file in listing.files:
        time = datetime.fromtimestamp(file.modified_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(f"{file.size:>14} {time} {shown(file.name)}" if is_long else shown(file.name))
    for name, reason in listing.skipped:
        click.echo(f"left out: {name}: {reason}", err=True)


@command.command("fetch")
@click.argument("location", type=KEEP)
@click.option("--out", type=WRITE, help="File to write; by default the local cache keeps it.")
@click.option("--sha256", default="", help="Checksum that the content must have.")
@json_option
def fetch_command(location: str, out: Path | None, sha256: str, as_json: bool) -> None:
    """Copy one file or object to this machine, checked, and print its path."""
    from traffic_yolo.storage import fetch

    path = fetch(location, to=out, sha256=sha256)
    print_result(str(path), {"location": location, "path": path}, as_json=as_json)


@command.command("put")
@click.argument("source", type=READ)
@click.argument("location", type=KEEP)
@click.option("--new", "is_new", is_flag=True, help="Fail where something lies there already.")
@json_option
def put_command(source: str, location: str, is_new: bool, as_json: bool) -> None:
    """Write the file SOURCE of this machine to LOCATION, whole or not at all, and print its SHA-256."""
    from traffic_yolo.storage import put, put_new, read

    stored = put_new(location, read(source)) if is_new else put(location, source)
    print_result(f"{stored.sha256}  {location}", {"location": location, "sha256": stored.sha256}, as_json=as_json)


@command.command("verify")
@click.argument("location", type=KEEP)
@click.option("--sha256", default="", help="Checksum that one file must have.")
@click.option("--snapshot", "snapshot_location", default="", type=READ, help="Snapshot that a folder is held to.")
@json_option
def verify_command(location: str, sha256: str, snapshot_location: str, as_json: bool) -> None:
    """Read what lies at LOCATION wholly and compare checksums.

    One file is held to --sha256 or, in object storage, to the checksum stored with it; a folder to --snapshot, to what
    a sync noted there, or to the objects' own checksums. Exit code 2 where anything is missing or wrong.
    """
    from traffic_yolo.storage import list_files, shown, stat, verify

    if sha256 and snapshot_location:
        raise OptionsError("give --sha256 for one file, or --snapshot for a folder")
    if not snapshot_location and stat(location) is not None:
        checked = verify(location, sha256=sha256)
        stored = stat(location)
        known = "as expected" if sha256 or (stored and stored.sha256) else "nothing to compare with"
        values = {"location": location, "sha256": checked.sha256, "known": known}
        print_result(f"{checked.sha256}  {shown(location)}: {known}", values, as_json=as_json)
        return
    if sha256:
        raise OptionsError(f"{shown(location)}: --sha256 goes with one file; give --snapshot for a folder")
    names = [file.name for file in list_files(location).files]
    wrong = _verify_folder(location, snapshot_location, names, as_json=as_json)
    if wrong:
        raise ChecksumError(f"{shown(location)}: {wrong} files are missing or wrong")


def _verify_folder(location: str, snapshot_location: str, names: list[str], *, as_json: bool) -> int:
    """Prints a line for each file that is missing or wrong, and a summary; returns how many they are."""
    from traffic_yolo.progress import progress
    from traffic_yolo.storage import is_s3, join, known_checksums, shown, verify

    expected = _snapshot_checksums(snapshot_location) if snapshot_location else known_checksums(location)
    if not expected and not is_s3(location):
        raise StorageError(f"{shown(location)}: no checksums are known there; give --snapshot")
    wrong = unknown = 0
    for name in progress(sorted({*expected, *names}), description="verify", unit="file"):
        if expected and name not in expected:
            unknown += 1
            continue
        try:
            verify(join(location, name), sha256=expected.get(name, ""))
        except (ChecksumError, NotFoundError) as error:
            wrong += 1
            click.echo(f"WRONG: {error}", err=as_json)
    also = f", {unknown} without a known checksum" if unknown else ""
    right = len({*expected, *names}) - unknown - wrong
    values = {"location": location, "as_expected": right, "wrong": wrong, "unknown": unknown}
    print_result(f"{right} files as expected, {wrong} missing or wrong{also}", values, as_json=as_json)
    return wrong


def _snapshot_checksums(location: str) -> dict[str, str]:
    from traffic_yolo.snapshot.snapshot import LABELS_PREFIX, load_snapshot

    files = load_snapshot(location).files
    return {file.path: file.sha256 for file in files if not file.path.startswith(LABELS_PREFIX)}


@command.command("sync")
@click.argument("source", type=KEEP)
@click.argument("target", type=KEEP)
@click.option("--delete", is_flag=True, help="Remove what an earlier sync put there and SOURCE has no more.")
@click.option("--settle-s", default=0.0, show_default=True, help="Leave out files written to within so many seconds.")
@click.option("--jobs", default=4, show_default=True, help="Files copied at the same time.")
@json_option
def sync_command(source: str, target: str, delete: bool, settle_s: float, jobs: int, as_json: bool) -> None:
    """Copy what is new or other below SOURCE to TARGET. Interrupted, it goes on where it stopped."""
    from traffic_yolo.storage import sync

    report = sync(source, target, delete=delete, settle_s=settle_s, jobs=jobs)
    for name, reason in report.skipped:
        click.echo(f"left out: {name}: {reason}", err=as_json)
    print_result(report.text, dataclasses.asdict(report), as_json=as_json)


@command.command("gc")
@click.option(
    "--data-store", required=True, type=WRITE_TEXT, help="Folder that keeps data sets (convert --data-store)."
)
@click.option("--zoo", "zoos", multiple=True, type=KEEP, help="A model zoo whose data sets stay. Repeatable.")
@click.option("--no-zoo", is_flag=True, help="No zoo has models of these data sets.")
@click.option(
    "--older-than", default=OLDER_THAN, show_default=True, help="How long a data set was not read: days (30d), hours."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
def gc_command(
    data_store: str, zoos: tuple[str, ...], no_zoo: bool, older_than: str, dry_run: bool, as_json: bool
) -> None:
    """Take away data sets that nobody reads or has read for long, and no zoo names; they can be made again.

    Whoever needs one that went makes it again of its source, where that is as it was.
    """
    if bool(zoos) == no_zoo:
        found = "both" if zoos else "neither"
        raise OptionsError(f"give each --zoo whose models were made of these data sets, or --no-zoo; found {found}")
    spared_s = _seconds(older_than)
    from traffic_yolo.dataset.store.collection import Collection
    from traffic_yolo.dataset.store.data_store import DataStore
    from traffic_yolo.registry.published_data import published_data

    spared = {fingerprint: why for zoo in reversed(zoos) for fingerprint, why in published_data(zoo).items()}
    collection = Collection(DataStore(data_store), spared, spared_s)
    gone = []
    for fate in collection.fates() if dry_run else collection.collect():
        click.echo(fate.text, err=as_json)
        gone += [] if fate.stays else [fate.size]
    verb = "would go" if dry_run else "went"
    values = {"gone": len(gone), "bytes": sum(gone), "dry_run": dry_run}
    print_result(f"{len(gone)} data sets, {sum(gone) / 1e9:.3f} GB {verb}", values, as_json=as_json)


def _seconds(duration: str) -> float:
    """Seconds of `30d` or `12h`; `OptionsError` for anything else."""
    number, unit = duration[:-1], duration[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS and unit in UNITS_S):
        raise OptionsError(f"--older-than: expected days or hours, such as 30d or 12h, found {shown_value(duration)}")
    return int(number) * UNITS_S[unit]
