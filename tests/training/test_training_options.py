"""Training options: values that make no sense are refused where they enter."""

import dataclasses
from pathlib import Path

import pytest

from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": 0}, "batch: expected at least 1, found 0"),
        ({"batch": 16, "subdivisions": 3}, "batch: expected a multiple of subdivisions=3, found 16"),
        ({"width": 400}, "width: expected a multiple of 32, found 400"),
        ({"learning_rate": -0.1}, "learning_rate: expected at least 0, found -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a finite number, found nan"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0, found 0; leave it out for the recipe's"),
        ({"momentum": 1.5}, "momentum: expected a number from 0 to 1, found 1.5"),
        ({"burn_in": -1}, "burn_in: expected at least 0, found -1"),
        ({"saturation": 0.5}, "saturation: expected a number from 1 to 10, found 0.5"),
        ({"width": 0}, "width: expected at least 32, found 0"),
        ({"batch": True}, "batch: expected a whole number, found True"),
        ({"cfg": None}, "cfg: expected a text, found None"),
        ({"optimizer": "rmsprop"}, "optimizer: expected one of sgd, adamw, adam, found 'rmsprop'"),
        (
            {"policy": "linear"},
            "policy: expected one of constant, steps, cosine, poly, sgdr, step, exp, sigmoid, random, found 'linear'",
        ),
        ({"device": "tpu"}, "device: expected one of auto, cpu, cuda, found 'tpu'"),
        ({"fine_tune_layers": "from:x", "weights": "w"}, "fine_tune_layers: expected all, .* found 'from:x'"),
        ({"fine_tune_layers": "heads"}, "freezes layers, which without weights are random: give weights"),
        ({"fine_tune_layers": "heads@5,all"}, "freezes layers, which without weights are random: give weights"),
        ({"batch_norm": "frozen"}, "batch_norm=frozen keeps the statistics of weights: give weights"),
        ({"batch_norm": "thawed"}, "batch_norm: expected train, frozen or frozen:<updates>, found 'thawed'"),
        ({"recipe": "mine"}, "recipe: expected one of default, darknet, found 'mine'"),
        ({"weights_names": "n"}, "weights_names names the classes of `weights`: give weights too"),
        ({"class_seeds": "A=b", "weights": "w"}, "give weights_names too"),
        ({"class_seeds": "A", "weights": "w", "weights_names": "n"}, "expected new=old pairs, .* found 'A'"),
        ({"class_seeds": "A=b,A=c", "weights": "w", "weights_names": "n"}, "each new class once, found 'A=c'"),
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        TrainingOptions(**values)  # type: ignore[arg-type]


def test_class_seeds_are_read_as_pairs() -> None:
    options = TrainingOptions(weights="w", weights_names="n", class_seeds=" LONG_TRUCK=truck, MOTORCYCLE = motorbike ")
    assert options.seeds_of_classes() == {"LONG_TRUCK": "truck", "MOTORCYCLE": "motorbike"}


def test_written_options_read_back_the_same(tmp_path: Path) -> None:
    options = TrainingOptions(cfg="a: b.cfg", learning_rate=0.00261, mosaic=0.25, seed=3)
    options.write(tmp_path / "options.yaml")
    assert TrainingOptions.read(tmp_path / "options.yaml") == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected training options"),
        ("cgf: a", r"options\.yaml: unknown option 'cgf'; did you mean cfg\?"),
        ("batch: many", r"options\.yaml: batch: expected a whole number, found 'many'"),
        ("a: [", "not YAML"),
    ],
)
def test_options_file_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "options.yaml").write_text(text)
    with pytest.raises(OptionsError, match=message):
        TrainingOptions.read(tmp_path / "options.yaml")


def test_missing_options_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="training options cannot be read"):
        TrainingOptions.read(tmp_path / "options.yaml")


def test_every_option_has_help() -> None:
    assert [option.name for option in dataclasses.fields(TrainingOptions) if not option.metadata["help"]] == []
