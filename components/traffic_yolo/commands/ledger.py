"""`traffic-yolo ledger`."""

import click

from traffic_yolo.errors import OptionsError


@click.group()
def command() -> None:
    """Compare the models of a zoo in one table."""


@command.command()
@click.option("--zoo", required=True, help="Folder of the model zoo: a path, file:// or nas://.")
@click.option("--format", "form", type=click.Choice(["markdown", "html", "csv"]), default="markdown", show_default=True)
def table(zoo: str, form: str) -> None:
    """Print every record of the zoo's ledger, grouped by what makes them comparable."""
    from traffic_yolo.registry.ledger import LedgerTable

    renderers = {"markdown": "markdown", "html": "html", "csv": "csv"}
    if form not in renderers:
        raise OptionsError(f"unknown format {form!r}")
    click.echo(getattr(LedgerTable.read(zoo), renderers[form])())
