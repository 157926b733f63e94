"""Anchors by k-means, and a network with other anchors: rows follow, boxes of the same anchors stay."""

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_anchors import anchors_from_sizes, average_iou, change_anchors, network_box_sizes
from traffic_yolo.errors import DarknetFormatError, OptionsError

ANCHORS = [(4, 5), (6, 8), (8, 12), (10, 10), (14, 20), (30, 24)]  # of the small network


@pytest.fixture
def network(small_cfg) -> Network:
    network = Network(Cfg.parse(small_cfg), seed=3).eval()
    for index in (7, 12):
        torch.nn.init.normal_(network.layers[index].conv.bias, generator=torch.Generator().manual_seed(index))
    return network


def images():
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, 32, 64), dtype=np.float32))


def test_well_separated_sizes_are_found_again():
    random = np.random.default_rng(0)
    centres = np.array([[10, 12], [30, 25], [60, 90], [200, 150]])
    sizes = np.concatenate([centre * random.uniform(0.95, 1.05, (50, 2)) for centre in centres])
    random.shuffle(sizes)
    anchors = anchors_from_sizes(sizes, 4)
    np.testing.assert_allclose(anchors, centres, rtol=0.03)
    assert average_iou(sizes, anchors) > 0.94


def test_anchors_are_a_fixed_point_of_assignment_and_mean():
    sizes = np.random.default_rng(1).lognormal(3, 0.7, (500, 2))
    anchors = anchors_from_sizes(sizes, 6, restarts=1)
    shared = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    nearest = (shared / (sizes.prod(axis=1)[:, None] + anchors.prod(axis=1) - shared)).argmax(axis=1)
    means = np.array([sizes[nearest == index].mean(axis=0) for index in range(6)])
    np.testing.assert_allclose(anchors, means)
    assert (np.diff(anchors.prod(axis=1)) >= 0).all()


def test_more_restarts_are_no_worse_and_the_seed_decides():
    sizes = np.random.default_rng(2).lognormal(3, 0.7, (300, 2))
    once, often = (average_iou(sizes, anchors_from_sizes(sizes, 9, restarts=n, seed=5)) for n in (1, 10))
    assert often >= once
    np.testing.assert_array_equal(anchors_from_sizes(sizes, 9, seed=5), anchors_from_sizes(sizes, 9, seed=5))


def test_average_iou_by_hand():
    # 10 x 10 in 20 x 10: a half; 20 x 20 against 20 x 10: a half; against itself: one
    assert average_iou([[10, 10], [20, 20], [20, 10]], [[20, 10]]) == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_boxes_shrink_with_their_pictures():
    boxes, pictures = [[96, 54], [100, 100]], [[960, 540], [200, 400]]
    np.testing.assert_allclose(network_box_sizes(boxes, pictures, (416, 208)), [[41.6, 20.8], [208, 52]])
    kept = network_box_sizes(boxes, pictures, (416, 208), letterbox=True)
    np.testing.assert_allclose(kept, np.array([[96, 54], [100, 100]]) * [[208 / 540], [208 / 400]])


@pytest.mark.parametrize(
    ("sizes", "count", "message"),
    [
        ([[1, 2, 3]], 1, r"expected \(n, 2\) widths and heights, found shape \(1, 3\)"),
        ([[1, 0]], 1, "expected widths and heights above 0"),
        ([[1, 2], [1, 2], [3, 4]], 3, "expected 1 to 2 for these boxes, found 3"),
        ([[1, 2]], 0, "expected 1 to 1 for these boxes, found 0"),
    ],
)
def test_sizes_that_give_no_anchors_are_refused(sizes, count, message):
    with pytest.raises(OptionsError, match=message):
        anchors_from_sizes(sizes, count)


def test_as_many_anchors_change_the_lists_alone(network, small_cfg):
    new = [(5, 5), (7, 9), (9, 14), (12, 11), (16, 22.5), (31, 24)]
    changed = change_anchors(network, new)
    text = "5,5, 7,9, 9,14, 12,11, 16,22.5, 31,24"
    assert changed.cfg.to_text() == small_cfg.replace("4,5,  6,8,  8,12,  10,10,  14,20,  30,24", text)
    for a, b in zip(changed(images()), network(images()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert change_anchors(network, ANCHORS).cfg.to_text() == small_cfg


def test_fewer_anchors_keep_the_boxes_of_those_that_stay(network):
    kept = [(6, 8), (8, 12), (10, 10), (30, 24)]  # 1, 2 of the fine head; 3, 5 of the coarse one
    changed = change_anchors(network, kept)
    assert [head.mask for head in changed.heads] == [(2, 3), (0, 1)]
    assert [changed.cfg.layers[index].get_int("filters", 0) for index in (7, 12)] == [14, 14]
    with torch.no_grad():
        before = decode(network.heads, network(images()), (32, 64))
        after = decode(changed.heads, changed(images()), (32, 64))
    old = before.boxes_cxcywh_norm[0].split([3 * 32, 3 * 128])
    new = after.boxes_cxcywh_norm[0].split([2 * 32, 2 * 128])
    for slots, a, b in zip(((0, 2), (1, 2)), old, new, strict=True):
        torch.testing.assert_close(b.view(-1, 2, 4), a.view(-1, 3, 4)[:, slots])


def test_more_anchors_start_from_the_nearest_shape(network):
    changed = change_anchors(network, [(4, 5), (6, 8), (8, 12), (4.2, 5)], masks=[[1, 2], [0, 3]])
    rows = changed.layers[12].conv.weight.view(2, 7, -1)
    assert torch.equal(rows[0], rows[1])  # both from 4 x 5
    assert [head.mask for head in changed.heads] == [(1, 2), (0, 3)]


@pytest.mark.parametrize(
    ("anchors", "masks", "message"),
    [
        ([], None, "anchors: expected pairs of widths and heights above 0"),
        ([(4, -5)] * 6, None, "anchors: expected pairs of widths and heights above 0"),
        (ANCHORS[:5], None, "5 cannot be shared evenly by 2 heads"),
        (ANCHORS, [[0, 1]], "expected one for each of 2 heads, found 1"),
        (ANCHORS, [[0, 1], [5, 6]], "expected different numbers from 0 to 5, found .5, 6."),
        (ANCHORS, [[0, 0], [5]], "expected different numbers from 0 to 5, found .0, 0."),
    ],
)
def test_anchors_that_do_not_fit_are_refused(network, anchors, masks, message):
    with pytest.raises(OptionsError, match=message):
        change_anchors(network, anchors, masks=masks)


def test_a_head_without_its_own_convolution_is_refused(small_cfg):
    routed = small_cfg.replace("activation=logistic\n\n", "activation=logistic\n\n[route]\nlayers=-1\n\n")
    with pytest.raises(DarknetFormatError, match=r"expected an ungrouped \[convolutional\] before \[yolo\]"):
        change_anchors(Network(Cfg.parse(routed)), ANCHORS)


def test_a_region_head_has_its_anchors_written_in_cells_and_no_mask():
    cfg = Cfg.parse(
        "[net]\nwidth=64\nheight=64\nchannels=3\n[maxpool]\nsize=32\nstride=32\npadding=0\n"
        "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n[region]\nanchors=1,2, 0.5,1\nnum=2\nclasses=2\n"
    )
    network = Network(cfg)
    assert network.heads[0].anchors == ((32, 64), (16, 32))
    changed = change_anchors(network, [(48, 16), (16, 32), (64, 64)])
    assert changed.heads[0].anchors == ((48, 16), (16, 32), (64, 64))
    region = changed.cfg.layers[-1]
    assert (region.get_str("anchors", ""), region.get_int("num", 0), region.has("mask")) == (
        "1.5,0.5,0.5,1,2,2",
        3,
        False,
    )
    assert changed.cfg.layers[1].get_int("filters", 0) == 21
    with pytest.raises(OptionsError, match=r"a \[region\] head predicts all of its 3 anchors, found 1"):
        change_anchors(network, [(48, 16), (16, 32), (64, 64)], masks=[[1]])
