"""A pipeline that trains and publishes, run on this machine, and what is said at its end."""

import importlib
from pathlib import Path

from traffic_yolo.commands.json_result import all_else_on_stderr
from traffic_yolo.commands.pipeline_door import ReadyPipeline
from traffic_yolo.commands.step_flags import PIPELINES


def run_here(ready: ReadyPipeline, out: Path) -> None:
    """Runs it below the folder `out`, and prints its summary, also where gates stopped it; raises as `run_locally`."""
    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        with all_else_on_stderr(as_json=ready.as_json):
            folder = local_run.run_locally(ready.pipeline, ready.parameters, out).folder
    except local_run.StoppedByGates as error:
        _print_end(error.folder, ready)
        raise
    _print_end(folder, ready)


def _print_end(folder: Path, ready: ReadyPipeline) -> None:
    from traffic_yolo.commands.run_summary import print_run

    print_run(folder, ready.parameters["zoo"], as_json=ready.as_json)
