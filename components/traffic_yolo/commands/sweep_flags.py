"""The flags that `sweep` and `tune` share, and the options that they come to."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from traffic_yolo.tuning.sweep_options import SweepOptions

Command = TypeVar("Command", bound=Callable[..., Any])

GRID_HELP = "Numbers with commas, or FROM:TO:COUNT."


def sweep_flags(command: Command) -> Command:
    """A decorator that adds the flags of `SweepOptions`; `options_from` reads them."""
    from traffic_yolo.commands.dataclass_options import options_of
    from traffic_yolo.metrics.objective import Objective

    flags = [
        options_of(Objective, skip=("class_costs",)),
        click.option("--class-costs", default="", help="cost: CLASS=MISS:FALSE_ALARM,… in place of the shared two."),
        click.option("--confidences", default="", help=f"Confidence thresholds. {GRID_HELP} [default: 0.01 to 0.99]"),
        click.option("--iou-thresholds", default="", help=f"NMS IoU thresholds. {GRID_HELP} [default: 0.25 to 0.85]"),
        click.option("--kinds", default="", help="NMS kinds with commas, or all. [default: that of the evaluation]"),
        click.option("--topk", default="", help="Most detections of a picture, with commas. [default: likewise]"),
        click.option(
            "--method",
            type=click.Choice(["grid", "adaptive"]),
            default="grid",
            show_default=True,
            help="adaptive: refine the IoU thresholds around the best, then take the best of all confidences.",
        ),
        click.option("--per-class", is_flag=True, help="Also choose a confidence threshold for each class."),
        click.option(
            "--least-truths",
            default=20,
            show_default=True,
            help="per-class: a class of fewer true boxes keeps the shared threshold.",
        ),
    ]
    for flag in reversed(flags):
        command = flag(command)
    return command


def options_from(flags: dict[str, Any]) -> "SweepOptions":
    """The options that the values of the flags come to."""
    from traffic_yolo.metrics.objective import Objective, parse_class_costs
    from traffic_yolo.tuning.sweep_options import SweepOptions, parse_grid, parse_kinds, parse_limits

    fields = {field.name: flags[field.name] for field in dataclasses.fields(Objective) if field.name != "class_costs"}
    grids = {name: parse_grid(flags[name], name=name) for name in ("confidences", "iou_thresholds") if flags[name]}
    return SweepOptions(
        objective=Objective(**fields, class_costs=parse_class_costs(flags["class_costs"])),
        **grids,
        kinds=parse_kinds(flags["kinds"]),
        limits=parse_limits(flags["topk"]),
        method=flags["method"],
        per_class=flags["per_class"],
        least_truths=flags["least_truths"],
    )
