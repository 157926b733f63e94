"""What the loss says of channels: the importance `taylor`, what an error costs, and where it cannot be had."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.compression.importance import importance
from traffic_yolo.compression.loss_changes import LossChanges, measure_loss_changes
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.prune_files import write_pruned
from traffic_yolo.compression.prune_network import Measures, prune_network
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_fuse import without_batch_norm
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.loss import YoloLoss
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.training_pictures import TrainingPictures

CONV = "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=1\nactivation=leaky\n"
BLOCK = CONV * 2 + "[shortcut]\nfrom=-3\nactivation=linear\n"


def network_for(data: DataSet, body: str) -> Network:
    """A network of the data set's classes, whose scales are drawn."""
    classes = len(data.classes)
    head = f"[convolutional]\nfilters={5 + classes}\nsize=1\nactivation=linear\n"
    head += f"[yolo]\nmask=0\nanchors=20,20\nclasses={classes}\nnum=1\n"
    net = "[net]\nwidth=64\nheight=32\nchannels=3\nmax_batches=100\n"
    network = Network(Cfg.parse(net + body + head, file="made.cfg"), seed=0).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.1, 1, generator=torch.Generator().manual_seed(0))
    return network


def test_what_no_head_reads_goes_first_whatever_its_scale(small_data_set: Path):
    data = DataSet.open(small_data_set)
    network = network_for(data, CONV)
    unread = [1, 4, 5, 9, 10, 11, 14, 15]
    network.layers[1].get_parameter("conv.weight").data[:, unread] = 0
    network.layers[0].get_submodule("bn").weight.data[unread] = 5.0
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flags = [parameter.requires_grad for parameter in network.parameters()]
    changes = measure_loss_changes(network, data)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    ties = channel_ties(network.sections)
    found = importance(network, ties, "taylor", changes=changes)[ties.outputs[0]]
    assert np.flatnonzero(found == 0).tolist() == unread
    measures = Measures(partial(measure_loss_changes, network, data))
    picture = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    pruned = prune_network(network, PruneOptions(prune_ratio=0.5, importance="taylor"), measures).network
    with torch.no_grad():
        torch.testing.assert_close(pruned(picture), network(picture))
        by_scale = prune_network(network, PruneOptions(prune_ratio=0.5, importance="scale"), measures).network
        assert not torch.allclose(by_scale(picture)[0], network(picture)[0])


def test_changes_of_tied_channels_add_up_in_a_picture_and_squares_are_averaged_over_pictures(small_data_set: Path):
    network = network_for(DataSet.open(small_data_set), CONV + BLOCK)
    ties = channel_ties(network.sections)
    scale = {0: np.zeros((2, 16)), 1: np.zeros((2, 16)), 2: np.zeros((2, 16))}
    scale[0][:, 3] = [1.0, -2.0]
    scale[2][:, 3] = [2.0, 2.0]  # of the shortcut's other side
    scale[1][:, 7] = [1.0, 3.0]
    bias = {index: np.full((2, 16), 0.25) for index in scale}
    changes = LossChanges(scale, bias, {})
    found = changes.of_units(ties)
    assert found[ties.outputs[0][3]] == ((1 + 2) ** 2 + (-2 + 2) ** 2) / 2
    assert found[ties.outputs[1][7]] == (1 + 9) / 2
    assert np.isnan(found[ties.outputs[4]]).all()  # the head's own convolution has no batch-norm
    assert changes.of_layer(2) == (2 + 16 * 0.25) ** 2


@pytest.mark.parametrize("norm", ["batch_normalize=1\n", ""])
def test_an_error_costs_the_square_of_the_losss_gradient_there(small_data_set: Path, norm: str):
    data = DataSet.open(small_data_set)
    made = CONV.replace("batch_normalize=1\n", norm)
    network = network_for(data, CONV + made)
    found = measure_loss_changes(network, data)
    assert sorted(found.by_output) == [0, 1, 2]
    nudged, costs = network.layers[1].get_submodule("conv"), np.zeros(16)
    for image in data.split("train"):
        gradient = _gradient_of(network, nudged, data, image)
        costs += gradient.double().square().sum(dim=(1, 2)).numpy()
    np.testing.assert_allclose(found.by_output[1], costs / len(data.split("train")), rtol=1e-5)


def _gradient_of(network: Network, module: torch.nn.Module, data: DataSet, image: object) -> torch.Tensor:
    """dL/dy (F, H, W) of a picture at what a convolution gives: by a nudge that is added there."""
    height, width = network.input_hw
    sizes = NetworkSizes(width, height, batch=1, max_batches=1, seed=0)
    options = TrainingOptions(seed=0)
    pictures = TrainingPictures.open(data, [image], network, options, augmentation=Augmentation(), sizes=sizes)
    nudge = torch.zeros(1, 16, height, width, requires_grad=True)
    handle = module.register_forward_hook(lambda _, __, output: output + nudge)
    batch = pictures.samples.batch(0)
    outputs = network(batch.images.float().div_(255))
    loss = YoloLoss(network.heads, network.cfg.net, max_batches=1)
    total = loss(outputs, batch.truths, network_wh=(width, height), iteration=0).total
    (gradient,) = torch.autograd.grad(total, [nudge])
    handle.remove()
    return gradient[0]


def test_the_block_that_moves_the_loss_least_goes(small_data_set: Path):
    data = DataSet.open(small_data_set)
    network = network_for(data, CONV + BLOCK * 3)
    weak = network.layers[5].get_submodule("bn")
    weak.weight.data.fill_(3.0)
    network.layers[5].get_parameter("conv.weight").data.zero_()  # its scale is large, and it adds nothing but noise
    weak.bias.data.zero_()
    weak.running_mean.zero_()
    measures = Measures(partial(measure_loss_changes, network, data), lambda: pytest.fail("blocks look at no planes"))
    for asked in ("taylor", "auto"):
        options = PruneOptions(prune_kind="blocks", prune_ratio=0.34, importance=asked)
        pruned = prune_network(network, options, measures)
        (gone,) = pruned.blocks
        assert 5 in gone.layers
        assert pruned.importance == "taylor"


def test_auto_is_obs_with_a_data_set_of_the_models_classes_and_scale_without(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
):
    data, parent = DataSet.open(small_data_set), ModelFolder.open(untrained_model)
    options = PruneOptions(bflops_ratio=0.3, reestimate_pictures=0)

    def used(name: str, model: ModelFolder, given: DataSet | None, **changes: object) -> object:
        write_pruned(model, tmp_path / name, replace(options, **changes), given)
        return PrunedFrom.read(tmp_path / name / PRUNED_NAME).options["importance"]

    assert used("with", parent, data) == "obs"
    assert used("without", parent, None) == "scale"
    assert used("unfitted", parent, data, refit_pictures=0) == "taylor"  # nothing would stand in for what goes
    other = shutil.copytree(untrained_model, tmp_path / "other")
    names = (other / "classes.names").read_text().splitlines()
    (other / "classes.names").write_text("\n".join(names[::-1]) + "\n")
    assert used("others", ModelFolder.open(other), data) == "scale"
    for name in ("taylor", "obs"):
        asked = PruneOptions(importance=name)
        with pytest.raises(
            OptionsError, match=rf"importance={name}: expected a model of the data set's classes \(.*foun"
        ):
            write_pruned(ModelFolder.open(other), tmp_path / "refused", asked, data)
        with pytest.raises(OptionsError, match=f"importance={name}: goes by training pictures; give --dataset"):
            write_pruned(parent, tmp_path / "refused", asked, None)
    assert not (tmp_path / "refused").exists()


def test_what_cannot_be_pruned_is_refused_before_anything_is_measured(
    untrained_model: Path, small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, model = DataSet.open(small_data_set), shutil.copytree(untrained_model, tmp_path / "model")
    fused = Network.read(model / "model.cfg", model / "model.weights").eval()
    fused = without_batch_norm(fused)
    fused.cfg.write(model / "model.cfg")
    fused.save_weights(model / "model.weights")
    with pytest.raises(OptionsError, match="expected a network with batch-norm, found none"):
        write_pruned(ModelFolder.open(model), tmp_path / "refused", PruneOptions(), data)
    for name in ("measure_loss_changes", "measure_planes"):
        monkeypatch.setattr(f"traffic_yolo.compression.prune_files.{name}", lambda *_, **__: pytest.fail("no"))
    blocks = PruneOptions(prune_kind="blocks")
    network = network_for(data, CONV)
    network.cfg.write(model / "model.cfg")
    network.save_weights(model / "model.weights")
    with pytest.raises(OptionsError, match="no residual block can be taken out"):
        write_pruned(ModelFolder.open(model), tmp_path / "refused", blocks, data)
