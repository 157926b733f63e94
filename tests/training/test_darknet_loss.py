"""Darknet's deltas: its own numbers where the reference folder is there, and each rule by hand everywhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.loss import Loss, YoloLoss
from traffic_yolo.training.targets import Truths

CASES = [f"{number:02d}" for number in range(1, 37) if number != 23]  # 23: see test_targets
TOLERANCE = 2e-5  # of max(1, |value|)


@pytest.mark.reference
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", CASES)
def test_deltas_cost_and_counters_are_darknets(
    golden_loss: Callable[[str], Any], case: str, memory_format: torch.memory_format
) -> None:
    golden = golden_loss(case)
    losses = [
        YoloLoss([head], golden.net, kind="darknet", max_batches=golden.calls[0].parameters[0].get("max_batches", 100))
        for head in golden.heads
    ]
    for call in golden.calls:
        for number, (loss_of, expected) in enumerate(zip(losses, call.parameters, strict=True)):
            found, delta, delta_logit = _golden_delta(golden, loss_of, call, number, memory_format)
            key = f"{call.prefix}h{number}"
            _assert_close(delta, golden.arrays[f"{key}_delta"])
            if golden.heads[number].new_coords:
                _assert_close(delta_logit, golden.arrays[f"{key}_delta_logit"])
            assert found.cost.item() == pytest.approx(expected["cost"], rel=2e-6)
            assert found.total_bbox == expected["total_bbox"]
            assert found.rewritten_bbox.item() == expected["rewritten_bbox"]
            assert found.num_assigned == len(golden.arrays[f"{key}_assign"])
            printed = expected["printed_values"]
            if "avg_iou" in printed:
                assert found.iou.item() == pytest.approx(printed["avg_iou"], abs=2e-6)
            if "class_loss" in printed and golden.heads[number].iou_loss != "mse":
                class_loss = (found.objectness + found.classes).item() / expected["batch"]
                assert class_loss == pytest.approx(printed["class_loss"], rel=1e-5)


def _golden_delta(
    golden: Any, loss_of: YoloLoss, call: Any, number: int, memory_format: torch.memory_format
) -> tuple[Loss, NDArray[np.float32], NDArray[np.float32]]:
    """The loss, and (B, A, 5 + C, h, w) minus its gradients at what enters the head and at what it was made of."""
    raw = golden.arrays[f"{call.prefix}h{number}_raw"]
    leaf = torch.from_numpy(raw).flatten(1, 2).to(memory_format=memory_format).requires_grad_()
    inputs = leaf.sigmoid() if golden.heads[number].new_coords else leaf * 1
    inputs.retain_grad()
    iteration = call.parameters[number].get("cur_iteration", 0)
    found = loss_of([inputs], call.truths, network_wh=golden.network_wh, iteration=iteration)
    found.total.backward()
    assert inputs.grad is not None
    assert leaf.grad is not None
    delta, delta_logit = (-x.grad.reshape(raw.shape).numpy() for x in (inputs, leaf))
    return found, delta, delta_logit


def _assert_close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    error = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert error.max() < TOLERANCE


# By hand: one anchor of 16 x 16 pixels in a network of 32 x 32 with 2 x 2 cells, two classes; logits 0 are the very box
# of the anchor in the middle of the cell, every probability one half.
HEAD = YoloHead(layer_index=1, anchors=((16, 16),), mask=(0,), num_classes=2, stride=16, iou_loss="iou")
NET = Cfg.parse("[net]\n").net
BOX = (0.25, 0.25, 0.5, 0.5)  # the anchor, in the middle of the first cell
SHIFTED = (0.375, 0.25, 0.5, 0.5)  # the same a quarter further right: IoU 3/5
FAR = (0.75, 0.75, 0.5, 0.5)


def truths(*boxes: tuple[float, float, float, float], classes: Sequence[int] = (), ignore: bool = False) -> Truths:
    count = len(boxes)
    class_ids = np.array(classes or [0] * count, np.int64)
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Truths(rows, class_ids, np.zeros(count, np.int64), np.full(count, ignore))


def logits(**cells: float) -> torch.Tensor:
    """(1, 7, 2, 2) zeros; `c0_e5=-2` sets entry 5 of cell 0."""
    values = torch.zeros(1, 7, 2, 2)
    for name, value in cells.items():
        cell, entry = (int(part[1:]) for part in name.split("_"))
        values[0, entry, cell // 2, cell % 2] = value
    return values


def delta(
    head: YoloHead, wanted: Truths, inputs: torch.Tensor | None = None, *, size: int = 32, entry: int = 0
) -> torch.Tensor:
    """(7,) minus the gradient at the first cell, or with `entry` (2, 2) that of one entry in all cells."""
    values = (logits() if inputs is None else inputs.clone()).requires_grad_()
    loss_of = YoloLoss([head], NET, kind="darknet", max_batches=100)
    loss_of([values], wanted, network_wh=(size, size), iteration=0).total.backward()
    assert values.grad is not None
    return -values.grad[0, entry] if entry else -values.grad[0, :, 0, 0]


def close(found: torch.Tensor, expected: Any, tolerance: float = 1e-6) -> bool:
    return found.tolist() == [pytest.approx(x, abs=tolerance) for x in expected]


def test_cells_without_a_truth_are_background() -> None:
    found = delta(replace(HEAD, obj_normalizer=3.0), truths(), entry=4)
    assert close(found, [[-1.5, -1.5], [-1.5, -1.5]])


def test_truth_trains_objectness_to_one_and_each_class_to_its_value() -> None:
    assert close(delta(HEAD, truths(BOX, classes=[1]))[4:], [0.5, -0.5, 0.5])


# In cell 1, x at its far left: the box is one cell's half away from BOX, IoU 1/3; with a truth between them more.
BETWEEN = (0.49, 0.25, 0.5, 0.5)


@pytest.mark.parametrize(
    ("threshold", "class_logit", "expected"), [(0.7, 0.0, 0.0), (0.7, -2.0, -0.5), (1.0, 0.0, -0.5)]
)
def test_overlap_above_ignore_thresh_spares_a_cell_only_with_a_likely_class(
    threshold: float, class_logit: float, expected: float
) -> None:
    inputs = logits(c1_e0=-9.0, c1_e5=class_logit, c1_e6=class_logit)
    found = delta(replace(HEAD, ignore_thresh=threshold), truths(BETWEEN), inputs, entry=4)
    assert close(found, [[0.5, expected], [-0.5, -0.5]])


def test_class_match_asks_for_any_class_and_not_for_the_objectness() -> None:
    inputs = logits(c1_e0=-9.0, c1_e4=-9.0, c1_e5=-2.0, c1_e6=-1.0)  # 0.27 for the class that the truth has not
    assert delta(replace(HEAD, ignore_thresh=0.7), truths(BETWEEN), inputs, entry=4)[0, 1] == 0


def test_prediction_inside_an_ignored_box_costs_nothing() -> None:
    crowd = truths((0.25, 0.5, 0.5, 1.0), ignore=True)  # the left half
    values = logits().requires_grad_()
    YoloLoss([HEAD], NET, kind="darknet", max_batches=9)(
        [values], crowd, network_wh=(64, 64), iteration=0
    ).total.backward()
    assert values.grad is not None
    assert values.grad[0, 4].tolist() == [[0, 0.5], [0, 0.5]]
    assert values.grad[0, [0, 1, 2, 3, 5, 6]].abs().max() == 0


def test_squares_compare_the_scaled_centre_and_the_logarithm_of_the_size() -> None:
    head = replace(HEAD, iou_loss="mse", scale_x_y=1.2, max_delta=0.01)  # squares are not cut
    inputs = logits(c0_e0=1.0, c0_e2=0.3)
    wanted = (0.3, 0.2, 0.25, 0.5)
    weight = (2 - 0.25 * 0.5) * 0.75
    x = 1.2 / (1 + math.exp(-1)) - 0.1
    expected = [weight * (0.6 - x), weight * (0.4 - 0.5), weight * (math.log(0.5) - 0.3), 0]
    assert close(delta(head, truths(wanted), inputs)[:4], expected)


def test_squares_with_new_coords_compare_the_root_of_a_quarter() -> None:
    head = replace(HEAD, iou_loss="mse", new_coords=True)
    inputs = logits(c0_e0=0.5, c0_e1=0.5, c0_e2=0.4, c0_e3=0.5)
    weight = (2 - 0.5 * 0.5) * 0.75
    assert close(delta(head, truths(BOX), inputs)[:4], [0, 0, weight * (0.5 - 0.4), 0])


def test_box_delta_is_that_of_the_measure_with_the_size_and_without_cell_and_anchor() -> None:
    # SHIFTED: shared .375 x .5, union .3125; edges: left .5 / .3125 * .6, right (.5 * .3125 + 0) / .3125 ** 2 ...
    shared, union = 0.375 * 0.5, 0.25 + 0.25 - 0.375 * 0.5
    left = shared * 0.5 / union**2  # outside the truth: moves the union alone
    right = 0.5 / union  # inside: takes from the union what the box gains
    top = shared * (0.5 - 0) / union**2
    expected = [left + right, 0, (right - left), -2 * top]
    head = replace(HEAD, iou_normalizer=0.5)
    assert close(delta(head, truths(SHIFTED))[:4], [0.5 * value for value in expected])
    grown = delta(head, truths((0.375, 0.25, 1.0, 1.0)), logits(c0_e2=math.log(2.0), c0_e3=math.log(2.0)))
    shared, union = 0.875 * 1.0, 2 - 0.875
    left, right = shared * 1 / union**2, 1 / union
    assert close(grown[2:3], [0.5 * 2 * (right - left)])  # times exp(w), and no anchor


def test_max_delta_cuts_each_truth_before_they_are_added() -> None:
    head = replace(HEAD, max_delta=0.1)
    once, twice = delta(head, truths(SHIFTED)), delta(head, truths(SHIFTED, SHIFTED))
    assert close(once[[0, 2]], [0.1, 0.1])
    assert close(twice[[0, 2]], [0.2, 0.2])


def test_boxes_are_divided_by_positive_classes_only_beside_iou_thresh() -> None:
    once = delta(HEAD, truths(SHIFTED))[0].item()
    for thresh, classes, factor in [(1.0, [0, 1], 2), (0.99, [0, 1], 1), (0.99, [0, 0], 2)]:
        found = delta(replace(HEAD, iou_thresh=thresh), truths(SHIFTED, SHIFTED, classes=classes))
        assert found[0].item() == pytest.approx(factor * once)


def test_boxes_of_a_certain_objectness_are_not_divided() -> None:
    head, wanted = replace(HEAD, iou_thresh=0.99), truths(SHIFTED, SHIFTED, classes=[0, 1])
    sure, unsure = (delta(head, wanted, logits(c0_e4=value)) for value in (40.0, 9.0))
    assert sure[4] == 0
    assert sure[0].item() == pytest.approx(2 * unsure[0].item())


def test_smoothed_classes_that_are_less_likely_than_their_target_count_in_the_average() -> None:
    head = replace(HEAD, iou_thresh=0.99, label_smooth_eps=0.2)
    likely, unlikely = (delta(head, truths(SHIFTED), logits(c0_e6=value)) for value in (0.0, -5.0))
    assert unlikely[0].item() == pytest.approx(likely[0].item() / 2)
    assert close(likely[5:], [0.9 - 0.5, 0.1 - 0.5])


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("size", [100.0, 800.0])  # the exponential of either is infinite in Darknet's float32
def test_box_not_finite_has_no_delta(kind: str, size: float) -> None:
    for max_delta in (math.inf, 5.0):
        found = delta(replace(HEAD, iou_loss=kind, max_delta=max_delta), truths(SHIFTED), logits(c0_e2=size))
        assert close(found[:4], [0, 0, 0, 0])


def test_cls_normalizer_has_no_effect_without_counters() -> None:
    assert delta(replace(HEAD, cls_normalizer=9.0), truths(BOX)).equal(delta(HEAD, truths(BOX)))


COUNTED = replace(HEAD, counters_per_class=(300, 100), cls_normalizer=0.5, iou_normalizer=1.0)


def test_counters_weigh_box_objectness_and_the_own_class() -> None:
    rare, common = (delta(COUNTED, truths(SHIFTED, classes=[class_id])) for class_id in (1, 0))
    assert close(rare[:4], (3 * common[:4]).tolist(), 1e-5)
    assert close(rare[4:], [3 * 0.5, -0.5, 3 * 0.5 * 0.5])  # only here cls_normalizer is heeded
    assert close(common[4:], [0.5, 0.5 * 0.5, -0.5])


def test_weight_of_a_class_is_at_most_max_delta_and_no_counter_below_one() -> None:
    head = replace(COUNTED, counters_per_class=(300, 0), max_delta=4.0)
    assert close(delta(head, truths(BOX, classes=[1]))[4:5], [4 * 0.5])


def test_counter_below_one_counts_as_one() -> None:
    head = replace(COUNTED, counters_per_class=(3, 0))
    assert close(delta(head, truths(BOX, classes=[1]))[4:5], [3 * 0.5])


def test_second_truth_of_a_cell_sets_its_own_class_alone_and_without_cls_normalizer() -> None:
    found = delta(COUNTED, truths(BOX, BOX, classes=[0, 1]))
    assert close(found[4:], [3 * 0.5, 0.5 * 0.5, 3 * 0.5])
    found = delta(COUNTED, truths(BOX, BOX, classes=[1, 0]))
    assert close(found[4:], [0.5, 0.5, 3 * 0.5 * 0.5])  # the last truth's weight stands for the objectness


def test_class_whose_delta_is_exactly_zero_counts_as_not_yet_set() -> None:
    # Class 0 is certain: the second truth leaves exactly 0 there, so that the third writes all classes again.
    found = delta(HEAD, truths(BOX, BOX, BOX, classes=[1, 0, 0]), logits(c0_e5=40.0))
    assert close(found[5:], [0, -0.5])
    assert close(delta(HEAD, truths(BOX, BOX, classes=[1, 0]), logits(c0_e5=40.0))[5:], [0, 0.5])


def test_focal_loss_weighs_all_classes_by_the_true_one_and_only_for_the_first_truth() -> None:
    head = replace(HEAD, focal_loss=True, label_smooth_eps=0.2)
    factor = 0.5 * -(1 - 0.5) * (2 * 0.5 * math.log(0.5) + 0.5 - 1)
    assert close(delta(head, truths(BOX))[5:], [0.5 * factor, -0.5 * factor])
    both = delta(head, truths(BOX, BOX, classes=[0, 1]), logits(c0_e6=-1.0))
    assert close(both[5:], [0.5 * factor, 0.9 - 1 / (1 + math.exp(1))])
    other = delta(head, truths(BOX), logits(c0_e6=-1.0))
    assert close(other[5:], [0.5 * factor, -factor / (1 + math.exp(1))])


def test_overlap_above_truth_thresh_trains_a_cell_that_no_truth_is_assigned_to() -> None:
    head = replace(HEAD, truth_thresh=0.7, ignore_thresh=0.7)
    values = logits(c1_e0=-9.0, c1_e5=-2.0, c1_e6=-2.0).requires_grad_()  # no likely class is needed
    loss_of = YoloLoss([head], NET, kind="darknet", max_batches=9)
    found = loss_of([values], truths(BETWEEN, classes=[1]), network_wh=(32, 32), iteration=0)
    found.total.backward()
    assert values.grad is not None
    unlikely = 1 / (1 + math.exp(2))
    assert close(-values.grad[0, 4:, 0, 1], [0.5, -unlikely, 1 - unlikely])
    assert values.grad[0, 0, 0, 1] != 0
    assert (found.num_assigned, found.total_bbox) == (1, 2)


SMOOTH = replace(HEAD, objectness_smooth=True, ignore_thresh=0.5)


def test_objectness_smooth_leaves_an_assigned_cell_background_unless_it_overlaps() -> None:
    assert close(delta(replace(SMOOTH, ignore_thresh=0.7), truths(SHIFTED))[4:5], [-0.5])
    assert close(delta(SMOOTH, truths(SHIFTED))[4:5], [0.6 - 0.5])
    unlikely = delta(SMOOTH, truths(SHIFTED), logits(c0_e5=-2.0, c0_e6=-2.0))
    assert close(unlikely[4:5], [-0.5])


def test_objectness_smooth_goes_down_to_the_overlap_too() -> None:
    found = delta(replace(SMOOTH, obj_normalizer=2.0), truths(SHIFTED), logits(c0_e4=3.0))
    assert close(found[4:5], [2 * (0.6 - 1 / (1 + math.exp(-3)))])


def test_objectness_smooth_never_pushes_down_in_an_ignored_box() -> None:
    wanted = truths(BETWEEN, (0.5, 0.5, 2.0, 2.0))
    wanted.ignore[1] = True
    found = delta(SMOOTH, wanted, logits(c1_e0=-9.0, c1_e4=6.0), entry=4)
    assert close(found, [[0.5, 0], [0, 0]])  # in cell 0 nothing has been set, so the truth sets it


def test_objectness_smooth_trains_an_overlap_above_truth_thresh_towards_its_square() -> None:
    head = replace(SMOOTH, truth_thresh=0.55)
    found = delta(head, truths((0.75, 0.25, 0.25, 0.5), classes=[1]), logits(c1_e2=0.0), entry=4)
    assert close(found, [[-0.5, -0.5], [-0.5, -0.5]])  # IoU one half: neither
    found = delta(head, truths((0.25 + 0.125, 0.25, 0.5, 0.5)))
    assert close(found[4:], [0.36 - 0.5, 0.5, -0.5])  # the truth of the cell then sets the class as ever


def test_objectness_smooth_sets_the_class_of_an_overlap_above_truth_thresh_to_its_square_too() -> None:
    head = replace(SMOOTH, truth_thresh=0.7, counters_per_class=(30, 10))
    values = logits(c1_e0=-30.0).requires_grad_()  # the centre at .5, a hundredth right of the truth's
    loss_of = YoloLoss([head], NET, kind="darknet", max_batches=9)
    loss_of([values], truths(BETWEEN, classes=[1]), network_wh=(32, 32), iteration=0).total.backward()
    assert values.grad is not None
    square = (0.49 / 0.51) ** 2
    assert close(-values.grad[0, 4:, 0, 1], [square - 0.5, -0.5, 3 * (square - 0.5)], 1e-5)


def test_delta_normalizer_multiplies_everything_and_is_in_no_number_reported() -> None:
    head = replace(HEAD, delta_normalizer=0.5)
    assert close(delta(head, truths(SHIFTED)), (0.5 * delta(HEAD, truths(SHIFTED))).tolist())
    costs = [
        YoloLoss([h], NET, kind="darknet", max_batches=9)(
            [logits()], truths(BOX), network_wh=(32, 32), iteration=0
        ).cost
        for h in (head, HEAD)
    ]
    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # four cells' objectness and two classes, each .25; the box a share of 1 - IoU
        ({}, 1 + 0.5 + 0.75 * 0.4),
        ({"obj_normalizer": 2.0}, 2 * (4 * 1.0 + 0.5) + 0.75 * 0.4),
        ({"iou_loss": "diou"}, 1 + 0.5 + 0.75 * 0.4),
    ],
)
def test_cost_is_squares_and_one_minus_iou(changes: dict[str, Any], expected: float) -> None:
    head = replace(HEAD, **changes)
    loss_of = YoloLoss([head], NET, kind="darknet", max_batches=9)
    found = loss_of([logits()], truths(SHIFTED), network_wh=(32, 32), iteration=0)
    assert found.cost.item() == pytest.approx(expected)
    assert found.total.item() == pytest.approx(expected)
    assert found.iou.item() == pytest.approx(0.6)


def test_cost_of_giou_takes_the_hull_in() -> None:
    loss_of = YoloLoss([replace(HEAD, iou_loss="giou")], NET, kind="darknet", max_batches=9)
    found = loss_of([logits()], truths((0.375, 0.375, 0.5, 0.5)), network_wh=(32, 32), iteration=0)
    shared, hull = 0.375**2, 0.625**2
    union = 0.5 - shared
    assert found.cost.item() == pytest.approx(1 + 0.5 + 0.75 * (1 - shared / union + (hull - union) / hull))


def test_without_details_the_cost_is_the_sum_of_squares() -> None:
    loss_of = YoloLoss([replace(HEAD, show_details=False)], NET, kind="darknet", max_batches=9)
    found = loss_of([logits()], truths(SHIFTED), network_wh=(32, 32), iteration=0)
    assert found.cost.item() == pytest.approx(delta(HEAD, truths(SHIFTED))[:4].square().sum().item() + 1 + 0.5)


def test_counters_of_boxes_count_those_that_meet_another_in_their_cell() -> None:
    loss_of = YoloLoss([HEAD], NET, kind="darknet", max_batches=9)
    found = loss_of([logits()], truths(SHIFTED, SHIFTED, FAR), network_wh=(32, 32), iteration=0)
    assert (found.total_bbox, found.rewritten_bbox.item(), found.num_assigned) == (3, 1, 3)
