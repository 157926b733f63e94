"""The step prune: model folders before and after, goals, what stays, what is refused in one line."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from traffic_yolo.compression import latency
from traffic_yolo.compression.latency_table import LatencyTable
from traffic_yolo.compression.loss_changes import LossChanges
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.compression.planes import measure_planes
from traffic_yolo.compression.prune import prune
from traffic_yolo.compression.prune_files import write_pruned
from traffic_yolo.compression.prune_network import Measures, Pruned, network_size, prune_network
from traffic_yolo.compression.reestimate import reestimate
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import FreezePlan, read_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_fuse import without_batch_norm
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.pruned_from import PRUNED_NAME, PrunedFrom
from traffic_yolo.trained_on import TrainedOn

NET = "[net]\nwidth=16\nheight=16\nchannels=3\nmax_batches=100\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=1\nactivation=leaky\n"
HEAD = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nclasses=1\nnum=1\n"
BLOCK = CONV * 2 + "[shortcut]\nfrom=-3\nactivation=linear\n"


def network_of(body: str, *, seed: int = 0) -> Network:
    network = Network(Cfg.parse(NET + body + HEAD, file="made.cfg"), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.1, 1, generator=generator)
    return network


def table_of(channels: dict[int, tuple[int, int]]) -> LatencyTable:
    """A convolution takes the share of its channels times that of its filters, in ms; all else 1 ms."""
    times = [0.25, 0.5, 1.0]
    return LatencyTable({layer: np.outer(times, times) for layer in channels}, channels, 1.0, (16, 16), "made")


def filters(network: Network) -> list[int]:
    return [layer.get_int("filters", 0) for layer in network.cfg.layers if layer.name == "convolutional"]


def test_a_share_of_each_layer_goes_the_least_scales_first():
    network = network_of(CONV * 2)
    pruned = prune_network(network, PruneOptions(prune_ratio=0.25, prune_scope="per_layer"))
    assert filters(pruned.network) == [12, 12, 6]
    before, after = (net.layers[0].get_submodule("bn").weight.detach() for net in (network, pruned.network))
    assert set(after.tolist()) == set(before.sort().values[4:].tolist())
    assert [(each.layer, each.before, each.after) for each in pruned.layers] == [(0, 16, 12), (1, 16, 12), (2, 6, 6)]
    assert (pruned.units, pruned.free_units) == (8, 32)


def test_regular_keeps_multiples_of_eight():
    pruned = prune_network(network_of(CONV * 2), PruneOptions(prune_kind="regular", prune_ratio=0.6))
    assert filters(pruned.network) == [8, 8, 6]


def test_a_goal_in_bflops_is_reached_with_as_few_channels_as_it_needs():
    network = network_of(CONV * 3)
    pruned = prune_network(network, PruneOptions(bflops_ratio=0.4))
    before, after = network_size(network.cfg).bflops, network_size(pruned.network.cfg).bflops
    assert 0.55 * before < after <= 0.6 * before


def test_a_goal_in_milliseconds_goes_by_the_table_and_is_measured(monkeypatch):
    network = network_of(CONV * 2)
    table = table_of({0: (3, 16), 1: (16, 16), 2: (16, 6)})
    assert table.predict(network.sections) == pytest.approx(4.0)
    monkeypatch.setattr(latency, "measure", lambda _: table)
    pruned = prune_network(network, PruneOptions(latency_ms=2.5))
    assert table.predict(pruned.network.sections) <= 2.5
    assert pruned.latency_ms is not None
    assert min(pruned.latency_ms) > 0


def test_the_table_is_measured_layer_by_layer():
    table = latency.measure(network_of(CONV + CONV.replace("size=1", "size=3\ngroups=4\npad=1")))
    assert set(table.layers) == {0, 1, 2}
    assert table.channels[1] == (16, 16)
    assert all((times > 0).all() for times in table.layers.values())
    assert (table.input_hw, table.machine) == ((16, 16), latency.machine())


def test_a_table_that_is_given_is_the_measurement(monkeypatch, tmp_path):
    """Layer 1 has half of its inputs and of its filters: .25 ms; layer 0 half of its filters .5, the head .5, rest 1."""
    monkeypatch.setattr(latency, "measure", lambda _: pytest.fail("measured though a table was given"))
    monkeypatch.setattr(latency, "latency_ms", lambda _: pytest.fail("measured though a table was given"))
    network = network_of(CONV * 2)
    table_of({0: (3, 16), 1: (16, 16), 2: (16, 6)}).write(tmp_path / "table.json")
    given = {"latency_table": str(tmp_path / "table.json")}
    halved = prune_network(network, PruneOptions(prune_ratio=0.5, prune_scope="per_layer", **given))
    assert halved.latency_ms == pytest.approx((4.0, 2.25))
    reached = prune_network(network, PruneOptions(latency_ms=2.5, **given))
    assert reached.latency_ms[1] <= 2.5


def test_blocks_that_went_take_their_own_milliseconds_with_them(tmp_path):
    """Layers 1 to 3 go: 2 ms; those of the second block, which move up, take .1 ms each as before."""
    network = network_of(CONV + BLOCK * 2)
    channels = {0: (3, 16), 1: (16, 16), 2: (16, 16), 4: (16, 16), 5: (16, 16), 7: (16, 6)}
    table = table_of(channels)
    for layer in (4, 5):
        table.layers[layer][:] *= 0.1
    network.layers[2].get_submodule("bn").weight.data.fill_(0.01)
    table.write(tmp_path / "table.json")
    options = PruneOptions(prune_kind="blocks", prune_ratio=0.5, latency_table=str(tmp_path / "table.json"))
    pruned = prune_network(network, options)
    assert [(block.first, block.last) for block in pruned.blocks] == [(1, 3)]
    assert pruned.latency_ms == pytest.approx((5.2, 3.2))


def test_obs_takes_more_than_half_of_a_layer_only_where_it_has_to(small_data_set: Path):
    network, data = network_of(CONV * 3), DataSet.open(small_data_set)
    none = {index: np.zeros((1, 16)) for index in (0, 1, 2)}
    changes = LossChanges(none, none, {index: np.ones(n) for index, n in ((1, 16), (2, 16), (3, 6))})
    measures = Measures(lambda: changes, partial(measure_planes, network, data))

    def left(**options: object) -> tuple[Pruned, list[int]]:
        pruned = prune_network(network, PruneOptions(importance="obs", **options), measures)
        return pruned, filters(pruned.network)

    some, counts = left(bflops_ratio=0.3)
    assert some.keep_at_least == 0.5
    assert min(counts[:3]) >= 8
    more, counts = left(bflops_ratio=0.8)
    assert more.keep_at_least == 0.3  # 16 x 3 -> 5 filters each: .83 of the BFLOPs can go with .3 and .74 with .4
    assert min(counts[:3]) >= 5
    by_share, counts = left(prune_ratio=0.7)
    assert by_share.keep_at_least == 0.3
    assert by_share.units >= 0.9 * 0.7 * 48
    told, counts = left(prune_ratio=0.3, keep_at_least=0.9)
    assert (told.keep_at_least, counts[:3]) == (0.9, [15, 15, 15])
    with pytest.raises(OptionsError, match="bflops_ratio=0.99 of .* cannot be reached: .* is left"):
        left(bflops_ratio=0.99)


def test_equal_scales_are_told_for_they_rank_nothing():
    fresh = Network(Cfg.parse(NET + CONV * 2 + HEAD, file="made.cfg"), seed=0).eval()
    (warning,) = prune_network(fresh, PruneOptions()).warnings
    assert warning.startswith("made.cfg: the batch-norm scales of all that may go are equal (1 to 1), as in a network")
    assert prune_network(fresh, PruneOptions(importance="l1")).warnings == ()
    fresh.layers[0].get_submodule("bn").weight.data[3] = 0.98
    assert prune_network(fresh, PruneOptions()).warnings == ()
    blocks = Network(Cfg.parse(NET + CONV + BLOCK * 2 + HEAD, file="made.cfg"), seed=0).eval()
    (warning,) = prune_network(blocks, PruneOptions(prune_kind="blocks")).warnings
    assert "do not say which block matters" in warning


def test_whole_blocks_go_the_least_important_first():
    network = network_of(CONV + BLOCK * 3)
    network.layers[5].get_submodule("bn").weight.data.fill_(0.01)  # the last of the second block
    pruned = prune_network(network, PruneOptions(prune_kind="blocks", prune_ratio=0.34))
    assert [(block.first, block.last) for block in pruned.blocks] == [(4, 6)]
    assert len(pruned.network.sections) == len(network.sections) - 3


def test_random_importance_is_a_draw_of_the_seed():
    network = network_of(CONV * 2)
    weights = [
        prune_network(network, PruneOptions(importance="random", prune_seed=seed)).network.layers[0]
        .get_submodule("bn").weight.detach().tolist()
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert weights[0] == weights[1] != weights[2]


def test_l1_takes_the_filters_with_the_smallest_kernels():
    network = network_of(CONV)
    kernels = network.layers[0].get_submodule("conv").weight.data
    kernels[:8] *= 0.01
    pruned = prune_network(network, PruneOptions(importance="l1", prune_ratio=0.5))
    assert torch.equal(pruned.network.layers[0].get_submodule("conv").weight, kernels[8:])


def test_exact_only_leaves_what_a_padded_reader_would_see():
    network = network_of(CONV + CONV.replace("size=1", "size=3\npad=1") + CONV)
    for index in range(3):
        network.layers[index].get_submodule("bn").bias.data.fill_(1.0)
    pruned = prune_network(network, PruneOptions(prune_ratio=0.5, exact_only=True, prune_scope="per_layer"))
    assert pruned.errors == ()
    assert filters(pruned.network) == [16, 8, 8, 6]
    assert len(prune_network(network, PruneOptions(prune_ratio=0.5, prune_scope="per_layer")).errors) == 1


def test_frozen_layers_keep_their_channels():
    network = network_of(CONV + CONV.replace("filters", "stopbackward=1\nfilters") + CONV)
    assert filters(prune_network(network, PruneOptions(prune_ratio=0.5)).network) == [16, 16, 8, 6]


FUSED = without_batch_norm(network_of(CONV))


@pytest.mark.parametrize(
    ("network", "options", "expected"),
    [
        (FUSED, {}, "made.cfg: expected a network with batch-norm, found none: pruning goes by its scales; give the"),
        (
            network_of(CONV.replace("filters", "stopbackward=1\nfilters")),
            {},
            "made.cfg: no channel can be taken out: the layers that are not frozen have none that is free",
        ),
        (network_of(CONV), {"prune_ratio": 0.01}, "made.cfg: nothing to take out: prune_ratio, keep_at_least and"),
        (
            network_of(CONV),
            {"bflops_ratio": 0.99},
            r"bflops_ratio=0.99 of .* BFLOPs: .* cannot be reached: with all that may go taken out",
        ),
        (network_of(CONV), {"prune_kind": "blocks"}, "made.cfg: no residual block can be taken out; prune channels"),
        (
            network_of(CONV + BLOCK),
            {"prune_kind": "blocks", "prune_ratio": 0.5},
            "made.cfg: nothing to take out: 1 blocks may go; ask for more",
        ),
    ],
    ids=["no batch-norm", "all frozen", "nothing goes", "out of reach", "no blocks", "too few blocks"],
)
def test_what_cannot_be_pruned_so_is_one_line(network, options, expected, monkeypatch):
    monkeypatch.setattr(latency, "measure", lambda _: pytest.fail("measured before it was refused"))
    with pytest.raises(OptionsError, match=expected):
        prune_network(network, PruneOptions(**options))


def test_a_last_batch_of_one_picture_is_not_counted_as_measured(small_data_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("traffic_yolo.compression.reestimate.BATCH", 2)
    data = DataSet.open(small_data_set)
    assert len(data.split("train")) >= 3
    assert reestimate(network_of(CONV), data, pictures=3, seed=0) == 2


def test_measured_anew_batch_norm_has_the_mean_over_batches(small_data_set: Path):
    data = DataSet.open(small_data_set)
    network = network_of(CONV)
    kernels = network.layers[0].get_submodule("conv").weight.detach()
    assert reestimate(network, data, pictures=3, seed=0) == 3
    norm = network.layers[0].get_submodule("bn")
    assert not network.training
    assert norm.momentum is not None
    # A 1 x 1 convolution of colours: its mean is that of the colours of the pictures, all three in one batch
    colours = np.linalg.lstsq(kernels[:, :, 0, 0].numpy(), norm.running_mean.numpy(), rcond=None)[0]
    assert ((colours > 0.05) & (colours < 0.95)).all()
    assert (norm.running_var > 0).all()


def test_the_folder_is_a_model_folder_that_says_what_it_was(pruned_folder: Path, untrained_model: Path):
    parent, model = ModelFolder.open(untrained_model), ModelFolder.open(pruned_folder)
    record = PrunedFrom.read(pruned_folder / PRUNED_NAME)
    assert model.classes == parent.classes
    assert record.parent_weights_sha256 == parent.sha256("model.weights")
    assert record.weights_sha256 == model.sha256("model.weights")
    assert record.after.bytes == model.weights_path.stat().st_size
    assert record.after.bflops <= 0.7 * record.before.bflops
    assert record.text.startswith("WARNING: ")  # it was never trained
    assert "BFLOPs" in record.text
    assert model.onnx_path.is_file()
    assert TrainedOn.read(pruned_folder / "trained_on.json").start_weights_sha256 == record.parent_weights_sha256
    assert json.loads((pruned_folder / "export.json").read_text())["sha256"][PRUNED_NAME] == model.sha256(PRUNED_NAME)


def test_freezes_that_end_do_not_hold_up_the_training_that_follows(untrained_model: Path, tmp_path: Path):
    model = shutil.copytree(untrained_model, tmp_path / "model")
    cfg = Cfg.read(model / "model.cfg")
    cfg.net.set("max_batches", 400)
    cfg.layers[0].set("stopbackward", 1)
    for layer, updates in ((2, 200), (4, 400)):
        cfg.layers[layer].set("dont_update", updates)
    cfg.layers[6].set("burnin_update", 3)
    cfg.write(model / "model.cfg")
    write_pruned(ModelFolder.open(model), tmp_path / "pruned", PruneOptions(), None)
    found = Cfg.read(tmp_path / "pruned" / "model.cfg")
    assert read_freeze_plan(found) == FreezePlan({0: 1}, {4: 400})
    assert not any(section.has("burnin_update") for section in found.layers)


def test_a_refusal_leaves_nothing_behind(untrained_model: Path, tmp_path: Path):
    with pytest.raises(OptionsError, match="cannot be reached"):
        prune(untrained_model, tmp_path / "out", PruneOptions(bflops_ratio=0.99))
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_read_back_and_a_damaged_one_refused(pruned_folder: Path, tmp_path: Path):
    record = PrunedFrom.read(pruned_folder / PRUNED_NAME)
    record.write(tmp_path / "again.json")
    assert PrunedFrom.read(tmp_path / "again.json") == record
    shutil.copyfile(pruned_folder / PRUNED_NAME, tmp_path / "bad.json")
    content = json.loads((tmp_path / "bad.json").read_text())
    del content["before"]
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(Exception, match="not a record of a pruning"):
        PrunedFrom.read(tmp_path / "bad.json")
