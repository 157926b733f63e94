"""`traffic-yolo compress run`: the pipeline that makes a model smaller, on this machine, with the flags of its form."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.form_flags import PipelineForm
from traffic_yolo.commands.json_result import json_option
from traffic_yolo.commands.local_pipeline import run_here
from traffic_yolo.commands.location_types import WRITE


def run_command(name: str, about: str) -> click.Command:
    """The command of a name and a help text; loads kfp, of which the form is made."""
    form = PipelineForm.of("compress")

    def run(out: Path, gpus: int, as_json: bool, **flags: Any) -> None:
        run_here(replace(form.ready_here(flags, gpus, out), as_json=as_json), out)

    made: Any = json_option(form.flags(run))
    made = click.option(
        "--gpus", default=0, show_default=True, help="GPUs of the task that trains, which fails where it sees none."
    )(made)
    made = click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs.")(made)
    return click.command(name, help=about)(made)
