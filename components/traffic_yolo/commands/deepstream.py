"""`traffic-yolo deepstream`: configurations of nvinfer and deepstream-app."""

import json

import click

from traffic_yolo.commands.location_types import READ


@click.group()
def command() -> None:
    """DeepStream's configurations: write them, look at anyone's, run them on a GPU node."""


@command.command()
@click.argument("file", type=READ)
@click.option("--model", type=READ, help="Folder of the model that it shall run, to compare with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def lint(ctx: click.Context, file: str, model: str | None, as_json: bool) -> None:
    """Say what nvinfer or deepstream-app would make of FILE, .txt or YAML, anyone's.

    With a file of deepstream-app, those that nvinfer reads for it are looked at too. Exit code 0: no errors (warnings
    are allowed), 1: errors, 2: the command was wrong, or the file is neither's.
    """
    from traffic_yolo.deepstream.lint import lint as lint_file

    report = lint_file(file, model=model)
    click.echo(json.dumps(report.to_json(), indent=1, ensure_ascii=False) if as_json else report.to_text())
    ctx.exit(report.exit_code)
