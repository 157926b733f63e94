"""The loss: Darknet's gradients where Darknet has them, hand-computed values elsewhere."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.box_loss import box_measure, pairwise_overlap
from traffic_yolo.training.loss import check_heads, yolo_loss
from traffic_yolo.training.targets import Truths

# Objectness and classes agree with Darknet in every one of these. Left out: focal_loss, counters_per_class and
# truth_thresh (refused in training), objectness_smooth and cls_normalizer (departures that loss.py describes).
SCORE_CASES = "01 02 03 04 05 09 10 11 13 17 18 19 20 21 22 27 31 33 35".split()  # noqa: SIM905
# Boxes agree where Darknet's derivative is the true one: squares, IoU and GIoU of boxes that overlap.
BOX_CASES = ("01", "02", "09", "11", "19", "21", "24")

HEAD = YoloHead(
    layer_index=1, anchors=((16, 16),), mask=(0,), num_classes=2, stride=8, iou_loss="ciou", iou_normalizer=0.5
)


def golden_gradient(golden: Any, number: int, head: YoloHead) -> Any:
    """Minus the gradient of the loss at the head's input, (B, A, 5 + C, h, w)."""
    values = golden.head_input(number)
    batch, slots, entries, height, width = values.shape
    inputs = torch.from_numpy(values).double().reshape(batch, slots * entries, height, width).requires_grad_()
    yolo_loss([head], [inputs], golden.truths, network_wh=golden.network_wh).total.backward()
    assert inputs.grad is not None
    return -inputs.grad.reshape(values.shape).numpy()


@pytest.mark.reference
@pytest.mark.parametrize("case", SCORE_CASES)
def test_objectness_and_class_gradients_are_darknets(golden_loss: Callable[[str], Any], case: str) -> None:
    golden = golden_loss(case)
    for number, head in enumerate(golden.heads):
        found = golden_gradient(golden, number, replace(head, cls_normalizer=1.0))
        expected = golden.arrays[f"h{number}_delta"]
        np.testing.assert_allclose(found[:, :, 4:], expected[:, :, 4:], rtol=0, atol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("case", BOX_CASES)
def test_box_gradients_are_darknets(golden_loss: Callable[[str], Any], case: str) -> None:
    golden = golden_loss(case)
    for number, head in enumerate(golden.heads):
        expected = golden.arrays[f"h{number}_delta"][:, :, :4]
        error = np.abs(golden_gradient(golden, number, head)[:, :, :4] - expected) / np.maximum(1, np.abs(expected))
        assert error.max() < 5e-6


@pytest.mark.reference
@pytest.mark.parametrize("case", ["18", "20", "27"])
def test_ciou_gradient_points_where_darknets_does(golden_loss: Callable[[str], Any], case: str) -> None:
    """Darknet's distance and aspect terms depart from the derivative, but little for boxes that overlap."""
    golden = golden_loss(case)
    found = golden_gradient(golden, 0, golden.heads[0])[:, :, :4].ravel()
    expected = golden.arrays["h0_delta"][:, :, :4].ravel()
    large = np.abs(expected) > 0.05
    assert large.sum() > 40
    assert np.corrcoef(found[large], expected[large])[0, 1] > 0.999


def truths(*boxes: tuple[float, float, float, float], class_id: int = 0, ignore: bool = False) -> Truths:
    count = len(boxes)
    values = np.array(boxes, np.float32).reshape(-1, 4)
    return Truths(values, np.full(count, class_id), np.zeros(count, np.int64), np.full(count, ignore))


def test_loss_of_a_wrong_and_a_right_cell_by_hand() -> None:
    """A 16 x 8 network of one row of two cells; the truth is the anchor, centred in the first cell."""
    inputs = torch.zeros(1, 7, 1, 2, dtype=torch.float64)
    inputs[0, 4, 0] = torch.tensor([2.0, -1.0])  # objectness
    inputs[0, 5:, 0, 0] = torch.tensor([1.0, -3.0])  # classes
    loss = yolo_loss([HEAD], [inputs], truths((0.25, 0.5, 1.0, 1.0)), network_wh=(16, 16))
    softplus = lambda x: math.log(1 + math.exp(x))  # noqa: E731
    assert loss.box.item() == pytest.approx(0, abs=1e-9)  # sigmoid(0) is the cell's middle, exp(0) the anchor
    assert loss.objectness.item() == pytest.approx(softplus(-2.0) + softplus(-1.0))
    assert loss.classes.item() == pytest.approx(softplus(-1.0) + softplus(-3.0))
    assert loss.num_assigned == 1


def test_box_term_is_normalizer_times_one_minus_measure() -> None:
    inputs = torch.zeros(1, 7, 1, 2, dtype=torch.float64)
    loss = yolo_loss([replace(HEAD, iou_loss="iou")], [inputs], truths((0.25, 0.5, 0.5, 1.0)), network_wh=(16, 16))
    assert loss.box.item() == pytest.approx(0.5 * (1 - 0.5))  # the prediction is twice as wide as the truth


def test_two_classes_in_one_cell_are_both_wanted_and_share_the_box() -> None:
    both = Truths(
        np.array([[0.2, 0.5, 0.5, 0.5]] * 2, np.float32), np.array([0, 1]), np.zeros(2, np.int64), np.zeros(2, bool)
    )
    head = replace(HEAD, iou_thresh=0.9)
    gradients = []
    for batch in (both, both.where(np.array([True, False]))):
        inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
        yolo_loss([head], [inputs], batch, network_wh=(32, 32)).total.backward()
        assert inputs.grad is not None
        gradients.append(inputs.grad[0, :, 1, 0])
    torch.testing.assert_close(gradients[0][:5], gradients[1][:5])
    assert gradients[0][5:].tolist() == pytest.approx([-0.5, -0.5])
    assert gradients[1][5:].tolist() == pytest.approx([-0.5, 0.5])


def test_prediction_that_overlaps_well_is_not_background() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        inputs[0, 0, 0, 1] = -9.0  # cell (0, 1) reaches over to the truth's centre in cell (0, 0)
    batch = truths((0.49, 0.25, 0.5, 0.5))
    for threshold, expected in ((0.7, 0.0), (1.0, 0.5)):
        inputs.grad = None
        yolo_loss([replace(HEAD, ignore_thresh=threshold)], [inputs], batch, network_wh=(32, 32)).total.backward()
        assert inputs.grad is not None
        assert inputs.grad[0, 4, 0, 1].item() == pytest.approx(expected)
        assert inputs.grad[0, 4, 0, 0].item() == pytest.approx(-0.5)


def test_prediction_without_a_likely_class_stays_background() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        inputs[0, 0, 0, 1] = -9.0
        inputs[0, 5:, 0, 1] = -2.0  # below one quarter
    yolo_loss([HEAD], [inputs], truths((0.49, 0.25, 0.5, 0.5)), network_wh=(32, 32)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, 4, 0, 1].item() == pytest.approx(0.5)


def test_prediction_inside_an_ignored_box_is_neither_object_nor_background() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    crowd = truths((0.25, 0.5, 0.5, 1.0), ignore=True)  # the left half
    yolo_loss([HEAD], [inputs], crowd, network_wh=(64, 64)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, 4].tolist() == pytest.approx(np.array([[0, 0.5], [0, 0.5]]))
    assert inputs.grad[0, [0, 1, 2, 3, 5, 6]].abs().max() == 0


def test_max_delta_limits_the_box_gradient() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    batch = truths((0.3, 0.3, 0.05, 0.5))
    yolo_loss([replace(HEAD, max_delta=0.01)], [inputs], batch, network_wh=(32, 32)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, :4].abs().max().item() == pytest.approx(0.01)


def test_label_smoothing_moves_the_class_targets() -> None:
    inputs = torch.zeros(1, 7, 1, 1, dtype=torch.float64, requires_grad=True)
    head = replace(HEAD, label_smooth_eps=0.1)
    yolo_loss([head], [inputs], truths((0.5, 0.5, 1.0, 1.0), class_id=1), network_wh=(16, 16)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, 5:, 0, 0].tolist() == pytest.approx([0.5 - 0.05, 0.5 - 0.95])


def test_objectness_smooth_trains_towards_the_iou() -> None:
    inputs = torch.zeros(1, 7, 1, 1, dtype=torch.float64, requires_grad=True)
    head = replace(HEAD, objectness_smooth=True)
    yolo_loss([head], [inputs], truths((0.5, 0.5, 0.5, 0.5)), network_wh=(16, 16)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, 4].item() == pytest.approx(0.5 - 0.25)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
@pytest.mark.parametrize("offset", [0.05, 0.9], ids=["overlapping", "apart"])
def test_measure_has_the_derivative_it_claims(kind: str, offset: float) -> None:
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(8, 4, generator=generator, dtype=torch.float64) * 0.3 + 0.2
    boxes = (true + offset * (torch.rand(8, 4, generator=generator, dtype=torch.float64) + 0.1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: box_measure(p, true, kind), boxes)


def test_ciou_has_its_derivative_with_the_weight_of_the_aspect_held() -> None:
    generator = torch.Generator().manual_seed(2)
    true = torch.rand(8, 4, generator=generator, dtype=torch.float64) * 0.3 + 0.2
    boxes = (true + 0.1 * torch.rand(8, 4, generator=generator, dtype=torch.float64)).requires_grad_()

    def aspect(p: torch.Tensor) -> torch.Tensor:
        angle = torch.atan(true[:, 2] / true[:, 3]) - torch.atan(p[:, 2] / p[:, 3])
        return 4 / math.pi**2 * angle**2

    with torch.no_grad():
        v = aspect(boxes)
        alpha = v / (1 - box_measure(boxes, true, "iou") + v + 1e-6)

    def held(p: torch.Tensor) -> torch.Tensor:
        return box_measure(p, true, "diou") - alpha * aspect(p)

    torch.testing.assert_close(held(boxes), box_measure(boxes, true, "ciou"))
    assert torch.autograd.gradcheck(held, boxes)
    expected = torch.autograd.grad(held(boxes).sum(), boxes)[0]
    torch.testing.assert_close(torch.autograd.grad(box_measure(boxes, true, "ciou").sum(), boxes)[0], expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("iou", 0.0),
        ("giou", -(18 - 8) / 18),  # two 2 x 2 boxes in a hull of 6 x 3
        ("diou", -(16 + 1) / (36 + 9)),
        ("ciou", -(16 + 1) / (36 + 9)),
    ],
)
def test_measure_of_boxes_apart_by_hand(kind: str, expected: float) -> None:
    found = box_measure(torch.tensor([[1.0, 1.0, 2.0, 2.0]]), torch.tensor([[5.0, 2.0, 2.0, 2.0]]), kind)
    assert found.item() == pytest.approx(expected)


def test_measure_of_equal_boxes_is_one() -> None:
    box = torch.tensor([[0.4, 0.5, 0.01, 0.02]])
    for kind in ("iou", "giou", "diou", "ciou"):
        assert box_measure(box, box, kind).item() == pytest.approx(1, abs=1e-5)


def test_unknown_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="expected iou, giou, diou or ciou, found 'eiou'"):
        box_measure(torch.ones(1, 4), torch.ones(1, 4), "eiou")


def test_pairwise_overlap_gives_iou_and_the_share_inside() -> None:
    iou, inside = pairwise_overlap(torch.tensor([[1.0, 1.0, 2.0, 2.0]]), torch.tensor([[2.0, 1.0, 4.0, 2.0]]))
    assert (iou.item(), inside.item()) == (pytest.approx(1 / 2), pytest.approx(1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"focal_loss": True}, r"\[yolo\] of layer 1: focal_loss=1 is not supported in training; remove the key"),
        ({"counters_per_class": (1, 2)}, "counters_per_class is not supported in training"),
        ({"truth_thresh": 0.7}, "truth_thresh below 1 is not supported in training; set truth_thresh=1"),
    ],
)
def test_settings_that_the_loss_does_not_know_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        check_heads([replace(HEAD, **changes)])
