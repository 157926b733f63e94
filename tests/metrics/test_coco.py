"""COCO metrics: pycocotools' own summary, category ids, crowds and ignore regions, empty inputs."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.metrics.coco import NUMBER_NAMES, evaluate_coco
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth, read_ground_truth

CLASSES = ("CAR", "BUS")
CATEGORY_IDS = (5, 2)


def truth_file(path: Path, annotations: list[dict[str, Any]], *, pictures: int = 3) -> Path:
    """A COCO file with categories CAR = 5, BUS = 2 and pictures 1, 2, ..."""
    defaults = {"iscrowd": 0}
    content = {
        "images": [{"id": number, "width": 640, "height": 480} for number in range(1, pictures + 1)],
        "categories": [{"id": 2, "name": "BUS"}, {"id": 5, "name": "CAR"}],
        "annotations": [
            {**defaults, "id": row, "area": a["bbox"][2] * a["bbox"][3], **a} for row, a in enumerate(annotations, 1)
        ],
    }
    path.write_text(json.dumps(content))
    return path


def detections(rows: list[tuple[int, int, float, list[float]]]) -> Detections:
    """Detections of (image id, class id, score, xywh)."""
    return Detections(
        np.array([row[0] for row in rows], np.int64),
        xywh_to_xyxy(np.array([row[3] for row in rows], np.float32).reshape(-1, 4)),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.int64),
    )


def random_case(seed: int) -> tuple[list[dict[str, Any]], list[tuple[int, int, float, list[float]]]]:
    """Truth with crowds, and detections near it and anywhere, with equal scores among them."""
    rng = np.random.default_rng(seed)
    annotations, found = [], []
    for image_id in range(1, 9):
        for _ in range(int(rng.integers(0, 9))):
            box = [*rng.uniform(0, 400, 2), *rng.uniform(8, 200, 2)]
            class_id = int(rng.integers(2))
            annotations.append(
                {
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[class_id],
                    "bbox": box,
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
            for _ in range(int(rng.integers(0, 4))):
                moved = (np.array(box) + rng.normal(0, 8, 4)).clip(1)
                found.append((image_id, class_id, round(float(rng.random()), 1), moved.tolist()))
        for _ in range(int(rng.integers(0, 5))):
            box = [*rng.uniform(0, 400, 2), *rng.uniform(8, 200, 2)]
            found.append((image_id, int(rng.integers(2)), round(float(rng.random()), 1), box))
    return annotations, found


def plain_coco(path: Path, found: Detections, category_ids: Sequence[int] = CATEGORY_IDS) -> COCOeval:
    """Uses pycocotools as its own demo does: files, loadRes, category ids of the file."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        xyxy = found.boxes_xyxy.astype(np.float64)
        results = [
            {"image_id": int(i), "category_id": category_ids[c], "bbox": [x0, y0, x1 - x0, y1 - y0], "score": float(s)}
            for i, c, s, (x0, y0, x1, y1) in zip(
                found.image_ids, found.class_ids, found.scores, xyxy.tolist(), strict=True
            )
        ]
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


@pytest.mark.parametrize("seed", range(4))
def test_the_twelve_numbers_are_those_of_pycocotools(tmp_path: Path, seed: int) -> None:
    annotations, rows = random_case(seed)
    path = truth_file(tmp_path / "truth.json", annotations, pictures=8)
    found = detections(rows)
    metrics = evaluate_coco(path, found, classes=CLASSES, category_ids=CATEGORY_IDS)
    expected = plain_coco(path, found)
    assert list(metrics.twelve()) == list(NUMBER_NAMES)
    ours = [-1.0 if value is None else value for value in metrics.twelve().values()]
    np.testing.assert_allclose(ours, expected.stats, rtol=0, atol=1e-12)
    # Our class order is CAR (5), BUS (2), pycocotools' by rising category id.
    curves = expected.eval["precision"][:, :, ::-1, 0, -1]
    np.testing.assert_allclose(metrics.precision, curves, rtol=0, atol=1e-12)
    assert metrics.per_class[0].ap50 == pytest.approx(curves[0, :, 0].mean(), abs=1e-12)


@pytest.mark.reference
def test_darknet_detections_on_real_pictures_give_the_recorded_numbers(
    darknet_valid: Callable[[str], tuple[GroundTruth, Detections]], reference: Path
) -> None:
    name = "yolo-fastest-1.1"
    metrics = evaluate_coco(*darknet_valid(name))
    expected = json.loads((reference / "golden" / "valid" / f"coco-val.{name}.cocoeval.json").read_text())
    # float32 boxes here, decimal text there: a rank or two may change.
    np.testing.assert_allclose(list(metrics.twelve().values()), expected, rtol=0, atol=2e-4)


@pytest.mark.reference
@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="15 s; set TRAFFIC_YOLO_SLOW=1 to run it")
def test_real_numbers_are_those_of_pycocotools_reading_the_files_itself(
    darknet_valid: Callable[[str], tuple[GroundTruth, Detections]], reference: Path
) -> None:
    truth, found = darknet_valid("yolo-fastest-1.1-letterbox")
    path = reference / "coco" / "instances_val.json"
    category_ids = [category["id"] for category in json.loads(path.read_text())["categories"]]
    metrics, expected = evaluate_coco(truth, found), plain_coco(path, found, category_ids)
    np.testing.assert_array_equal(list(metrics.twelve().values()), expected.stats)
    np.testing.assert_array_equal(metrics.precision, expected.eval["precision"][..., 0, -1])


def test_a_perfect_detector_has_ap_one(tmp_path: Path) -> None:
    boxes = [[10.0, 10.0, 50.0, 60.0], [100.0, 40.0, 20.0, 20.0]]
    path = truth_file(
        tmp_path / "t.json", [{"image_id": 1, "category_id": c, "bbox": b} for c, b in zip((5, 2), boxes, strict=True)]
    )
    metrics = evaluate_coco(path, detections([(1, 0, 0.9, boxes[0]), (1, 1, 0.8, boxes[1])]), classes=CLASSES)
    assert metrics.ap == pytest.approx(1)
    assert [m.ap for m in metrics.per_class] == pytest.approx([1, 1])
    assert metrics.ap_small == pytest.approx(1)
    assert metrics.ap_large is None


def test_a_detection_in_a_crowd_of_its_class_does_not_count(tmp_path: Path) -> None:
    car = {"image_id": 1, "category_id": 5, "bbox": [10, 10, 50, 60]}
    crowd = {"image_id": 1, "category_id": 5, "bbox": [200, 200, 200, 200], "iscrowd": 1}
    path = truth_file(tmp_path / "t.json", [car, crowd])
    inside = [(1, 0, 0.95, [220.0, 220.0, 40.0, 40.0]), (1, 0, 0.9, [10.0, 10.0, 50.0, 60.0])]
    assert evaluate_coco(path, detections(inside), classes=CLASSES).ap == pytest.approx(1)
    wrong_class = [*inside, (1, 1, 0.99, [220.0, 220.0, 40.0, 40.0])]
    # There is no true BUS: the class stays undefined and AP is CAR's.
    assert evaluate_coco(path, detections(wrong_class), classes=CLASSES).per_class[1].ap is None


def test_an_ignore_region_swallows_detections_of_every_class(tmp_path: Path) -> None:
    annotations = [
        {"image_id": 1, "category_id": 5, "bbox": [10, 10, 50, 60]},
        {"image_id": 1, "category_id": 2, "bbox": [400, 10, 50, 60]},
        {"image_id": 1, "category_id": 5, "bbox": [200, 200, 200, 200], "ignore": 1},
    ]
    path = truth_file(tmp_path / "t.json", annotations)
    rows = [(1, 0, 0.9, [10.0, 10.0, 50.0, 60.0]), (1, 1, 0.9, [400.0, 10.0, 50.0, 60.0])]
    rows += [(1, class_id, 0.95, [220.0, 220.0, 40.0, 40.0]) for class_id in (0, 1)]
    metrics = evaluate_coco(path, detections(rows), classes=CLASSES)
    assert [m.ap for m in metrics.per_class] == pytest.approx([1, 1])
    assert [m.num_truths for m in metrics.per_class] == [1, 1]
    truth = read_ground_truth(path, CLASSES)
    assert truth.class_ids.tolist() == [0, 1, ALL_CLASSES]
    assert truth.ignore.tolist() == [False, False, True]


def test_no_detections_give_zero_and_no_truth_gives_none(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", [{"image_id": 1, "category_id": 5, "bbox": [10, 10, 50, 60]}])
    nothing = evaluate_coco(path, Detections.none(), classes=CLASSES)
    assert (nothing.ap, nothing.ap50, nothing.ar100) == (0, 0, 0)
    assert nothing.ap_small is None
    empty = truth_file(tmp_path / "empty.json", [])
    for found in (Detections.none(), detections([(1, 0, 0.9, [10.0, 10.0, 50.0, 60.0])])):
        undefined = evaluate_coco(empty, found, classes=CLASSES)
        assert set(undefined.twelve().values()) == {None}
        assert [m.ap50 for m in undefined.per_class] == [None, None]


def test_max_detections_limits_each_class_of_a_picture(tmp_path: Path) -> None:
    box = [10.0, 10.0, 50.0, 60.0]
    path = truth_file(tmp_path / "t.json", [{"image_id": 1, "category_id": 5, "bbox": box}])
    rows = [(1, 0, 0.9, [200.0 + 20 * i, 10.0, 15.0, 15.0]) for i in range(10)] + [(1, 0, 0.5, box)]
    assert evaluate_coco(path, detections(rows), classes=CLASSES, max_detections=10).ar100 == 0
    assert evaluate_coco(path, detections(rows), classes=CLASSES, max_detections=11).ar100 == 1


def test_image_ids_choose_the_pictures(tmp_path: Path) -> None:
    box = [10.0, 10.0, 50.0, 60.0]
    path = truth_file(tmp_path / "t.json", [{"image_id": i, "category_id": 5, "bbox": box} for i in (1, 2)])
    found = detections([(1, 0, 0.9, box)])
    assert evaluate_coco(path, found, classes=CLASSES, image_ids=[1]).ap == pytest.approx(1)
    assert evaluate_coco(path, found, classes=CLASSES, image_ids=[2]).ap == 0


def test_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_coco(truth_file(tmp_path / "t.json", []), Detections.none(), classes=CLASSES)
    assert capsys.readouterr() == ("", "")


def test_detections_of_unknown_pictures_and_classes_are_refused(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", [])
    with pytest.raises(EvaluationError, match="detections for picture 77, which the ground truth does not have"):
        evaluate_coco(path, detections([(77, 0, 0.9, [0.0, 0.0, 5.0, 5.0])]), classes=CLASSES)
    with pytest.raises(EvaluationError, match="detections of class 2, but the ground truth has 2 classes"):
        evaluate_coco(path, detections([(1, 2, 0.9, [0.0, 0.0, 5.0, 5.0])]), classes=CLASSES)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"image_id": 99, "category_id": 5, "bbox": [0, 0, 1, 1]},
            r"annotations\[0\] \(id 1\): image_id: expected the id of an image in the file; found 99",
        ),
        (
            {"image_id": 1, "category_id": 8, "bbox": [0, 0, 1, 1]},
            r"annotations\[0\] \(id 1\): category_id: expected the id of a category in the file; found 8",
        ),
    ],
)
def test_truth_that_contradicts_itself_is_refused(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_ground_truth(truth_file(tmp_path / "t.json", [annotation]), CLASSES)


def test_a_counted_box_of_another_class_than_the_model_has_is_refused(tmp_path: Path) -> None:
    path = truth_file(tmp_path / "t.json", [{"image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1]}])
    with pytest.raises(DatasetError, match="annotation 1 has category 5, which is none of the model's classes"):
        read_ground_truth(path, CLASSES[1:])


def test_a_class_without_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no category named 'TRUCK'; the model's classes must be among: BUS, CAR"):
        read_ground_truth(truth_file(tmp_path / "t.json", []), ("CAR", "TRUCK"))


def test_what_is_no_coco_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(DatasetError, match="not a COCO instances file"):
        read_ground_truth(tmp_path / "a.json", CLASSES)
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DatasetError, match="ground truth is not valid JSON"):
        read_ground_truth(tmp_path / "b.json", CLASSES)
