"""`traffic-yolo export`."""

from pathlib import Path

import click


@click.command()
@click.option("--run", "run_folder", required=True, type=click.Path(path_type=Path), help="Training run folder.")
@click.option("--dataset", type=click.Path(path_type=Path), help="Data set whose pictures check the ONNX file.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Model folder to write.")
def command(run_folder: Path, dataset: Path | None, out: Path) -> None:
    """Write the Darknet pair and the ONNX file of a training run."""
    from traffic_yolo.export.export_model import export_model

    summary = export_model(run_folder, out, dataset=dataset)
    click.echo(summary.text)
