"""The simulator as a whole: the same boxes as PyTorch where the rules coincide, and refusals."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from traffic_yolo.boxes import clip_xyxy, cxcywh_to_xyxy
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.simulate.preprocess import preprocess
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.errors import ModelError, PictureError
from traffic_yolo.model_folder import ModelFolder


def config_of(model: Path, **options: float) -> NvinferConfig:
    return deploy_config(ModelFolder.open(model), DeployOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("letterbox", [False, True], ids=["stretch", "letterbox"])
def test_boxes_are_those_of_pytorch_on_the_same_tensor(
    export_tiny: Callable[..., Path], dataset: Path, letterbox: bool
) -> None:
    """An oracle without ONNX and without our post-processing: decoded boxes, argmax, clip, scaled back, no NMS."""
    model = export_tiny(letterbox=letterbox)
    config = config_of(model, confidence_threshold=0.3, iou_threshold=1.0)
    pictures = DataSet.open(dataset).split("test")[:3]
    simulator = Simulator(config, model)
    found = simulator.detections(simulator.run(pictures))

    network = Network.from_cfg(model / "model.cfg").eval()
    network.load_weights(model / "model.weights")
    compared = 0
    for picture in pictures:
        tensor, placement = preprocess(read_rgb(picture), config, (64, 96))
        with torch.no_grad():
            decoded = decode(network.heads, network(torch.from_numpy(tensor[None])), (64, 96))
        scores = (decoded.objectness[0, :, None] * decoded.class_probabilities[0]).numpy()
        kept = scores.max(axis=1) >= 0.3
        boxes = decoded.boxes_cxcywh_norm[0].numpy()[kept] * [96, 64, 96, 64]
        corners = clip_xyxy(cxcywh_to_xyxy(boxes), (64, 96))
        scale = np.array([placement.ratio_x, placement.ratio_y] * 2)
        expected = clip_xyxy((corners - [placement.left, placement.top] * 2) / scale, (picture.height, picture.width))
        mine = found.select(found.image_ids == picture.image_id)
        # nvinfer moves a left or top below 0 without shrinking the box: compare where that rule does not bite
        order = np.argsort(-scores.max(axis=1)[kept], kind="stable")
        inside = ((corners[order] - [placement.left, placement.top] * 2)[:, :2] >= 0).all(axis=1)
        np.testing.assert_allclose(mine.scores, scores.max(axis=1)[kept][order], atol=1e-5)
        np.testing.assert_array_equal(mine.class_ids, scores.argmax(axis=1)[kept][order])
        np.testing.assert_allclose(mine.boxes_xyxy[inside], expected[order][inside], atol=0.02)
        compared += int(inside.sum())
    assert compared > 10


def test_a_higher_threshold_needs_no_second_inference(model: Path, dataset: Path) -> None:
    pictures = DataSet.open(dataset).split("test")[:4]
    low, high = config_of(model, confidence_threshold=0.2), config_of(model, confidence_threshold=0.6)
    simulator = Simulator(low, model)
    frames = simulator.run(pictures)
    again = Simulator(high, model)
    one, other = simulator.detections(frames, high), again.detections(again.run(pictures))
    assert 0 < len(one) < len(simulator.detections(frames))
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_pictures_beside_one_another_give_the_rows_of_one_after_the_other_in_order(
    model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)  # whatever this machine has
    pictures = DataSet.open(dataset).split("test") * 3
    alone = Simulator(config_of(model), model, at_once=1).run(pictures)
    beside = Simulator(config_of(model), model).run(pictures)
    assert [frame.image_id for frame in beside] == [picture.image_id for picture in pictures]
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        assert (one.frame_hw, one.placement) == (other.frame_hw, other.placement)


def test_a_picture_that_is_missing_ends_the_run_whichever_thread_meets_it(model: Path, dataset: Path) -> None:
    pictures = list(DataSet.open(dataset).split("test"))
    gone = dataclasses.replace(pictures[-1], path=pictures[-1].path.with_name("gone.png"))
    with pytest.raises(PictureError, match=r"gone\.png"):
        Simulator(config_of(model), model).run([*pictures, gone, *pictures])


def test_a_threshold_below_the_floor_is_refused(model: Path) -> None:
    with pytest.raises(ModelError, match=r"pre-cluster-threshold is below 0.001"):
        Simulator(config_of(model, confidence_threshold=0.0001), model).detections([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster-mode": "1"}, "cluster-mode=1 cannot be simulated; expected 2"),
        ({"process-mode": "2"}, "process-mode=2 cannot be simulated"),
        ({"network-input-order": "1"}, "network-input-order=1 cannot be simulated"),
        ({"model-color-format": "2"}, "grey"),
        ({"scaling-filter": "4"}, "scaling-filter=4 cannot be simulated"),
        ({"mean-file": "mean.ppm"}, "mean-file cannot be simulated; remove it"),
        ({"num-detected-classes": "0"}, "num-detected-classes is missing or 0"),
        ({"infer-dims": "3;32;32"}, r"its input is \[3, 64, 96\], but infer-dims .* is \[3, 32, 32\]"),
        ({"onnx-file": "other.onnx"}, r"other.onnx is missing"),
    ],
)
def test_what_cannot_be_simulated_is_refused(model: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Simulator(config_of(model).with_values("property", changes), model)


def test_a_file_that_is_not_onnx_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        Simulator(config_of(model), tmp_path)


def test_a_configuration_of_fewer_classes_is_refused(model: Path, dataset: Path) -> None:
    config = config_of(model).with_values("property", {"num-detected-classes": "1"})
    simulator = Simulator(config, model)
    frames = simulator.run(DataSet.open(dataset).split("test")[:2])
    with pytest.raises(ModelError, match="num-detected-classes is 1"):
        simulator.detections(frames)


def test_pictures_are_read_as_rgb(model: Path, dataset: Path) -> None:
    picture = DataSet.open(dataset).split("test")[0]
    bgr = cv2.imread(str(picture.path))
    tensor, _ = preprocess(read_rgb(picture), config_of(model), (picture.height, picture.width))
    np.testing.assert_allclose(tensor[0] * 255, bgr[..., 2], atol=1e-3)
