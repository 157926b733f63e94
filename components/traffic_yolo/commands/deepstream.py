"""`traffic-yolo deepstream`: configurations of nvinfer and deepstream-app."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.deepstream.config.options import AppOptions, ConfigOptions
from traffic_yolo.deepstream.run.options import GpuRunOptions


@click.group()
def command() -> None:
    """DeepStream's configurations: write them, look at anyone's, run them on a GPU node."""


@command.command()
@click.argument("file", type=READ)
@click.option("--model", type=READ, help="Folder of the model that it shall run, to compare with.")
@json_option
@click.pass_context
def lint(ctx: click.Context, file: str, model: str | None, as_json: bool) -> None:
    """Say what nvinfer or deepstream-app would make of FILE, .txt or YAML, anyone's.

    With a file of deepstream-app, those that nvinfer reads for it are looked at too. Exit code 0: no errors (warnings
    are allowed), 1: errors, 2: the command was wrong, or the file is neither's.
    """
    from traffic_yolo.deepstream.config.lint import lint as lint_file

    report = lint_file(file, model=model)
    print_result(report.to_text(), report.to_json(), as_json=as_json)
    ctx.exit(report.exit_code)


@command.command()
@click.option("--model", required=True, type=READ, help="Model folder or bundle.")
@click.option("--tuning", type=READ, help="Folder of `tune`, for the thresholds [default: those of the bundle].")
@step_options(ConfigOptions, AppOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
def config(model: str, tuning: str | None, out: Path, as_json: bool, **flags: Any) -> None:
    """Write what DeepStream needs to run a model: nvinfer's file and an application's, each value with its reason."""
    from traffic_yolo.deepstream.deployment import write_deployment

    options, app = values_of(ConfigOptions, flags), values_of(AppOptions, flags)
    made = write_deployment(model, out, options, app, tuning=tuning)
    values = {"out": out, "nvinfer": made.nvinfer, "app": made.app, "lint": made.lint.to_json()}
    print_result(made.text, values, as_json=as_json)


@command.command()
@click.option("--model", required=True, type=READ, help="Model folder or bundle.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@step_options(GpuRunOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
def run(model: str, dataset: str, tuning: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Run the real deepstream-app over a split, and compare its boxes with nvinfer's rules simulated.

    Exit code 0: within the limits, 1: beyond them, or of another precision than asked for (what was found is written),
    2: it could not be run, or left no dumps that can be read.
    """
    from traffic_yolo.deepstream.run.gpu_run import run_on_deepstream
    from traffic_yolo.storage import existing_folder

    point = existing_folder(tuning, what="tuning folder") / "operating_point.json"
    ran = run_on_deepstream(model, dataset, point, out, values_of(GpuRunOptions, flags))
    values: dict[str, Any] = {"out": out, "passed": ran.passed, "problems": ran.problems, "precision": ran.precision}
    values |= {"engine": ran.engine, "seconds": ran.seconds, "metrics": ran.metrics, **ran.scalars}
    print_result(ran.text, values, as_json=as_json)
