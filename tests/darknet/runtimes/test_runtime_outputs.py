"""docs/runtime-outputs.md is what `make compile` writes, and what comes out of the runtimes of this machine."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from runtime_outputs import EXAMPLE, OUTPUTS, PAGE, UNMEASURED, Output, page

from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes import openvino
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.simulate.postprocess import cluster, parse_yolo
from traffic_yolo.export.onnx import DeployedNetwork, write_onnx


@pytest.fixture(scope="module")
def network(untrained_model: Path) -> Network:
    return Network.read(untrained_model / "model.cfg", untrained_model / "model.weights").eval()


@pytest.fixture(scope="module")
def bgr(small_data_set: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(min((small_data_set / "images").rglob("*.jpg"))))
    assert picture is not None
    return picture.astype(np.uint8)


@pytest.fixture(scope="module")
def measured(
    network: Network, bgr: NDArray[np.uint8], untrained_model: Path, small_data_set: Path, tmp_path_factory: Any
) -> dict[str, list[NDArray[Any]]]:
    """Key of an `Output` -> the arrays that came out, the same kind from each runtime."""
    import onnxruntime

    import traffic_yolo as ty
    from traffic_yolo.detection.detect_step import detect_file
    from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression

    folder = tmp_path_factory.mktemp("outputs")
    height, width = network.input_hw
    images = cv2.dnn.blobFromImage(bgr, 1 / 255, (width, height), swapRB=True)
    found: dict[str, list[NDArray[Any]]] = {"logits": []}
    names = ["pytorch", "onnxruntime", *(["openvino"] if openvino.missing_packages() is None else [])]
    for name in names:
        found["logits"] += [head.numpy() for head in open_runtime(network, RuntimeOptions(name))(images)]
    with torch.no_grad():
        decoded = decode(network.heads, network(torch.from_numpy(images)), network.input_hw)
    for key, part in zip(("decoded boxes", "decoded objectness", "decoded classes"), decoded, strict=True):
        found[key] = [part.numpy()]

    write_onnx(network, folder / "model.onnx")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    found["onnx"] = session.run(["output"], {session.get_inputs()[0].name: images})
    with torch.no_grad():
        assert np.allclose(found["onnx"][0], DeployedNetwork(network)(torch.from_numpy(images)).numpy(), atol=1e-2)

    raw = detect_file(untrained_model, small_data_set, "val", folder / "val.npz")
    found |= {"raw boxes": [raw.boxes_xyxy], "raw scores": [raw.scores]}
    reported = non_maximum_suppression(raw, NmsOptions(confidence_threshold=0.05))
    found |= {"reported boxes": [reported.boxes_xyxy], "reported scores": [reported.scores]}
    found["reported classes"] = [reported.class_ids]
    prediction = ty.load(untrained_model, confidence_threshold=0.05)(bgr)
    found["prediction boxes"] = [prediction.boxes_xyxy]
    assert (prediction.boxes_xyxy[:, 2:] <= prediction.image_hw[::-1]).all()

    model = [str(untrained_model / name) for name in ("model.weights", "model.cfg")]
    net = cv2.dnn.readNet(*model)
    net.setInput(images)
    found["opencv"] = list(net.forward(net.getUnconnectedOutLayersNames()))
    detector = cv2.dnn.DetectionModel(net)
    detector.setInputParams(1 / 255, (width, height), swapRB=True)
    classes, scores, boxes = (np.asarray(each) for each in detector.detect(bgr, 0.25, 0.45))
    found |= {"opencv classes": [classes], "opencv scores": [scores], "opencv boxes": [boxes]}

    attributes = [ClassAttributes(0.05, 0.0, 0.45, 300, 0, 0, 0, 0, 0, 0)] * network.heads[0].num_classes
    objects = cluster(parse_yolo(found["onnx"][0][0], network.input_hw, attributes), attributes)
    found |= {"nvinfer boxes": [objects.boxes_xywh], "nvinfer scores": [objects.scores]}
    for ids, ranked in ((classes, scores), (objects.class_ids, objects.scores)):
        assert (np.lexsort((-ranked, ids)) == np.arange(len(ids))).all()  # by class, falling score
    assert (np.diff(prediction.scores) <= 0).all()
    return found


def sizes(network: Network) -> list[dict[str, int]]:
    """The page's letters, for each head."""
    height, width = network.input_hw
    letters = []
    for head in network.heads:
        h, w, a, c = height // head.stride, width // head.stride, head.num_anchors, head.num_classes
        letters.append({"h": h, "w": w, "A": a, "C": c, "E": 5 + c, "channels": a * (5 + c), "n": h * w * a})
    total = sum(each["n"] for each in letters)
    return [{**each, "B": 1, "H": height, "W": width, "N": total} for each in letters]


def fits(shape: tuple[int, ...], output: Output, letters: dict[str, int]) -> bool:
    expected = [letters.get(part, part) for part in output.shape]
    return len(shape) == len(expected) and all(
        want == "K" or int(want) == have for want, have in zip(expected, shape, strict=True)
    )


@pytest.mark.parametrize(
    "output", [each for each in OUTPUTS if each.measured], ids=[each.measured for each in OUTPUTS if each.measured]
)
def test_a_row_is_what_comes_out(output: Output, measured: dict[str, list[NDArray[Any]]], network: Network) -> None:
    arrays = measured[output.measured]
    assert arrays
    for array in arrays:
        assert array.size, "nothing was found, so nothing is shown"
        assert str(array.dtype) == output.dtype
        assert any(fits(array.shape, output, letters) for letters in sizes(network)), (array.shape, output.shape)
        assert output.low is None or array.min() >= output.low
        assert output.high is None or array.max() <= output.high
    if "not clipped" in output.axes:
        assert min(array.min() for array in arrays) < 0


def test_orders_and_units_are_as_stated(measured: dict[str, list[NDArray[Any]]], network: Network) -> None:
    height, width = network.input_hw
    boxes, objectness = measured["decoded boxes"][0][0], measured["decoded objectness"][0][0]
    probabilities = measured["decoded classes"][0][0]
    rows = measured["onnx"][0][0]
    centres, halves = boxes[:, :2], boxes[:, 2:] / 2
    corners = np.concatenate([centres - halves, centres + halves], axis=1) * [width, height, width, height]
    assert np.allclose(rows[:, :4], corners, atol=0.05)
    assert np.allclose(rows[:, 4], objectness * probabilities.max(axis=1), atol=1e-3)
    near_tie = np.sort(probabilities, axis=1)[:, -1] - np.sort(probabilities, axis=1)[:, -2] < 1e-3
    assert (rows[:, 5] == probabilities.argmax(axis=1))[~near_tie].all()
    opencv = np.concatenate(measured["opencv"])
    assert np.allclose(opencv[:, :4], boxes, rtol=1e-2, atol=5e-3)
    products = objectness[:, None] * probabilities
    shown = opencv[:, 5:] > 0
    assert np.allclose(opencv[:, 5:][shown], products[shown], atol=5e-3)
    assert opencv[:, 5:][shown].min() > 0.2
    assert products[~shown].max() <= 0.2 + 5e-3
    assert products[~shown].max() > 0.1  # some were set to 0 that are no noise


def test_the_page_is_what_make_compile_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make compile"
    makefile = (PAGE.parents[1] / "Makefile").read_text(encoding="utf-8")
    assert "tests/helpers/runtime_outputs.py" in makefile.split("\ncompile:")[1].split("\n\n")[0]


def test_what_is_not_measured_says_so() -> None:
    assert all(bool(each.measured) != (UNMEASURED in each.axes) for each in OUTPUTS)


def test_the_example_is_yolov4_tiny(reference: Path) -> None:
    from traffic_yolo.darknet.cfg import Cfg

    network = Network.from_cfg(Cfg.read(reference / "cfg" / "yolov4-tiny.cfg"))
    assert sizes(network)[0] == dict(EXAMPLE)
