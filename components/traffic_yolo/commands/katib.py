"""`traffic-yolo katib`: checks Katib Experiments, and runs them without Katib."""

from functools import partial
from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import MOUNT, READ, WRITE

IGNORE = click.option(
    "--ignore",
    multiple=True,
    metavar="RULE",
    help="A rule that does not count, by the name in brackets at the end of a finding; may be repeated.",
)


@click.group()
def command() -> None:
    """Katib Experiments: check them, run them on this machine."""


@command.command()
@click.argument("file", type=READ)
@click.option("--old", type=READ, help="The experiment that FILE would replace, as kubectl get -o yaml prints it.")
@click.option("--kubernetes-version", default="1.30", show_default=True, help="Whose schemas judge the trial's Job.")
@IGNORE
@json_option
@click.pass_context
def check(
    ctx: click.Context, file: str, old: str | None, kubernetes_version: str, ignore: tuple[str, ...], as_json: bool
) -> None:
    """Say what Katib, Kubernetes and the trial's shell would make of the Experiment in FILE.

    Exit code 0: no errors (warnings are allowed), 1: errors, 2: the command was wrong.
    """
    from traffic_yolo.katib.check.check import check_file

    report = check_file(file, old=old, kubernetes=kubernetes_version, ignore=ignore)
    print_result(report.to_text(), report.to_json(), as_json=as_json)
    ctx.exit(report.exit_code)


@command.command()
@json_option
def rules(as_json: bool) -> None:
    """List the rules of `check`: how grave, and who else would have noticed."""
    from traffic_yolo.katib.check.check import rules_text, rules_values

    print_result(rules_text(), {"rules": rules_values()}, as_json=as_json)


@command.command()
@click.argument("file", type=READ)
@click.option("--out", required=True, type=WRITE, help="Folder of the run: journal, trials, results.")
@click.option("--nas-root", type=WRITE, help="Folder here that stands for the volumes of the trial's container.")
@click.option(
    "--mount", "mounts", multiple=True, type=MOUNT, help="/PATH/IN/POD=FOLDER for a single volume; may be repeated."
)
@IGNORE
@json_option
def run(
    file: str, out: Path, nas_root: Path | None, mounts: tuple[str, ...], ignore: tuple[str, ...], as_json: bool
) -> None:
    """Run the Experiment in FILE on this machine, by Katib's rules; the same command again goes on after a kill.

    Exit code 0: succeeded, 1: too many trials failed, 2: it cannot be run, 130: interrupted, 143: ended by SIGTERM.
    """
    tell = partial(click.echo, err=as_json)
    try:
        from traffic_yolo.katib.run.results import result_values, results_of, summary_text, write_results
        from traffic_yolo.katib.run.runner import open_run
        from traffic_yolo.terminations import Terminated

        local = open_run(file, out, nas_root=nas_root, mounts=mounts, ignore=ignore, tell=tell)
    except KeyboardInterrupt:
        tell("interrupted before any trial was started")
        raise SystemExit(130) from None
    try:
        over = local.run()
    except KeyboardInterrupt as interrupt:
        write_results(local, None)
        tell("interrupted: trials that were running will be run again; the same command goes on")
        raise SystemExit(143 if isinstance(interrupt, Terminated) else 130) from None
    write_results(local, over)
    text = "\n".join([summary_text(local, over), *map(str, results_of(out))])
    print_result(text, result_values(local, over), as_json=as_json)
    raise SystemExit(0 if over.condition == "Succeeded" else 1)
