"""The C++ parser against the simulator's and against Darknet's rules in Python, box by box, and its refusals."""

import math
import os
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from parser_library import FLOAT16, Layer, Parser, build, layer_of, missing_for_building

from traffic_yolo.commands.darknet import command as command_darknet
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.simulate.postprocess import parse_yolo
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.errors import ModelError
from traffic_yolo.export.onnx_heads import write_heads_onnx
from traffic_yolo.model_folder import ModelFolder

pytestmark = pytest.mark.skipif(bool(missing_for_building()), reason=f"no {missing_for_building()}")

HW = (64, 96)
NAME = "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=20x10"


@pytest.fixture(scope="session")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Parser:
    folder = tmp_path_factory.mktemp("parser")
    return Parser(build(folder, "traffic_yolo_parser_flat", FLAT_ENTRY="ON"))


def thresholds_of(*values: float) -> list[ClassAttributes]:
    return [ClassAttributes(value, 0.0, 0.45, 300, 0, 0, 0, 0, 0, 0) for value in values]


def expected_rows(rows: NDArray[np.float32], hw: tuple[int, int], *thresholds: float) -> NDArray[np.float32]:
    found = parse_yolo(rows, hw, thresholds_of(*thresholds))
    parts = [found.boxes_xywh, found.scores[:, None], found.class_ids[:, None], np.zeros((len(found.scores), 1))]
    return np.concatenate(parts, axis=1).astype(np.float32)


# --- rows of the ONNX file ---


def test_rows_are_cut_dropped_and_kept_as_by_hand(parser: Parser) -> None:
    rows = np.array(
        [
            [-5, -5, 20, 10, 0.9, 0],  # cut at the left and the top
            [90, 60, 120, 80, 0.8, 1],  # cut at the right and the bottom
            [10, 10, 10.9, 30, 0.9, 0],  # less than a pixel
            [10, 10, 11, 30, 0.25, 0],  # exactly one pixel, exactly the threshold
            [10, 10, 40, 30, 0.2499, 0],
            [10, 10, 40, 30, 0.3, 1],  # below its own class's threshold
        ],
        np.float32,
    )
    found = parser([layer_of("output", rows)], HW, [0.25, 0.4])
    assert found is not None
    expected = [[0, 0, 20, 10, 0.9, 0, 0], [90, 60, 6, 4, 0.8, 1, 0], [10, 10, 1, 20, 0.25, 0, 0]]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


@examples(60)
@given(
    rows=st.lists(
        st.tuples(*[st.floats(-200, 200, width=32)] * 4, st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, 2.0])),
        max_size=30,
    ),
    thresholds=st.tuples(*[st.sampled_from([0.001, 0.25, 0.5])] * 3),
)
def test_rows_give_what_the_simulators_parser_gives_to_the_bit(
    parser: Parser, rows: list[tuple[float, ...]], thresholds: tuple[float, ...]
) -> None:
    table = np.array(rows, np.float32).reshape(-1, 6)
    if not len(table):
        return  # nvinfer has no empty outputs
    found = parser([layer_of("output", table)], HW, thresholds)
    np.testing.assert_array_equal(found, expected_rows(table, HW, *thresholds))


def test_rows_of_a_real_network_give_the_simulators_boxes(parser: Parser, model: Path, dataset: Path) -> None:
    config = deploy_config(ModelFolder.open(model), DeployOptions(confidence_threshold=0.05))
    frames = Simulator(config, model).run(DataSet.open(dataset).split("test"))
    compared = 0
    for frame in frames:
        rows = np.ascontiguousarray(frame.rows)
        found = parser([layer_of("output", rows)], HW, [0.05, 0.05])
        expected = expected_rows(rows, HW, 0.05, 0.05)
        np.testing.assert_array_equal(found, expected)
        compared += len(expected)
    assert compared > 20


@pytest.mark.parametrize("shape", [(4, 5), (6,), (2, 4, 6), (6, 4)])
def test_rows_of_another_shape_are_refused(
    parser: Parser, shape: tuple[int, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert parser([layer_of("output", np.zeros(shape, np.float32))], HW, [0.25]) is None
    found = ", ".join(map(str, shape))
    assert f"expected rows (N, 6) of x1, y1, x2, y2, score, label, found ({found})" in capfd.readouterr().err


def test_a_leading_dimension_of_one_is_no_other_shape(parser: Parser) -> None:
    rows = np.array([[[0, 0, 9, 9, 0.9, 0]]], np.float32)
    found = parser([layer_of("output", rows)], HW, [0.25])
    assert found is not None
    assert found.shape == (1, 7)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 9, 9, 0.9, 2], "gives label 2.000000, but num-detected-classes is 2; write the configuration"),
        ([0, 0, 9, 9, 0.9, -1], "gives label -1.000000, but num-detected-classes is 2"),
        ([0, 0, 9, 9, 0.9, math.nan], "gives label nan, but num-detected-classes is 2"),
        ([0, 0, 9, 9, 0.9, 4e9], "gives label 4000000000.000000, but num-detected-classes is 2"),
        ([0, 0, 9, 9, math.nan, 0], "a score is NaN; the weights are broken"),
        ([0, 0, 9, 9, math.inf, 0], "holds NaN or infinity"),
        ([0, 0, math.nan, 9, 0.9, 0], "holds NaN or infinity"),
        ([0, 0, math.inf, 9, 0.9, 0], "holds NaN or infinity"),
    ],
)
def test_values_that_no_network_gives_are_refused(
    parser: Parser, row: list[float], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = np.array([[0, 0, 9, 9, 0.9, 0], row], np.float32)
    assert parser([layer_of("output", rows)], HW, [0.25, 0.25]) is None
    assert message in capfd.readouterr().err


def test_an_overflow_below_the_threshold_harms_nobody(parser: Parser) -> None:
    """FP16 overflows in boxes of cells that see nothing."""
    rows = np.array([[0, 0, 9, 9, 0.9, 0], [0, 0, math.inf, 9, 0.01, 0]], np.float32)
    found = parser([layer_of("output", rows)], HW, [0.25])
    assert found is not None
    assert len(found) == 1


# --- outputs and configuration that do not fit ---

ONE_ROW = np.array([[0, 0, 9, 9, 0.9, 0]], np.float32)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "expected one output of rows, or the heads of the network alone, found no output"),
        ([layer_of("a", ONE_ROW), layer_of("b", ONE_ROW)], "alone, found 'a' 'b'"),
        ([layer_of("a", ONE_ROW), layer_of(NAME, ONE_ROW)], "alone, found 'a' 'yolo/"),
        ([layer_of("a", ONE_ROW, data_type=FLOAT16)], "output 'a': expected float32, found data type 1"),
        ([layer_of("a", ONE_ROW, count=7)], r"output 'a': shape (1, 6) does not fit its 7 values"),
        ([layer_of("a", ONE_ROW, dimensions=9)], "output 'a': has 9 dimensions; expected 1 to 8"),
        ([layer_of("a", ONE_ROW, dimensions=0)], "output 'a': has 0 dimensions"),
        ([layer_of("a", ONE_ROW, dimensions=3)], "output 'a': has the impossible shape (1, 6, 0)"),
        ([layer_of("a", ONE_ROW, values=0)], "output 'a': has no buffer of float32"),
        ([layer_of(None, ONE_ROW, values=0)], "output '': has no buffer of float32"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(
    parser: Parser, layers: list[Layer], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert parser(layers, HW, [0.25]) is None
    error = capfd.readouterr().err
    assert error.startswith("NvDsInferParseYolo: ")
    assert message in error


@pytest.mark.parametrize(("thresholds", "classes"), [([0.25], 2), ([], 0), ([0.25], 0)])
def test_fewer_thresholds_than_classes_are_refused(
    parser: Parser, thresholds: list[float], classes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert parser([layer_of("output", ONE_ROW)], HW, thresholds, num_classes=classes) is None
    assert f"num-detected-classes is {classes} with {len(thresholds)} thresholds" in capfd.readouterr().err


# --- raw heads ---


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def one_box(classes: list[float], objectness: float = 0.8) -> NDArray[np.float32]:
    """A head (1 * (5 + C), 2, 3) whose cell (row 1, column 2) has a box in its middle, of the anchor's size."""
    head = np.full((5 + len(classes), 2, 3), -20, np.float32)
    head[:, 1, 2] = [0, 0, 0, 0, logit(objectness), *map(logit, classes)]
    return head


def test_a_head_is_decoded_as_by_hand(parser: Parser) -> None:
    found = parser([layer_of(NAME, one_box([0.5, 0.75, 0.25]))], HW, [0.1] * 3)
    assert found is not None
    # the middle of column 2, row 1 in cells of 32 px is (80, 48); the anchor is 20 x 10
    np.testing.assert_allclose(found, [[70, 43, 20, 10, 0.8 * 0.75, 1, 0]], rtol=1e-6)


def test_every_label_above_its_threshold_comes_from_the_function_for_evaluation(parser: Parser) -> None:
    head = one_box([0.5, 0.75, 0.25])  # scores 0.4, 0.6, 0.2
    found = parser([layer_of(NAME, head)], HW, [0.3, 0.3, 0.3], all_labels=True)
    assert found is not None
    np.testing.assert_allclose(found[:, 4:6], [[0.4, 0], [0.6, 1]], rtol=1e-6)
    found = parser([layer_of(NAME, head)], HW, [0.5, 0.3, 0.1], all_labels=True)
    assert found is not None
    np.testing.assert_allclose(found[:, 4:6], [[0.6, 1], [0.2, 2]], rtol=1e-6)


def test_darknets_comparison_is_strict_and_nvinfers_is_not(parser: Parser) -> None:
    """Objectness and probability one half each: the product is a quarter to the bit."""
    head = one_box([0.5, 0.1], objectness=0.5)
    best = parser([layer_of(NAME, head)], HW, [0.25, 0.25])
    every = parser([layer_of(NAME, head)], HW, [0.25, 0.25], all_labels=True)
    assert best is not None
    assert every is not None
    assert (len(best), len(every)) == (1, 0)


def test_a_tie_of_classes_goes_to_the_first(parser: Parser) -> None:
    found = parser([layer_of(NAME, one_box([0.2, 0.6, 0.6]))], HW, [0.1] * 3)
    assert found is not None
    assert found[:, 5].tolist() == [1]


def test_rows_have_no_second_label_to_give(parser: Parser, capfd: pytest.CaptureFixture[str]) -> None:
    assert parser([layer_of("output", ONE_ROW)], HW, [0.25], all_labels=True) is None
    assert "NvDsInferParseYoloMultiLabel: output 'output' has one class a box" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "yolo/",
        "yolo/stride=0/scale_x_y=1/new_coords=0/anchors=20x10",
        "yolo/stride=32.5/scale_x_y=1/new_coords=0/anchors=20x10",
        "yolo/stride=-32/scale_x_y=1/new_coords=0/anchors=20x10",
        "yolo/stride=32/scale_x_y=1,5/new_coords=0/anchors=20x10",
        "yolo/stride=32/scale_x_y=1/new_coords=2/anchors=20x10",
        "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=20x",
        "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=20x10,",
        "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=0x10",
        "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=20x10 ",
        "yolo/stride=32/scale_x_y=1/new_coords=0/anchors=20x1e999",
    ],
)
def test_a_name_that_says_no_head_is_refused(parser: Parser, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert parser([layer_of(name, one_box([0.5]))], HW, [0.25]) is None
    assert f"output '{name}': expected a name such as yolo/stride=8/scale_x_y=1.05/" in capfd.readouterr().err


def test_a_head_of_other_classes_or_another_input_is_refused(parser: Parser, capfd: pytest.CaptureFixture[str]) -> None:
    assert parser([layer_of(NAME, one_box([0.5, 0.5]))], HW, [0.25] * 3) is None
    message = "expected (8, 2, 3) for 3 classes (num-detected-classes) and an input of 96 x 64, found (7, 2, 3)"
    assert message in capfd.readouterr().err
    assert parser([layer_of(NAME, one_box([0.5]))], (64, 104), [0.25]) is None
    assert "expected (6, 2, 3) for 1 classes (num-detected-classes) and an input of 104 x 64" in capfd.readouterr().err


@pytest.mark.parametrize("place", [4, 5, 0, 2], ids=["objectness", "class", "centre", "size"])
@pytest.mark.parametrize("all_labels", [False, True], ids=["best", "all"])
def test_a_head_that_is_not_finite_is_refused(parser: Parser, place: int, all_labels: bool) -> None:
    head = one_box([0.5, 0.9])
    assert parser([layer_of(NAME, head)], HW, [0.25] * 2, all_labels=all_labels) is not None
    head[place, 1, 2] = np.nan
    assert parser([layer_of(NAME, head)], HW, [0.25] * 2, all_labels=all_labels) is None


CFG = """[net]
width=96
height=64
channels=3

[convolutional]
filters=48
size=5
stride=16
pad=1
activation={activation}

[yolo]
mask=1,3,4
anchors=10,13, 16,30, 33,23, 30,61, 62.5,45
classes=11
num=5
scale_x_y={scale}
new_coords={new_coords}

[route]
layers=-2

[convolutional]
filters=32
size=3
stride=2
pad=1
activation={activation}

[yolo]
mask=0,2
anchors=10,13, 16,30, 33,23, 30,61, 62.5,45
classes=11
num=5
scale_x_y=1
new_coords={new_coords}
"""


@pytest.mark.parametrize("new_coords", [0, 1])
@pytest.mark.parametrize("all_labels", [False, True], ids=["best", "all"])
def test_heads_of_an_onnx_file_give_the_boxes_of_darknets_rules(
    parser: Parser, tmp_path: Path, new_coords: int, all_labels: bool
) -> None:
    """Two heads of a real graph, through onnxruntime, against `decode` in PyTorch."""
    cfg = tmp_path / "model.cfg"
    cfg.write_text(CFG.format(new_coords=new_coords, scale=1.05, activation="logistic" if new_coords else "linear"))
    network = Network.from_cfg(cfg, seed=4).eval()
    picture = torch.rand((1, 3, *HW), generator=torch.Generator().manual_seed(1)) * 12 - 6
    network.save_weights(tmp_path / "model.weights")
    command = ["heads-onnx", "--cfg", str(cfg), "--weights", str(tmp_path / "model.weights")]
    finished = CliRunner().invoke(command_darknet, [*command, "--out", str(tmp_path / "heads.onnx")])
    assert finished.exit_code == 0, finished.output
    session = onnxruntime.InferenceSession(tmp_path / "heads.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert names[0] == f"yolo/stride=16/scale_x_y=1.05/new_coords={new_coords}/anchors=16x30,30x61,62.5x45"
    outputs = [np.ascontiguousarray(each[0]) for each in session.run(names, {"input": picture.numpy()})]

    thresholds = np.linspace(0.02, 0.4, 11).astype(np.float32)
    layers = [layer_of(name, array) for name, array in zip(names, outputs, strict=True)]
    found = parser(layers, HW, thresholds.tolist(), all_labels=all_labels)
    assert found is not None

    with torch.no_grad():
        decoded = decode(network.heads, [torch.from_numpy(each[None]) for each in outputs], HW)
    boxes = decoded.boxes_cxcywh_norm[0].numpy() * np.array([96, 64, 96, 64], np.float32)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    left_top, right_bottom = (np.clip(part, 0, [96, 64]) for part in (corners[:, :2], corners[:, 2:]))
    scores = (decoded.objectness[0, :, None] * decoded.class_probabilities[0]).numpy()
    kept = scores > thresholds
    if not all_labels:
        kept &= np.arange(11) == scores.argmax(axis=1)[:, None]
    kept &= ((right_bottom - left_top) >= 1).all(axis=1)[:, None]
    rows, class_ids = np.nonzero(kept)
    assert 20 < len(rows) < kept.size / 2
    np.testing.assert_array_equal(found[:, 5], class_ids)
    np.testing.assert_allclose(found[:, 4], scores[rows, class_ids], rtol=2e-6)
    expected = np.concatenate([left_top, right_bottom - left_top], axis=1)[rows]
    np.testing.assert_allclose(found[:, :4], expected, rtol=1e-5, atol=1e-4)
    assert (found[:, 6] == 0).all()


def test_gaussian_heads_are_not_written(tmp_path: Path) -> None:
    text = CFG.format(new_coords=0, scale=1, activation="linear").replace("filters=48", "filters=60", 1)
    (tmp_path / "model.cfg").write_text(text.replace("[yolo]", "[Gaussian_yolo]", 1))
    network = Network.from_cfg(tmp_path / "model.cfg")
    with pytest.raises(ModelError, match=r"layer 1 is a \[Gaussian_yolo\]; raw heads are decoded for \[yolo\] alone"):
        write_heads_onnx(network, tmp_path / "heads.onnx")
    assert not (tmp_path / "heads.onnx").exists()


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="15 s; `make fuzz-parser`, `make slow`")
def test_the_fuzzer_finds_nothing_in_its_first_inputs_under_sanitizers(tmp_path: Path) -> None:
    """`make fuzz-parser` goes on for longer, and with libFuzzer where there is clang."""
    folder = build(tmp_path / "fuzz", "fuzz_parser", FUZZER="ON", SANITIZERS="address,undefined", CMAKE_CXX_FLAGS="-O1")
    finished = subprocess.run(
        [folder / "fuzz_parser", "-runs=3000", "-max_total_time=60"], capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:].decode(errors="replace")
