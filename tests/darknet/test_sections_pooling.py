"""Layers that gather pixels: averages, largest of channels, reorg, and the blur of antialiasing, against plain loops."""

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network_sections import read_sections


def section_of(*layers, channels=4, height=6, width=8):
    net = f"[net]\nwidth={width}\nheight={height}\nchannels={channels}\n"
    return read_sections(Cfg.parse(net + "\n".join(layers), file="a.cfg"))[-1]


def picture(channels=4, height=6, width=8, seed=0):
    return np.random.default_rng(seed).normal(size=(2, channels, height, width)).astype(np.float32)


def run(section, x):
    module = section.build().eval()
    with torch.no_grad():
        for name, tensor in section.weights(module):
            tensor.fill_(0.0 if name == "biases" else 1.0)
        output = module(torch.from_numpy(x)).numpy()
    assert output.shape[1:] == section.output
    assert section.num_weights == sum(tensor.numel() for _, tensor in section.weights(module))
    return output


def test_avgpool_is_the_mean_of_each_channel():
    x = picture()
    np.testing.assert_allclose(
        run(section_of("[avgpool]"), x), x.mean(axis=(2, 3), keepdims=True), rtol=1e-5, atol=1e-6
    )


def window_means(x, *, size, stride_yx, padding):
    """maxpool_layer.c forward_local_avgpool_layer: the window starts at -padding / 2, what lies outside is not counted."""
    channels, height, width = x.shape
    shape = (channels, *((n + padding - size) // s + 1 for n, s in zip((height, width), stride_yx, strict=True)))
    result = np.zeros(shape, np.float32)
    for c, row, column in np.ndindex(*shape):
        top, left = row * stride_yx[0] - padding // 2, column * stride_yx[1] - padding // 2
        window = x[c, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)]
        result[c, row, column] = window.mean()
    return result


@examples(60)
@given(st.data())
def test_local_avgpool_is_the_loop_for_any_size_stride_and_padding(data):
    size, stride_y, stride_x = (data.draw(st.integers(1, 4)) for _ in range(3))
    padding = data.draw(st.integers(0, max(0, 2 * size - 2)) | st.none())
    height, width = data.draw(st.integers(4, 9)), data.draw(st.integers(4, 9))
    keys = f"size={size}\nstride_x={stride_x}\nstride_y={stride_y}" + (
        "" if padding is None else f"\npadding={padding}"
    )
    x = picture(2, height, width, seed=size)
    found = run(section_of(f"[local_avgpool]\n{keys}", channels=2, height=height, width=width), x)
    padding = size - 1 if padding is None else padding
    expected = window_means(x[1], size=size, stride_yx=(stride_y, stride_x), padding=padding)
    np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("out_channels", [1, 2, 3, 5, 6])
def test_maxpool_depth_takes_the_largest_of_every_nth_channel(out_channels):
    x = picture(6) - 9  # all below 0: a channel that does not exist must not count
    found = run(section_of(f"[maxpool]\nmaxpool_depth=1\nout_channels={out_channels}\nstride=2", channels=6), x)
    expected = np.stack([x[:, g::out_channels].max(axis=1) for g in range(out_channels)], axis=1)
    np.testing.assert_array_equal(found, expected)


def reorg_loop(x, out_whc, stride, *, forward):
    """blas.c reorg_cpu: flat buffers, where `out_whc` are whatever sizes the layer hands it."""
    width, height, channels = out_whc
    x, result = x.ravel(), np.full(x.size, np.nan, np.float32)
    few = channels // stride**2
    for k, j, i in np.ndindex(channels, height, width):
        one = i + width * (j + height * k)
        offset = k // few
        column, row = i * stride + offset % stride, j * stride + offset // stride
        other = column + width * stride * (row + height * stride * (k % few))
        if forward:
            result[other] = x[one]
        else:
            result[one] = x[other]
    return result


@pytest.mark.parametrize(("channels", "stride"), [(4, 2), (8, 2), (9, 3), (3, 1)])
def test_reorg_is_darknets_loop_over_the_inputs_sizes(channels, stride):
    x = picture(channels, 6, 12)
    found = run(section_of(f"[reorg]\nstride={stride}", channels=channels, width=12), x)
    expected = reorg_loop(x[1], (12, 6, channels), stride, forward=False)
    np.testing.assert_array_equal(found[1].ravel(), expected)


@pytest.mark.parametrize(("channels", "stride"), [(5, 2), (3, 3)])
def test_reorg3d_is_darknets_loop_over_the_outputs_sizes(channels, stride):
    x = picture(channels, 6, 12)
    section = section_of(f"[reorg3d]\nstride={stride}", channels=channels, width=12)
    expected = reorg_loop(x[1], (12 // stride, 6 // stride, channels * stride**2), stride, forward=False)
    np.testing.assert_array_equal(run(section, x)[1].ravel(), expected)


@pytest.mark.parametrize(("name", "channels"), [("reorg", 8), ("reorg3d", 16)])
def test_reverse_is_darknets_loop_the_other_way(name, channels):
    x = picture(channels, 3, 4)
    section = section_of(f"[{name}]\nstride=2\nreverse=1", channels=channels, height=3, width=4)
    sizes = (4, 3, channels) if name == "reorg" else (8, 6, channels // 4)
    np.testing.assert_array_equal(run(section, x)[1].ravel(), reorg_loop(x[1], sizes, 2, forward=True))


def blurred(x, kind, stride_yx):
    """A loop over the 3 x 3 binomial kernel (kind 1) or the 2 x 2 mean (kind 2), zeros outside. x (C, H, W)."""
    line = np.array([1, 2, 1], np.float64) if kind == 1 else np.array([1, 1], np.float64)
    kernel = np.outer(line, line) / line.sum() ** 2
    size, padding = len(line), 1 if kind == 1 else 0
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height, width = ((n - size) // s + 1 for n, s in zip(x.shape[1:], stride_yx, strict=True))
    result = np.zeros((len(x), height, width))
    for row, column in np.ndindex(height, width):
        top, left = row * stride_yx[0], column * stride_yx[1]
        result[:, row, column] = (x[:, top : top + size, left : left + size] * kernel).sum(axis=(1, 2))
    return result


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_maxpool_with_antialiasing_pools_everywhere_then_blurs(kind, stride):
    x = picture()
    sharp = run(section_of("[maxpool]\nsize=3\nstride=1"), x)
    found = run(section_of(f"[maxpool]\nsize=3\nstride={stride}\nantialiasing={kind}"), x)
    np.testing.assert_allclose(found[1], blurred(sharp[1], kind, (stride, stride)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [1, 2])
def test_convolution_with_antialiasing_blurs_after_the_activation(kind):
    keys = "[convolutional]\nfilters=3\nsize=3\npad=1\nactivation=relu\n"
    x = picture()
    sharp = run(section_of(keys), x)
    section = section_of(f"{keys}stride_y=2\nstride_x=3\nantialiasing={kind}")
    np.testing.assert_allclose(run(section, x)[1], blurred(sharp[1], kind, (2, 3)), rtol=1e-5, atol=1e-5)
    assert section.num_weights == section_of(keys).num_weights  # the blur stands in no weights file
    # The layer after it sees the blurred shape; Darknet keeps another one for references.
    after = section_of(f"{keys}stride=2\nantialiasing={kind}", "[maxpool]\nsize=1")
    assert after.output == section_of(f"{keys}stride=2\nantialiasing={kind}").output
