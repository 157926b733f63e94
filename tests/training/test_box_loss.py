"""Overlap measures with their true derivatives, and Darknet's idea of these derivatives, by hand."""

import math

import pytest
import torch

from traffic_yolo.training.box_delta import measure_delta
from traffic_yolo.training.box_loss import box_measure, edges_and_area, iou_with, shared_area


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("offset", [0.05, 0.9], ids=["overlapping", "apart"])
def test_measure_has_the_derivative_it_claims(kind: str, offset: float) -> None:
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(8, 4, generator=generator, dtype=torch.float64) * 0.3 + 0.2
    boxes = (true + offset * (torch.rand(8, 4, generator=generator, dtype=torch.float64) + 0.1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: box_measure(p, true, kind), boxes)


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


def test_iou_and_shared_area_of_many_boxes() -> None:
    predicted = edges_and_area(torch.tensor([[1.0, 1.0, 2.0, 2.0], [9.0, 9.0, 0.0, 2.0]]))[..., None]
    true = edges_and_area(torch.tensor([[[2.0, 1.0, 4.0, 2.0], [9.0, 9.0, 2.0, 2.0]]] * 2))
    assert shared_area(predicted, true).tolist() == [[4.0, 0.0], [0.0, 0.0]]
    torch.testing.assert_close(iou_with(predicted, true), torch.tensor([[1 / 2, 0.0], [0.0, 0.0]]))


def darknets(predicted: tuple[float, ...], true: tuple[float, ...], kind: str) -> list[float]:
    boxes = (torch.tensor([box], dtype=torch.float64) for box in (predicted, true))
    found: list[float] = measure_delta(*boxes, kind)[0].tolist()
    return found


# A box of 2 x 2 and another one step to the right: shared 1 x 2, union 6, hull 3 x 2, squared distance 1 of 9 + 4.
BESIDE = ((1.0, 1.0, 2.0, 2.0), (2.0, 1.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # right edge 1/3, left 1/9, top 1/9, bottom -1/9; width and height are not halved
        ("iou", [1 / 3 + 1 / 9, 0, 1 / 3 - 1 / 9, -1 / 9 - 1 / 9]),
        ("giou", [4 / 9, 0, 2 / 9, (-1 / 9 + 1 / 3) * 2]),
        # 26 / 169 by the distance, and 6 / 169 by the hull that should be taken away
        ("diou", [4 / 9 + (26 + 6) / 169, 0, 2 / 9 + 3 / 169, -2 / 9]),
        ("ciou", [4 / 9 + (26 + 6) / 169, 0, 2 / 9 + 3 / 169, -2 / 9]),
    ],
)
def test_darknets_delta_of_boxes_that_overlap(kind: str, expected: list[float]) -> None:
    assert darknets(*BESIDE, kind) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # the overlap is -1 x -1: 1, and the union 1 + 1 - 1, so that the box flees
        ("iou", [1 - 3, 1 - 3, -3 - 1, -3 - 1]),
        ("giou", [(18 - 6) / 81] * 2 + [(18 + 6) / 81] * 2),
        ("diou", [(2 * 2 * 18 + 2 * 3 * 8) / 18**2] * 2 + [3 * 8 / 18**2] * 2),
        ("ciou", [(2 * 2 * 18 + 2 * 3 * 8) / 18**2] * 2 + [3 * 8 / 18**2] * 2),
    ],
)
def test_darknets_delta_of_boxes_apart_in_both_axes(kind: str, expected: list[float]) -> None:
    assert darknets((0.5, 0.5, 1.0, 1.0), (2.5, 2.5, 1.0, 1.0), kind) == pytest.approx(expected)


def test_darknets_delta_of_boxes_apart_in_one_axis_takes_the_overlap_with_its_sign() -> None:
    # shared -1 x 1, union 1 + 1 + 1
    found = darknets((0.5, 0.5, 1.0, 1.0), (2.5, 0.5, 1.0, 1.0), "iou")
    left, right = (0 + -1) / 9, (3 * 1 + (1 - 1)) / 9
    top, bottom = -(-1 * -1) / 9, -(-1 * 1) / 9
    assert found == pytest.approx([left + right, top + bottom, right - left, bottom - top])


def test_darknets_aspect_part_lacks_the_square_of_the_diagonal() -> None:
    wide, tall = (1.0, 1.0, 2.0, 1.0), (1.0, 1.0, 1.0, 2.0)
    angle = math.atan(1 / 2) - math.atan(2)
    aspect = 4 / math.pi**2 * angle**2
    factor = aspect / (1 - 1 / 3 + aspect + 1e-6) * 8 / math.pi**2 * angle
    plain, found = darknets(wide, tall, "diou"), darknets(wide, tall, "ciou")
    assert [b - a for a, b in zip(plain, found, strict=True)] == pytest.approx([0, 0, factor * 1, -factor * 2])


def test_darknet_takes_a_size_of_zero_for_one() -> None:
    assert darknets((0.5, 0.5, 0.0, 1.0), BESIDE[1], "iou") == darknets((0.5, 0.5, 1.0, 1.0), BESIDE[1], "iou")
