"""`traffic-yolo snapshot`."""

from pathlib import Path

import click


@click.command()
@click.option("--source", required=True, help="Folder of recordings, or a data set: a path, file:// or nas://.")
@click.option("--labels", default="", help="Label file or folder that belongs to the source.")
@click.option("--previous", type=click.Path(path_type=Path), help="Snapshot to compare with.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Snapshot file to write (JSON).")
def command(source: str, labels: str, previous: Path | None, out: Path) -> None:
    """List what lies on a share, with checksums, and say what is new."""
    from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot

    taken = take_snapshot(source, labels=labels, previous=previous)
    write_snapshot(out, taken)
    click.echo(taken.summary)
    click.echo(f"fingerprint {taken.fingerprint}")
