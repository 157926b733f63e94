"""Slices: what each holds, by hand; and their numbers against pycocotools on filtered COCO files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.evaluation.slice_metrics import SliceMetrics, ratio_interval, slice_metrics
from traffic_yolo.evaluation.slices import Slice, measure_light, slices_of
from traffic_yolo.metrics.coco_settings import network_area_scale
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.label_attributes import LabelAttributes, read_label_attributes

CLASSES = ("car", "bus")


def coco_file(path: Path, seed: int = 3, pictures: int = 12) -> Path:
    """Two sites, three lanes, distances and occlusions on most boxes; some crowds and ignore regions."""
    rng = np.random.default_rng(seed)
    images = [
        {
            "id": 10 + index,
            "file_name": f"{index}.jpg",
            "width": 640,
            "height": 360,
            "site": "AB"[index % 2],
            "camera": "one",
            "recording": f"r{index // 3}",
            "attributes": {"weather": "rain"} if index < 4 else {},
        }
        for index in range(pictures)
    ]
    annotations: list[dict[str, Any]] = []
    for image in reversed(images):  # a file's order is its own business
        for _ in range(int(rng.integers(1, 8))):
            width, height = rng.uniform(8, 160, 2).round(2).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": int(rng.integers(1, 3)),
                    "bbox": [*rng.uniform(0, 400, 2).round(2).tolist(), width, height],
                    "area": width * height,
                    "iscrowd": int(rng.random() < 0.1),
                    "ignore": int(rng.random() < 0.1),
                    "attributes": {
                        "lane": float(rng.integers(1, 4)),
                        "posx": float(rng.uniform(-5, 5)),
                        "posy": float(rng.uniform(5, 200)),
                        "occluded": bool(rng.random() < 0.4),
                    }
                    if rng.random() < 0.9
                    else {},
                }
            )
    categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def detections_near(truth: GroundTruth, seed: int = 5) -> Detections:
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(truth.class_ids), 2 * len(truth.class_ids))
    boxes = truth.boxes_xywh[rows].copy()
    boxes[:, 2:] += boxes[:, :2]
    boxes += rng.normal(0, 5, boxes.shape)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    away = rng.random(len(rows)) < 0.2
    boxes[away] += 300
    return Detections(
        truth.image_ids[truth.truth_pictures[rows]],
        boxes.astype(np.float32),
        rng.uniform(0.01, 1, len(rows)).astype(np.float32),
        rng.integers(0, 2, len(rows)),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_file(tmp_path_factory.mktemp("slices") / "instances.json")


@pytest.fixture(scope="module")
def truth(path: Path) -> GroundTruth:
    return read_ground_truth(path, CLASSES)


@pytest.fixture(scope="module")
def labels(path: Path, truth: GroundTruth) -> LabelAttributes:
    return read_label_attributes(path, truth)


@pytest.fixture(scope="module")
def slices(truth: GroundTruth, labels: LabelAttributes) -> list[Slice]:
    light = ["night" if index % 4 == 0 else "day" for index in range(len(truth.image_ids))]
    scale = network_area_scale(np.full((len(truth.image_ids), 2), (360, 640), np.int32), (192, 320), letterbox=False)
    return slices_of(truth, labels, light=light, network_area_scale=scale)


@pytest.fixture(scope="module")
def measured(slices: list[Slice], truth: GroundTruth, labels: LabelAttributes) -> list[SliceMetrics]:
    groups = [picture.recording for picture in labels.pictures]
    return slice_metrics(slices, detections_near(truth), truth, confidence_threshold=0.3, groups=groups)


def pycocotools_says(
    path: Path, detections: Detections, *, keep: dict[str, Any] | None = None, area: tuple[float, float] = (0, 1e10)
) -> tuple[float, float, float]:
    """AP, AP50 and AR100 of a file in which only pictures that have the fields of `keep` are left."""
    content = json.loads(path.read_text())
    if keep:
        content["images"] = [i for i in content["images"] if all(i.get(key) == value for key, value in keep.items())]
    ids = {image["id"] for image in content["images"]}
    rows = []
    for entry in content["annotations"]:
        if entry["image_id"] not in ids:
            continue
        for category in (1, 2) if entry["ignore"] else (entry["category_id"],):
            crowd = int(entry["ignore"] or entry["iscrowd"])
            rows.append({**entry, "id": len(rows) + 1, "category_id": category, "iscrowd": crowd})
    truth = COCO()
    truth.dataset = {**content, "annotations": rows}
    truth.createIndex()
    xyxy = detections.boxes_xyxy.astype(np.float64)
    results = [
        {
            "image_id": int(detections.image_ids[row]),
            "category_id": int(detections.class_ids[row]) + 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": float(detections.scores[row]),
        }
        for row, box in enumerate(xyxy.tolist())
        if int(detections.image_ids[row]) in ids
    ]
    evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
    evaluator.params.areaRng, evaluator.params.areaRngLbl = [list(area)], ["all"]
    evaluator.params.maxDets = [100]
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    return tuple(float(a[a > -1].mean()) for a in (precision, precision[0], recall))  # type: ignore[return-value]


def find(measured: list[SliceMetrics], dimension: str, value: str) -> SliceMetrics:
    return next(m for m in measured if (m.dimension, m.value) == (dimension, value))


@pytest.mark.parametrize("site", ["A", "B"])
def test_a_slice_of_pictures_equals_pycocotools_on_a_file_with_these_pictures_alone(
    path: Path, truth: GroundTruth, measured: list[SliceMetrics], site: str
) -> None:
    found = find(measured, "site", site)
    expected = pycocotools_says(path, detections_near(truth), keep={"site": site})
    assert (found.ap, found.ap50, found.ar100) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_a_slice_by_size_equals_pycocotools_area_range(
    path: Path, truth: GroundTruth, measured: list[SliceMetrics], name: str
) -> None:
    area = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}[name]
    found = find(measured, "size", name)
    expected = pycocotools_says(path, detections_near(truth), area=area)
    assert (found.ap, found.ap50, found.ar100) == pytest.approx(expected, abs=1e-12)


def test_a_slice_by_network_size_equals_pycocotools_area_range_in_those_pixels(
    path: Path, truth: GroundTruth, measured: list[SliceMetrics]
) -> None:
    """640 x 360 to 320 x 192: a square picture pixel is 0.5 x 192 / 360 square network pixels."""
    scale = 0.5 * 192 / 360
    found = find(measured, "size in network pixels", "small")
    expected = pycocotools_says(path, detections_near(truth), area=(0, 32**2 / scale))
    assert (found.ap, found.ap50, found.ar100) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("lane", ["1", "2", "3"])
def test_a_slice_of_boxes_equals_pycocotools_where_the_other_boxes_are_out_of_the_area_range(
    path: Path, truth: GroundTruth, measured: list[SliceMetrics], tmp_path: Path, lane: str
) -> None:
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        if entry["attributes"].get("lane") != float(lane):
            entry["area"] = 1e11
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    found = find(measured, "lane", lane)
    expected = pycocotools_says(other, detections_near(truth))
    assert (found.ap, found.ap50, found.ar100) == pytest.approx(expected, abs=1e-12)
    assert found.precision is None
    assert found.f1 is None


def test_a_box_outside_the_slice_neither_rewards_nor_punishes() -> None:
    """One picture, lane 1 found, lane 2 found, lane 2 missed, one false box: by hand."""
    boxes = np.array([[0, 0, 10, 10], [50, 0, 10, 10], [100, 0, 10, 10]], np.float64)
    truth = GroundTruth(
        ("car",), np.array([1]), np.zeros(3, np.int64), boxes, np.zeros(3, np.int64), np.full(3, 100.0),
        np.zeros(3, np.bool_),
    )  # fmt: skip
    detections = Detections(
        np.ones(3, np.int64),
        np.array([[0, 0, 10, 10], [50, 0, 60, 10], [200, 0, 210, 10]], np.float32),
        np.array([0.9, 0.8, 0.95], np.float32),
        np.zeros(3, np.int64),
    )
    in_lane = [Slice("lane", "1", "boxes", np.ones(1, np.bool_), np.array([True, False, False]))]
    in_lane.append(Slice("lane", "2", "boxes", np.ones(1, np.bool_), np.array([False, True, True])))
    one, two = slice_metrics(in_lane, detections, truth, confidence_threshold=0.3, groups=["r"])
    assert (one.truths, one.recall, one.recall_interval) == (1, 1.0, None)
    assert one.ap50 == pytest.approx(1 / 2)  # below the false box, which counts in every lane
    assert (two.truths, two.recall) == (2, 0.5)
    assert two.ap50 == pytest.approx(51 / 101 / 2)


def test_every_picture_and_every_counting_box_is_in_one_slice_of_a_dimension(
    slices: list[Slice], truth: GroundTruth
) -> None:
    by_dimension: dict[str, list[Slice]] = {}
    for part in slices:
        by_dimension.setdefault(part.dimension, []).append(part)
    assert list(by_dimension) == [
        *("site", "light", "weather", "size", "size in network pixels", "distance", "lane", "occlusion")
    ]  # one camera: nothing to part
    for dimension, parts in by_dimension.items():
        if parts[0].of == "pictures":
            assert (sum(part.pictures.astype(int) for part in parts) == 1).all(), dimension
        else:
            assert (sum(part.truths.astype(int) for part in parts) == (~truth.ignore).astype(int)).all(), dimension
    assert [part.value for part in by_dimension["lane"]] == ["1", "2", "3", "not stated"]
    assert [part.value for part in by_dimension["weather"]] == ["rain", "not stated"]
    assert [part.value for part in by_dimension["occlusion"]] == ["occluded", "visible", "not stated"]
    assert by_dimension["distance"][0].value == "0–25 m"


def test_counts_of_the_slices_add_up_to_the_whole(measured: list[SliceMetrics], truth: GroundTruth) -> None:
    for dimension in ("site", "light", "lane", "distance", "occlusion"):
        assert sum(m.truths for m in measured if m.dimension == dimension) == int((~truth.ignore).sum())


def test_attributes_are_read_in_the_order_of_the_truth(path: Path, truth: GroundTruth, labels: LabelAttributes) -> None:
    content = json.loads(path.read_text())
    by_box = {tuple(entry["bbox"]): entry["attributes"] for entry in content["annotations"]}
    for box, found in zip(truth.boxes_xywh.tolist(), labels.boxes, strict=True):
        attributes = by_box[tuple(box)]
        assert found.lane == (f"{attributes['lane']:.0f}" if attributes else "")
        if attributes:
            assert found.distance_m == pytest.approx(np.hypot(attributes["posx"], attributes["posy"]))
        else:
            assert np.isnan(found.distance_m)


def test_the_attributes_of_another_file_are_refused(truth: GroundTruth, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="its boxes are not those of the ground truth"):
        read_label_attributes(coco_file(tmp_path / "other.json", seed=4), truth)


@pytest.mark.parametrize(
    ("attributes", "distance"),
    [
        ({"distance_m": 12}, 12.0),
        ({"posx": 3.0, "posy": 4.0}, 5.0),
        ({"xpos": 6.0, "ypos": 8.0}, 10.0),
        ({"posx": 0.0, "posy": 0.0}, None),  # the device's way to say that it has none
        ({"distance_m": "far"}, None),
        ({"distance_m": True}, None),
    ],
)
def test_distance_of_a_box(attributes: dict[str, Any], distance: float | None, tmp_path: Path) -> None:
    entry = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "attributes": attributes}
    content = {"images": [{"id": 1}], "annotations": [entry], "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "one.json").write_text(json.dumps(content))
    one = read_ground_truth(tmp_path / "one.json", ["car"])
    found = read_label_attributes(tmp_path / "one.json", one).boxes[0].distance_m
    assert np.isnan(found) if distance is None else found == distance


def test_light_is_the_median_of_the_luma(tmp_path: Path) -> None:
    bright, lamps = np.full((80, 80, 3), 120, np.uint8), np.full((80, 80, 3), 20, np.uint8)
    lamps[:32] = 255  # two fifths of the picture: the mean is above 100
    paths = []
    for name, picture in (("bright", bright), ("lamps", lamps)):
        paths.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(paths[-1]), picture)
    assert measure_light(paths) == ["day", "night"]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"cannot be decoded: .*broken.jpg"):
        measure_light([tmp_path / "broken.jpg"])


def test_interval_widens_when_pictures_stand_and_fall_together() -> None:
    found, true = np.array([10, 0] * 20), np.full(40, 10)
    alone = ratio_interval(found, true, [str(index) for index in range(40)])
    together = ratio_interval(found, true, [f"{index % 2} {index // 2 % 3}" for index in range(40)])  # six recordings
    assert alone is not None
    assert together is not None
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])
    assert 0.3 < alone[0] < 0.5 < alone[1] < 0.7
    assert ratio_interval(found, true, [str(index % 4) for index in range(40)]) is None
    assert ratio_interval(found, np.zeros(40, np.int64), [str(index) for index in range(40)]) is None
