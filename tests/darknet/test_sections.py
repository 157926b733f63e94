"""Each section type: its shapes and values against plain loops, and what it refuses."""

import re

import numpy as np
import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.section_types import REFUSED_SECTIONS, SECTION_TYPES
from traffic_yolo.errors import DarknetFormatError


def sections_of(*layers: str, width=8, height=6, channels=4):
    net = f"[net]\nwidth={width}\nheight={height}\nchannels={channels}\n"
    return read_sections(Cfg.parse(net + "\n".join(layers), file="a.cfg"))


def run(section, *inputs, seed=0):
    torch.manual_seed(seed)
    module = section.build().eval()
    with torch.no_grad():
        for _, tensor in section.weights(module):
            tensor.uniform_(0.5, 1.5)
        output = module(*inputs)
    assert tuple(output.shape[1:]) == section.output
    return module, output


def picture(channels=4, height=6, width=8, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, channels, height, width)).astype(np.float32))


def slow_convolution(x, kernels, *, stride_yx, padding, dilation, groups):
    """Loops over every output value; x (C, H, W), kernels (F, C / groups, k, k), float64."""
    filters, group_channels, size, _ = kernels.shape
    reach = dilation * (size - 1) + 1
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height = (x.shape[1] - reach) // stride_yx[0] + 1
    width = (x.shape[2] - reach) // stride_yx[1] + 1
    result = np.zeros((filters, height, width))
    for f in range(filters):
        first = f // (filters // groups) * group_channels
        for row in range(height):
            for column in range(width):
                top, left = row * stride_yx[0], column * stride_yx[1]
                window = x[first : first + group_channels, top : top + reach : dilation, left : left + reach : dilation]
                result[f, row, column] = (window * kernels[f]).sum()
    return result


CONVOLUTIONS = [
    ("size=3\npad=1", {"padding": 1}),
    ("size=3\npad=1\nstride=2", {"padding": 1, "stride_yx": (2, 2)}),
    ("size=3\npad=1\nstride_x=2\nstride_y=1", {"padding": 1, "stride_yx": (1, 2)}),
    ("size=3\npadding=2\nstride=3", {"padding": 2, "stride_yx": (3, 3)}),
    ("size=3\npad=1\npadding=7", {"padding": 1}),
    ("size=2\nstride=2", {"padding": 0, "stride_yx": (2, 2)}),
    ("size=1\npad=1\ndilation=3", {"padding": 0}),
    ("size=3\npad=1\ndilation=2", {"padding": 2, "dilation": 2}),
    ("size=3\npad=1\ngroups=2", {"padding": 1, "groups": 2}),
    ("size=5\npad=1\ngroups=4", {"padding": 2, "groups": 4}),
]


@pytest.mark.parametrize(("keys", "arguments"), CONVOLUTIONS, ids=[case[0].replace("\n", ",") for case in CONVOLUTIONS])
@pytest.mark.parametrize("norm", [0, 1])
def test_convolution_is_the_loop_with_batch_norm_and_leaky(keys, arguments, norm):
    (section,) = sections_of(f"[convolutional]\nfilters=8\nactivation=leaky\nbatch_normalize={norm}\n{keys}")
    x = picture()
    module, output = run(section, x)
    w = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in section.weights(module)}
    assert list(w) == (["biases", "scales", "means", "variances", "kernels"] if norm else ["biases", "kernels"])
    assert sum(array.size for array in w.values()) == section.num_weights
    arguments = {"stride_yx": (1, 1), "dilation": 1, "groups": 1, **arguments}
    expected = slow_convolution(x[1].numpy().astype(np.float64), w["kernels"], **arguments)
    if norm:  # batchnorm: eps inside the root
        column = {name: array[:, None, None] for name, array in w.items() if name != "kernels"}
        expected = (expected - column["means"]) / np.sqrt(column["variances"] + 1e-5) * column["scales"]
    expected += w["biases"][:, None, None]
    expected = np.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(output[1].numpy(), expected, rtol=1e-4, atol=1e-4)


def test_batch_norm_trains_with_darknets_momentum_and_eps():
    (section,) = sections_of("[convolutional]\nbatch_normalize=1\nfilters=2\nactivation=linear")
    norm = section.build().get_submodule("bn")
    assert (type(norm), norm.eps, norm.momentum) == (
        torch.nn.BatchNorm2d,
        1e-5,
        0.01,
    )  # batchnorm_layer.c 253, the GPU's


def slow_maxpool(x, *, size, stride, padding):
    """maxpool_layer.c forward: the window starts at -padding / 2; what lies outside does not count. x (C, H, W)."""
    channels, height, width = x.shape
    shape = (channels, *((length + padding - size) // stride + 1 for length in (height, width)))
    result = np.full(shape, -np.inf, np.float32)
    for c, row, column in np.ndindex(*shape):
        for down in range(size):
            for right in range(size):
                y, z = row * stride + down - padding // 2, column * stride + right - padding // 2
                if 0 <= y < height and 0 <= z < width:
                    result[c, row, column] = max(result[c, row, column], x[c, y, z])
    return result


@examples(60)
@given(st.data())
def test_maxpool_is_the_loop_for_any_size_stride_and_padding(data):
    size, stride = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    padding = data.draw(st.integers(0, 2 * (size - 1)) | st.none())
    height, width = data.draw(st.integers(5, 9)), data.draw(st.integers(5, 9))
    keys = f"[maxpool]\nsize={size}\nstride={stride}" + ("" if padding is None else f"\npadding={padding}")
    (section,) = sections_of(keys, width=width, height=height, channels=1)
    x = picture(1, height, width, seed=size)
    _, output = run(section, x)
    expected = slow_maxpool(x[0].numpy(), size=size, stride=stride, padding=size - 1 if padding is None else padding)
    np.testing.assert_array_equal(output[0].numpy(), expected)


LAYER_A = "[convolutional]\nfilters=4\nactivation=linear"
LAYER_B = "[convolutional]\nfilters=6\nactivation=linear"


def test_route_of_three_inputs_concatenates_in_order():
    *_, section = sections_of(LAYER_A, LAYER_B, LAYER_A, "[route]\nlayers=-1,0,-2")
    assert section.inputs == (2, 0, 1)
    x = [picture(4, seed=1), picture(4, seed=2), picture(6, seed=3)]
    _, output = run(section, *x)
    torch.testing.assert_close(output, torch.cat(x, dim=1), rtol=0, atol=0)


def test_route_with_groups_takes_that_group_of_each_input():
    *_, section = sections_of(LAYER_A, LAYER_B, "[route]\nlayers=0,1\ngroups=2\ngroup_id=1")
    x, y = picture(4, seed=1), picture(6, seed=2)
    _, output = run(section, x, y)
    torch.testing.assert_close(output, torch.cat([x[:, 2:], y[:, 3:]], dim=1), rtol=0, atol=0)


def test_route_of_one_input_copies_nothing():
    *_, section = sections_of(LAYER_A, LAYER_B, "[route]\nlayers=0")
    x = picture(4)
    assert section.build()(x) is x


def test_shortcut_adds_several_layers_then_activates():
    *_, section = sections_of(LAYER_A, LAYER_A, LAYER_A, "[shortcut]\nfrom=-2,0\nactivation=relu")
    assert section.inputs == (2, 1, 0)
    x = [picture(seed=seed) for seed in range(3)]
    _, output = run(section, *x)
    torch.testing.assert_close(output, (x[0] + x[1] + x[2]).clamp(min=0), rtol=0, atol=0)


@pytest.mark.parametrize(("first", "second"), [(LAYER_A, LAYER_B), (LAYER_B, LAYER_A)])
def test_shortcut_of_other_channels_adds_the_common_ones_and_keeps_its_shape(first, second):
    *_, section = sections_of(first, second, "[shortcut]\nfrom=-2")
    source, x = picture(int(first[24]), seed=1), picture(int(second[24]), seed=2)
    _, output = run(section, x, source)
    expected = x.clone()
    expected[:, :4] += source[:, :4]
    torch.testing.assert_close(output, expected, rtol=0, atol=0)


def test_shortcut_does_not_change_its_inputs():
    *_, section = sections_of(LAYER_A, LAYER_A, "[shortcut]\nfrom=-2\nactivation=leaky")
    x, source = picture(seed=1), picture(seed=2)
    run(section, x, source)
    torch.testing.assert_close(x, picture(seed=1), rtol=0, atol=0)
    torch.testing.assert_close(source, picture(seed=2), rtol=0, atol=0)


def test_upsample_repeats_values_and_scales_them():
    (section,) = sections_of("[upsample]\nstride=3\nscale=0.5")
    x = picture()
    _, output = run(section, x)
    np.testing.assert_array_equal(output.numpy(), np.repeat(np.repeat(x.numpy() * 0.5, 3, axis=2), 3, axis=3))


def test_dropout_drops_in_training_only():
    (section,) = sections_of("[dropout]\nprobability=.5")
    module, output = run(section, x := picture())
    assert output is x
    torch.manual_seed(0)
    trained = module.train()(x)
    assert 0.3 < (trained == 0).float().mean() < 0.7
    torch.testing.assert_close(trained[trained != 0], 2 * x[trained != 0])


HEAD = "[yolo]\nmask=0,1\nanchors=4,5,6,8\nclasses=3\nnum=2"
REFUSED = [
    (["[magic]\n"], "line 5 [magic]: unknown section type; supported: [Gaussian_yolo], [activation], [avgpool]"),
    (["[crnn]\n"], "line 5 [crnn]: this section type is not supported: it keeps a state from one picture to the next"),
    (["[detection]\n"], "not supported: the head of YOLO version 1"),
    (["[convolutional]\nfilters=0"], "line 6 [convolutional]: filters: expected at least 1, found '0'"),
    (["[convolutional]\nfilters=20000000\nsize=3\npad=1"], "expected at most 400000000 weights in the network"),
    (["[convolutional]\nfilters=1\nsize=99999"], "size: expected at most 1024, found '99999'"),
    (["[convolutional]\nstride=0"], "stride: expected at least 1, found '0'"),
    (["[convolutional]\ngroups=3"], "input channels=4 cannot be divided into groups=3"),
    (["[convolutional]\nfilters=6\ngroups=4"], "filters=6 cannot be divided into groups=4"),
    (["[convolutional]\nactivation=lucky"], "line 6 [convolutional]: unknown activation 'lucky'; known: elu"),
    (["[convolutional]\nxnor=1"], "xnor=1 is not supported: binary kernels would be run with the full ones"),
    (["[convolutional]\nsway=1\nsize=3"], "sway=1 is not supported: kernels that are turned or stretched"),
    (["[convolutional]\ndontload=1"], "dontload=1 is not supported"),
    (["[convolutional]\nshare_index=-1"], "share_index: expected no reference in the first layer, found -1"),
    (["[maxpool]\nsize=2", "[convolutional]\nshare_index=0"], "expected a [convolutional] layer, found layer 0, which"),
    (
        [LAYER_A, "[convolutional]\nshare_index=0\nfilters=4\nsize=3"],
        "expected the shape of layer 0 (filters=4 channels=4 groups=1 size=1 batch_normalize=0), found filters=4"
        " channels=4 groups=1 size=3 batch_normalize=0",
    ),
    (
        ["[convolutional]\nstride=2\nantialiasing=1", "[maxpool]", "[route]\nlayers=0"],
        "has antialiasing, of which Darknet",
    ),
    (["[convolutional]\nsize=9"], "gives an output of 1 x -2 x 0"),
    (["[convolutional]\nsize=3\ndilation=2"], "dilation=2 needs an odd size and padding=1 on each side, found size=3"),
    (["[maxpool]\nsize=2\npadding=3"], "padding: expected at most 2 for size=2, found 3"),
    (["[maxpool]\nmaxpool_depth=1\nout_channels=9"], "out_channels: expected at most 4, found '9'"),
    (["[maxpool]\nmaxpool_depth=1\nantialiasing=1"], "antialiasing=1 is not supported: with maxpool_depth"),
    (["[maxpool]\nmaxpool_zero_nonmax=1"], "maxpool_zero_nonmax=1 is not supported"),
    (["[local_avgpool]\nsize=2\npadding=3"], "padding: expected at most 2 for size=2, found 3"),
    (["[reorg]\nstride=4"], "stride=4: expected height that 4 divides, found 6"),
    (["[reorg3d]\nstride=2\nreverse=1"], "stride=2: expected channels of the output that 4 divides, found 1"),
    (["[reorg]\nstride=3\nreverse=1"], "stride=3: expected channels that 9 divides, found 4"),
    (["[sam]\nfrom=-1"], "expected a layer before it, found none"),
    ([LAYER_A, "[sam]"], "expected from=, found none"),
    (
        [LAYER_A, LAYER_B, "[sam]\nfrom=0"],
        "from: expected the shape 6 x 6 x 8 of the layer before, found layer 0 with 4",
    ),
    (
        [LAYER_A, LAYER_A, "[scale_channels]\nfrom=0"],
        "expected 4 x 1 x 1 from the layer before for layer 0 with 4 x 6 x 8",
    ),
    ([LAYER_A, "[avgpool]", "[scale_channels]\nfrom=0\nscale_wh=1"], "expected 1 x 6 x 8 from the layer before"),
    (["[connected]\noutput=0"], "output: expected at least 1"),
    (["[connected]\noutput=20000000"], "expected at most 400000000 weights"),
    (["[implicit]\nfilters=30000\natoms=30000"], "expected at most 400000000 weights"),
    (
        ["[softmax]", LAYER_A],
        "reads the output of layer 0, which is [softmax]: only [connected] or [cost] or [softmax]",
    ),
    (["[softmax]\ngroups=5"], "groups: expected a divisor of 192"),
    (["[softmax]\ntree=a.tree"], "tree=a.tree is not supported: the classes' tree"),
    (["[cost]\ntype=huber"], "type: expected one of sse, masked, smooth, seg, L1, wgan, found 'huber'"),
    (["[cost]", LAYER_A], "reads the output of layer 0, which is [cost]: no layer can read that"),
    ([LAYER_A, "[contrastive]\nyolo_layer=-1"], "yolo_layer: expected a [yolo] layer, found layer 0, [convolutional]"),
    (["[route]"], "expected layers=, found none"),
    (["[route]\nlayers=-1"], "layers: expected no reference in the first layer, found -1 (layer -1)"),
    ([LAYER_A, "[route]\nlayers=1"], "layers: expected a layer before layer 1, found 1 (layer 1)"),
    ([LAYER_A, "[route]\nlayers=-2"], "layers: expected a layer before layer 1, found -2 (layer -1)"),
    ([LAYER_A, "[route]\nlayers=2000000000"], "found 2000000000 (layer 2000000000)"),
    ([LAYER_A, "[route]\nlayers=0\ngroups=3"], "groups: expected channels that 3 divides, layer 0 has 4"),
    ([LAYER_A, "[route]\nlayers=0\ngroups=2\ngroup_id=2"], "group_id: expected at most 1, found '2'"),
    ([LAYER_A, "[maxpool]\nstride=2", "[route]\nlayers=0,1"], "one height and width, found layer 0 with 4 x 6 x 8,"),
    (["[shortcut]\nfrom=-1"], "expected a layer before it, found none"),
    ([LAYER_A, "[shortcut]"], "expected from=, found none"),
    ([LAYER_A, "[shortcut]\nfrom=-3"], "from: expected a layer before layer 1, found -3 (layer -2)"),
    ([LAYER_A, "[maxpool]\nstride=2", "[shortcut]\nfrom=0"], "expected the height and width of 4 x 3 x 4, found"),
    (
        [LAYER_A, "[shortcut]\nfrom=0\nweights_type=per_channel"],
        "expected weights_normalization=relu or softmax beside",
    ),
    (
        [LAYER_A, "[shortcut]\nfrom=0\nweights_type=per_row"],
        "weights_type: expected one of none, per_feature, per_layer,",
    ),
    ([LAYER_A, "[shortcut]\nfrom=0\nweights_normalization=l1"], "weights_normalization: expected one of none, relu,"),
    (["[upsample]\nstride=0"], "stride: expected at least 1"),
    (["[upsample]\nstride=30000"], "is too large to be meant"),
    (["[dropout]\nprobability=2"], "probability: expected at most 1, found '2'"),
    (
        [LAYER_A, HEAD],
        "line 6 [convolutional]: expected filters=16, which is 2 anchors x (5 + 3 classes) of the [yolo] section of"
        " line 8, found filters=4",
    ),
    (
        ["[conv]\nfilters=16\nstride_x=2\nstride_y=4", HEAD],
        "expected one stride across and down, found a grid of 2 x 4 for a network of 6 x 8",
    ),
    (["[conv]\nfilters=16", HEAD, LAYER_A], "line 12 [convolutional]: reads the output of layer 1, which is [yolo]"),
    (["[conv]\nfilters=16", HEAD, "[route]\nlayers=-1"], "reads the output of layer 1, which is [yolo]"),
]


@pytest.mark.parametrize(("layers", "message"), REFUSED, ids=[case[1][:50] for case in REFUSED])
def test_a_wrong_section_is_refused_with_file_line_and_reason(layers, message):
    with pytest.raises(DarknetFormatError, match=re.escape(message)) as info:
        sections_of(*layers)
    assert str(info.value).startswith("a.cfg line ")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("height=32\nchannels=3", "line 1 [net]: expected width=, found none"),
        ("width=0\nheight=32\nchannels=3", "width: expected at least 1, found '0'"),
        ("width=32\nheight=999999999\nchannels=3", "height: expected at most 16384"),
        ("width=32\nheight=32", "expected channels=, found none"),
    ],
)
def test_a_wrong_input_size_is_refused(net, message):
    with pytest.raises(DarknetFormatError, match=re.escape(message)):
        read_sections(Cfg.parse(f"[net]\n{net}\n{LAYER_A}"))


def test_no_section_type_is_both_known_and_refused():
    assert not set(SECTION_TYPES) & set(REFUSED_SECTIONS)


NUMBERS = st.sampled_from(
    ["0", "1", "-1", "2", "3", "7", "-9", "64", "99999", "2147483647", "1.5", "x", "1,2", "-1,-2"]
)


@examples(150)
@given(st.data())
def test_a_cfg_with_any_number_changed_is_built_or_refused(small_cfg, data):
    lines = small_cfg.split("\n")
    numbered = [index for index, line in enumerate(lines) if "=" in line]
    for index in data.draw(st.lists(st.sampled_from(numbered), max_size=3)):
        lines[index] = f"{lines[index].split('=')[0]}={data.draw(NUMBERS)}"
    deleted = data.draw(st.none() | st.integers(1, len(lines) - 1))
    if deleted is not None:
        del lines[deleted]
    try:
        sections = read_sections(Cfg.parse("\n".join(lines)))
    except DarknetFormatError as error:
        assert str(error).startswith("<cfg>")  # noqa: PT017
        return
    if sum(section.num_weights for section in sections) < 100_000:
        with_heads = [section for section in sections if section.section.name == "yolo"]
        if with_heads and len({section.head.num_classes for section in with_heads}) == 1:
            Network(Cfg.parse("\n".join(lines)))
