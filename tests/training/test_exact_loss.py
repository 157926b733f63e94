"""The exact loss: its gradient is that of its value, by finite differences, and its values by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.exact_loss import MEASURE_GAIN
from traffic_yolo.training.loss import Loss, YoloLoss
from traffic_yolo.training.targets import Truths

NET = Cfg.parse("[net]\n").net
HEAD = YoloHead(
    layer_index=1, anchors=((16, 16), (10, 24)), mask=(0, 1), num_classes=2, stride=16, scale_x_y=1.1, ignore_thresh=0.6,
    iou_thresh=0.3, iou_loss="ciou", iou_normalizer=0.07, obj_normalizer=1.5, cls_normalizer=0.7, max_delta=0.1,
)  # fmt: skip
ONE = replace(
    HEAD, anchors=((16, 16),), mask=(0,), scale_x_y=1.0, iou_loss="iou", iou_normalizer=1.0, obj_normalizer=1.0
)
BOX = (0.25, 0.25, 0.5, 0.5)  # of ONE in a network of 32 x 32: the anchor, in the middle of the first cell
SHIFTED = (0.375, 0.25, 0.5, 0.5)


def truths(*boxes: tuple[float, float, float, float], classes: Sequence[int] = ()) -> Truths:
    count = len(boxes)
    class_ids = np.array(classes or [0] * count, np.int64)
    return Truths(
        np.array(boxes, np.float32).reshape(-1, 4), class_ids, np.zeros(count, np.int64), np.zeros(count, bool)
    )


CROWD = truths(
    (0.3, 0.3, 0.4, 0.5), (0.32, 0.28, 0.5, 0.4), (0.7, 0.8, 0.3, 0.9), (0.3, 0.3, 0.4, 0.5), classes=[0, 1, 1, 0]
)


def loss(head: YoloHead, inputs: torch.Tensor, wanted: Truths = CROWD) -> Loss:
    return YoloLoss([head], NET, kind="exact", max_batches=9)([inputs], wanted, network_wh=(32, 32), iteration=0)


@pytest.mark.many(1)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"iou_loss": "mse"},
        {"iou_loss": "iou"},
        {"iou_loss": "giou"},
        {"iou_loss": "diou"},
        {"new_coords": True, "scale_x_y": 2.0},
        {"new_coords": True, "iou_loss": "mse"},
        {"focal_loss": True},
        {"focal_loss": True, "new_coords": True},
        {"label_smooth_eps": 0.1},
        {"counters_per_class": (10, 30), "max_delta": 2.0},
        {"truth_thresh": 0.5},
        {"delta_normalizer": 0.3},
    ],
    ids=str,
)
def test_gradient_is_the_derivative_of_the_value(changes: dict[str, object]) -> None:
    head = replace(HEAD, **changes)  # type: ignore[arg-type]
    inputs = 0.5 * torch.randn(1, 14, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    inputs = (inputs.sigmoid() if head.new_coords else inputs).requires_grad_()
    loss(head, inputs).total.backward()
    expected = torch.zeros_like(inputs)
    with torch.no_grad():
        for index in np.ndindex(inputs.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = inputs.clone()
                moved[index] += step
                ends.append(loss(head, moved).total.item())
            expected[index] = (ends[0] - ends[1]) / 2e-6
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad, expected, rtol=1e-6, atol=1e-6)


def test_values_of_a_wrong_and_a_right_cell() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64)
    inputs[0, 4] = torch.tensor([[2.0, -1.0], [-1.0, -1.0]])  # objectness
    inputs[0, 5:, 0, 0] = torch.tensor([1.0, -3.0])
    found = loss(ONE, inputs, truths(SHIFTED))
    softplus = [math.log1p(math.exp(x)) for x in (-2.0, -1.0, -3.0)]
    assert found.box.item() == pytest.approx(MEASURE_GAIN * 0.4)
    assert found.objectness.item() == pytest.approx(softplus[0] + 3 * softplus[1])
    assert found.classes.item() == pytest.approx(0.7 * (softplus[1] + softplus[2]))
    assert found.cost == found.total
    assert found.iou.item() == pytest.approx(0.6)


def test_truths_of_one_cell_share_its_box() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64)
    one, both = (loss(ONE, inputs, truths(*boxes)) for boxes in ([SHIFTED], [SHIFTED, SHIFTED]))
    assert both.box.item() == pytest.approx(one.box.item())
    mean = loss(ONE, inputs, truths(SHIFTED, BOX, classes=[0, 1]))
    assert mean.box.item() == pytest.approx(one.box.item() / 2)
    assert mean.classes.item() == pytest.approx(0.7 * 2 * math.log(2))


def test_objectness_smooth_trains_towards_the_largest_iou() -> None:
    inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
    loss(replace(ONE, objectness_smooth=True), inputs, truths((0.375, 0.375, 0.5, 0.5), SHIFTED)).total.backward()
    assert inputs.grad is not None
    assert inputs.grad[0, 4, 0, 0].item() == pytest.approx(0.5 - 0.6)
    assert inputs.grad[0, 4, 1, 1].item() == pytest.approx(0.5)


def test_max_delta_does_not_cut() -> None:
    gradients = []
    for max_delta in (1e-6, math.inf):
        inputs = torch.zeros(1, 7, 2, 2, dtype=torch.float64, requires_grad=True)
        loss(replace(ONE, max_delta=max_delta), inputs, truths(SHIFTED)).total.backward()
        gradients.append(inputs.grad)
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert gradients[0].equal(gradients[1])


def test_descent_brings_the_boxes_home() -> None:
    inputs = torch.zeros(1, 14, 2, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([inputs], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        found = loss(HEAD, inputs, truths((0.3, 0.3, 0.4, 0.5), (0.7, 0.8, 0.3, 0.6)))
        found.total.backward()
        optimizer.step()
    assert found.iou.item() > 0.9
