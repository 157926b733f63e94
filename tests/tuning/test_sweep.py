"""The sweep: every cell is what NMS and matching done for that cell alone would give."""

import csv
import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth, read_ground_truth
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.operating_point import operating_point
from traffic_yolo.tuning.sweep import Sweep, sweep, sweep_limits, write_csv

CLASSES = ("CAR", "BUS", "TRUCK")
PROTOCOL = Protocol("c" * 64, "w" * 64, (64, 64), "stretch", "f" * 64 + "/val")
BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))


def case(
    found: list[tuple[int, tuple[int, ...], tuple[float, ...]]],
    truths: list[tuple[int, int, tuple[int, ...]]],
    *,
    pictures: int = 3,
    side: int = 40,
) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of (picture, xywh, a score for each class) and truth of (picture, class id, xywh)."""
    found = sorted(found, key=lambda row: row[0])
    truths = sorted(truths, key=lambda row: row[0])
    boxes = np.array([row[1] for row in found], np.float32).reshape(-1, 4)
    scores = np.array([row[2] for row in found], np.float32).reshape(-1, 3)
    rows = np.array([row[0] for row in found], np.int64)
    truth_boxes = np.array([row[2] for row in truths], np.float64).reshape(-1, 4)
    class_ids = np.array([row[1] for row in truths], np.int64)
    raw = RawDetections.from_dense(
        image_ids=np.arange(5, 5 + pictures),
        image_hw=np.full((pictures, 2), side, np.int32),
        offsets=np.searchsorted(rows, np.arange(pictures + 1)),
        boxes_xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        objectness=scores.max(axis=1, initial=0),
        class_scores=scores,
        classes=CLASSES,
        protocol=PROTOCOL,
    )
    truth = GroundTruth(
        classes=CLASSES,
        image_ids=np.arange(5, 5 + pictures)[::-1].copy(),  # another order than the detections'
        truth_pictures=np.array([row[0] for row in truths], np.int64),
        boxes_xywh=truth_boxes,
        class_ids=class_ids,
        areas=truth_boxes[:, 2] * truth_boxes[:, 3],
        ignore=class_ids == ALL_CLASSES,
    )
    return raw, truth


@pytest.mark.long
@examples(60)
@given(
    found=st.lists(st.tuples(st.integers(0, 2), BOX, st.tuples(*[st.integers(0, 9)] * 3)), max_size=25),
    truths=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, ALL_CLASSES]), BOX), max_size=15),
    kind=st.sampled_from(["default", "greedynms", "diounms"]),
    max_detections=st.sampled_from([2, 300]),
    engine=st.sampled_from(["fast", "fast", "pycocotools"]),
)
def test_every_cell_equals_nms_and_pycocotools_done_for_it(
    found: list[tuple[int, tuple[int, ...], tuple[int, ...]]],
    truths: list[tuple[int, int, tuple[int, ...]]],
    kind: str,
    max_detections: int,
    engine: str,
) -> None:
    raw, truth = case([(p, box, tuple(s / 10 for s in scores)) for p, box, scores in found], truths)
    confidences, iou_thresholds = (0.05, 0.2, 0.5, 0.8), (0.3, 0.5, 0.75)
    options = NmsOptions(kind=kind, max_detections=max_detections)
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds, nms=options)
    points = iter(result.points())
    for row, confidence in enumerate(confidences):
        for column, iou_threshold in enumerate(iou_thresholds):
            nms = NmsOptions(confidence, iou_threshold, kind, max_detections=max_detections)
            plain = operating_point(
                match(non_maximum_suppression(raw, nms), truth),
                CLASSES,
                confidence_threshold=confidence,
                iou_threshold=iou_threshold,
            )
            assert next(points) == plain
            for name in ("precision", "recall", "f1", "false_positives_per_picture"):
                assert getattr(result, name)[row, column] == pytest.approx(getattr(plain, name), abs=1e-15)
            if engine == "pycocotools" and row and column:
                continue  # slow; the fast engine has shown the other cells, and is itself held to it elsewhere
            coco = evaluate_coco(truth, non_maximum_suppression(raw, nms), engine=engine)
            assert result.ap[row, column] == pytest.approx(coco.ap or 0.0, abs=1e-12)
            assert result.ap50[row, column] == pytest.approx(coco.ap50 or 0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_cells_equal_the_plain_way_on_a_crowded_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [(p, int(rng.integers(3)), (*rng.uniform(0, 300, 2), *rng.uniform(20, 60, 2))) for p in (0, 1, 2) * 12]
    found = []
    for picture, class_id, box in truths * 6:
        scores = rng.random(3) * 0.3
        scores[class_id] = rng.random()
        # image ids run against each other in `case`: picture p of the truth is 2 - p of the detections
        found.append((2 - picture, tuple(np.array(box) + rng.normal(0, 6, 4)), tuple(scores)))
    raw, truth = case(found, truths, side=400)  # type: ignore[arg-type]
    confidences, iou_thresholds = tuple(np.arange(1, 20) / 20), (0.3, 0.45, 0.6)
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds)
    assert result.true_positives.max() > 3
    for point in result.points():
        nms = NmsOptions(point.confidence_threshold, point.iou_threshold)
        matching = match(non_maximum_suppression(raw, nms), truth)
        plain = operating_point(
            matching, CLASSES, confidence_threshold=nms.confidence_threshold, iou_threshold=nms.iou_threshold
        )
        assert point == plain
    for row, confidence in enumerate(confidences):
        for column, iou_threshold in enumerate(iou_thresholds):
            coco = evaluate_coco(truth, non_maximum_suppression(raw, NmsOptions(confidence, iou_threshold)))
            assert result.ap[row, column] == pytest.approx(coco.ap, abs=1e-12)
            assert result.ap50[row, column] == pytest.approx(coco.ap50, abs=1e-12)
    assert (np.diff(result.ap, axis=0) <= 0).all()


def test_more_than_a_hundred_detections_of_a_class_count_in_f1_but_not_in_ap() -> None:
    boxes = [(6 * column, 6 * row, 5, 5) for row in range(12) for column in range(12)]
    truths = [(1, 0, box) for box in boxes]
    found = [(1, box, (0.9 - 0.005 * index, 0.0, 0.0)) for index, box in enumerate(boxes)]
    raw, truth = case(found, truths, side=100)
    result = sweep(raw, truth, confidences=(0.1, 0.5), iou_thresholds=(0.5,))
    assert result.true_positives[0, 0].tolist() == [144, 0, 0]
    for row, confidence in enumerate((0.1, 0.5)):
        coco = evaluate_coco(truth, non_maximum_suppression(raw, NmsOptions(confidence, 0.5)), engine="pycocotools")
        assert result.ap[row, 0] == pytest.approx(coco.ap, abs=1e-12)
    assert result.ap[0, 0] == pytest.approx(70 / 101)


def test_limits_of_detections_share_one_sweep() -> None:
    rng = np.random.default_rng(3)
    truths = [(p, int(rng.integers(3)), (*rng.integers(0, 60, 2), *rng.integers(5, 20, 2))) for p in (0, 1, 2) * 4]
    found = [
        (2 - p, tuple(np.array(box) + rng.integers(-2, 3, 4)), tuple(rng.integers(0, 20, 3) / 20))
        for p, _, box in truths * 6
    ]
    raw, truth = case(found, truths, side=90)  # type: ignore[arg-type]
    grid = {"confidences": (0.05, 0.3, 0.6), "iou_thresholds": (0.3, 0.6)}
    together = sweep_limits(raw, truth, nms=NmsOptions(kind="diounms"), limits=(1, 5, 300), **grid)
    for result, limit in zip(together, (1, 5, 300), strict=True):
        alone = sweep(raw, truth, nms=NmsOptions(kind="diounms", max_detections=limit), **grid)
        assert result.nms == alone.nms
        for name in ("true_positives", "false_positives", "ap", "ap50"):
            np.testing.assert_array_equal(getattr(result, name), getattr(alone, name))
    assert together[0].true_positives.sum() < together[1].true_positives.sum() < together[2].true_positives.sum()


@pytest.mark.reference
@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="60 s; set TRAFFIC_YOLO_SLOW=1 to run it")
def test_all_thousand_cells_of_real_detections_equal_the_plain_way(reference: Path) -> None:
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.detection.detect import detect

    path = reference / "coco" / "instances_val.json"
    content = json.loads(path.read_text())
    classes = tuple(category["name"] for category in content["categories"])
    network = Network.from_cfg(reference / "weights" / "yolo-fastest-1.1.cfg")
    network.load_weights(reference / "weights" / "yolo-fastest-1.1.weights")
    pictures = [
        SimpleNamespace(
            image_id=image["id"],
            path=reference / "coco" / "images" / "val2017" / image["file_name"],
            width=image["width"],
            height=image["height"],
        )
        for image in content["images"]
    ]
    raw = detect(network, pictures, classes=classes, protocol=dataclasses.replace(PROTOCOL, network_hw=(320, 320)))
    truth = read_ground_truth(path, classes)
    confidences, iou_thresholds = np.linspace(0.001, 0.95, 50).tolist(), np.linspace(0.2, 0.95, 20).tolist()
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds)
    assert (np.diff(result.ap, axis=0) <= 0).all()
    for row, confidence in enumerate(confidences):
        for column, iou_threshold in enumerate(iou_thresholds):
            found = non_maximum_suppression(raw, NmsOptions(confidence, iou_threshold))
            engine = "pycocotools" if (row, column) in ((0, 5), (9, 12)) else "fast"
            coco, outcomes = evaluate_coco(truth, found, engine=engine), match(found, truth).outcomes
            assert result.ap[row, column] == pytest.approx(coco.ap, abs=1e-12)
            assert result.ap50[row, column] == pytest.approx(coco.ap50, abs=1e-12)
            counts = result.true_positives[row, column].sum(), result.false_positives[row, column].sum()
            assert counts == ((outcomes == 1).sum(), (outcomes == 0).sum())


def test_columns_of_two_sweeps_join_in_order() -> None:
    raw, truth = case([(0, (0, 0, 5, 5), (0.5, 0.2, 0.0))], [(2, 0, (0, 0, 5, 5))])
    coarse, fine = (
        sweep(raw, truth, confidences=(0.1, 0.3), iou_thresholds=grid) for grid in ((0.3, 0.6), (0.4, 0.5, 0.6))
    )
    joined = coarse.with_columns_of(fine)
    whole = sweep(raw, truth, confidences=(0.1, 0.3), iou_thresholds=(0.3, 0.4, 0.5, 0.6))
    assert joined.iou_thresholds == whole.iou_thresholds
    np.testing.assert_array_equal(joined.true_positives, whole.true_positives)
    np.testing.assert_array_equal(joined.ap, whole.ap)


def grid_of(correct: list[list[int]], wrong: list[list[int]]) -> Sweep:
    """A sweep of one class with 10 truths, from counts by confidence and IoU threshold."""
    shape = (len(correct), len(correct[0]))
    return Sweep(
        classes=("CAR",),
        confidences=tuple(0.1 * (i + 1) for i in range(shape[0])),
        iou_thresholds=tuple(0.4 + 0.1 * i for i in range(shape[1])),
        true_positives=np.array(correct)[..., None],
        false_positives=np.array(wrong)[..., None],
        num_truths=np.array([10]),
        num_pictures=4,
        ap=np.full(shape, 0.25),
        ap50=np.full(shape, 0.5),
    )


def test_no_truth_and_no_detections_give_zero_everywhere() -> None:
    result = sweep(*case([], []), confidences=(0.1, 0.5), iou_thresholds=(0.5,))
    for name in ("precision", "recall", "f1", "ap", "ap50", "false_positives_per_picture"):
        assert getattr(result, name).tolist() == [[0.0], [0.0]], name


def test_the_csv_has_a_line_for_each_cell(tmp_path: Path) -> None:
    result = grid_of([[9, 9], [8, 8]], [[9, 8], [2, 1]])
    other = dataclasses.replace(result, nms=NmsOptions(kind="diounms", max_detections=20))
    write_csv([result, other], tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["nms_kind"], row["max_detections"]) for row in rows[::4]] == [("default", "300"), ("diounms", "20")]
    assert len(rows) == 8
    assert rows[3] == {
        "nms_kind": "default",
        "max_detections": "300",
        "confidence_threshold": "0.2",
        "iou_threshold": "0.5",
        "precision": "0.888889",
        "recall": "0.8",
        "f1": "0.842105",
        "ap": "0.25",
        "ap50": "0.5",
        "true_positives": "8",
        "false_positives": "1",
        "false_negatives": "2",
        "false_positives_per_picture": "0.25",
    }


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"confidences": ()}, "confidences: the grid is empty"),
        ({"iou_thresholds": (0.5, 0.4)}, r"iou_thresholds: the grid must rise, found 0\.5, 0\.4"),
        ({"confidences": (0.5, 1.0)}, r"confidence_threshold: expected a number in \[0, 1\), found 1\.0"),
        ({"iou_thresholds": (0.5, 1.5)}, r"iou_threshold: expected a number in \(0, 1\], found 1\.5"),
    ],
)
def test_grids_that_make_no_sense_are_refused(grid: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        sweep(*case([], []), **grid)


def test_a_confidence_below_the_floor_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"confidence_threshold 0\.0005 is below 0\.001, the floor"):
        sweep(*case([], []), confidences=(0.0005, 0.5))
