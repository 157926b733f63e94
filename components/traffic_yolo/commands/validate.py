"""`traffic-yolo validate`."""

from pathlib import Path

import click


@click.command()
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Model folder.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@click.option("--tuning", required=True, type=click.Path(path_type=Path), help="Folder of `tune`.")
@click.option("--split", default="test", show_default=True, help="Split that is compared.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Validation folder to write.")
def command(model: Path, dataset: Path, tuning: Path, split: str, out: Path) -> None:
    """Check that DeepStream's rules leave the model's results as they are."""
    from traffic_yolo.deepstream.validate import validate

    click.echo(validate(model, dataset, tuning / "operating_point.json", out, split=split).text)
    click.echo(f"report {out / 'report.html'}")
