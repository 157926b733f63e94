"""`traffic-yolo compare`."""

from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE


@click.command()
@click.argument("first", type=READ)
@click.argument("second", type=READ)
@click.option("--dataset", required=True, type=READ, help="Data set folder, for the true boxes.")
@click.option("--json-file", "out", type=WRITE, help="Also write the comparison to this file.")
@click.option("--html", "html_path", type=WRITE, help="Also write a page to this file.")
@json_option
def command(first: str, second: str, dataset: str, out: Path | None, html_path: Path | None, as_json: bool) -> None:
    """Say whether the model evaluated in SECOND is better than that in FIRST, with intervals."""
    from traffic_yolo.evaluation.compare import compare
    from traffic_yolo.evaluation.compare_page import write_comparison
    from traffic_yolo.storage import write_json

    comparison = compare(first, second, dataset)
    print_result(comparison.text, comparison.document(), as_json=as_json)
    if out:
        write_json(out, comparison.document())
    if html_path:
        click.echo(f"page {write_comparison(html_path, comparison, first, second, dataset)}", err=as_json)
