"""`traffic-yolo validate`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.deepstream.options import ValidateOptions
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.detection.inference_options import InferenceOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@click.option("--tuning", required=True, type=READ, help="Folder of `tune`.")
@click.option(
    "--evaluation",
    type=READ,
    help="Folder of `evaluate` with raw detections of this model on the split, which saves the inference.",
)
@step_options(ValidateOptions, WaterfallOptions, InferenceOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Validation folder to write.")
def command(
    model: str, dataset: str, tuning: str, evaluation: str | None, out: Path, as_json: bool, **flags: Any
) -> None:
    """Check that DeepStream's rules leave the model's results as they are.

    With --waterfall also name what is lost on the way, stage by stage: exit code 1 where a stage is beyond its limits.
    """
    options, inference = values_of(ValidateOptions, flags), values_of(InferenceOptions, flags)
    from traffic_yolo.deepstream.validate import validate
    from traffic_yolo.storage import existing_folder

    validated = validate(
        model,
        dataset,
        existing_folder(tuning, what="tuning folder") / "operating_point.json",
        out,
        split=options.split,
        evaluation=evaluation,
        inference=inference,
        require_parity=options.require_parity,
        waterfall=values_of(WaterfallOptions, flags),
    )
    values: dict[str, Any] = {"out": out, "passed": validated.passed, "problems": validated.problems}
    values |= {**validated.scalars, "report": out / "report.html"}
    print_result(f"{validated.text}\nreport {out / 'report.html'}", values, as_json=as_json)
    validated.check_waterfall(options.on_failed_stage)
