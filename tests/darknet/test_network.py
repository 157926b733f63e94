"""Network: construction, forward pass, weights in and out, fusing, gradients, tracing."""

import copy
import re

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader, read_weights, write_weights
from traffic_yolo.errors import DarknetFormatError


@pytest.fixture
def network(small_cfg) -> Network:
    """The small network in eval mode, with batch-norm statistics that do something."""
    network = Network.from_cfg(Cfg.parse(small_cfg, file="small.cfg"), seed=3).eval()
    torch.manual_seed(1)
    for section, layer in zip(network.sections, network.layers, strict=True):
        for name, tensor in section.weights(layer):
            if name != "kernels":
                tensor.data.uniform_(0.5, 1.5)
    return network


def pictures(batch=2, height=32, width=64):
    return torch.from_numpy(np.random.default_rng(0).random((batch, 3, height, width), dtype=np.float32))


def weights_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if "num_batches" not in name}


def test_the_network_knows_its_heads_size_and_layers(network):
    assert [(head.layer_index, head.stride, head.num_channels) for head in network.heads] == [(8, 8, 21), (13, 4, 21)]
    assert (network.num_classes, network.input_hw, network.letterbox, network.max_stride) == (2, (32, 64), False, 8)
    assert len(network.layers) == len(network.sections) == 14
    assert network.sections[11].output == (12, 8, 16)


def test_forward_gives_the_logits_of_each_head_in_the_order_of_the_cfg(network):
    with torch.no_grad():
        heads = network(pictures())
        layers = network.layer_outputs(pictures())
    assert [tuple(head.shape) for head in heads] == [(2, 21, 4, 8), (2, 21, 8, 16)]
    torch.testing.assert_close(heads[0], layers[7], rtol=0, atol=0)
    torch.testing.assert_close(heads[1], layers[12], rtol=0, atol=0)
    assert [tuple(layer.shape[1:]) for layer in layers] == [section.output for section in network.sections]
    # [yolo] with new_coords only stretches the offsets: 2 * x - 0.5
    torch.testing.assert_close(layers[13][:, 7:9], heads[1][:, 7:9] * 2 - 0.5)
    torch.testing.assert_close(layers[13][:, 9:14], heads[1][:, 9:14])
    torch.testing.assert_close(layers[8][:, 4:7], torch.sigmoid(heads[0][:, 4:7]))


def test_a_picture_gives_the_same_alone_and_in_a_batch(network):
    with torch.no_grad():
        for whole, alone in zip(network(pictures()), network(pictures()[1:]), strict=True):
            torch.testing.assert_close(whole[1:], alone, rtol=1e-5, atol=1e-5)


def test_other_multiples_of_the_stride_are_taken_and_other_shapes_refused(network):
    with torch.no_grad():
        assert [tuple(head.shape[2:]) for head in network(pictures(height=40, width=48))] == [(5, 6), (10, 12)]
    with pytest.raises(ValueError, match="expected multiples of 8, found height 36, width 64"):
        network(pictures(height=36))
    with pytest.raises(ValueError, match=r"expected shape \(batch, 3, height, width\), found \(3, 32, 64\)"):
        network(pictures()[0])


def test_outputs_that_nobody_reads_any_more_are_let_go(network):
    assert network._released[0] == [-1]
    assert network._released[2] == [0, 1]  # the shortcut is the last to read both
    assert 4 in network._released[11]
    released = [index for indices in network._released for index in indices]
    assert sorted(released) == list(range(-1, 14))


def test_the_start_depends_on_the_seed_alone(small_cfg):
    cfg = Cfg.parse(small_cfg)
    first, again, other = (weights_of(Network(cfg, seed=seed)) for seed in (1, 1, 2))
    kernels = "layers.0.conv.weight"
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first[kernels], other[kernels])
    limit = (2 / 27) ** 0.5  # Darknet: uniform in +-sqrt(2 / fan_in)
    assert 0.9 * limit < first[kernels].abs().max() <= limit


def test_gradients_are_right_through_routes_shortcuts_and_activations_in_place(network):
    network = network.double().train()
    network.layers[6].p = 0.0  # dropout would make the loss random
    images = pictures().double()

    def loss():
        return sum((head**2).mean() for head in network(images))

    loss().backward()
    for name in ("layers.0.conv.weight", "layers.0.bn.weight", "layers.4.bn.bias", "layers.12.conv.bias"):
        parameter = network.get_parameter(name)
        with torch.no_grad():
            value = parameter.view(-1)[1].clone()
            ends = []
            for step in (1e-5, -1e-5):
                parameter.view(-1)[1] = value + step
                ends.append(float(loss()))
            parameter.view(-1)[1] = value
        assert float(parameter.grad.view(-1)[1]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-7), name


def test_training_moves_the_rolling_statistics_by_a_hundredth(network):
    norm = network.train().layers[0].bn
    norm.running_mean.zero_()
    with torch.no_grad():
        mean = network.layers[0].conv(pictures()).mean(dim=(0, 2, 3))
        network(pictures())
    torch.testing.assert_close(norm.running_mean, 0.01 * mean)


def test_weights_are_written_in_darknets_order(network, tmp_path):
    network.save_weights(tmp_path / "a.weights", seen=1234)
    file = read_weights(tmp_path / "a.weights")
    assert file.header == WeightsHeader(0, 2, 5, 1234)
    block = network.layers[0]
    first = [block.bn.bias, block.bn.weight, block.bn.running_mean, block.bn.running_var, block.conv.weight]
    expected = torch.cat([tensor.detach().flatten() for tensor in first]).numpy()
    np.testing.assert_array_equal(file.values[: len(expected)], expected)
    last = network.layers[12].conv
    np.testing.assert_array_equal(file.values[-last.weight.numel() :], last.weight.detach().flatten().numpy())
    assert len(file.values) == network.num_weights


@pytest.mark.parametrize("header", [WeightsHeader(0, 2, 5, 2**33), WeightsHeader(0, 1, 0, 77)])
def test_weights_loaded_and_saved_are_the_same_bytes(network, small_cfg, tmp_path, header):
    network.save_weights(tmp_path / "a.weights", header=header)
    other = Network(Cfg.parse(small_cfg), seed=9)
    loaded = other.load_weights(tmp_path / "a.weights")
    assert (loaded.header, loaded.loaded_layers) == (header, 14)
    other.save_weights(tmp_path / "b.weights")
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()
    other.eval()
    for a, b in zip(network(pictures()), other(pictures()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_network_read_whole_is_one_that_was_built_and_loaded(network, small_cfg, tmp_path):
    (tmp_path / "small.cfg").write_text(small_cfg)
    network.save_weights(tmp_path / "a.weights", seen=5)
    read = Network.read(tmp_path / "small.cfg", tmp_path / "a.weights")
    found, expected = read.state_dict(), network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert read.header == WeightsHeader(seen=5)
    assert all(parameter.requires_grad for parameter in read.parameters())
    with pytest.raises(DarknetFormatError, match="they end after layer 4"):
        Network.read(tmp_path / "small.cfg", cut(network, tmp_path, 5))
    network.layers[12].conv.weight.data[0, 0] = float("inf")
    network.save_weights(tmp_path / "a.weights")
    with pytest.raises(DarknetFormatError, match=r"layer 12 \[convolutional\] holds values that are no numbers"):
        Network.read(tmp_path / "small.cfg", tmp_path / "a.weights")


def test_weights_are_loaded_into_tensors_of_any_layout_and_precision(network, small_cfg, tmp_path):
    network.save_weights(tmp_path / "a.weights")
    other = Network(Cfg.parse(small_cfg), seed=9).to(memory_format=torch.channels_last).double()
    assert not other.layers[0].conv.weight.is_contiguous()
    other.load_weights(tmp_path / "a.weights")
    assert not other.layers[0].conv.weight.is_contiguous()
    expected = weights_of(network)
    assert all(torch.equal(tensor, expected[name].double()) for name, tensor in weights_of(other).items())
    other.float().save_weights(tmp_path / "b.weights")
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()


def cut(network, tmp_path, layers, extra=0):
    """A weights file with the first layers and `extra` values more (or fewer)."""
    network.save_weights(tmp_path / "whole.weights")
    file = read_weights(tmp_path / "whole.weights")
    count = sum(section.num_weights for section in network.sections[:layers]) + extra
    values = np.resize(file.values, count)
    write_weights(tmp_path / "cut.weights", file.header, [values])
    return tmp_path / "cut.weights"


def test_a_backbone_is_loaded_as_partial_and_leaves_the_rest(network, small_cfg, tmp_path):
    other = Network(Cfg.parse(small_cfg), seed=9)
    before = weights_of(other)
    assert other.load_weights(cut(network, tmp_path, 5), partial=True).loaded_layers == 7  # 5 and 6 have no weights
    after, source = weights_of(other), weights_of(network)
    for name, tensor in after.items():
        expected = source if int(name.split(".")[1]) < 7 else before
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layers", "extra", "partial", "message"),
    [
        (5, 0, False, "they end after layer 4: load them with partial"),
        (5, -1, True, "they end inside layer 4 [convolutional] (cfg line 39): cut short"),
        (14, -3, True, "they end inside layer 12 [convolutional]"),
        (14, 2, False, "the weights belong to another cfg"),
        (14, 2, True, "the weights belong to another cfg"),
        (0, 0, True, "they end inside layer 0"),
    ],
)
def test_weights_of_another_size_are_refused_with_both_byte_counts(network, tmp_path, layers, extra, partial, message):
    path = cut(network, tmp_path, layers, extra)
    before = weights_of(network)
    expected, found = 20 + 4 * network.num_weights, path.stat().st_size
    start = f"{path}: expected {expected} bytes for small.cfg, found {found} bytes; "
    with pytest.raises(DarknetFormatError, match=f"^{re.escape(start)}.*{re.escape(message)}"):
        network.load_weights(path, partial=partial)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(network).items())


def test_weights_that_are_no_numbers_are_refused_before_anything_changes(network, tmp_path):
    broken = copy.deepcopy(network)
    broken.layers[12].conv.weight.data[0, 0] = float("nan")
    broken.save_weights(tmp_path / "a.weights")
    before = weights_of(network)
    with pytest.raises(DarknetFormatError, match=r"layer 12 \[convolutional\] holds values that are no numbers"):
        network.load_weights(tmp_path / "a.weights")
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(network).items())


def test_fusing_changes_nothing_but_the_work(network, tmp_path):
    with torch.no_grad():
        expected = network(pictures())
    fused = network.fuse()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    for a, b in zip(fused(pictures()), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(network(pictures()), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)  # the original still is as it was
    for a, b in zip(fused.fuse()(pictures()), fused(pictures()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(DarknetFormatError, match="a fused network has no batch-norm left to save"):
        fused.save_weights(tmp_path / "a.weights")
    with pytest.raises(DarknetFormatError, match="a fused network takes no weights"):
        fused.load_weights(tmp_path / "a.weights")
    assert not list(tmp_path.iterdir())


def test_a_fused_network_shares_no_memory_with_its_original(network):
    fused = network.fuse()
    expected = fused(pictures())
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.zero_()
    for a, b in zip(fused(pictures()), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_state_dict_carries_all_weights(network, small_cfg):
    other = Network(Cfg.parse(small_cfg), seed=9).eval()
    other.load_state_dict(network.state_dict())
    for a, b in zip(network(pictures()), other(pictures()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_heads_must_exist_and_agree_on_classes(small_cfg):
    with pytest.raises(DarknetFormatError, match="expected at least one \\[yolo\\].* section, found none"):
        Network(Cfg.parse("[net]\nwidth=32\nheight=32\nchannels=3\n[conv]\n"))
    with pytest.raises(DarknetFormatError, match="expected layer sections after \\[net\\], found none"):
        Network(Cfg.parse("[net]\nwidth=32\nheight=32\nchannels=3\n"))
    first, second = small_cfg.rsplit("filters=21", 1)
    mixed = f"{first}filters=24{second}".replace("classes=2\nnum=6\nscale_x_y = 2.0", "classes=3\nnum=6")
    with pytest.raises(DarknetFormatError, match=r"expected classes=2 as in the first head, found 3"):
        Network(Cfg.parse(mixed))


def test_letter_box_is_read_and_files_are_taken_by_path(small_cfg, tmp_path):
    (tmp_path / "a.cfg").write_text(small_cfg.replace("batch=4", "letter_box=1"))
    assert Network.from_cfg(tmp_path / "a.cfg").letterbox
    assert Network.from_cfg(str(tmp_path / "a.cfg")).cfg.file == str(tmp_path / "a.cfg")


class Detector(torch.nn.Module):
    """What an exporter sees: the network with its boxes decoded."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images):
        return decode(self.network.heads, self.network(images), self.network.input_hw)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:DeprecationWarning")
@pytest.mark.long
def test_network_and_decode_can_be_traced_with_an_open_batch(network):
    detector = Detector(network.fuse())
    expected = detector(pictures(batch=3))
    traced = torch.jit.trace(detector, pictures(batch=1), check_trace=False)  # warnings are errors here
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(detector, (pictures(batch=2),), dynamic_shapes=({0: batch},)).module()
    for found in (traced(pictures(batch=3)), exported(pictures(batch=3))):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
