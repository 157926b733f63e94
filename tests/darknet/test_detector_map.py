"""Darknet's map against a plain loop over the steps of its C code, and by hand."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.detector_map import MapOptions, PictureResult, darknet_map
from traffic_yolo.errors import OptionsError


def iou(a, b):
    shared = [
        min(a[k] + a[k + 2] / 2, b[k] + b[k + 2] / 2) - max(a[k] - a[k + 2] / 2, b[k] - b[k + 2] / 2) for k in (0, 1)
    ]
    if min(shared) <= 0:
        return 0.0
    return shared[0] * shared[1] / (a[2] * a[3] + b[2] * b[3] - shared[0] * shared[1])


def plain_loop(pictures, num_classes, options):
    """validate_detector_map, step by step: ([(ap, tp, fp)], average IoU)."""
    detections, truth_count, truths_of, counts, iou_sum = (
        [],
        0,
        [0] * num_classes,
        [[0, 0] for _ in range(num_classes)],
        0,
    )
    for picture in pictures:
        for class_id in picture.truth_classes:
            truths_of[class_id] += 1
        start = len(detections)
        for row in picture.survivors:
            class_id, score = int(row[5]), row[6]
            best, index = 0, -1
            for j, (box, truth_class) in enumerate(zip(picture.truth_cxcywh, picture.truth_classes, strict=True)):
                overlap = iou(row[:4], box)
                if overlap > options.match_iou and truth_class == class_id and overlap > best:
                    best, index = overlap, truth_count + j
            detections.append((score, class_id, index))
            if score > options.confidence_threshold:
                is_new = index >= 0 and all(other[2] != index for other in detections[start:-1])
                counts[class_id][0 if is_new else 1] += 1
                iou_sum += best if is_new else 0
        truth_count += len(picture.truth_classes)
    detections.sort(key=lambda detection: -detection[0])
    results = []
    for class_id in range(num_classes):
        curve, seen, tp, fp = [], set(), 0, 0
        for _, other, index in detections:
            if other == class_id:
                if index >= 0 and index not in seen:
                    seen.add(index)
                    tp += 1
                else:
                    fp += 1
            curve.append((tp / (tp + fp) if tp + fp else 0, tp / truths_of[class_id] if truths_of[class_id] else 0))
        results.append((average_precision(curve, options.points), *counts[class_id]))
    reported = sum(map(sum, counts))
    return results, iou_sum / reported if reported else 0


def average_precision(curve, points):
    if points:
        reached = [[p for p, r in curve if r >= point * 1.0 / (points - 1)] for point in range(points)]
        return sum(max(found, default=0) for found in reached) / points
    if not curve:
        return 0
    (last_precision, last_recall), area = curve[-1], 0
    for precision, recall in reversed(curve[:-1]):
        area += (last_recall - recall) * last_precision
        last_recall, last_precision = recall, max(last_precision, precision)
    return area + last_recall * last_precision


def random_picture(random, num_classes):
    truths = random.integers(0, 4)
    boxes = np.concatenate([random.random((truths, 2)), random.random((truths, 2)) * 0.5 + 0.1], axis=1)
    found = [box + random.normal(0, 0.03, 4) for box in boxes for _ in range(random.integers(0, 4))]
    found += [random.random(4) for _ in range(random.integers(0, 3))]
    survivors = np.zeros((len(found), 7), np.float32)
    survivors[:, :4] = np.abs(np.array(found).reshape(-1, 4)) + 0.01
    survivors[:, 5] = random.integers(0, num_classes, len(found))
    survivors[:, 6] = random.integers(1, 10, len(found)) / 10  # with ties
    return PictureResult(survivors, boxes.astype(np.float32), random.integers(0, num_classes, truths))


@examples(60)
@given(
    st.integers(0, 10_000),
    st.sampled_from([0, 11, 101]),
    st.sampled_from([0.3, 0.5, 0.75]),
    st.sampled_from([0.05, 0.45]),
)
def test_figures_are_those_of_the_plain_loop(seed, points, match_iou, threshold):
    random = np.random.default_rng(seed)
    pictures = [random_picture(random, 3) for _ in range(random.integers(0, 7))]
    options = MapOptions(points, match_iou, threshold)
    expected, average_iou = plain_loop(pictures, 3, options)
    found = darknet_map(pictures, 3, options)
    for result, (ap, tp, fp) in zip(found.classes, expected, strict=True):
        assert result.ap == pytest.approx(ap, abs=1e-12)
        assert (result.true_positives, result.false_positives) == (tp, fp)
    assert found.average_iou == pytest.approx(average_iou, abs=1e-6)
    assert found.mean_ap == pytest.approx(sum(ap for ap, *_ in expected) / 3, abs=1e-12)
    assert found.num_detections == sum(len(picture.survivors) for picture in pictures)


def survivor(box, class_id, score):
    return [*box, score, class_id, score]


BOX, OTHER = [0.5, 0.5, 0.2, 0.2], [0.2, 0.2, 0.1, 0.1]
TRUTH = (np.array([BOX, OTHER], np.float32), np.array([0, 0]))


def test_the_first_in_order_counts_as_true_at_the_threshold_whatever_its_score():
    weak_first = np.array([survivor(BOX, 0, 0.1), survivor(BOX, 0, 0.9)], np.float32)
    result = darknet_map([PictureResult(weak_first, *TRUTH)], 2)
    # 0.1 is not above 0.25 and still takes the true box, so that 0.9 counts as false; AP goes by score: 0.9 is true.
    assert (result.true_positives, result.false_positives, result.false_negatives) == (0, 1, 2)
    assert [one.ap for one in result.classes] == [0.5, 0]
    assert result.mean_ap == 0.25
    assert (result.precision, result.recall, result.f1, result.average_iou) == (0, 0, 0, 0)


def test_points_read_the_curve_where_darknet_reads_it():
    found = np.array(
        [survivor(BOX, 0, 0.9), survivor([0.9, 0.9, 0.1, 0.1], 0, 0.8), survivor(OTHER, 0, 0.7)], np.float32
    )
    picture = PictureResult(found, *TRUTH)
    # Precision 1 up to recall 0.5, then 2/3
    area, eleven, coco = (darknet_map([picture], 1, MapOptions(points)).mean_ap for points in (0, 11, 101))
    assert area == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert eleven == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert coco == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_text_has_darknets_words_and_digits():
    result = darknet_map([PictureResult(np.array([survivor(BOX, 0, 0.9)], np.float32), *TRUTH)], 2, MapOptions(11))
    assert result.to_text(("car", "bus")).split("\n") == [
        " detections_count = 1, unique_truth_count = 2  ",
        "class_id = 0, name = car, ap = 54.55%   \t (TP = 1, FP = 0) ",
        "class_id = 1, name = bus, ap = 0.00%   \t (TP = 0, FP = 0) ",
        "",
        " for conf_thresh = 0.25, precision = 1.00, recall = 0.50, F1-score = 0.67 ",
        " for conf_thresh = 0.25, TP = 1, FP = 0, FN = 1, average IoU = 100.00 % ",
        "",
        " IoU threshold = 50 %, used 11 Recall-points ",
        " mean average precision (mAP@0.50) = 0.272727, or 27.27 % ",
    ]
    assert result.to_json(("car", "bus"))["classes"][0] == {
        "name": "car", "ap": 6 / 11, "true_positives": 1, "false_positives": 0, "num_truths": 2
    }  # fmt: skip


def test_options_out_of_range_are_refused():
    with pytest.raises(OptionsError, match="points is 10, expected one of 0, 11, 101"):
        MapOptions(10)
    with pytest.raises(OptionsError, match="match_iou is 1.5, expected a number in"):
        MapOptions(match_iou=1.5)
