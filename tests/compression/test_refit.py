"""Kernels fitted after pruning: what the planes that stay can tell of those that went, they do."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.compression import refit as refit_module
from traffic_yolo.compression.carry import take_out
from traffic_yolo.compression.masking import batch_norm_of
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.planes import Planes, measure_planes
from traffic_yolo.compression.prune_files import write_pruned
from traffic_yolo.compression.prune_network import Measures, prune_network
from traffic_yolo.compression.refit import refit
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import network_input
from traffic_yolo.errors import DatasetError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom

NET = "[net]\nwidth=64\nheight=32\nchannels=3\n"
MADE = "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nactivation=linear\n"
HEAD = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
SQUARE = "[net]\nwidth=32\nheight=32\nchannels=3\n"
READER = "[convolutional]\n{norm}filters=6\nsize=3\npad=1\nactivation=leaky\n"


def network_of(body: str, *, net: str = NET) -> Network:
    """A network in eval mode with drawn kernels, scales and means."""
    network = Network(Cfg.parse(net + body + HEAD, file="made.cfg"), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for layer in network.layers:
        norm = batch_norm_of(layer)
        if norm is not None and norm.running_mean is not None and norm.running_var is not None:
            norm.weight.data.uniform_(0.5, 1.5, generator=generator)
            norm.running_mean.uniform_(-0.1, 0.1, generator=generator)
            norm.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def told_by_others(network: Network, constant: float = 0.0) -> int:
    """Makes plane 5 of layer 0 twice plane 1 less plane 3 and a constant more, and returns its unit."""
    layer = network.layers[0]
    norm, kernels = batch_norm_of(layer), layer.get_parameter("conv.weight").data
    assert norm is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.data.fill_(1.0)
    kernels[5] = 2 * kernels[1] - kernels[3]
    norm.bias.data[5] = 2 * norm.bias.data[1] - norm.bias.data[3] + constant
    return int(channel_ties(network.sections).outputs[0][5])


def of_many_pixels(planes: Planes) -> Planes:
    """The same as if of so many pixels that no ridge is needed for want of them."""
    return replace(planes, pixels=dict.fromkeys(planes.pixels, 10**15))


@pytest.mark.parametrize("constant", [0.0, 0.4])
@pytest.mark.parametrize("norm", ["batch_normalize=1\n", ""])
def test_a_plane_that_others_tell_goes_without_a_trace(
    small_data_set: Path, monkeypatch: pytest.MonkeyPatch, norm: str, constant: float
):
    monkeypatch.setattr(refit_module, "RIDGE", 1e-9)
    network = network_of(MADE + READER.format(norm=norm))
    unit, ties = told_by_others(network, constant), channel_ties(network.sections)
    planes = of_many_pixels(measure_planes(network, DataSet.open(small_data_set)))
    smaller = take_out(network, ties, {unit}).network
    picture = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = network(picture)[0]
        assert not torch.allclose(smaller(picture)[0], whole, atol=1e-2)
        (found,) = refit(network, smaller, ties, {unit}, planes)
        off = (smaller(picture)[0] - whole).abs().max()
        inner = slice(1, -1) if constant else slice(None)  # in the padding of a reader no constant stands
        found_inner, whole_inner = (values[..., inner, inner] for values in (smaller(picture)[0], whole))
        torch.testing.assert_close(found_inner, whole_inner, rtol=1e-3, atol=1e-4)
    if constant:
        assert found.error is not None
        assert found.error.bound > 0.01
        assert off > 1e-3
        assert found.error.share == pytest.approx(1 - 30 * 62 / (32 * 64))
    else:
        assert found.error is None or found.error.bound < 1e-4
    assert found.layer == 1
    assert found.lost > 0.05
    assert found.left < 1e-5


def test_the_fit_is_least_squares_over_all_pixels_of_the_pictures(
    small_data_set: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(refit_module, "RIDGE", 1e-12)
    data = DataSet.open(small_data_set)
    network = network_of(MADE.replace("linear", "logistic") + READER.replace("size=3\npad=1", "size=1").format(norm=""))
    network.layers[0].get_submodule("bn").weight.data.mul_(8)  # so that no plane is a sum of three colours
    ties = channel_ties(network.sections)
    gone = {int(ties.outputs[0][place]) for place in (2, 6)}
    smaller = take_out(network, ties, gone).network
    planes = measure_planes(network, data, pictures=3)
    (found,) = refit(network, smaller, ties, gone, of_many_pixels(planes))
    order = np.random.default_rng(0).permutation(len(data.split("train")))[:3]
    pictures = np.stack([network_input(data.split("train")[place], (32, 64), letterboxed=False) for place in order])
    with torch.no_grad():
        read = network.layers[0](torch.from_numpy(pictures)).double().permute(1, 0, 2, 3).flatten(1).numpy()
    np.testing.assert_allclose(planes.means[1], read.mean(1), rtol=1e-5)
    np.testing.assert_allclose(planes.covariances[1], np.cov(read, bias=True), rtol=1e-4, atol=1e-6)
    conv = network.layers[1].get_submodule("conv")
    kernels = conv.weight.detach().double().numpy()[:, :, 0, 0]
    outputs = kernels @ read + conv.bias.detach().double().numpy()[:, None]
    stays = [0, 1, 3, 4, 5, 7]
    design = np.vstack([read[stays], np.ones(read.shape[1])])
    best, *_ = np.linalg.lstsq(design.T, outputs.T, rcond=None)
    fitted = smaller.layers[1].get_submodule("conv")
    given = fitted.weight.detach().double().numpy()[:, :, 0, 0] @ read[stays]
    given += fitted.bias.detach().double().numpy()[:, None]
    np.testing.assert_allclose(given, best.T @ design, atol=5e-3 * outputs.std())
    rest = outputs - best.T @ design
    varied = np.square(outputs - outputs.mean(1, keepdims=True)).sum()
    assert found.left == pytest.approx(np.square(rest).sum() / varied, rel=0.05)


def test_fewer_pixels_than_planes_fit_nothing(small_data_set: Path):
    """Behind [avgpool] a picture is one pixel: without more of a ridge three pictures tell eight planes of one another."""
    network = network_of(MADE + "[avgpool]\n" + READER.replace("size=3\npad=1", "size=1").format(norm=""), net=SQUARE)
    data, ties = DataSet.open(small_data_set), channel_ties(network.sections)
    planes = measure_planes(network, data)
    assert planes.pixels[2] == 3
    gone = set(ties.outputs[0][:4].tolist())
    smaller = take_out(network, ties, gone).network
    (found,) = refit(network, smaller, ties, gone, planes)
    assert 0.01 < found.left < found.lost


def test_layers_that_share_their_weights_stay(small_data_set: Path):
    shares = "[route]\nlayers=-2\n" + READER.format(norm="") + "share_index=1\n"
    network = network_of(MADE + READER.format(norm="") + shares)
    ties = channel_ties(network.sections)
    gone = {int(ties.outputs[0][2])}
    smaller = take_out(network, ties, gone).network
    before = smaller.layers[1].get_parameter("conv.weight").clone()
    assert refit(network, smaller, ties, gone, measure_planes(network, DataSet.open(small_data_set))) == []
    assert torch.equal(smaller.layers[1].get_parameter("conv.weight"), before)


def test_a_fitted_network_says_so(untrained_model: Path, small_data_set: Path, tmp_path: Path):
    data, parent = DataSet.open(small_data_set), ModelFolder.open(untrained_model)
    options = PruneOptions(bflops_ratio=0.3, importance="l1", refit_pictures=2)
    found = write_pruned(parent, tmp_path / "fitted", options, data)
    assert found.refitted_on == 2
    assert found.refits
    assert all(0 <= left <= lost <= 1.001 for _, lost, left in found.refits)
    assert "fitted on 2 pictures to stand in for what went" in found.text
    assert PrunedFrom.read(tmp_path / "fitted" / PRUNED_NAME) == found
    bare = write_pruned(
        parent, tmp_path / "bare", PruneOptions(bflops_ratio=0.3, importance="l1", refit_pictures=0), data
    )
    assert (bare.refitted_on, bare.refits) == (0, ())
    assert "stand in" not in bare.text
    assert bare.layers == found.layers


def test_nothing_is_fitted_without_pictures(small_data_set: Path, tmp_path: Path):
    network = network_of(MADE * 2 + READER.format(norm="batch_normalize=1\n"))
    assert prune_network(network, PruneOptions(prune_ratio=0.25)).refits == ()
    planes = partial(measure_planes, network, DataSet.open(small_data_set))
    fitted = prune_network(network, PruneOptions(prune_ratio=0.25), Measures(planes=planes))
    assert fitted.importance == "scale"  # planes alone do not say what matters
    assert [each.layer for each in fitted.refits] == [1, 2, 3]
    exact = PruneOptions(prune_ratio=0.25, exact_only=True)
    assert [each.layer for each in prune_network(network, exact, Measures(planes=planes)).refits] == [1, 3]  # of size 1


def test_a_data_set_without_training_pictures_is_refused_in_one_line(small_data_set: Path):
    data = DataSet.open(small_data_set)
    network = network_of(MADE + READER.format(norm=""))

    class Empty:
        root = data.root

        def split(self, _: str) -> tuple[()]:
            return ()

    with pytest.raises(
        DatasetError,
        match="no pictures in the split train to measure planes on; give importance scale, refit_pictures 0",
    ):
        measure_planes(network, Empty())  # type: ignore[arg-type]
