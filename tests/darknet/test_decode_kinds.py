"""[Gaussian_yolo] and [region] heads: what they read, and their boxes against Darknet's formulas, one box at a time."""

import math
import re

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import activate_head, decode, decode_above
from traffic_yolo.darknet.heads import GaussianYoloHead, RegionHead, YoloHead
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.picture_detections import above_threshold
from traffic_yolo.errors import DarknetFormatError

INPUT_HW = (32, 48)
GAUSSIAN_KEYS = "[Gaussian_yolo]\nmask=2,0\nanchors=10,20, 30,40, 50,60\nnum=3\nclasses=3\nscale_x_y=1.2\n"
REGION_KEYS = "[region]\nanchors=1.5,2, 3,0.7\nnum=2\nclasses=3\nsoftmax=1\n"


def head_of(keys, filters):
    layers = f"[conv]\nsize=16\nstride=16\nfilters={filters}\nactivation=linear\n{keys}"
    cfg = Cfg.parse(f"[net]\nheight=32\nwidth=48\nchannels=3\n{layers}", file="a.cfg")
    return read_sections(cfg)[1].head


def logits(head, batch=2, seed=0):
    random = np.random.default_rng(seed).normal(size=(batch, head.num_channels, 2, 3))
    return torch.from_numpy(random.astype(np.float32))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def cells(head, x):
    """Row, column, anchor index and the entries of each box in Darknet's order; x (A * entries, 2, 3)."""
    entries = x.double().numpy().reshape(head.num_anchors, -1, 2, 3)
    return [(row, column, n, entries[n, :, row, column]) for row in range(2) for column in range(3) for n in range(2)]


def slow_gaussian(head, x):
    """gaussian_yolo_layer.c get_gaussian_yolo_box and get_gaussian_yolo_detections."""
    rows = []
    for row, column, n, entry in cells(head, x):
        stretch = lambda value: sigmoid(value) * head.scale_x_y - 0.5 * (head.scale_x_y - 1)  # noqa: E731
        anchor = head.anchors[head.mask[n]]
        w, h = math.exp(entry[4]) * anchor[0] / 48, math.exp(entry[6]) * anchor[1] / 32
        cx, cy = (column + stretch(entry[0])) / 3, (row + stretch(entry[2])) / 2
        side = {"center": 0, "left_top": 0.5, "right_bottom": -0.5}[head.yolo_point]
        uncertainty = sum(sigmoid(entry[k]) for k in (1, 3, 5, 7)) / 4
        classes = [sigmoid(value) * (1 - uncertainty) for value in entry[9:]]
        rows.append([cx + side * w, cy + side * h, w, h, sigmoid(entry[8]), *classes])
    return np.array(rows)


def slow_region(head, x):
    """region_layer.c get_region_box and get_region_boxes, network.c custom_get_region_detections."""
    rows = []
    for row, column, n, entry in cells(head, x):
        anchor = (1.5, 2) if n == 0 else (3, 0.7)  # in cells
        box = [(column + sigmoid(entry[0])) / 3, (row + sigmoid(entry[1])) / 2]
        box += [math.exp(entry[2]) * anchor[0] / 3, math.exp(entry[3]) * anchor[1] / 2]
        objectness = sigmoid(entry[4])
        if head.classfix == -1 and objectness < 0.5:
            objectness = 0
        exponentials = [math.exp(value) for value in entry[5:]]
        classes = [value / sum(exponentials) for value in exponentials] if head.softmax else entry[5:]
        rows.append([*box, 1, *[objectness * value for value in classes]])
    return np.array(rows)


def compare(head, slow):
    x = logits(head)
    decoded = decode([head], [x], INPUT_HW)
    assert [tuple(part.shape) for part in decoded] == [(2, 12, 4), (2, 12), (2, 12, 3)]
    for index in range(2):
        expected = slow(head, x[index])
        found = torch.cat([decoded[0][index], decoded[1][index, :, None], decoded[2][index]], dim=1).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_gaussian_boxes_are_darknets(point):
    compare(head_of(f"{GAUSSIAN_KEYS}yolo_point={point}\n", 24), slow_gaussian)


@pytest.mark.parametrize("keys", ["", "classfix=-1\n", "softmax=0\n"])
def test_region_boxes_are_darknets(keys):
    # The first of a repeated key counts.
    compare(head_of(REGION_KEYS.replace("[region]\n", f"[region]\n{keys}"), 16), slow_region)


def test_a_region_box_counts_by_its_product_even_where_its_objectness_is_below_the_threshold():
    """By hand: objectness sigmoid(-ln 4) = 0.2 and a raw class value of 2 make 0.4; Darknet reports it above 0.3."""
    head = head_of(REGION_KEYS.replace("softmax=1", "softmax=0"), 16)
    x = torch.zeros(1, 2, 8, 2, 3)
    x[0, :, 4] = -20.0  # nothing anywhere
    x[0, 1, 4:, 1, 2] = torch.tensor([-math.log(4), 2.0, 1.0, -3.0])
    x = x.flatten(1, 2)
    for decoded in (decode([head], [x], INPUT_HW), decode_above([head], [x], INPUT_HW, 0.3)):
        boxes, objectness, scores = above_threshold(decoded, 0, 0.3)
        (row,) = np.flatnonzero(scores.any(axis=1))
        assert objectness[row] == 1
        np.testing.assert_allclose(scores[row], [0.4, 0, 0], rtol=1e-6)
        np.testing.assert_allclose(boxes[row], [2.5 / 3, 1.5 / 2, 3 / 3, 0.7 / 2], rtol=1e-6)


UNEVEN = "[net]\nheight=24\nwidth=32\nchannels=3\n[conv]\nstride=16\nfilters={}\nactivation=linear\n{}"


@pytest.mark.parametrize(
    ("keys", "filters", "size"),
    [
        ("[yolo]\nmask=0\nanchors=8,6\nnum=1\nclasses=3\n", 8, [8 / 32, 6 / 24]),
        ("[Gaussian_yolo]\nmask=0\nanchors=8,6\nnum=1\nclasses=3\n", 12, [8 / 32, 6 / 24]),
        ("[region]\nanchors=0.5,0.6\nnum=1\nclasses=3\nsoftmax=1\n", 8, [0.5 / 2, 0.6 / 2]),
    ],
)
def test_a_size_that_is_no_multiple_of_the_stride_has_the_layers_own_grid(keys, filters, size):
    """By hand: 24 rows at stride 16 are 2 cells; centres count cells, sizes pixels ([region]: cells), as in Darknet."""
    network = Network(Cfg.parse(UNEVEN.format(filters, keys))).eval()
    (head,) = network.heads
    assert (head.stride, head.grid_hw((24, 32)), head.grid_hw((48, 32))) == (16, (2, 2), (3, 2))
    assert network(torch.zeros(1, 3, 24, 32))[0].shape == (1, filters, 2, 2)
    boxes = decode([head], [torch.zeros(1, filters, 2, 2)], (24, 32)).boxes_cxcywh_norm[0].numpy()
    expected = [[x, y, *size] for y in (0.25, 0.75) for x in (0.25, 0.75)]
    np.testing.assert_allclose(boxes, expected, rtol=1e-6)
    above = decode_above([head], [torch.zeros(1, filters, 2, 2)], (24, 32), 0.1).boxes_cxcywh_norm[0].numpy()
    np.testing.assert_allclose(above, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="images: expected multiples of 16, found height 40, width 32"):
        network(torch.zeros(1, 3, 40, 32))


def test_outputs_of_the_layers_are_darknets():
    head = head_of(GAUSSIAN_KEYS, 24)
    x = logits(head)
    y = activate_head(head, x)
    assert y.shape == x.shape
    torch.testing.assert_close(y[:, [4, 6, 16, 18]], x[:, [4, 6, 16, 18]], rtol=0, atol=0)
    torch.testing.assert_close(y[:, [0, 2]], torch.sigmoid(x[:, [0, 2]]) * 1.2 - 0.1)
    torch.testing.assert_close(y[:, [1, 3, 5, 7, 8, 11]], torch.sigmoid(x[:, [1, 3, 5, 7, 8, 11]]))
    head = head_of(REGION_KEYS, 16)
    x = logits(head)
    y = activate_head(head, x)
    torch.testing.assert_close(y[:, 8:12], x[:, 8:12], rtol=0, atol=0)
    torch.testing.assert_close(y[:, 12], torch.sigmoid(x[:, 12]))
    torch.testing.assert_close(y[:, 13:].sum(dim=1), torch.ones(2, 2, 3))


def test_every_head_has_the_interface_of_a_yolo_head():
    heads = [head_of(GAUSSIAN_KEYS, 24), head_of(REGION_KEYS, 16)]
    assert [type(head) for head in heads] == [GaussianYoloHead, RegionHead]
    assert all(isinstance(head, YoloHead) for head in heads)
    assert [(head.num_anchors, head.num_entries, head.num_channels) for head in heads] == [(2, 12, 24), (2, 8, 16)]
    assert [head.objectness_entry for head in heads] == [8, 4]
    assert heads[0].mask_anchors == ((50, 60), (10, 20))
    assert heads[1].mask_anchors == ((24, 32), (48, 0.7 * 16))  # network pixels, though the cfg has cells
    assert (heads[0].uc_normalizer, heads[0].yolo_point, heads[1].softmax) == (1.0, "center", True)


def test_a_head_with_a_class_tree_has_logits_but_no_boxes():
    head = head_of(f"{REGION_KEYS}tree=data/9k.tree\n", 16)
    with pytest.raises(DarknetFormatError, match=r"\[region\] of layer 1: tree=data/9k.tree is not supported"):
        decode([head], [logits(head)], INPUT_HW)


@pytest.mark.parametrize(
    ("keys", "filters", "message"),
    [
        (GAUSSIAN_KEYS, 16, "expected filters=24, which is 2 anchors x (9 + 3 classes) of the [Gaussian_yolo] section"),
        (
            REGION_KEYS,
            24,
            "expected filters=16, which is 2 anchors x (5 + 3 classes) of the [region] section of line 10",
        ),
        (
            f"{GAUSSIAN_KEYS}yolo_point=top\n",
            24,
            "yolo_point: expected one of center, left_top, right_bottom, found 'top'",
        ),
        (
            f"{GAUSSIAN_KEYS}nms_kind=cornersnms\n",
            24,
            "nms_kind: expected one of default, greedynms, diounms, found 'corn",
        ),
        (f"{REGION_KEYS}coords=8\n", 16, "coords=8 is not supported: a box has four numbers, and masks are not read"),
        (
            GAUSSIAN_KEYS.replace("50,60", "50,60,"),
            24,
            "anchors: expected numbers separated by commas, found '10,20,30,40,50,60,'",
        ),
        (REGION_KEYS.replace("num=2", "num=3"), 24, "anchors: expected 3 pairs (num=3), found 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(keys, filters, message):
    with pytest.raises(DarknetFormatError, match=re.escape(message)) as info:
        head_of(keys, filters)
    assert str(info.value).startswith("a.cfg line ")


def test_heads_of_two_kinds_decode_side_by_side():
    layers = f"[conv]\nsize=16\nstride=16\nfilters=24\nactivation=linear\n{GAUSSIAN_KEYS}[route]\nlayers=0\n"
    layers += f"[conv]\nfilters=16\nactivation=linear\n{REGION_KEYS}"
    network = Network(Cfg.parse(f"[net]\nheight=32\nwidth=48\nchannels=3\n{layers}")).eval()
    with torch.no_grad():
        inputs = network(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    boxes, objectness, classes = decode(network.heads, inputs, INPUT_HW)
    assert (boxes.shape, objectness.shape, classes.shape) == ((1, 24, 4), (1, 24), (1, 24, 3))
    alone = decode(network.heads[1:], inputs[1:], INPUT_HW)
    torch.testing.assert_close(boxes[:, 12:], alone.boxes_cxcywh_norm)


YOLO_KEYS = "[yolo]\nmask=2,0\nanchors=10,20, 30,40, 50,60\nnum=3\nclasses=3\nscale_x_y=1.2\n"


@pytest.mark.parametrize(
    ("keys", "filters"),
    [
        (YOLO_KEYS, 16),
        (f"{YOLO_KEYS}new_coords=1\n", 16),
        (GAUSSIAN_KEYS, 24),
        (f"{GAUSSIAN_KEYS}yolo_point=left_top\n", 24),
        (REGION_KEYS, 16),
        (f"{REGION_KEYS}classfix=-1\n", 16),
    ],
)
def test_decoding_what_is_above_a_threshold_is_decoding_all_and_dropping_the_rest(keys, filters):
    head = head_of(keys, filters)
    for seed, threshold in [(0, 0.0), (1, 0.3), (2, 0.55), (3, 0.999)]:
        x = logits(head, batch=1, seed=seed)
        x = torch.sigmoid(x) if head.new_coords else x
        other = x.flip(2) if seed == 1 else x  # two heads: their order counts
        every = decode([head, head], [x, other], INPUT_HW)
        found = decode_above([head, head], [x, other], INPUT_HW, threshold)
        kept = every.objectness[0] > threshold
        assert found.objectness.shape == (1, int(kept.sum()))
        for some, of_all in zip(found, every, strict=True):
            torch.testing.assert_close(some[0], of_all[0][kept], rtol=5e-7, atol=1e-7)
    with pytest.raises(ValueError, match="decode_above: expected the logits of one picture, found 2"):
        decode_above([head], [logits(head)], INPUT_HW, 0.5)
