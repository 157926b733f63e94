"""`traffic-yolo compress`: smaller models that stay Darknet's."""

import functools
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.tuning.front_options import FrontOptions
from traffic_yolo.tuning.latency_limit import LatencyLimit

RUN, RUN_HELP = "run", "Run the whole pipeline here: prune, train on, judge, validate, publish behind gates."


class _Commands(click.Group):
    """The commands, of which `run` is made of its pipeline's form when it is asked for: that loads kfp."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), RUN])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _run_command() if cmd_name == RUN else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        made = {name: super(_Commands, self).get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(80) if one else RUN_HELP) for name, one in made.items()])


@functools.cache
def _run_command() -> click.Command:
    from traffic_yolo.commands.compress_run import run_command

    return run_command(RUN, RUN_HELP)


@click.group(cls=_Commands)
def command() -> None:
    """Make a model smaller: cfg and weights that Darknet, OpenCV and DeepStream load."""


@command.command("prune")
@click.option("--model", required=True, type=READ, help="Model folder, as train, export or import-model writes it.")
@click.option("--dataset", type=READ, help="Data set: batch-norm is measured anew on its split train.")
@step_options(PruneOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Model folder to write.")
def prune_command(model: str, dataset: str | None, out: Path, as_json: bool, **flags: Any) -> None:
    """Take out the channels, or the residual blocks, that matter least; train on from the result."""
    options = values_of(PruneOptions, flags)
    from traffic_yolo.compression.prune import prune

    pruned = prune(model, out, options, dataset=dataset)
    print_result(f"{pruned.text}\nwritten {out}", {"out": str(out), **pruned.document()}, as_json=as_json)


@command.command("measure")
@click.option("--model", required=True, type=READ, help="Model folder, the one that is to be pruned.")
@json_option
@click.option("--out", required=True, type=WRITE, help="File to write, for --latency-table.")
def measure_command(model: str, out: Path, as_json: bool) -> None:
    """Measure what each convolution takes on this machine, so that smaller networks are judged by one measurement."""
    from traffic_yolo.compression.latency import measure_model

    table = measure_model(model)
    table.write(out)
    print_result(f"{table.text}\nwritten {out}", {"out": str(out), **table.document()}, as_json=as_json)


@command.command("report")
@click.option("--before", required=True, type=READ, help="Model folder that the other was made of.")
@click.option("--after", required=True, type=READ, help="Model folder of the smaller model.")
@click.option("--dataset", type=READ, help="Data set on which both are evaluated and compared, paired.")
@click.option("--split", default="test", show_default=True, help="Split of it.")
@json_option
@click.option("--out", required=True, type=WRITE, help="Folder to write: report.html, compression.json.")
def report_command(before: str, after: str, dataset: str | None, split: str, out: Path, as_json: bool) -> None:
    """Set a smaller model beside the one that it was made of: size, latency by runtime, AP with intervals."""
    from traffic_yolo.compression.report import compare_models

    report = compare_models(before, after, out, dataset=dataset, split=split)
    print_result(f"{report.text}\nwritten {out}", {"out": str(out), **report.document()}, as_json=as_json)


@command.command("front")
@click.option("--store", required=True, type=READ, help="Folder that the trials of a compression have as --store.")
@step_options(FrontOptions, LatencyLimit)
@json_option
@click.option("--out", required=True, type=WRITE, help="Folder to write: report.html, front.json, front.svg.")
@click.pass_context
def front_command(context: click.Context, /, store: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Draw AP against latency over a compression's trials, and say which one to take.

    Exit code 0: there is one to take, 1: no trial is within the limit of the latency.
    """
    options, limit = values_of(FrontOptions, flags), values_of(LatencyLimit, flags)
    from traffic_yolo.tuning.compression_front import read_front
    from traffic_yolo.tuning.compression_front_page import write_front

    front = read_front(store, options, limit)
    write_front(front, store, out)
    print_result(f"{front.text}\nwritten {out}", {"out": str(out), **front.document()}, as_json=as_json)
    context.exit(0 if front.chosen is not None else 1)
