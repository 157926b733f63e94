"""`traffic-yolo log`."""

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ
from traffic_yolo.errors import OptionsError
from traffic_yolo.tracking.programs import PROGRAMS, check_program


@click.command()
@click.argument("folders", type=READ, nargs=-1, required=True, metavar="FOLDER...")
@click.option("--program", type=click.Choice(PROGRAMS), default=PROGRAMS[0], show_default=True, help="Which program.")
@click.option("--run-id", default="", help="A run that is there, such as a training's; by default a new one.")
@click.option("--run-name", default="", help="Name of the new run; by default that of the first argument.")
@json_option
def command(folders: tuple[str, ...], program: str, run_id: str, run_name: str, as_json: bool) -> None:
    """Tell MLflow what steps left: their numbers, what moved them, and their reports, in one run.

    FOLDER: what train, evaluate, tune, validate or publish (a bundle of the zoo) left. MLFLOW_TRACKING_URI names the
    server, MLFLOW_EXPERIMENT_NAME the experiment (traffic-yolo). The last line on stdout is the run's id.
    """
    if run_id and run_name:
        raise OptionsError("--run-name: the run of --run-id has a name; leave one of the two out")
    check_program(program)
    from traffic_yolo.tracking.step_numbers import read_step

    steps = [read_step(folder) for folder in folders]
    names = [step.step for step in steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionsError(
            f"FOLDER: two folders of {twice[0]} have the same names in one run; give each a run of its own"
        )
    from traffic_yolo.tracking.mlflow_run import tell_mlflow

    told = tell_mlflow(steps, run_id=run_id, run_name=run_name)
    lines = [f"{step.step}: {len(step.metrics)} numbers, {len(step.files)} files of {step.folder}" for step in steps]
    numbers = {name: value for step in steps for name, value in step.metrics.items()}
    print_result("\n".join([*lines, told]), {"run_id": told, "metrics": numbers}, as_json=as_json)
