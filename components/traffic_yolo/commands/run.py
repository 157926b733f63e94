"""`traffic-yolo run`: the whole pipeline, on this machine or on a cluster."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.local_pipeline import run_here
from traffic_yolo.commands.pipeline_door import Where, begin, run_options
from traffic_yolo.commands.step_flags import STEPS, flags_of_steps


@click.command()
@run_options
@flags_of_steps
@click.pass_context
def command(context: click.Context, /, where: Where, out: Path, experiment: str, **flags: Any) -> None:
    """Run the whole pipeline on this machine, or submit it to Kubeflow."""
    ready = begin(context, "finetune", STEPS, flags, where=where, out=out, experiment=experiment)
    if ready is not None:
        run_here(ready, out)
