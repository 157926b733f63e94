"""`traffic-yolo compare`."""

from pathlib import Path

import click


@click.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder, for the true boxes.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Also write the comparison to this file.")
def command(first: Path, second: Path, dataset: Path, out: Path | None) -> None:
    """Say whether the model evaluated in SECOND is better than that in FIRST, with intervals."""
    from traffic_yolo.evaluation.compare import compare
    from traffic_yolo.storage import write_json

    comparison = compare(first, second, dataset)
    click.echo(comparison.text)
    if out:
        write_json(out, comparison.document())
