"""`traffic-yolo katib`: checks Katib Experiments, and runs them without Katib."""

import json
from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.group()
def command() -> None:
    """Katib Experiments: check them, run them on this machine."""


@command.command()
@click.argument("file", type=PATH)
@click.option("--old", type=PATH, help="The experiment that FILE would replace, as kubectl get -o yaml prints it.")
@click.option("--kubernetes-version", default="1.30", show_default=True, help="Whose schemas judge the trial's Job.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, file: Path, old: Path | None, kubernetes_version: str, as_json: bool) -> None:
    """Say what Katib, Kubernetes and the trial's shell would make of the Experiment in FILE.

    Exit code 0: no errors (warnings are allowed), 1: errors, 2: the command was wrong.
    """
    from traffic_yolo.tuning.katib_check.check import check_file

    report = check_file(file, old=old, kubernetes=kubernetes_version)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else report.to_text())
    ctx.exit(report.exit_code)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules(as_json: bool) -> None:
    """List the rules of `check`: how grave, and who else would have noticed."""
    from traffic_yolo.tuning.katib_check.check import rules_text, rules_values

    click.echo(json.dumps(rules_values(), indent=1) if as_json else rules_text())
