"""Which prediction answers for which true box."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.targets import Truths, assign, join_truths, shape_overlap

# 23 holds centres exactly on the right or lower edge, where Darknet writes into the next row: see the test below.
CASES = [f"{number:02d}" for number in range(1, 37) if number != 23]

HEAD = YoloHead(layer_index=0, anchors=((10, 10), (20, 40), (60, 60)), mask=(0, 1), num_classes=3, stride=8)


def truths(*boxes_cxcywh_norm: tuple[float, float, float, float], ignore: bool = False) -> Truths:
    count = len(boxes_cxcywh_norm)
    boxes = np.array(boxes_cxcywh_norm, np.float32).reshape(-1, 4)
    return Truths(boxes, np.zeros(count, np.int64), np.zeros(count, np.int64), np.full(count, ignore))


def places(found: Any) -> list[tuple[int, int, int, int]]:
    return list(zip(*(x.tolist() for x in (found.truth, found.slot, found.row, found.column)), strict=True))


@pytest.mark.reference
@pytest.mark.parametrize("case", CASES)
def test_assignment_is_darknets(golden_loss: Callable[[str], Any], case: str) -> None:
    golden = golden_loss(case)
    for call in golden.calls:
        for number, head in enumerate(golden.heads):
            rows = golden.arrays[f"{call.prefix}h{number}_assign"]
            expected = {tuple(int(row[k]) for k in (0, 1, 3, 4, 5, 6, 7)) for row in rows}
            grid_hw = golden.head_input(number, call.prefix).shape[-2:]
            found = assign(call.truths, head, grid_hw=grid_hw, network_wh=golden.network_wh)
            class_ids = call.truths.class_ids[found.truth]
            truth_rows = [call.truth_rows[truth] for truth in found.truth]
            columns = (found.image, truth_rows, found.slot, found.row, found.column, class_ids, ~found.is_best)
            assert {tuple(map(int, row)) for row in zip(*columns, strict=True)} == expected
            assert len(found) == len(rows)


def test_truth_trains_the_cell_of_its_centre_in_the_slot_of_its_best_anchor() -> None:
    found = assign(truths((0.5, 0.3, 0.2, 0.4)), HEAD, grid_hw=(10, 20), network_wh=(100, 100))
    assert places(found) == [(0, 1, 3, 10)]  # 20 x 40 pixels is anchor 1; row 0.3 * 10, column 0.5 * 20
    assert found.is_best.tolist() == [True]


def test_best_anchor_of_another_head_trains_nothing_here() -> None:
    assert len(assign(truths((0.5, 0.5, 0.6, 0.6)), HEAD, grid_hw=(4, 4), network_wh=(100, 100))) == 0


def test_iou_thresh_adds_the_other_anchors_above_it() -> None:
    head = YoloHead(0, ((10, 10), (12, 10), (60, 60)), (0, 1, 2), 1, 8, iou_thresh=0.5)
    found = assign(truths((0.5, 0.5, 0.12, 0.1)), head, grid_hw=(4, 4), network_wh=(100, 100))
    assert places(found) == [(0, 0, 2, 2), (0, 1, 2, 2)]  # IoU 100/120 with the first anchor
    assert found.is_best.tolist() == [False, True]


@pytest.mark.parametrize(("kind", "slots"), [("iou", [0, 1]), ("giou", [0])])
def test_other_anchors_are_held_to_the_overlap_that_iou_thresh_kind_names(kind: str, slots: list[int]) -> None:
    # 10 x 20 against 20 x 10: IoU 1/3, GIoU 1/12
    head = YoloHead(0, ((10, 20), (20, 10)), (0, 1), 1, 8, iou_thresh=0.2, iou_thresh_kind=kind)
    found = assign(truths((0.5, 0.5, 0.1, 0.2)), head, grid_hw=(4, 4), network_wh=(100, 100))
    assert found.slot.tolist() == slots


def test_equal_anchors_go_to_the_first() -> None:
    head = YoloHead(0, ((10, 20), (20, 10)), (0, 1), 1, 8)
    assert places(assign(truths((0.1, 0.1, 0.1, 0.1)), head, grid_hw=(4, 4), network_wh=(100, 100)))[0][1] == 0


def test_centre_on_the_far_edge_belongs_to_the_last_cell() -> None:
    found = assign(truths((1.0, 1.0, 0.1, 0.1)), HEAD, grid_hw=(5, 7), network_wh=(100, 100))
    assert places(found) == [(0, 0, 4, 6)]


def test_ignored_truths_are_not_assigned() -> None:
    assert len(assign(truths((0.5, 0.5, 0.1, 0.1), ignore=True), HEAD, grid_hw=(4, 4), network_wh=(100, 100))) == 0


@pytest.mark.parametrize(("kind", "expected"), [("iou", 1 / 3), ("diou", 1 / 3), ("giou", 1 / 3 - 1 / 4)])
def test_shape_overlap_of_crossing_boxes(kind: str, expected: float) -> None:
    # 10 x 20 and 20 x 10 share 10 x 10 of 300; their hull is 20 x 20
    found = shape_overlap(np.array([[10, 20]], np.float32), np.array([[20, 10]], np.float32), kind)
    assert found == pytest.approx(expected)


def test_pictures_of_a_batch_are_cut_apart_again() -> None:
    boxes = [np.full((n, 4), n, np.float32) for n in (2, 0, 1)]
    batch = join_truths(boxes, [np.arange(n) for n in (2, 0, 1)], [np.zeros(n, bool) for n in (2, 0, 1)])
    assert batch.image_index.tolist() == [0, 0, 2]
    part = batch.of_images(1, 3)
    assert part.image_index.tolist() == [1]
    assert part.boxes_cxcywh_norm[0, 0] == 1


def test_truths_of_uneven_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class_ids: expected \(1,\), found \(2,\)"):
        Truths(np.zeros((1, 4), np.float32), np.zeros(2, np.int64), np.zeros(1, np.int64), np.zeros(1, bool))
