"""The importance `obs`: what goes first is what the others can stand in for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compression.test_refit import MADE, network_of, told_by_others

from traffic_yolo.compression.importance import families
from traffic_yolo.compression.loss_changes import LossChanges
from traffic_yolo.compression.masking import batch_norm_of
from traffic_yolo.compression.planes import Planes
from traffic_yolo.compression.surgeon import _Reader, surgeon_order
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.network import Network


def changes_of(network: Network, by_output: float = 1.0) -> LossChanges:
    """All errors cost alike, and no scale moves the loss."""
    zeros = {
        section.index: np.zeros((1, section.output.channels))
        for section, layer in zip(network.sections, network.layers, strict=True)
        if batch_norm_of(layer) is not None
    }
    costs = {
        section.index: np.full(section.output.channels, by_output)
        for section in network.sections
        if section.section.name == "convolutional"
    }
    return LossChanges(zeros, zeros, costs)


def planes_of(network: Network, covariance: np.ndarray, layer: int) -> Planes:
    """`covariance` of what `layer` reads, unit variances of everything else."""
    found = {
        section.index: np.eye(section.input.channels)
        for section in network.sections
        if section.section.name == "convolutional"
    }
    return Planes(
        {index: np.zeros(len(each)) for index, each in found.items()},
        found | {layer: covariance},
        dict.fromkeys(found, 1_000_000),
        1,
    )


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_what_units_cost_one_after_another_is_what_least_squares_loses(seed: int, size: int):
    """A unit may stand several times in what a layer reads, as behind [route] or the pools of SPP."""
    draw = np.random.default_rng(seed)
    kernels, costs = draw.normal(size=(4, 8, size, size)), draw.uniform(0.1, 2, 4)
    units = draw.permutation([0, 0, 0, 1, 1, 2, 3, 4])
    planes = draw.normal(size=(5, 40))[units] + draw.normal(size=(8, 40)) * draw.uniform(0.1, 1, (8, 1))
    covariance = np.cov(planes, bias=True) + 0.01 * np.eye(8)
    reader = _Reader.of(kernels, units, covariance, costs)
    gone: list[int] = []
    lost = 0.0
    for unit in draw.permutation(5).tolist()[:4]:
        cost = np.zeros(5)
        reader.add_to(cost)
        assert not cost[units[gone]].any()
        lost += cost[unit]
        for position in np.flatnonzero(units == unit).tolist():
            reader.remove(position)
            gone.append(position)
        stays = [place for place in range(8) if place not in gone]
        apart = covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, stays)] @ np.linalg.solve(
            covariance[np.ix_(stays, stays)], covariance[np.ix_(stays, gone)]
        )
        rows = kernels.transpose(0, 2, 3, 1)[..., gone]
        expected = np.einsum("fyxg,gh,fyxh,f->", rows, apart, rows, costs)
        assert lost == pytest.approx(expected, rel=1e-6)


def test_of_two_planes_that_tell_the_same_one_goes_first_and_the_other_last():
    network = network_of(MADE)
    twins, ties = [1, 5], channel_ties(network.sections)
    network.layers[1].get_parameter("conv.weight").data.fill_(1.0)
    covariance = np.eye(8)
    covariance[1, 5] = covariance[5, 1] = 1.0
    order = surgeon_order(
        network, ties, families(network, ties), planes_of(network, covariance, 1), changes_of(network)
    )[ties.outputs[0]]
    assert sorted(order[twins].tolist()) == [0, 8]  # of eight the last one stays, and counts as after all others
    assert np.isnan(order).sum() == 0


def test_a_plane_that_others_tell_goes_before_weaker_ones():
    network = network_of(MADE)
    unit, ties = told_by_others(network), channel_ties(network.sections)
    made = np.random.default_rng(0).normal(size=(8, 500))
    made[5] = 2 * made[1] - made[3]
    network.layers[1].get_parameter("conv.weight").data.fill_(1.0)
    order = surgeon_order(
        network, ties, families(network, ties), planes_of(network, np.cov(made), 1), changes_of(network)
    )
    assert np.nanargmin(order) in [unit, *(ties.outputs[0][place] for place in (1, 3))]
    assert np.nanvar(made[5]) > 2  # the largest of all: its scale or norm would have kept it


def test_what_costs_the_loss_nothing_goes_before_what_does():
    network = network_of(MADE + MADE)
    ties, changes = channel_ties(network.sections), changes_of(network)
    changes.by_output[1][:] = 0.0  # errors in layer 1, which reads layer 0
    order = surgeon_order(network, ties, families(network, ties), planes_of(network, np.eye(8), 1), changes)
    assert max(order[ties.outputs[0]][order[ties.outputs[0]] < 14]) < min(order[ties.outputs[1]])


def test_what_went_of_a_layer_makes_its_others_no_dearer():
    network = network_of(MADE + MADE)
    ties = channel_ties(network.sections)
    network.layers[1].get_parameter("conv.weight").data.fill_(0.1)
    network.layers[2].get_parameter("conv.weight").data.fill_(0.02**0.5)  # half as dear again, over six filters
    order = surgeon_order(network, ties, families(network, ties), planes_of(network, np.eye(8), 1), changes_of(network))
    assert sorted(order[ties.outputs[0]].tolist()) == [0, 1, 2, 3, 4, 5, 6, 16]
    assert sorted(order[ties.outputs[1]].tolist()) == [7, 8, 9, 10, 11, 12, 13, 16]


def test_what_saves_more_bflops_may_cost_a_little_more():
    network = network_of(MADE + "[maxpool]\nsize=4\nstride=4\n" + MADE)
    ties = channel_ties(network.sections)
    for index, each in ((2, 0.09 / 8), (3, 0.06 / 6)):  # in sum over filters .09 and .06 a plane
        network.layers[index].get_parameter("conv.weight").data.fill_(each**0.5)
    order = surgeon_order(network, ties, families(network, ties), planes_of(network, np.eye(8), 2), changes_of(network))
    assert sorted(order[ties.outputs[0]].tolist()) == [0, 1, 2, 3, 4, 5, 6, 16]  # sixteen times the pixels of layer 2
    assert sorted(order[ties.outputs[2]].tolist()) == [7, 8, 9, 10, 11, 12, 13, 16]


def test_a_layer_that_shares_its_weights_cannot_have_planes_made_up_for():
    shares = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n{}[route]\nlayers=-2\n" * 2
    network = network_of(MADE + shares.format("", "share_index=1\n"))
    ties = channel_ties(network.sections)
    twins = np.eye(8)
    twins[1, 5] = twins[5, 1] = 1.0
    planes = planes_of(network, np.eye(8), 1)
    planes.covariances[1][:] = planes.covariances[3][:] = twins
    for index in (1, 5):
        network.layers[index].get_parameter("conv.weight").data.fill_(1.0)
    order = surgeon_order(network, ties, families(network, ties), planes, changes_of(network))[ties.outputs[0]]
    assert order.tolist() == [0, 1, 2, 3, 4, 5, 6, 8]  # all cost alike, twins too


def test_a_share_of_each_layer_stays_and_comes_last():
    network = network_of(MADE)
    ties = channel_ties(network.sections)
    order = surgeon_order(
        network,
        ties,
        families(network, ties),
        planes_of(network, np.eye(8), 1),
        changes_of(network),
        keep_at_least=0.5,
    )[ties.outputs[0]]
    assert sorted(order.tolist()) == [0, 1, 2, 3, 8, 8, 8, 8]


def test_channels_that_a_connected_layer_reads_have_their_change_of_the_loss():
    square = "[net]\nwidth=32\nheight=32\nchannels=3\n"
    network = network_of(MADE + "[connected]\noutput=4\nactivation=linear\n", net=square)
    ties = channel_ties(network.sections)
    by_scale = np.zeros((1, 8))
    by_scale[0] = [3, 1, 2, 8, 7, 6, 5, 4]
    changes = LossChanges({0: by_scale}, {0: by_scale}, {0: np.ones(8)})
    planes = Planes({0: np.zeros(3)}, {0: np.eye(3)}, {0: 1_000_000}, 1)
    order = surgeon_order(network, ties, families(network, ties), planes, changes)[ties.outputs[0]]
    assert order.argsort(kind="stable").tolist() == [1, 2, 0, 7, 6, 5, 4, 3]


def test_what_a_connected_layer_reads_beside_a_convolution_counts_for_both():
    square = "[net]\nwidth=32\nheight=32\nchannels=3\n"
    pooled = MADE + "[avgpool]\n"
    reads = "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[route]\nlayers=-2\n"
    network = network_of(
        pooled + reads + "[connected]\noutput=4\nactivation=linear\n[route]\nlayers=-1,-3\n", net=square
    )
    ties = channel_ties(network.sections)
    network.layers[2].get_parameter("conv.weight").data.fill_(0.01)
    by_scale = np.array([[3.0, 1, 2, 8, 7, 6, 5, 4]])
    changes = LossChanges({0: by_scale}, {0: by_scale}, {0: np.ones(8), 2: np.ones(4)})
    planes = planes_of(network, np.eye(8), 2)
    order = surgeon_order(network, ties, families(network, ties), planes, changes)[ties.outputs[0]]
    assert order.argsort(kind="stable").tolist() == [1, 2, 0, 7, 6, 5, 4, 3]


def test_channels_that_may_not_go_count_among_those_that_stay():
    network = network_of(MADE)
    ties = channel_ties(network.sections)
    (family,) = families(network, ties)
    left = family.without(family.units[:3].tolist())
    order = surgeon_order(
        network, ties, [left], planes_of(network, np.eye(8), 1), changes_of(network), keep_at_least=0.5
    )
    assert sorted(order[left.units].tolist()) == [0, 1, 2, 3, 5]  # four of eight stay: the three, and one of these
