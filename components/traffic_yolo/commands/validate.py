"""`traffic-yolo validate`."""

from pathlib import Path

import click

from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@click.option("--split", default="test", show_default=True, help="Split that is compared.")
@click.option("--out", required=True, type=WRITE, help="Validation folder to write.")
def command(model: str, dataset: str, tuning: str, split: str, out: Path) -> None:
    """Check that DeepStream's rules leave the model's results as they are."""
    from traffic_yolo.deepstream.validate import validate
    from traffic_yolo.storage import existing_folder

    point = existing_folder(tuning, what="tuning folder") / "operating_point.json"
    click.echo(validate(model, dataset, point, out, split=split).text)
    click.echo(f"report {out / 'report.html'}")
