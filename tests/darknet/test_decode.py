"""Decoding against Darknet's formulas, one box at a time, and its refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.decode import activate_head, decode
from traffic_yolo.darknet.heads import YoloHead

HEAD = YoloHead(5, ((10, 20), (30, 40), (50, 60)), (2, 0), num_classes=3, stride=16, scale_x_y=1.2)
HEADS = [HEAD, replace(HEAD, mask=(1,), stride=8, scale_x_y=2.0, new_coords=True)]
INPUT_HW = (32, 48)


def logits(head, seed, batch=2):
    height, width = INPUT_HW[0] // head.stride, INPUT_HW[1] // head.stride
    shape = (batch, head.num_channels, height, width)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def slow_boxes(head, x):
    """yolo_layer.c get_yolo_box and get_yolo_detections for one picture; x (A * (5 + C), h, w)."""
    _, height, width = x.shape
    x = x.reshape(head.num_anchors, -1, height, width).double().numpy()
    activate = (lambda value: value) if head.new_coords else sigmoid
    rows = []
    for cell in range(height * width):
        row, column = divmod(cell, width)
        for n, index in enumerate(head.mask):
            entry = x[n, :, row, column]
            ox, oy = (activate(entry[k]) * head.scale_x_y - 0.5 * (head.scale_x_y - 1) for k in (0, 1))
            aw, ah = head.anchors[index]
            if head.new_coords:
                w, h = entry[2] ** 2 * 4 * aw, entry[3] ** 2 * 4 * ah
            else:
                w, h = math.exp(entry[2]) * aw, math.exp(entry[3]) * ah
            box = [(column + ox) / width, (row + oy) / height, w / INPUT_HW[1], h / INPUT_HW[0]]
            rows.append([*box, *map(activate, entry[4:])])
    return np.array(rows)


def test_boxes_are_darknets_by_head_then_cell_then_anchor():
    inputs = [logits(head, seed) for seed, head in enumerate(HEADS)]
    decoded = decode(HEADS, inputs, INPUT_HW)
    assert [tuple(part.shape) for part in decoded] == [(2, 36, 4), (2, 36), (2, 36, 3)]
    assert {part.dtype for part in decoded} == {torch.float32}
    for picture in range(2):
        expected = np.concatenate([slow_boxes(head, x[picture]) for head, x in zip(HEADS, inputs, strict=True)])
        np.testing.assert_allclose(decoded.boxes_cxcywh_norm[picture].numpy(), expected[:, :4], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(decoded.objectness[picture].numpy(), expected[:, 4], rtol=1e-5)
        np.testing.assert_allclose(decoded.class_probabilities[picture].numpy(), expected[:, 5:], rtol=1e-5)


def test_half_precision_logits_give_float32_boxes():
    decoded = decode([HEAD], [logits(HEAD, 0).bfloat16()], INPUT_HW)
    assert {part.dtype for part in decoded} == {torch.float32}


def test_the_output_of_the_yolo_layer_keeps_raw_sizes():
    x = logits(HEAD, 0)
    y = activate_head(HEAD, x)
    assert y.shape == x.shape
    torch.testing.assert_close(y[:, 2:4], x[:, 2:4], rtol=0, atol=0)
    torch.testing.assert_close(y[:, 4:8], torch.sigmoid(x[:, 4:8]))
    torch.testing.assert_close(y[:, 8:10], torch.sigmoid(x[:, 8:10]) * 1.2 - 0.1)


def test_logits_of_another_picture_size_are_refused():
    with pytest.raises(ValueError, match=r"head at layer 5: expected \(batch, \*\(16, 3, 3\)\), found \(2, 16, 2, 3\)"):
        decode([HEAD], [logits(HEAD, 0)], (48, 48))
