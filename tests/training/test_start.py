"""What a training starts from: random weights, whole weights, other classes, a backbone cut; and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import WeightsHeader, read_weights, write_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError, StorageError, TrainingError
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.start import carried_classes, cfg_for_classes, class_change, start_network


@pytest.fixture
def trained(tiny_cfg: Path) -> tuple[Path, Network]:
    """Weights of the tiny network (2 classes) that no random start has."""
    network = Network.from_cfg(tiny_cfg, seed=5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.25)
    path = tiny_cfg.with_name("trained.weights")
    network.save_weights(path, seen=640)
    return path, network


def states(network: Network) -> dict[str, torch.Tensor]:
    return network.state_dict()


def test_default_network_is_the_packages_own_with_the_data_sets_classes() -> None:
    network = start_network(TrainingOptions(), ["a", "b", "c"])
    assert network.num_classes == 3
    width, height = network.cfg.net.get_int("width", 0), network.cfg.net.get_int("height", 0)
    assert network.input_hw == (height, width)
    assert (width % network.max_stride, height % network.max_stride) == (0, 0)


def test_random_start_expects_few_objects_and_all_classes_alike(tiny_cfg: Path) -> None:
    network = start_network(TrainingOptions(cfg=str(tiny_cfg)), ["a", "b", "c", "d"]).eval()
    with torch.no_grad():
        images = torch.rand(2, 3, 64, 96)
        decoded = decode(network.heads, network(images), (64, 96))
    assert decoded.objectness.mean().item() == pytest.approx(0.01, rel=0.2)
    assert decoded.class_probabilities.mean().item() == pytest.approx(0.25, rel=0.1)


def test_seed_makes_the_start(tiny_cfg: Path) -> None:
    options = [TrainingOptions(cfg=str(tiny_cfg), seed=seed) for seed in (1, 1, 2)]
    one, same, other = (states(start_network(option, ["a", "b"])) for option in options)
    assert all(value.equal(same[name]) for name, value in one.items())
    assert not one["layers.0.conv.weight"].equal(other["layers.0.conv.weight"])


def test_size_of_the_options_goes_into_the_cfg(tiny_cfg: Path) -> None:
    network = start_network(TrainingOptions(cfg=str(tiny_cfg), width=160, height=96), ["a", "b"])
    assert network.input_hw == (96, 160)


def test_cfg_for_classes_changes_heads_and_nothing_else(tiny_cfg: Path) -> None:
    cfg = Cfg.read(tiny_cfg)
    changed = cfg_for_classes(cfg, 5).to_text()
    expected = cfg.to_text().replace("classes=2", "classes=5").replace("filters=14", "filters=20")
    assert changed == expected.replace("filters=7\n", "filters=10\n")
    assert cfg_for_classes(cfg, 2).to_text() == cfg.to_text()


def test_whole_weights_of_the_same_classes_are_taken_as_they_are(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path, network = trained
    found = states(start_network(TrainingOptions(cfg=str(tiny_cfg), weights=str(path)), ["x", "y"]))
    assert all(value.equal(found[name]) for name, value in states(network).items())


def test_backbone_cut_leaves_the_rest_random(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path, network = trained
    cut = tiny_cfg.with_name("backbone.conv.3")
    count = sum(section.num_weights for section in network.sections[:3])
    write_weights(cut, WeightsHeader(seen=640), [read_weights(path).values[:count]])
    started = start_network(TrainingOptions(cfg=str(tiny_cfg), weights=str(cut)), ["x", "y", "z"])
    found, fresh = states(started), states(start_network(TrainingOptions(cfg=str(tiny_cfg)), ["x", "y", "z"]))
    for name, value in states(network).items():
        layer = int(name.split(".")[1])
        expected = value if layer < 3 else fresh[name]
        assert found[name].equal(expected), name


def test_other_classes_keep_their_rows_by_name_and_seed(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path, network = trained
    names = tiny_cfg.with_name("old.names")
    names.write_text("car\n\ntruck\n")
    options = TrainingOptions(
        cfg=str(tiny_cfg), weights=str(path), weights_names=str(names), class_seeds="LONG_TRUCK=truck"
    )
    changed = start_network(options, ["PERSON", "CAR", "LONG_TRUCK"])
    assert changed.num_classes == 3
    old = states(network)["layers.3.conv.weight"].view(2, 7, -1)
    new = states(changed)["layers.3.conv.weight"].view(2, 8, -1)
    assert new[:, :5].equal(old[:, :5])
    assert new[:, 6].equal(old[:, 5])  # CAR = car
    assert new[:, 7].equal(old[:, 6])  # LONG_TRUCK from truck
    assert states(changed)["layers.1.conv.weight"].equal(states(network)["layers.1.conv.weight"])


def test_classes_whose_rows_are_kept_are_the_carried_ones(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    """What the heads take over is what a verdict can compare: `CAR` has the rows of `car`."""
    path, _ = trained
    names = tiny_cfg.with_name("old.names")
    names.write_text("car\ntruck\n")
    options = TrainingOptions(
        cfg=str(tiny_cfg), weights=str(path), weights_names=str(names), class_seeds="LONG_TRUCK=truck"
    )
    for classes, carried in (
        (["PERSON", "CAR", "LONG_TRUCK"], ("CAR", "LONG_TRUCK")),
        (["truck", "LONG_TRUCK"], ("truck", "LONG_TRUCK")),
        (["PERSON", "LONG_TRUCK", "bus"], ("LONG_TRUCK",)),
    ):
        assert carried_classes(options, start_network(options, classes), classes) == carried


def test_heads_for_another_number_of_classes_are_told_of(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path, _ = trained
    names = tiny_cfg.with_name("old.names")
    names.write_text("car\ntruck\n")
    whole = TrainingOptions(cfg=str(tiny_cfg), weights=str(path), weights_names=str(names))

    def told(options: TrainingOptions, *classes: str) -> str:
        return class_change(options, classes, carried_classes(options, start_network(options, classes), classes))

    assert told(TrainingOptions(cfg=str(tiny_cfg)), "x", "y") == ""
    assert told(whole, "CAR", "PERSON") == ""
    assert told(whole, "CAR", "PERSON", "bus") == (
        f"classes: {tiny_cfg} has heads for 2, the data set has 3 (CAR, PERSON, bus): the heads are made anew for these; "
        "CAR from the weights, others at random"
    )
    seeded = replace(whole, class_seeds="bus=truck")
    assert told(seeded, "CAR", "truck", "bus").endswith("; CAR, truck, bus from the weights")
    assert told(TrainingOptions(), "x", "y") == ""  # the package's own, which is for any classes


def test_names_that_are_the_data_sets_change_nothing(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path, network = trained
    names = tiny_cfg.with_name("same.names")
    names.write_text("x\ny\n")
    options = TrainingOptions(cfg=str(tiny_cfg), weights=str(path), weights_names=str(names))
    assert start_network(options, ["x", "y"]).cfg.to_text() == network.cfg.to_text()


def test_weights_of_another_class_count_are_refused_with_the_way_out(
    tiny_cfg: Path, trained: tuple[Path, Network]
) -> None:
    expected = (
        r"trained.weights: the data set has 3 classes \(x, y, z\), but the file fits this cfg with 2 classes; "
        "give the file of their class names as weights_names"
    )
    with pytest.raises(TrainingError, match=expected):
        start_network(TrainingOptions(cfg=str(tiny_cfg), weights=str(trained[0])), ["x", "y", "z"])


def test_names_of_another_count_are_refused(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    names = tiny_cfg.with_name("three.names")
    names.write_text("a\nb\nc\n")
    options = TrainingOptions(cfg=str(tiny_cfg), weights=str(trained[0]), weights_names=str(names))
    with pytest.raises(TrainingError, match="weights_names has 3 classes, but the file fits this cfg with 2 classes"):
        start_network(options, ["x"])


def test_empty_names_file_is_refused(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    names = tiny_cfg.with_name("no.names")
    names.write_text("\n")
    options = TrainingOptions(cfg=str(tiny_cfg), weights=str(trained[0]), weights_names=str(names))
    with pytest.raises(OptionsError, match=r"no.names has no names; expected one a line"):
        start_network(options, ["x"])


def test_weights_cut_inside_a_layer_are_refused(tiny_cfg: Path, trained: tuple[Path, Network]) -> None:
    path = tiny_cfg.with_name("short.weights")
    path.write_bytes(trained[0].read_bytes()[:-400])
    with pytest.raises(DarknetFormatError, match="bytes; they end inside layer"):
        start_network(TrainingOptions(cfg=str(tiny_cfg), weights=str(path)), ["x", "y"])


def test_missing_files_are_refused(tiny_cfg: Path) -> None:
    with pytest.raises(StorageError, match="cfg not found: .*nothing.cfg"):
        start_network(TrainingOptions(cfg=str(tiny_cfg.with_name("nothing.cfg"))), ["x"])
    with pytest.raises(StorageError, match="weights not found: .*nothing.weights"):
        start_network(TrainingOptions(cfg=str(tiny_cfg), weights=str(tiny_cfg.with_name("nothing.weights"))), ["x"])


@pytest.mark.parametrize("name", ["region", "Gaussian_yolo"])
def test_heads_that_have_no_loss_here_are_refused(tmp_path, name):
    cfg = tmp_path / "a.cfg"
    cfg.write_text(f"[net]\nwidth=32\nheight=32\nchannels=3\n[{name}]\n")
    with pytest.raises(TrainingError, match=rf"a.cfg line 5: \[{name}\] cannot be trained here; take \[yolo\] heads"):
        start_network(TrainingOptions(cfg=str(cfg)), ("car",))
