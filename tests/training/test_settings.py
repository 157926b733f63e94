"""What a run takes where nothing is given: recipe, cfg, and the text that says it all."""

import dataclasses
from pathlib import Path

import pytest
from records import pruned_from

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import ModelError
from traffic_yolo.option_settings import read_settings
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.rate_test import wants_test
from traffic_yolo.training.settings import Settings, flags_text, resolve, settings_text


@pytest.fixture
def network(tiny_cfg: Path) -> Network:
    """The tiny network, whose cfg asks for batches of 64 in 8 slices and 500,000 updates."""
    cfg = Cfg.read(tiny_cfg)
    for key, value in (("batch", 64), ("subdivisions", 8), ("max_batches", 500_000), ("burn_in", 1000)):
        cfg.net.set(key, value)
    return Network.from_cfg(cfg)


@pytest.fixture
def weights(network: Network, tmp_path: Path) -> str:
    """Whole weights of that network."""
    network.save_weights(tmp_path / "whole.weights")
    return str(tmp_path / "whole.weights")


def numbers(settings: Settings) -> tuple[object, ...]:
    """Batch, slices, updates, warm-up, optimiser."""
    return (
        settings.batch, settings.subdivisions, settings.max_batches, settings.schedule.burn_in, settings.optimizer,
    )  # fmt: skip


def test_recipe_darknet_takes_every_number_of_the_cfg(network: Network, weights: str) -> None:
    settings = resolve(TrainingOptions(recipe="darknet", weights=weights), network, num_pictures=78)
    assert numbers(settings) == (64, 8, 500_000, 1000, "sgd")
    assert settings.schedule.rate(999) == pytest.approx(0.02 * 0.999**4)


def test_fine_tuning_has_numbers_of_its_own_that_fit_pictures_and_memory(network: Network, weights: str) -> None:
    settings = resolve(TrainingOptions(weights=weights), network, num_pictures=1000)
    assert numbers(settings) == (16, 2, 2500, 250, "adamw")
    assert str(settings.plan) == "heads@1250,all"
    assert (settings.schedule.learning_rate, settings.schedule.policy) == (0.001, "cosine")


def test_what_pruning_took_is_learnt_again_in_every_layer(network: Network, weights: str) -> None:
    start = TrainingOptions(weights=weights)
    record = pruned_from(parent="a" * 64, weights=sha256_of_file(weights))
    path = Path(weights).with_name(PRUNED_NAME)
    record.write(path)
    settings = resolve(start, network, num_pictures=1000)
    assert (str(settings.plan), settings.schedule.learning_rate) == ("all", 0.002)
    assert not wants_test(start, settings, network)
    given = dataclasses.replace(start, fine_tune_layers="heads")
    assert str(resolve(given, network, num_pictures=1000).plan) == "heads"
    dataclasses.replace(record, weights_sha256="of weights that were trained on").write(path)
    trained_on = resolve(start, network, num_pictures=1000)
    assert (str(trained_on.plan), trained_on.schedule.learning_rate) == ("heads@1250,all", 0.001)
    assert wants_test(start, trained_on, network)
    path.write_text("{}")
    with pytest.raises(ModelError, match=r"pruned\.json: not a record of a pruning"):
        resolve(start, network, num_pictures=1000)


def test_training_from_nothing_takes_the_cfgs_numbers_cut_to_darknets_advice(network: Network) -> None:
    settings = resolve(TrainingOptions(), network, num_pictures=7000)
    assert numbers(settings) == (64, 8, 7000, 700, "sgd")
    assert str(settings.plan) == "all"


def test_a_backbone_cut_is_no_fine_tuning(network: Network, weights: str) -> None:
    path = Path(weights)
    path.write_bytes(path.read_bytes()[:1000])
    assert resolve(TrainingOptions(weights=weights), network, num_pictures=10).optimizer == "sgd"


def test_options_go_before_the_recipe(network: Network, weights: str) -> None:
    given = TrainingOptions(
        weights=weights, batch=32, max_batches=50, learning_rate=0.5, burn_in=0, fine_tune_layers="heads"
    )
    settings = resolve(given, network, num_pictures=78)
    assert numbers(settings) == (32, 4, 50, 0, "adamw")
    assert (settings.schedule.learning_rate, str(settings.plan)) == (0.5, "heads")


@pytest.mark.parametrize("recipe", ["default", "darknet"])
@pytest.mark.parametrize("with_weights", [True, False])
def test_resolved_settings_read_back_as_settings_and_resolve_to_themselves(
    network: Network, weights: str, recipe: str, with_weights: bool
) -> None:
    options = TrainingOptions(recipe=recipe, weights=weights if with_weights else "")
    settings = resolve(options, network, num_pictures=78)
    again = TrainingOptions(**read_settings(settings_text(options, settings), TrainingOptions))
    assert resolve(again, network, num_pictures=99_999) == settings
    assert f"--max-batches {settings.max_batches}" in flags_text(options, settings)
    assert "--seed" not in flags_text(options, settings)
