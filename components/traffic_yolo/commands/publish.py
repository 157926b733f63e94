"""`traffic-yolo publish`."""

import click

from traffic_yolo.commands.location_types import READ, WRITE_TEXT


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@click.option("--validation", required=True, type=READ, help="Folder of `validate`.")
@click.option("--zoo", required=True, type=WRITE_TEXT, help="Folder of the model zoo: a path, file:// or nas://.")
@click.option("--model-name", default="traffic-small", show_default=True, help="Name of the model in the zoo.")
def command(model: str, evaluation: str, tuning: str, validation: str, zoo: str, model_name: str) -> None:
    """Put a checked bundle into the model zoo and a record into its ledger."""
    from traffic_yolo.registry.zoo import publish

    published = publish(
        model=model, evaluation=evaluation, tuning=tuning, validation=validation, zoo=zoo, name=model_name
    )
    click.echo(published.text)
