"""What a teacher's terms are: cases computed by hand, their gradient, and where nothing is learnt."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.distillation import OBJECT_FLOOR, distillation_loss
from traffic_yolo.training.exact_loss import MEASURE_GAIN
from traffic_yolo.training.targets import Truths

HEAD = YoloHead(layer_index=1, anchors=((32.0, 32.0),), mask=(0,), num_classes=1, stride=32, iou_normalizer=0.75)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def truths(*boxes: tuple[float, float, float, float], ignore: bool = False) -> Truths:
    count = len(boxes)
    return Truths(
        np.array(boxes, np.float32).reshape(-1, 4), np.zeros(count, np.int64), np.zeros(count, np.int64),
        np.full(count, ignore),
    )  # fmt: skip


def cell(x: float, y: float, w: float, h: float, objectness: float, class_entry: float) -> Tensor:
    """One prediction (1, 6, 1, 1)."""
    return torch.tensor([x, y, w, h, objectness, class_entry], dtype=torch.float32).view(1, 6, 1, 1)


def loss(student: Tensor, teacher: Tensor, head: YoloHead = HEAD, of: Truths | None = None) -> Tensor:
    return distillation_loss([head], [student], [head], [teacher], truths() if of is None else of, network_wh=(32, 32))


TEACHER = cell(logit(0.75), logit(0.75), math.log(0.5), math.log(0.5), logit(0.8), logit(0.9))


def test_terms_are_those_computed_by_hand() -> None:
    # Everywhere: .8 ln(.8/.5) + .2 ln(.2/.5) = .192745
    # Times .8: class .9 ln(.9/.5) + .1 ln(.1/.5) = .368064; box .75 (2 - .5 * .5) (2 (.25)^2 + 2 (ln .5)^2) / 2 = .712626
    found = loss(cell(0, 0, 0, 0, 0, 0), TEACHER)
    assert found.item() == pytest.approx(0.192745 + 0.8 * (0.368064 + 0.712626), abs=2e-6)


def test_normalizers_of_the_head_weigh_their_terms() -> None:
    head = replace(HEAD, obj_normalizer=2, cls_normalizer=3, iou_normalizer=1.5, delta_normalizer=0.5)
    found = loss(cell(0, 0, 0, 0, 0, 0), TEACHER, head)
    assert found.item() == pytest.approx(0.5 * (2 * 0.192745 + 0.8 * (3 * 0.368064 + 2 * 0.712626)), abs=2e-6)


def test_an_overlap_is_taught_as_one() -> None:
    # Student: the whole picture. Teacher: a box of half the width and height within it, IoU .25
    head = replace(HEAD, iou_loss="iou", iou_normalizer=0.07)
    teacher = cell(0, 0, math.log(0.5), math.log(0.5), logit(0.8), 0)
    found = loss(cell(0, 0, 0, 0, logit(0.8), 0), teacher, head)
    assert found.item() == pytest.approx(0.8 * MEASURE_GAIN * 0.07 * 0.75, rel=1e-5)


def test_new_coords_compare_what_the_logistic_gave() -> None:
    head = replace(HEAD, new_coords=True)
    student, teacher = cell(0.5, 0.5, 0.5, 0.5, 0.5, 0.5), cell(0.5, 0.5, 0.5, 0.5, 0.8, 0.9)
    assert loss(student, teacher, head).item() == pytest.approx(0.3**2 / 2 + 0.8 * 0.4**2 / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["mse", "iou", "giou", "ciou"])
def test_nothing_is_left_to_learn_where_both_say_the_same(kind: str) -> None:
    head = replace(HEAD, iou_loss=kind, scale_x_y=1.1)
    entries = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = distillation_loss([head], [entries], [head], [entries.detach()], truths(), network_wh=(128, 96))
    (gradient,) = torch.autograd.grad(found, entries)
    assert found.item() == pytest.approx(0, abs=1e-5)
    assert gradient.abs().max() < 1e-4


@pytest.mark.parametrize("kind", ["mse", "ciou"])
def test_gradient_is_the_derivative(kind: str) -> None:
    head = replace(HEAD, iou_loss=kind, iou_normalizer=0.07)
    student, teacher = torch.randn(2, 1, 6, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    student = student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: distillation_loss([head], [x], [head], [teacher], truths(), network_wh=(64, 64)), student
    )


def test_a_cell_without_an_object_teaches_its_objectness_alone() -> None:
    student = cell(1, 1, 1, 1, 0, 1).requires_grad_()
    found = loss(student, cell(0, 0, 0, 0, logit(OBJECT_FLOOR) - 1e-3, 0))
    (gradient,) = torch.autograd.grad(found, student)
    assert (gradient.flatten() != 0).tolist() == [False, False, False, False, True, False]
    assert gradient[0, 4].item() == pytest.approx(0.5 - OBJECT_FLOOR, abs=1e-4)


def test_nothing_is_learnt_inside_what_the_labels_ignore() -> None:
    assert loss(cell(0, 0, 0, 0, 0, 0), TEACHER, of=truths((0.5, 0.5, 1, 1), ignore=True)).item() == 0
    assert loss(cell(0, 0, 0, 0, 0, 0), TEACHER, of=truths((0.5, 0.5, 1, 1))).item() > 1


def test_a_stretch_of_the_teachers_own_is_undone() -> None:
    """Both say the centre .9 of the cell, each with its own scale_x_y."""
    stretched = replace(HEAD, scale_x_y=2.0)
    teacher = cell(logit(0.7), logit(0.7), 0, 0, logit(0.8), 0)  # 2 * .7 - .5
    student = cell(logit(0.9), logit(0.9), 0, 0, logit(0.8), 0)
    found = distillation_loss([HEAD], [student], [stretched], [teacher], truths(), network_wh=(32, 32))
    assert found.item() == pytest.approx(0, abs=1e-6)
