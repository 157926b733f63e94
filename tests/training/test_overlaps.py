"""Overlaps over all cells: the few pairs looked at give what all pairs would."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training import overlaps
from traffic_yolo.training.box_loss import TINY, edges_and_area, iou_with, shared_area
from traffic_yolo.training.head_grid import HeadGrid, Places
from traffic_yolo.training.overlaps import CLASS_MATCH, IGNORE_REGION, in_ignored, overlapping
from traffic_yolo.training.targets import Truths

HEAD = YoloHead(layer_index=0, anchors=((12, 9), (20, 40), (60, 60)), mask=(2, 0, 1), num_classes=2, stride=8)
BATCH, GRID_HW, NETWORK_WH = 3, (5, 7), (56, 40)


def grid_of(seed: int, head: YoloHead) -> HeadGrid:
    values = torch.randn(BATCH, 3 * 7, *GRID_HW, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return HeadGrid.of(head, values.sigmoid() if head.new_coords else values, NETWORK_WH)


def truths_of(seed: int, *, ignored: float) -> Truths:
    random = np.random.default_rng(seed)
    count = int(random.integers(0, 40))
    sizes = random.choice([0.02, 0.2, 0.5, 1.0], (count, 2)) * random.uniform(0.7, 1.3, (count, 2))
    boxes = np.c_[random.uniform(0, 1, (count, 2)), sizes].astype(np.float32)
    if count > 3:
        boxes[1] = boxes[0]  # of equals the first counts
    return Truths(
        boxes, np.zeros(count, int), np.sort(random.integers(0, BATCH, count)), random.random(count) < ignored
    )


def all_places(grid: HeadGrid) -> Places:
    return Places.from_flat(torch.arange(grid.entries[:, :, 0].numel()), grid.entries)


@given(
    seed=st.integers(0, 10_000),
    thresholds=st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7]), st.sampled_from([0.4, 0.6, 1.0])),
    scale_x_y=st.sampled_from([0.8, 1.0, 1.2, 2.0]),
    new_coords=st.booleans(),
)
@examples(40)
def test_best_truths_are_those_of_all_pairs(
    seed: int, thresholds: tuple[float, float], scale_x_y: float, new_coords: bool
) -> None:
    ignore_thresh, truth_thresh = thresholds
    head = replace(
        HEAD, ignore_thresh=ignore_thresh, truth_thresh=truth_thresh, scale_x_y=scale_x_y, new_coords=new_coords
    )
    grid, truths = grid_of(seed, head), truths_of(seed, ignored=0.2)
    places = all_places(grid)
    rows = grid.rows(places)
    predicted = edges_and_area(grid.boxes(rows[:, :4], places))[..., None]
    iou = iou_with(predicted, edges_and_area(torch.from_numpy(truths.boxes_cxcywh_norm).double())[:, None])  # (N, T)
    allowed = torch.from_numpy(~truths.ignore) & (torch.from_numpy(truths.image_index) == places.image[:, None])
    iou = torch.where(allowed, iou, -1.0)
    expected = {}
    for place, row in enumerate(iou.tolist()):
        if row and max(row) > min(thresholds):
            matches = bool((grid.probabilities(rows[place, 5:]) > CLASS_MATCH).any())
            expected[place] = (row.index(max(row)), pytest.approx(max(row)), matches)
    found = overlapping(grid, truths)
    columns = (found.truth.tolist(), found.iou.tolist(), found.matches.tolist())
    assert dict(zip(found.places.flat(grid.entries).tolist(), zip(*columns, strict=True), strict=True)) == expected


@given(seed=st.integers(0, 10_000), scale_x_y=st.sampled_from([1.0, 2.0]))
@examples(20)
def test_predictions_in_ignored_boxes_are_those_of_all_pairs(seed: int, scale_x_y: float) -> None:
    grid, truths = grid_of(seed, replace(HEAD, scale_x_y=scale_x_y)), truths_of(seed, ignored=0.5)
    places = all_places(grid)
    predicted = edges_and_area(grid.boxes(grid.rows(places)[:, :4], places))[..., None]
    true = edges_and_area(torch.from_numpy(truths.boxes_cxcywh_norm).double())[:, None]
    inside = shared_area(predicted, true) / predicted[4].clamp(min=TINY)
    allowed = torch.from_numpy(truths.ignore) & (torch.from_numpy(truths.image_index) == places.image[:, None])
    expected = ((inside > IGNORE_REGION) & allowed).any(dim=1).nonzero()[:, 0]
    found = in_ignored(grid, truths)
    if found is None:
        assert not truths.ignore.any()
    else:
        assert found.flat(grid.entries).unique().equal(expected)


@pytest.mark.parametrize(("share", "is_ignored"), [(0.499, False), (0.5, False), (0.501, True), (1.0, True)])
def test_a_prediction_is_ignored_with_more_than_half_of_it_in_an_ignored_box(share: float, is_ignored: bool) -> None:
    """A prediction of 16 x 8 pixels around the middle of cell (1, 3), the ignored box upon its left part."""
    head = YoloHead(layer_index=0, anchors=((16, 8),), mask=(0,), num_classes=1, stride=8)
    grid = HeadGrid.of(head, torch.zeros(1, 6, 4, 8, dtype=torch.float64), (64, 32))
    left, width = 28 - 16 / 2, 16 * share
    box = np.array([[(left + width / 2) / 64, 12 / 32, width / 64, 8 / 32]])
    found = in_ignored(grid, Truths(box, np.zeros(1, int), np.zeros(1, int), np.ones(1, bool)))
    assert found is not None
    assert (1 * 8 + 3 in found.flat(grid.entries).tolist()) == is_ignored


def test_many_pairs_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    head = replace(HEAD, ignore_thresh=0.0)
    grid, truths = grid_of(3, head), truths_of(3, ignored=0.0)
    whole = overlapping(grid, truths)
    monkeypatch.setattr(overlaps, "PAIRS_AT_ONCE", 50)
    parts = overlapping(grid, truths)
    assert len(whole.truth) > 50
    assert whole.truth.equal(parts.truth)
    assert whole.iou.equal(parts.iou)
    assert all(a.equal(b) for a, b in zip(whole.places.index, parts.places.index, strict=True))
