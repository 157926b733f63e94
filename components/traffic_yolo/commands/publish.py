"""`traffic-yolo publish`."""

from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import READ
from traffic_yolo.registry.options import PublishOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@click.option("--validation", required=True, type=READ, help="Folder of `validate`.")
@step_options(PublishOptions)
def command(model: str, evaluation: str, tuning: str, validation: str, **flags: Any) -> None:
    """Put a checked bundle into the model zoo and a record into its ledger."""
    from traffic_yolo.registry.zoo import publish

    options = PublishOptions(**flags)
    published = publish(
        model=model,
        evaluation=evaluation,
        tuning=tuning,
        validation=validation,
        zoo=options.zoo,
        name=options.model_name,
    )
    click.echo(published.text)
