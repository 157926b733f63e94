"""What silenced channels still give: carried on by hand-calculated numbers, exact or bounded at padded borders."""

import pytest
import torch

from traffic_yolo.compression.carry import inexact_units, take_out
from traffic_yolo.compression.masking import mask_units
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import ChannelTies, channel_ties
from traffic_yolo.darknet.network import Network

NET = "[net]\nwidth=4\nheight=4\nchannels=3\n"
HEAD = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
EPS = 1e-5


def network_of(body: str) -> tuple[Network, ChannelTies]:
    network = Network(Cfg.parse(NET + body + HEAD, file="made.cfg")).eval()
    return network, channel_ties(network.sections)


def conv(**keys: object) -> str:
    values = {"batch_normalize": 1, "filters": 2, "size": 1, "activation": "leaky", **keys}
    return "[convolutional]\n" + "".join(f"{key}={value}\n" for key, value in values.items())


def set_norm(network: Network, layer: int, **values: list[float]) -> None:
    norm = network.layers[layer].get_submodule("bn")
    names = {"scales": norm.weight, "biases": norm.bias, "means": norm.running_mean, "variances": norm.running_var}
    for name, value in values.items():
        names[name].data.copy_(torch.tensor(value))


def outputs(network: Network) -> torch.Tensor:
    images = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(images)[0]


def test_into_the_means_of_a_layer_with_batch_norm():
    network, ties = network_of(conv() + conv())
    set_norm(network, 0, biases=[0.5, -3.0])
    network.layers[1].get_submodule("conv").weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, -4.0]])[..., None, None])
    set_norm(network, 1, means=[0.25, 0.5])
    unit = int(ties.outputs[0][1])
    carried = take_out(network, ties, {unit})
    # leaky(-3) = -.3, times the kernels 2 and -4
    norm = carried.network.layers[1].get_submodule("bn")
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.25 + 0.6, 0.5 - 1.2]))
    assert carried.errors == ()
    torch.testing.assert_close(outputs(carried.network), outputs(mask_units(network, ties, {unit})))


def test_into_the_biases_of_a_layer_without():
    network, ties = network_of(conv())
    set_norm(network, 0, biases=[0.5, 2.0])
    head = network.layers[1].get_submodule("conv")
    before = head.bias.detach().clone()
    carried = take_out(network, ties, {int(ties.outputs[0][0])})
    after = carried.network.layers[1].get_submodule("conv").bias
    torch.testing.assert_close(after - before, 0.5 * head.weight.detach()[:, 0, 0, 0])


def test_a_padded_reader_is_bounded_by_what_lies_outside_at_its_corners():
    network, ties = network_of(conv() + conv(size=3, pad=1))
    set_norm(network, 0, biases=[2.0, 1.0])
    kernels = network.layers[1].get_submodule("conv").weight.data
    kernels[:, 0] = 1.0  # nine ones: 2 x 9 inside, 2 x 4 in a corner
    set_norm(network, 1, scales=[1.0, 0.5], variances=[4.0 - EPS, 4.0 - EPS])
    carried = take_out(network, ties, {int(ties.outputs[0][0])})
    (error,) = carried.errors
    assert error.layer == 1
    assert error.bound == pytest.approx(2 * 5 / 2)  # behind a batch-norm of scale 1 and standard deviation 2
    assert error.share == 12 / 16
    difference = (outputs(carried.network) - outputs(mask_units(network, ties, {int(ties.outputs[0][0])}))).abs()
    assert float(difference[..., 1:3, 1:3].max()) < 1e-5
    assert float(difference.max()) > 1e-3


def test_a_channel_that_leaves_nothing_is_exact_whatever_reads_it():
    network, ties = network_of(conv() + conv(size=3, pad=1))
    set_norm(network, 0, biases=[0.0, 1.0])
    assert take_out(network, ties, {int(ties.outputs[0][0])}).errors == ()
    assert inexact_units(network, ties, set(ties.outputs[0].tolist())) == {int(ties.outputs[0][1])}


def test_without_padding_every_value_is_exact():
    network, ties = network_of(conv(filters=3) + conv(size=3))
    set_norm(network, 0, biases=[1.0, 2.0, 3.0])
    unit = int(ties.outputs[0][1])
    carried = take_out(network, ties, {unit})
    assert carried.errors == ()
    torch.testing.assert_close(outputs(carried.network), outputs(mask_units(network, ties, {unit})))


def test_values_meet_in_a_shortcut_before_they_are_carried():
    network, ties = network_of(conv() + conv() + "[shortcut]\nfrom=-2\nactivation=linear\n")
    set_norm(network, 0, biases=[1.0, 0.5])
    set_norm(network, 1, biases=[4.0, -10.0])
    head = network.layers[3].get_submodule("conv")
    carried = take_out(network, ties, {int(ties.outputs[0][1])})
    after = carried.network.layers[3].get_submodule("conv").bias
    torch.testing.assert_close(after.detach() - head.bias.detach(), (0.5 - 1.0) * head.weight.detach()[:, 1, 0, 0])


def test_the_network_that_was_given_is_left_alone():
    network, ties = network_of(conv() + conv())
    set_norm(network, 0, biases=[1.0, 2.0])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    take_out(network, ties, {int(ties.outputs[0][0])})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
