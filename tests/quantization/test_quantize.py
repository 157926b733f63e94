"""The command as a user has it: files, the table, the choice of what stays float, and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.cli import main
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.waterfall.networks import onnx_rows
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.quantization.graph import Convolution
from traffic_yolo.quantization.judge import Precision
from traffic_yolo.quantization.options import QuantizeOptions
from traffic_yolo.quantization.quantize import Setting, kept_sets, smallest_within

CALL = "quantize --model {model} --dataset {dataset} --out {out} --calibration-pictures 3 --scan-pictures 1"


def run(capsys: pytest.CaptureFixture[str], text: str, **places: Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(text.format(**places).split())
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err


@pytest.mark.long
def test_files_load_where_they_are_meant_to_and_the_table_tells_what_they_cost(
    model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, said, _ = run(capsys, CALL + " --json --max-ap-drop 1", model=model, dataset=dataset, out=out)
    result = json.loads(said)
    assert code == 0
    assert result["command"] == "quantize"
    assert sorted(path.name for path in out.iterdir()) == [
        "calibration.table", "model-fp16.onnx", "model-int8.onnx", "quantization.json", "quantization.txt", "report.html",
    ]  # fmt: skip
    names = [each["name"] for each in result["settings"]]
    assert names[:4] == ["float32", "fp16", "int8", "int8, 1 more in float"]
    float32, fp16, int8 = result["settings"][:3]
    assert float32["precision"]["ap"] > 0.95  # the truth is what it finds
    assert fp16["ap_drop"] < 0.1
    assert int8["ap_drop"] < 0.5
    assert int8["precision"] != float32["precision"]
    assert int8["bytes"] < 0.4 * float32["bytes"]
    assert int8["written"] == "model-int8.onnx"  # a limit of 1 lets the smallest pass
    assert result["noise"]
    assert result["calibration"]["pictures"] == 3
    assert (out / "quantization.txt").read_text().startswith("setting")
    table = CalibrationTable.read(out / "calibration.table")
    assert f"with the ranges of {len(table.scales)} tensors" in (out / "quantization.txt").read_text()
    assert result["table_tensors"] == len(table.scales)
    _the_table_says_what_the_int8_file_says(table, out / "model-int8.onnx")
    page = (out / "report.html").read_text()
    assert f"The INT8 file loses {100 * int8['ap_drop']:.2f} points of AP; 100.00 are allowed." in page
    assert page.count(">model-int8.onnx</td>") == 1
    assert "3 pictures of the split train, by percentile 99.99" in page
    costliest = max(result["noise"], key=lambda each: each["share"])["layer"]
    assert re.search(
        rf"<tbody>\n<tr><td class=\"number\">{costliest}</td>", page.partition("What each convolution costs by")[2]
    )
    folder = ModelFolder.open(model)
    for name in ("model-int8.onnx", "model-fp16.onnx"):
        onnx.checker.check_model(str(out / name), full_check=True)
        rows_of = onnx_rows(out / name, deploy_config(folder, DeployOptions()), folder)
        (rows,) = rows_of(np.random.default_rng(3).random((3, 96, 160), dtype=np.float32))
        assert len(rows)  # the waterfall takes it as this model's, and runs it
        assert np.isfinite(rows).all()


def _the_table_says_what_the_int8_file_says(table: CalibrationTable, int8: Path) -> None:
    """Every scale of a Q node on a tensor of pictures is the table's, to the last bit: one calibration, two forms."""
    graph = onnx.load(int8).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    scales = {
        node.input[0]: values[node.input[1]]
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in values
    }
    assert len(scales) > 2
    for tensor, scale in scales.items():
        assert table.scales[tensor] == pytest.approx(float(scale), rel=1e-6)


def test_a_loss_beyond_the_limit_is_exit_code_one_and_the_folder_is_there(
    model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = CALL + " --keep-float 0 --max-ap-drop 0.0001 --no-fp16 --no-table --percentile 60"
    code, said, _ = run(capsys, call, model=model, dataset=dataset, out=tmp_path / "out")
    assert code == 1
    assert "beyond the limit: INT8 loses" in said
    assert "--keep-float auto" in said
    assert not (tmp_path / "out" / "model-fp16.onnx").exists()
    assert not (tmp_path / "out" / "calibration.table").exists()
    assert "Beyond the limit: INT8 loses" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "quantization.json").read_text())["passed"] is False


def convolution(layer: int) -> Convolution:
    return Convolution(f"n{layer}", layer, "a", "b", 1, is_output=False)


def test_what_stays_float_is_the_costliest_the_named_or_grows_until_it_is_enough() -> None:
    found = [convolution(layer) for layer in range(9)]
    noise = {each.node: float(each.layer) for each in found}

    def layers(text: str) -> list[list[int]]:
        return [[each.layer for each in kept] for kept in kept_sets(QuantizeOptions(keep_float=text), found, noise)]

    assert layers("2") == [[8, 7]]
    assert layers("layers:0,3") == [[0, 3]]
    assert layers("auto") == [[], [8], [8, 7], [8, 7, 6, 5]]


def test_the_first_within_the_limit_is_chosen_else_the_one_that_loses_least() -> None:
    tried = [Setting("", Precision(ap, ap), 0, 0, ()) for ap in (0.40, 0.44, 0.46, 0.50)]
    assert smallest_within(Precision(0.5, 0.5), tried, 0.05) == 2
    assert smallest_within(Precision(0.6, 0.6), tried, 0.01) == 3
    assert smallest_within(Precision(0.3, 0.3), tried, 0.0) == 0  # a gain


@pytest.mark.parametrize("text", ["some", "-1", "layers:", "layers:1;2", "1.5", ""])
def test_what_stays_float_is_said_in_three_ways_alone(text: str) -> None:
    with pytest.raises(OptionsError, match="keep_float: expected auto, a whole number, or layers such as"):
        QuantizeOptions(keep_float=text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--split train", "--split: train is what ranges are found on; expected another one, such as val or test"),
        ("--split later", "split 'later': expected one of "),
        ("--keep-float layers:9999", "--keep-float: layer 9999 is no convolution of this model"),
        ("--keep-float 500", "--keep-float: 500 leaves nothing in INT8"),
        ("--keep-float most", "--keep-float: expected auto, a whole number, or layers such as layers:0,12"),
        ("--percentile 101", "--percentile: expected a number from 50 to 100"),
    ],
)
def test_a_mistake_is_one_line_in_the_users_flags_and_leaves_nothing(
    flags: str, message: str, model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    code, _, said = run(capsys, f"{CALL} {flags}", model=model, dataset=dataset, out=out)
    assert code == 2
    assert said.startswith(f"error: {message}")
    assert len(said.strip().splitlines()) == 1
    assert not out.exists()


def test_a_file_of_other_weights_quantised_already_or_none_is_refused(
    model: Path, untrained_model: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = run(capsys, CALL, model=untrained_model, dataset=dataset, out=tmp_path / "out")
    assert code == 2
    assert "model.onnx is missing; run the export step" in said
    again = shutil.copytree(model, tmp_path / "again")
    graph = onnx.load(again / "model.onnx")
    graph.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["x", "s"], ["y"]))
    onnx.save(graph, again / "model.onnx")
    code, _, said = run(capsys, CALL, model=again, dataset=dataset, out=tmp_path / "out")
    assert code == 2
    assert "model.onnx: is quantised already: expected a float32 graph, found 1 nodes such as DequantizeLinear" in said
    assert len(said.strip().splitlines()) == 1
    other = shutil.copytree(model, tmp_path / "other")
    graph = onnx.load(other / "model.onnx")
    for entry in graph.metadata_props:
        if entry.key == "weights_sha256":
            entry.value = "0" * 64
    onnx.save(graph, other / "model.onnx")
    code, _, said = run(capsys, CALL, model=other, dataset=dataset, out=tmp_path / "out")
    assert code == 2
    assert "was not made of model.weights beside it" in said
