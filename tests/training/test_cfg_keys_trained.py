"""Keys of a cfg, by what a training does with them: obeyed in the way they say, refused by name, or said to do nothing.

Every key that the tables of `cfg_keys` call obeyed changes a short training, every key without effect changes no bit of
it. `Run` is the training as the command makes it, which updates here without validations between.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.cfg_keys import CONVOLUTIONAL, EVERY_LAYER, NET, NO_EFFECT, OBEYED, YOLO
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.history import read_history
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.run import Run
from traffic_yolo.training.trainer import train as train_whole

UPDATES = 3
LAYER = 1  # the convolution that keys of a layer are given to
Change = tuple[str, str, str]


def change_of(text: str) -> Change:
    """Section, key and value of a text such as "[net] blur=1"."""
    section, setting = text.split(" ", 1)
    key, value = setting.split("=", 1)
    return section.strip("[]"), key, value


def changed(cfg_text: str, *changes: str) -> str:
    """The cfg with these keys: [net]'s, those of layer 1 ([layer]), or those of both heads ([yolo])."""
    cfg = Cfg.parse(cfg_text)
    for section, key, value in map(change_of, changes):
        chosen = {
            "net": [cfg.net],
            "layer": [cfg.layers[LAYER]],
            "yolo": [layer for layer in cfg.layers if layer.name == "yolo"],
        }
        for each in chosen[section]:
            each.set(key, value)
    return cfg.to_text()


@dataclass(frozen=True)
class Trained:
    """Some updates: what went in, the losses, and the layers' tensors before and after, those averaged too."""

    batches: list[Batch]
    losses: list[float]
    start: Mapping[str, Tensor]
    end: Mapping[str, Tensor]
    averaged: Mapping[str, Tensor]
    batch: int
    subdivisions: int

    def same_as(self, other: "Trained") -> bool:
        """To the bit, in all that was learnt."""
        return self.losses == other.losses and all(
            mine.keys() == theirs.keys() and all(value.equal(theirs[name]) for name, value in mine.items())
            for mine, theirs in ((self.end, other.end), (self.averaged, other.averaged))
        )

    def movement(self, layer: int) -> Tensor:
        """How far the kernels of a layer moved."""
        name = f"layers.{layer}.conv.weight"
        return self.end[name] - self.start[name]

    def moved(self) -> set[int]:
        """The layers of which any number changed, batch-norm statistics included."""
        return {
            int(name.split(".")[1])
            for name, value in self.end.items()
            if not value.equal(self.start[name]) and "num_batches" not in name
        }


Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(rectangles: Path, tiny_cfg_text: str, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains the tiny network with changes of its cfg, by Darknet's own recipe without a warm-up; each once."""
    folder, known = tmp_path_factory.mktemp("keys"), dict[Any, Trained]()
    data_set = DataSet.open(rectangles)

    def run(*changes: str, updates: int = UPDATES, **options: Any) -> Trained:
        key = (changes, updates, tuple(options.items()))
        if key in known:
            return known[key]
        path = folder / f"{len(known)}.cfg"
        path.write_text(changed(tiny_cfg_text, "[net] burn_in=0", *changes))
        values = {"cfg": str(path), "recipe": "darknet", "device": "cpu", **options}
        made = Run(data_set, folder / "run", TrainingOptions(**values), torch.device("cpu"), Processes())
        start = copied(made.network)
        batches, losses = [], []
        for batch in made.pictures.batches(first=0, last=updates, workers=0):
            losses.append(made.updates.update(batch, len(batches)).loss)
            batches.append(batch)
            made.averaged.update(made.network, len(batches))
        averaged = copied(made.averaged.network)
        settings = made.settings
        known[key] = Trained(
            batches, losses, start, copied(made.network), averaged, settings.batch, settings.subdivisions
        )
        return known[key]

    return run


def copied(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


# ---------------------------------------------------------------- keys, each in the way that it says


def test_a_layers_own_rate_multiplies_its_movement_and_no_other(train: Train) -> None:
    """The first update of SGD is the rate times the gradient, which is the same in all of them."""
    plain = train(updates=1)
    for value, factor in (("0", 0.0), (".25", 0.25), ("4", 4.0)):
        scaled = train(f"[layer] learning_rate={value}", updates=1)
        torch.testing.assert_close(scaled.movement(LAYER), factor * plain.movement(LAYER), rtol=1e-3, atol=1e-7)
        for layer in (0, 2, 3, 6, 7):
            assert scaled.movement(layer).equal(plain.movement(layer))
            assert plain.movement(layer).abs().max() > 0
    assert LAYER in plain.moved()


def test_stopbackward_leaves_its_layer_and_all_before_as_they_were(train: Train) -> None:
    assert train().moved() == {0, 1, 2, 3, 6, 7}
    assert train("[layer] stopbackward=1").moved() == {2, 3, 6, 7}


@pytest.mark.parametrize("recipe", ["darknet", "default"])
def test_a_batch_of_64_in_eight_slices_is_one(train: Train, recipe: str) -> None:
    found = train("[net] batch=64", "[net] subdivisions=8", updates=1, recipe=recipe)
    assert (found.batch, found.subdivisions) == (64, 8)
    assert len(found.batches[0].images) == 64
    assert not found.same_as(train(updates=1, recipe=recipe))


def sizes_of(found: Trained) -> list[tuple[int, int]]:
    """Width and height of the pictures of each update."""
    return [(batch.images.shape[3], batch.images.shape[2]) for batch in found.batches]


def test_random_changes_the_size_every_ten_updates(train: Train) -> None:
    """By 32, from 3 v + 1 by 2 v + 1 with v from 1 / 1.4 to 1.4; what grows although v is below 1 is 96 x 64."""
    sizes = sizes_of(train("[yolo] random=1", updates=31))
    assert all(len(set(sizes[group : group + 10])) == 1 for group in range(0, 31, 10))
    assert sizes[0] == (160, 128)
    assert len(set(sizes)) > 2
    assert set(sizes) <= {(96, 64), (128, 96), (160, 96), (160, 128), (128, 128)}
    assert set(sizes_of(train(updates=UPDATES))) == {(96, 64)}


def test_dynamic_minibatch_takes_more_of_smaller_pictures(train: Train) -> None:
    """Four of 160 x 128. 96 x 64: 13, of which .8 are 10; 128 x 96: 6, and .8 of it is no more than 4."""
    found = train("[yolo] random=1", "[net] dynamic_minibatch=1", updates=31)
    batches = {size: len(batch.images) for size, batch in zip(sizes_of(found), found.batches, strict=True)}
    expected = {(160, 128): 4, (96, 64): 10, (128, 96): 6, (160, 96): 5, (128, 128): 5}
    assert batches.items() <= expected.items()
    assert len(set(batches.values())) > 1


def test_pictures_seen_are_counted_as_they_were_taken(rectangles: Path, tiny_cfg_text: str, tmp_path: Path) -> None:
    """In the history and in the weights file: forty in the first ten updates, then ten each."""
    path = tmp_path / "dynamic.cfg"
    path.write_text(changed(tiny_cfg_text, "[yolo] random=1", "[net] dynamic_minibatch=1"))
    options = TrainingOptions(cfg=str(path), max_batches=12, evaluate_every=12, device="cpu")
    train_whole(rectangles, tmp_path / "run", options)
    seen = [row.seen for row in read_history(tmp_path / "run" / "history.csv")]
    assert seen == [*range(4, 41, 4), 50, 60]
    assert read_weights(tmp_path / "run" / "model.weights").header.seen == 60


def test_mixup_makes_half_of_the_pictures_of_two(train: Train) -> None:
    made_of = [len(names) for batch in train("[net] mixup=1", updates=15).batches for names in batch.file_names]
    assert set(made_of) == {1, 2}
    assert made_of.count(2) / len(made_of) == pytest.approx(0.5, abs=0.15)
    assert {len(names) for batch in train().batches for names in batch.file_names} == {1}


def test_blur_and_noise_leave_the_boxes_and_change_the_pictures_as_they_say(train: Train) -> None:
    """Noise of deviation 1 makes a pixel brighter by a few levels; a blur flattens the background's own noise."""
    plain, changed_ones = train(updates=9), train("[net] blur=1", "[net] gaussian_noise=1", updates=9)
    brightened = flattened = 0
    for before, after in zip(plain.batches, changed_ones.batches, strict=True):
        assert after.file_names == before.file_names
        np.testing.assert_array_equal(after.truths.boxes_cxcywh_norm, before.truths.boxes_cxcywh_norm)
        for row, (sharp, made) in enumerate(zip(before.images.int(), after.images.int(), strict=True)):
            truths = before.truths.of_images(row, row + 1)
            inside = torch.zeros(64, 96, dtype=torch.bool)
            for x, y, width, height in (truths.boxes_cxcywh_norm * np.array([96, 64, 96, 64])).tolist():
                left, top = int(x - width / 2) + 1, int(y - height / 2) + 1
                inside[top : int(y + height / 2), left : int(x + width / 2)] = True
            difference = made - sharp
            assert difference[:, inside].min() >= 0
            assert difference[:, inside].max() <= 6
            brightened += bool(difference[:, inside].any())
            flattened += bool((difference[:, ~inside] < 0).any())
    assert brightened / 36 == pytest.approx(1 / 2, abs=0.25)
    assert flattened / 36 == pytest.approx(2 / 3, abs=0.25)


@pytest.mark.parametrize("value", ["1", "2"])
def test_cutmix_is_refused_with_file_line_and_what_to_do(train: Train, value: str) -> None:
    with pytest.raises(TrainingError) as caught:
        train(f"[net] cutmix={value}")
    assert str(caught.value).endswith(
        f"cutmix={value} cannot be obeyed in training: cutmix is for classifiers; Darknet's detector training "
        f"switches it off; remove it, and take mosaic=1 or mixup=1"
    )
    assert ".cfg line " in str(caught.value)
    assert "[net]" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("[net] angle=10", "[net] angle=10 has no effect on detectors in Darknet, nor here"),
        (
            "[net] dynamic_minibatch=1",
            "[net] dynamic_minibatch=1 has no effect without random=1 in the last [yolo]",
        ),
    ],
)
def test_what_has_no_effect_has_none_and_is_said_to(
    train: Train, caplog: pytest.LogCaptureFixture, key: str, sentence: str
) -> None:
    with caplog.at_level(logging.INFO):
        found = train(key)
    assert sentence in [record.getMessage() for record in caplog.records]
    assert found.same_as(train())


# ---------------------------------------------------------------- every key of the tables

ADAM, SMALL = "[net] adam=1", "[net] learning_rate=.001"
LATE = "[net] max_batches=20"  # bad labels are looked for in the last quarter
POLICY = "[net] policy="
# section, key -> the change, last; before it what the key needs around it, which it is compared with
CHANGES: dict[tuple[str, str], tuple[str, ...]] = {
    ("net", "batch"): ("[net] batch=8",),
    ("net", "subdivisions"): ("[net] subdivisions=2",),
    ("net", "max_batches"): ("[net] policy=poly", "[net] max_batches=10"),
    ("net", "burn_in"): ("[net] burn_in=9",),
    ("net", "learning_rate"): ("[net] learning_rate=.01",),
    ("net", "policy"): ("[net] policy=poly",),
    ("net", "power"): ("[net] burn_in=9", "[net] power=1"),
    ("net", "steps"): ("[net] scales=.5,.5", "[net] steps=1,2"),
    ("net", "scales"): ("[net] steps=1,2", "[net] scales=.5,.5"),
    ("net", "step"): (f"{POLICY}step", "[net] scale=.5", "[net] step=2"),
    ("net", "scale"): (f"{POLICY}step", "[net] step=2", "[net] scale=.3"),
    ("net", "gamma"): (f"{POLICY}exp", "[net] gamma=.5"),
    ("net", "learning_rate_min"): (f"{POLICY}sgdr", "[net] sgdr_cycle=3", "[net] learning_rate_min=.01"),
    ("net", "sgdr_cycle"): (f"{POLICY}sgdr", "[net] sgdr_cycle=3"),
    ("net", "sgdr_mult"): (f"{POLICY}sgdr", "[net] sgdr_cycle=1", "[net] sgdr_mult=5"),
    ("net", "momentum"): ("[net] momentum=.5",),
    ("net", "decay"): ("[net] decay=.05",),
    ("net", "ema_alpha"): ("[net] ema_alpha=.9",),
    ("net", "adam"): (SMALL, ADAM),
    ("net", "B1"): (SMALL, ADAM, "[net] B1=.5"),
    ("net", "B2"): (SMALL, ADAM, "[net] B2=.9"),
    ("net", "eps"): (SMALL, ADAM, "[net] eps=.1"),
    ("net", "flip"): ("[net] flip=0",),
    ("net", "hue"): ("[net] hue=.1",),
    ("net", "saturation"): ("[net] saturation=1.5",),
    ("net", "exposure"): ("[net] exposure=1.5",),
    ("net", "mosaic"): ("[net] mosaic=1",),
    ("net", "mosaic_bound"): ("[net] mosaic=1", "[net] mosaic_bound=0"),
    ("net", "mixup"): ("[net] mixup=1",),
    ("net", "blur"): ("[net] blur=5",),
    ("net", "gaussian_noise"): ("[net] gaussian_noise=20",),
    ("net", "letter_box"): ("[net] width=64", "[net] letter_box=1"),
    ("net", "resize_step"): ("[yolo] random=1", "[net] resize_step=64"),
    ("net", "dynamic_minibatch"): ("[yolo] random=1", "[net] dynamic_minibatch=1"),
    ("net", "equidistant_point"): ("[net] max_batches=8", "[net] equidistant_point=1"),
    ("net", "badlabels_rejection_percentage"): (LATE, "[net] badlabels_rejection_percentage=1"),
    ("net", "num_sigmas_reject_badlabels"): (LATE, "[net] num_sigmas_reject_badlabels=1"),
    ("every layer", "stopbackward"): ("[layer] stopbackward=1",),
    ("every layer", "dont_update"): ("[layer] dont_update=2",),
    ("every layer", "train_only_bn"): ("[layer] train_only_bn=1",),
    ("every layer", "burnin_update"): ("[net] burn_in=2", "[layer] burnin_update=1"),
    ("every layer", "learning_rate"): ("[layer] learning_rate=.5",),
    ("convolutional", "batch_normalize"): ("[layer] batch_normalize=0",),
    ("yolo", "ignore_thresh"): ("[yolo] ignore_thresh=.1",),
    ("yolo", "truth_thresh"): ("[yolo] truth_thresh=.2",),
    ("yolo", "iou_thresh"): ("[yolo] iou_thresh=.05",),
    ("yolo", "iou_thresh_kind"): (
        "[yolo] anchors=12,30,44,10,44,34",
        "[yolo] iou_thresh=.25",
        "[yolo] iou_thresh_kind=giou",
    ),
    ("yolo", "iou_loss"): ("[yolo] iou_loss=mse",),
    ("yolo", "iou_normalizer"): ("[yolo] iou_normalizer=.2",),
    ("yolo", "obj_normalizer"): ("[yolo] obj_normalizer=.4",),
    ("yolo", "cls_normalizer"): ("[yolo] counters_per_class=1,2", "[yolo] cls_normalizer=.5"),
    ("yolo", "delta_normalizer"): ("[yolo] delta_normalizer=.5",),
    ("yolo", "max_delta"): ("[yolo] max_delta=.001",),
    ("yolo", "objectness_smooth"): ("[yolo] objectness_smooth=1",),
    ("yolo", "label_smooth_eps"): ("[yolo] label_smooth_eps=.1",),
    ("yolo", "focal_loss"): ("[yolo] focal_loss=1",),
    ("yolo", "counters_per_class"): ("[yolo] counters_per_class=10,30",),
    ("yolo", "jitter"): ("[yolo] jitter=.3",),
    ("yolo", "resize"): ("[yolo] resize=1.5",),
    ("yolo", "random"): ("[yolo] random=1",),
}
UPDATES_OF = {
    "badlabels_rejection_percentage": 20,
    "num_sigmas_reject_badlabels": 20,
    "equidistant_point": 4,
    "dynamic_minibatch": 11,  # the first ten are of the largest size
}
TABLES = {"net": NET, "every layer": EVERY_LAYER, "convolutional": CONVOLUTIONAL, "yolo": YOLO}


def keys_that_are(what: str) -> list[tuple[str, str]]:
    return [(section, key) for section, table in TABLES.items() for key, rule in table.items() if rule.what == what]


def test_every_key_that_is_obeyed_is_tried_here() -> None:
    assert sorted(CHANGES) == sorted(keys_that_are(OBEYED))
    assert all(change_of(changes[-1])[1] == key for (_, key), changes in CHANGES.items())


@pytest.mark.many(8)
@pytest.mark.parametrize(("section", "key"), CHANGES, ids=lambda value: str(value))
def test_a_key_that_is_obeyed_changes_what_is_learnt(train: Train, section: str, key: str) -> None:
    *around, change = CHANGES[section, key]
    updates = UPDATES_OF.get(key, UPDATES)
    assert not train(*around, change, updates=updates).same_as(train(*around, updates=updates))


def without_effect(section: str, key: str) -> str:
    """A change by a key that the tables call without effect."""
    where = {"every layer": "layer", "convolutional": "layer"}.get(section, section)
    return f"[{where}] {key}={({'nms_kind': 'greedynms', 'show_details': '0'}).get(key, '2')}"


def test_keys_without_effect_change_no_bit_of_what_is_learnt(train: Train) -> None:
    changes = [without_effect(section, key) for section, key in keys_that_are(NO_EFFECT)]
    assert len(changes) > 20
    together = train(*changes)
    assert together.same_as(train()), [change for change in changes if not train(change).same_as(train())]
