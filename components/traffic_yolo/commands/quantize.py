"""`traffic-yolo quantize`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.quantization.options import QuantizeOptions


@click.command()
@click.option("--model", required=True, type=READ, help="Model folder with an ONNX file, as export writes it.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(QuantizeOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
def command(model: str, dataset: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Write INT8 (Q/DQ) and FP16 ONNX files of a model, and say what each costs in AP.

    Exit code 1 where INT8 loses more than --max-ap-drop; the folder is there then.
    """
    options = values_of(QuantizeOptions, flags)
    from traffic_yolo.quantization.quantize import quantize

    result = quantize(model, dataset, out, options)
    values = {"out": out, **result.document(), "report": out / "report.html"}
    print_result(f"{result.text}\nwritten {out}\nreport {out / 'report.html'}", values, as_json=as_json)
    click.get_current_context().exit(0 if result.passed else 1)
