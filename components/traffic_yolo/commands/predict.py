"""`traffic-yolo predict`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import SOURCE, WRITE
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.predict.options import ModelOptions, PredictOptions


@click.command()
@click.argument("model")
@click.argument("source", nargs=-1, required=True, type=SOURCE)
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
@step_options(PredictOptions, ModelOptions, InferenceOptions, skip=("processes",))
@json_option
def command(model: str, source: tuple[str, ...], out: Path, as_json: bool, **flags: Any) -> None:
    """Look at pictures, videos, streams and recordings: draw what MODEL finds in each SOURCE, and write it.

    MODEL is a model folder or bundle, a Darknet .weights file, zoo://NAME, or with --zoo a name in that zoo. SOURCE
    is a picture, a video, an ATM recording (*.h5), a folder of these, a glob, the address of a stream (rtsp://…,
    http://…), or camera:NUMBER.
    """
    options, model_options = values_of(PredictOptions, flags), values_of(ModelOptions, flags)
    inference = values_of(InferenceOptions, flags)
    from traffic_yolo.predict.predict import predict

    summary = predict(model, source, out, options, model_options, inference)
    print_result(summary.text, summary.values(), as_json=as_json)
