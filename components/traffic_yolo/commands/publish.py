"""`traffic-yolo publish`."""

from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ
from traffic_yolo.registry.options import PublishOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@click.option("--validation", required=True, type=READ, help="Folder of `validate`.")
@click.option("--dataset", required=True, type=READ, help="Data set folder that the model was evaluated on.")
@step_options(PublishOptions)
@json_option
def command(
    model: str, evaluation: str, tuning: str, validation: str, dataset: str, as_json: bool, **flags: Any
) -> None:
    """Put a checked bundle into the model zoo and a record into its ledger; use it where its gates let it.

    Exit code 1 where a gate failed or could not be decided, unless --on-failed-gate is keep: the version is in the zoo
    then, and not in use.
    """
    options = PublishOptions(**flags)
    from traffic_yolo.registry.zoo import publish

    published = publish(
        model=model,
        evaluation=evaluation,
        tuning=tuning,
        validation=validation,
        dataset=dataset,
        zoo=options.zoo,
        name=options.model_name,
        rules=options.rules,
        statement=options.statement,
    )
    gates = [{"name": gate.name, "verdict": gate.verdict, "text": gate.text} for gate in published.gates]
    told = ("name", "version", "bundle", "is_new", "is_current", "forced", "nothing_new")
    values = {name: getattr(published, name) for name in told}
    print_result(published.text, {**values, "gates": gates}, as_json=as_json)
    published.check(options.on_failed_gate)
