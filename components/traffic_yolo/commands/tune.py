"""`traffic-yolo tune`."""

from pathlib import Path

import click


@click.command()
@click.option("--evaluation", required=True, type=click.Path(path_type=Path), help="Folder of `evaluate`.")
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder, for the true boxes.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Tuning folder to write.")
def command(evaluation: Path, dataset: Path, out: Path) -> None:
    """Choose confidence and IoU threshold from raw detections."""
    from traffic_yolo.tuning.tune import tune

    click.echo(tune(evaluation, dataset, out).text)
    click.echo(f"report {out / 'report.html'}")
