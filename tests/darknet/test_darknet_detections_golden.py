"""Detection on 164 COCO pictures with real weights, against what `detector valid` and `detector map` wrote and printed.

Pictures are decoded as Darknet decodes them, so that every box, count and printed digit can be held to Darknet's.
"""

import functools
import gzip
import json
import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.detector_map import MapOptions, darknet_map
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import above_threshold, letterboxed_to_picture
from traffic_yolo.darknet.resize import letterbox, stretch
from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.darknet_map import DarknetData, picture_results
from traffic_yolo.metrics.coco import evaluate_coco

pytestmark = pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="a minute of detection: TRAFFIC_YOLO_SLOW=1 runs it"
)

MODEL = "yolo-fastest-1.1"


@pytest.fixture(scope="module")
def coco_data(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 164 COCO pictures as Darknet had them: YOLO labels without crowds, Darknet's names, pictures by id."""
    folder = tmp_path_factory.mktemp("coco")
    coco = json.loads((reference / "coco" / "instances_val.json").read_text())
    class_ids = {category["id"]: index for index, category in enumerate(coco["categories"])}
    (folder / "labels").mkdir()
    (folder / "images").symlink_to(reference / "coco" / "images" / "val2017")
    listed = []
    for image in sorted(coco["images"], key=lambda image: image["id"]):
        size = np.array([image["width"], image["height"]] * 2)
        rows = []
        for annotation in coco["annotations"]:
            if annotation["image_id"] == image["id"] and not annotation["iscrowd"]:
                x, y, w, h = annotation["bbox"]
                shares = np.array([x + w / 2, y + h / 2, w, h]) / size
                rows.append(f"{class_ids[annotation['category_id']]} " + " ".join(f"{share:.8f}" for share in shares))
        (folder / "labels" / Path(image["file_name"]).with_suffix(".txt")).write_text("\n".join(rows))
        listed.append(f"images/{image['file_name']}")
    (folder / "val.txt").write_text("\n".join(listed))
    (folder / "coco.names").write_text((reference / "weights" / "coco.names").read_text())
    (folder / "coco.data").write_text("valid = val.txt\nnames = coco.names\n")
    return folder / "coco.data"


@pytest.fixture(scope="module")
def read(decode_as_darknet):
    """The reader of pictures, which keeps them: both variants need all of them."""
    return functools.lru_cache(maxsize=None)(decode_as_darknet)


def network_of(reference: Path, variant: str) -> Network:
    cfg = Cfg.read(reference / "weights" / f"{MODEL}.cfg")
    if variant:
        cfg.net.set("letter_box", 1)
    network = Network(cfg).eval()
    network.load_weights(reference / "weights" / f"{MODEL}.weights")
    return network


@pytest.mark.parametrize(
    ("variant", "printed"),
    [
        ("", [("points0", 0, 0.5), ("points11", 11, 0.5), ("points101", 101, 0.5), ("points101.iou75", 101, 0.75)]),
        ("-letterbox", [("points0", 0, 0.5)]),
    ],
)
def test_map_prints_what_darknet_printed(reference, coco_data, read, variant, printed):
    data = DarknetData.read(coco_data)
    results = picture_results(network_of(reference, variant), data, reader=read)
    for name, points, match_iou in printed:
        text = (reference / "golden" / "valid" / f"coco-val.{MODEL}{variant}.map.{name}.txt").read_text()
        lines = [line for line in text.split("\n") if re.match(r" detections_c|class_id| for conf| IoU| mean", line)]
        found = darknet_map(results, 80, MapOptions(points, match_iou)).to_text(data.names)
        *ours, mean = [line for line in found.split("\n") if line]
        assert ours == lines[:-1]  # 80 classes: AP to 0.01 %, TP, FP; detections, P, R, F1, average IoU
        figures = [float(re.search(r"= ([0-9.]+), or", line)[1]) for line in (mean, lines[-1])]
        assert figures[0] == pytest.approx(figures[1], abs=1.5e-6)


@pytest.mark.parametrize("variant", ["", "-letterbox"])
def test_every_detection_of_valid_is_darknets_and_so_is_ap(reference, coco_data, read, variant):
    network = network_of(reference, variant)
    golden = reference / "golden" / "valid" / f"coco-val.{MODEL}{variant}"
    truth = json.loads((reference / "coco" / "instances_val.json").read_text())
    category_ids = [category["id"] for category in truth["categories"]]
    by_picture = defaultdict(list)
    for row in json.loads(gzip.decompress(Path(f"{golden}.json.gz").read_bytes())):
        by_picture[row["image_id"]].append((category_ids.index(row["category_id"]), row["score"], *row["bbox"]))
    reported = []
    for path in DarknetData.read(coco_data).pictures:
        found, expected = valid(network, read(path)), np.array(by_picture[int(path.stem)])
        assert found.shape == expected.shape, path
        order = match_up(found, expected)
        assert sorted(order) == list(range(len(found)))
        np.testing.assert_allclose(found[order, 1], expected[:, 1], rtol=0, atol=2e-5)
        np.testing.assert_allclose(found[order, 2:], expected[:, 2:], rtol=0, atol=0.05)
        reported.append(np.column_stack([np.full(len(found), int(path.stem)), found]))
    assert ap_of(np.concatenate(reported), reference, truth) == pytest.approx(
        json.loads(Path(f"{golden}.cocoeval.json").read_text()), abs=5e-5
    )


def valid(network: Network, image: np.ndarray) -> np.ndarray:
    """(K, 6): class, score, x, y, w, h in pixels, cut at the picture's edges: detector.c print_cocos."""
    height, width = image.shape[:2]
    input_height, input_width = network.input_hw
    values = (letterbox if network.letterbox else stretch)(image, (input_width, input_height))
    with torch.no_grad():
        decoded = decode(network.heads, network(torch.from_numpy(values)[None]), network.input_hw)
    boxes, objectness, scores = above_threshold(decoded, 0, 0.001)
    if network.letterbox:
        boxes = letterboxed_to_picture(boxes, (height, width), network.input_hw)
    boxes = boxes * np.array([width, height] * 2, np.float32)
    rows = darknet_nms(boxes, objectness, scores, NmsRule(network.heads[-1].nms_kind, 0.6))
    low = np.maximum(rows[:, :2] - rows[:, 2:4] / 2, 0)
    high = np.minimum(rows[:, :2] + rows[:, 2:4] / 2, [width, height])
    return np.column_stack([rows[:, 5:7], low, high - low])


def match_up(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """For each expected row the nearest free row of its class with its score."""
    order = np.empty(len(expected), int)
    free = np.ones(len(found), bool)
    for index, row in enumerate(expected):
        candidates = np.flatnonzero(free & (found[:, 0] == row[0]) & (np.abs(found[:, 1] - row[1]) < 1e-4))
        distance = np.abs(found[candidates, 2:] - row[2:]).max(axis=1)
        order[index] = candidates[distance.argmin()]
        free[order[index]] = False
    return order


def ap_of(rows: np.ndarray, reference: Path, truth: dict) -> list[float]:
    """The twelve numbers of pycocotools."""
    boxes = np.column_stack([rows[:, 3:5], rows[:, 3:5] + rows[:, 5:7]]).astype(np.float32)
    found = Detections(rows[:, 0].astype(int), boxes, rows[:, 2].astype(np.float32), rows[:, 1].astype(int))
    metrics = evaluate_coco(
        reference / "coco" / "instances_val.json",
        found,
        classes=[category["name"] for category in truth["categories"]],
        category_ids=[category["id"] for category in truth["categories"]],
    )
    return list(metrics.twelve().values())
