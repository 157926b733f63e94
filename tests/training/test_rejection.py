"""The rejection of deltas that are too large or too small, by hand (28 to 30 of Darknet's cases are in test_darknet_loss)."""

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.training.rejection import Rejection


def rejection(*keys: str) -> Rejection:
    return Rejection(Cfg.parse("\n".join(["[net]", *keys])).net, max_batches=100)


def deltas(*values: float) -> torch.Tensor:
    """(1, 1, N, 1, 1)."""
    return torch.tensor(values).view(1, 1, -1, 1, 1)


@pytest.mark.parametrize("key", ["badlabels_rejection_percentage=1", "num_sigmas_reject_badlabels=1"])
def test_large_deltas_are_kept_until_three_quarters_of_the_training(key: str) -> None:
    for iteration, kept in ((75, True), (76, False)):
        found = rejection(key)
        found.state.threshold = 0.5
        found.state.largest = 0.5
        values = deltas(0.1, -0.1, 0.0, 0.9)
        found.apply(values, iteration=iteration)
        assert (values[0, 0, 3, 0, 0] != 0) == kept
        assert values[0, 0, 0, 0, 0] == pytest.approx(0.1)


def test_sigmas_take_the_deviation_of_before() -> None:
    found = rejection("num_sigmas_reject_badlabels=2")
    values = deltas(0.4, -0.2, 0.0, 0.6)
    found.apply(values, iteration=90)
    mean = 0.01 * 0.4
    assert found.state.largest == pytest.approx(0.6)
    assert found.state.mean == pytest.approx(mean)
    signed = ((0.4 - mean) ** 2 + (-0.2 - mean) ** 2 + (0.6 - mean) ** 2) / 3
    assert found.state.deviation == pytest.approx(0.01 * signed**0.5)
    # limit: .6 less a fifth of the way to the mean, since the deviation was 0
    assert values.flatten().tolist() == pytest.approx([0.4, -0.2, 0.0, 0.0])


def test_percentage_moves_its_threshold() -> None:
    found = rejection("badlabels_rejection_percentage=10")
    values = deltas(0.4, -0.2, 0.0, 0.6)
    found.apply(values, iteration=90)
    assert values.flatten().tolist() == pytest.approx([0.4, -0.2, 0.0, 0.6])  # nothing is above the largest
    assert found.state.threshold == pytest.approx(0.59)
    found.apply(values, iteration=91)
    assert values.flatten().tolist() == pytest.approx([0.4, -0.2, 0.0, 0.0])
    assert found.state.threshold == pytest.approx(0.60)  # 1 of 3, times the entries of a prediction: above 10 %


def test_equidistant_point_lets_small_deltas_go() -> None:
    found = rejection("equidistant_point=10")
    found.state.mean = 0.5
    values = deltas(0.4, -0.2, 0.0, 0.6)
    found.apply(values, iteration=10)
    assert values[0, 0, 1] != 0
    found.apply(values, iteration=55)  # half the way: below .5 * .5 * 1.4
    assert values.flatten().tolist() == pytest.approx([0.4, 0.0, 0.0, 0.6])


def test_batch_without_deltas_leaves_the_state_alone() -> None:
    found = rejection("equidistant_point=10")
    found.apply(deltas(0.0, 0.0), iteration=50)
    assert found.state_dict() == rejection().state_dict()
