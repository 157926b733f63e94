"""bfloat16 where this processor multiplies in it: how far logits move, and AP on real pictures."""

import contextlib
import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.darknet.decode import decode_above
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import above_threshold
from traffic_yolo.darknet.resize import stretch
from traffic_yolo.darknet.runtimes import openvino
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.darknet.runtimes.processor import bfloat16_flag

pytestmark = pytest.mark.skipif(bfloat16_flag() is None, reason="this processor does not multiply in bfloat16")


def test_logits_move_by_a_few_hundredths_of_their_range(mixed_network, pictures):
    runtime = open_runtime(mixed_network, RuntimeOptions("pytorch", "bfloat16"))
    assert (runtime.name, runtime.precision) == ("pytorch", "bfloat16")
    found = runtime(pictures(2))
    with torch.no_grad():
        expected = mixed_network(pictures(2))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        moved = float((a - b).abs().max() / (b.max() - b.min()))
        assert 1e-4 < moved < 0.05  # less would mean that float32 ran


def average_precision(reference: Path, model: str, name: str, precision: str) -> float:
    """COCO AP of a published model on the 164 reference pictures, as `detector valid` detects."""
    network = Network.read(reference / "weights" / f"{model}.cfg", reference / "weights" / f"{model}.weights").eval()
    runtime = open_runtime(network, RuntimeOptions(name, precision))
    height, width = network.input_hw
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(reference / "coco" / "instances_val.json"))
    category_ids = sorted(truth.getCatIds())
    results = []
    for image in truth.loadImgs(truth.getImgIds()):
        picture = cv2.imread(str(reference / "coco" / "images" / "val2017" / image["file_name"]))[..., ::-1]
        logits = runtime(stretch(np.ascontiguousarray(picture), (width, height))[None])
        found = above_threshold(decode_above(network.heads, logits, (height, width), 0.001), 0, 0.001)
        scale = np.array([image["width"], image["height"]] * 2, np.float32)
        for x, y, w, h, _, class_id, score in darknet_nms(
            found.boxes_cxcywh * scale, found.objectness, found.scores, NmsRule("default", 0.6)
        ).tolist():
            box = [x - w / 2, y - h / 2, w, h]
            category = category_ids[int(class_id)]
            results.append({"image_id": image["id"], "category_id": category, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="half a minute: TRAFFIC_YOLO_SLOW=1 runs it")
@pytest.mark.parametrize("model", ["yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-coco"])
@pytest.mark.parametrize("name", ["pytorch", "openvino"])
def test_average_precision_moves_by_at_most_two_thousandths(reference, model, name):
    if name == "openvino" and (missing := openvino.missing_packages()):
        pytest.skip(f"{missing} is not installed")
    exact, rounded = (average_precision(reference, model, name, precision) for precision in ("float32", "bfloat16"))
    print(f"{model}, {name}: AP {exact:.4f} in float32, {rounded:.4f} in bfloat16")
    assert exact > 0.1
    assert abs(exact - rounded) <= 0.002
