"""Changing classes: rows that stay are the same in every head, new ones start low, the cfg follows."""

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery import change_classes, change_input_size, class_parents, max_batches_for
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.errors import DarknetFormatError, OptionsError

OLD = ["car", "truck"]
NEW = ["BUS", "TRUCK", "LONG_TRUCK", "auto"]
CHANGE = {"renames": {"car": "auto"}, "seeds": {"LONG_TRUCK": "truck"}}
PARENTS = [None, 1, 1, 0]


@pytest.fixture
def network(small_cfg) -> Network:
    network = Network(Cfg.parse(small_cfg), seed=3).eval()
    network.header = WeightsHeader(0, 2, 5, 777)
    torch.manual_seed(0)
    for index in (7, 12):
        network.layers[index].conv.bias.data.normal_()
    return network


def images():
    return torch.from_numpy(np.random.default_rng(0).random((2, 3, 32, 64), dtype=np.float32))


def test_rows_that_stay_are_the_same_in_every_head(network):
    changed = change_classes(network, OLD, NEW, **CHANGE)
    for index in (7, 12):
        old, new = network.layers[index].conv, changed.layers[index].conv
        for name in ("weight", "bias"):
            before = getattr(old, name).view(3, 7, -1)
            after = getattr(new, name).view(3, 9, -1)
            assert torch.equal(after[:, :5], before[:, :5])  # box and objectness
            for class_id, parent in enumerate(PARENTS):
                if parent is not None:
                    assert torch.equal(after[:, 5 + class_id], before[:, 5 + parent]), (index, name, class_id)
        fresh = new.weight.view(3, 9, -1)[:, 5]
        assert 0 < fresh.abs().max() < 0.06
        assert not torch.equal(fresh[0], fresh[1])
        torch.testing.assert_close(torch.sigmoid(new.bias.view(3, 9)[:, 5]), torch.full((3,), 0.01))
    for section, old, new in zip(network.sections, network.layers, changed.layers, strict=True):
        if section.index not in (7, 12):
            for (_, a), (_, b) in zip(section.weights(old), section.weights(new), strict=True):
                assert torch.equal(a, b)


def test_detections_of_the_classes_that_stay_are_unchanged(network):
    changed = change_classes(network, OLD, NEW, **CHANGE)
    with torch.no_grad():
        before = decode(network.heads, network(images()), network.input_hw)
        after = decode(changed.heads, changed(images()), changed.input_hw)
    torch.testing.assert_close(after.boxes_cxcywh_norm, before.boxes_cxcywh_norm, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(after.objectness, before.objectness, rtol=1e-5, atol=1e-6)
    for class_id, parent in enumerate(PARENTS):
        if parent is not None:
            found, expected = after.class_probabilities[..., class_id], before.class_probabilities[..., parent]
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_cfg_follows_by_darknets_published_rules_and_nothing_else_changes(network, small_cfg):
    text = change_classes(network, OLD, NEW, **CHANGE).cfg.to_text()
    expected = small_cfg.replace("classes=2", "classes=4").replace("filters=21", "filters=27")
    expected = expected.replace("max_batches = 100", "max_batches = 8000").replace("steps=80,90", "steps=6400,7200")
    assert text == expected
    assert network.cfg.to_text() == small_cfg
    fewer = change_classes(network, OLD, ["car"], seeds={}).cfg
    assert (fewer.net.get_int("max_batches", 0), fewer.net.get_ints("steps")) == (6000, (4800, 5400))


@pytest.mark.parametrize(
    ("classes", "pictures", "expected"), [(1, 0, 6000), (4, 0, 8000), (4, 9000, 9000), (3, 1, 6000)]
)
def test_max_batches_by_darknets_published_rule(classes, pictures, expected):
    assert max_batches_for(classes, pictures) == expected


def test_the_number_of_pictures_reaches_the_cfg(network):
    cfg = change_classes(network, OLD, NEW, **CHANGE, num_images=20_000).cfg
    assert (cfg.net.get_int("max_batches", 0), cfg.net.get_ints("steps")) == (20_000, (16_000, 18_000))


def test_scales_follow_the_two_steps_and_counters_go(network):
    network.cfg.net.set("scales", ".1")
    network.cfg.layers[8].set("counters_per_class", "5,6")
    cfg = change_classes(network, OLD, NEW, **CHANGE).cfg
    assert cfg.net.get_floats("scales") == (0.1, 0.1)
    assert not cfg.layers[8].has("counters_per_class")


@pytest.mark.parametrize("policy", ["constant", "step", "exp", "poly", "sigmoid", "sgdr", "random"])
def test_steps_are_written_for_the_policy_that_reads_them(network, policy):
    """The published rule is for policy=steps; of the other policies only max_batches follows (poly falls until then)."""
    network.cfg.net.set("policy", policy)
    for key, value in {"step": 50, "scale": 0.5, "gamma": 0.9, "power": 4, "sgdr_cycle": 30, "seq_scales": 1}.items():
        network.cfg.net.set(key, value)
    before = network.cfg.net.to_text()
    after = change_classes(network, OLD, NEW, **CHANGE).cfg.net.to_text()
    assert after == before.replace("max_batches = 100", "max_batches = 8000")


def test_a_cfg_without_a_policy_gets_max_batches_alone(network):
    network.cfg.net.remove("policy")
    net = change_classes(network, OLD, NEW, **CHANGE).cfg.net
    assert (net.get_int("max_batches", 0), net.get_ints("steps")) == (8000, (80, 90))


def test_seq_scales_that_no_longer_fit_the_steps_go(network):
    network.cfg.net.set("steps", "70,80,90")
    network.cfg.net.set("scales", ".5,.1,.1")
    network.cfg.net.set("seq_scales", "1,2,4")
    net = change_classes(network, OLD, NEW, **CHANGE).cfg.net
    assert (net.get_ints("steps"), net.get_floats("scales"), net.has("seq_scales")) == ((6400, 7200), (0.1, 0.1), False)


@pytest.mark.parametrize("key", ["tree", "map"])
def test_classes_that_stand_in_a_file_of_their_own_are_refused(key):
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nfilters=7\n[region]\nanchors=1,2\nclasses=2\nnum=1\n"
    network = Network(Cfg.parse(f"{text}{key} = data/9k.{key}\n", file="y.cfg"))
    with pytest.raises(DarknetFormatError) as caught:
        change_classes(network, OLD, NEW, **CHANGE)
    assert str(caught.value) == (
        f"y.cfg line 11 [region]: the classes cannot be changed: {key}=data/9k.{key} orders the old classes and would go"
        " stale; remove the key first"
    )


def test_the_result_loads_from_its_own_files(network, tmp_path):
    changed = change_classes(network, OLD, NEW, **CHANGE)
    changed.cfg.write(tmp_path / "model.cfg")
    changed.save_weights(tmp_path / "model.weights")
    again = Network.from_cfg(tmp_path / "model.cfg").eval()
    assert again.load_weights(tmp_path / "model.weights").header.seen == 777
    for a, b in zip(again(images()), changed(images()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_same_names_give_the_same_weights(network, tmp_path):
    network.save_weights(tmp_path / "a.weights")
    change_classes(network, OLD, OLD).save_weights(tmp_path / "b.weights")
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()


def test_new_rows_depend_on_the_seed_alone(network):
    first, again, other = (
        change_classes(network, OLD, ["bus"], seeds={}, seed=seed).layers[7].conv.weight for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_normalised_head_keeps_all_its_arrays(small_cfg):
    cfg = Cfg.parse(small_cfg)
    cfg.layers[7].set("batch_normalize", 1)
    network = Network(cfg, seed=1)
    norm = network.layers[7].bn
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        tensor.data.uniform_(1, 2)
    after = change_classes(network, OLD, ["truck", "bus"], seeds={}).layers[7].bn
    for name, fresh in (("weight", 1.0), ("running_mean", 0.0), ("running_var", 1.0)):
        old, new = getattr(norm, name).view(3, 7), getattr(after, name).view(3, 7)
        assert torch.equal(new[:, [0, 1, 2, 3, 4, 5]], old[:, [0, 1, 2, 3, 4, 6]])
        assert (new[:, 6] == fresh).all()


@pytest.mark.parametrize(
    ("old", "new", "renames", "seeds", "parents"),
    [
        (["a", "b"], ["b", "c"], {}, {}, [1, None]),
        (["Car", "bus"], ["CAR"], {}, {}, [0]),
        (["car", "CAR"], ["Car"], {}, {}, [None]),  # two are alike: neither is meant for sure
        (["car", "CAR"], ["CAR"], {}, {}, [1]),
        (["a", "b"], ["a"], {}, {"a": "b"}, [1]),  # asked for in so many words
        (["a", "b"], ["b"], {"a": "b"}, {}, [0]),
        (["a", "b"], ["x", "y"], {"a": "x"}, {"x": "a", "y": "a"}, [0, 0]),
    ],
)
def test_parents_are_found_in_the_documented_order(old, new, renames, seeds, parents):
    assert class_parents(2, old, new, renames=renames, seeds=seeds) == parents


@pytest.mark.parametrize(
    ("old", "new", "renames", "seeds", "message"),
    [
        (["a"], ["a"], {}, {}, "names of the weights: expected 2 as in the cfg, found 1"),
        (["a", "a"], ["a"], {}, {}, "names of the weights: expected each once, found a more than once"),
        (["a", "b"], ["c", "d", "c"], {}, {}, "new class names: expected each once, found c more than once"),
        (["a", "b"], [], {}, {}, "new class names: expected at least one"),
        (["a", "b"], ["c"], {}, {"c": "x"}, "class 'x' does not exist: the weights know a, b"),
        (["a", "b"], ["c"], {}, {"x": "a"}, "class 'x' does not exist: the new classes are c"),
        (["a", "b"], ["c"], {"a": "c", "b": "c"}, {}, "two old classes become one"),
        (["a", "b"], ["c"], {"a": "c"}, {"c": "b"}, "class c: renamed from a and seeded from b"),
    ],
)
def test_names_that_do_not_fit_are_refused(network, old, new, renames, seeds, message):
    with pytest.raises(OptionsError, match=message):
        change_classes(network, old, new, renames=renames, seeds=seeds)


def test_heads_without_their_own_convolution_are_refused(network, small_cfg):
    routed = small_cfg.replace("activation=logistic\n\n", "activation=logistic\n\n[route]\nlayers=-1\n\n")
    with pytest.raises(DarknetFormatError, match=r"\[route\]: expected an ungrouped \[convolutional\] before \[yolo\]"):
        change_classes(Network(Cfg.parse(routed)), OLD, ["car"])
    shared = small_cfg.replace("layers = -4", "layers = 7")
    with pytest.raises(DarknetFormatError, match="reads a head's convolution"):
        change_classes(Network(Cfg.parse(shared)), OLD, ["car"])
    with pytest.raises(ValueError, match="found a fused one"):
        change_classes(network.fuse(), OLD, OLD)


def test_another_input_size_keeps_weights_and_boxes_in_pixels(network, small_cfg, tmp_path):
    cfg = change_input_size(network.cfg, (96, 48))
    assert cfg.to_text() == small_cfg.replace("width = 64", "width = 96").replace("height=32", "height=48")
    network.save_weights(tmp_path / "a.weights")
    larger = Network.from_cfg(cfg).eval()
    larger.load_weights(tmp_path / "a.weights")
    picture = torch.rand(1, 3, 48, 96)
    for a, b in zip(larger(picture), network(picture), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((100, 32), "width: expected a multiple of 8, found 100; take 96 or 104"),
        ((64, 0), "height: expected a multiple of 8, found 0; take 8 or 8"),
    ],
)
def test_sizes_between_the_cells_are_refused(network, size, message):
    with pytest.raises(OptionsError, match=message):
        change_input_size(network.cfg, size)
