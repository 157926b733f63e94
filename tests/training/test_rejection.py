"""The rejection of deltas that are too large or too small, by hand (28 to 30 of Darknet's cases are in test_darknet_loss)."""

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.training.delta import HeadDelta
from traffic_yolo.training.head_grid import Places
from traffic_yolo.training.rejection import Rejection


def rejection(*keys: str) -> Rejection:
    return Rejection(Cfg.parse("\n".join(["[net]", *keys])).net, max_batches=100)


def deltas(objectness: float, *others: float) -> HeadDelta:
    """Of one prediction: its objectness, then a box, and classes if there are more numbers."""
    box, classes = torch.zeros(1, 4, dtype=torch.float64), torch.tensor([others[1:]], dtype=torch.float64)
    box[0, 2] = others[0]
    index = torch.zeros(1, dtype=torch.int64)
    return HeadDelta(torch.full((1, 1, 1, 1), objectness), box, classes, Places(index, index, index, index))


def values_of(delta: HeadDelta) -> list[float]:
    """What `deltas` was given."""
    return [delta.objectness.item(), delta.box[0, 2].item(), *delta.classes[0].tolist()]


@pytest.mark.parametrize("key", ["badlabels_rejection_percentage=1", "num_sigmas_reject_badlabels=1"])
def test_large_deltas_are_kept_until_three_quarters_of_the_training(key: str) -> None:
    for iteration, kept in ((75, True), (76, False)):
        found = rejection(key)
        found.state.threshold = 0.5
        found.state.largest = 0.5
        small, _, _, large = values_of(found.apply(deltas(0.1, -0.1, 0.0, -0.9), iteration=iteration))
        assert (large != 0) == kept
        assert small == pytest.approx(0.1)


def test_sigmas_take_the_deviation_of_before() -> None:
    found = rejection("num_sigmas_reject_badlabels=2")
    values = deltas(0.4, -0.2, 0.0, 0.6)
    values = found.apply(values, iteration=90)
    mean = 0.01 * 0.4
    assert found.state.largest == pytest.approx(0.6)
    assert found.state.mean == pytest.approx(mean)
    signed = ((0.4 - mean) ** 2 + (-0.2 - mean) ** 2 + (0.6 - mean) ** 2) / 3
    assert found.state.deviation == pytest.approx(0.01 * signed**0.5)
    # limit: .6 less a fifth of the way to the mean, since the deviation was 0
    assert values_of(values) == pytest.approx([0.4, -0.2, 0.0, 0.0])


def test_percentage_moves_its_threshold() -> None:
    found = rejection("badlabels_rejection_percentage=100")
    values = deltas(0.4, -0.2, 0.0, 0.6)
    values = found.apply(values, iteration=90)
    assert values_of(values) == pytest.approx([0.4, -0.2, 0.0, 0.6])  # nothing is above the largest
    assert found.state.threshold == pytest.approx(0.59)
    values = found.apply(values, iteration=91)
    assert values_of(values) == pytest.approx([0.4, -0.2, 0.0, 0.0])
    assert found.state.threshold == pytest.approx(0.60)  # 1 of 3, times 7 entries of a prediction: above 100 %


def test_equidistant_point_lets_small_deltas_go() -> None:
    found = rejection("equidistant_point=10")
    found.state.mean = 0.5
    values = deltas(0.4, -0.3, 0.0, 0.6)
    assert found.apply(values, iteration=10) is values
    values = found.apply(values, iteration=55)  # half the way: below .5 * .5 * 1.4
    assert values_of(values) == pytest.approx([0.4, 0.0, 0.0, 0.6])


def test_batch_without_deltas_leaves_the_state_alone() -> None:
    found = rejection("equidistant_point=10")
    found.apply(deltas(0.0, 0.0), iteration=50)
    assert found.state_dict() == rejection().state_dict()
