"""Whole trainings of the tiny network: it learns, resumes, freezes, and refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from written_data_set import write_manifest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import DatasetError, OptionsError, TrainingError
from traffic_yolo.training.checkpoint import read_checkpoint
from traffic_yolo.training.history import read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.run import Run
from traffic_yolo.training.summary import TrainingSummary
from traffic_yolo.training.trainer import train


@pytest.fixture
def options(tiny_cfg: Path) -> TrainingOptions:
    """Eight updates of the tiny network with every augmentation."""
    return TrainingOptions(
        cfg=str(tiny_cfg), batch=4, max_batches=8, evaluate_every=4, mosaic=0.5, hue=0.1, ema_alpha=0.9, device="cpu"
    )


def test_tiny_network_learns_four_pictures(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())["numbers"]
    rows = read_history(trained / "history.csv")
    assert summary["val_ap50"] > 0.9
    assert rows[-1].loss < rows[0].loss / 5
    assert summary["iterations"] == len(rows) == 120


@pytest.mark.long
def test_tiny_network_learns_four_pictures_by_heart(rectangles: Path, tmp_path: Path, tiny_cfg: Path) -> None:
    options = TrainingOptions(
        cfg=str(tiny_cfg),
        batch=4,
        max_batches=150,
        optimizer="adamw",
        learning_rate=0.02,
        jitter=0,
        flip=0,
        ema_alpha=0.9,
    )
    summary = train(rectangles, tmp_path / "run", options)
    rows = read_history(tmp_path / "run" / "history.csv")
    assert summary.best_ap50 == pytest.approx(1.0)
    assert summary.loss < rows[0].loss / 5
    assert (summary.iteration, len(rows)) == (150, 150)


@pytest.mark.long
def test_darknets_sgd_learns_too(rectangles: Path, tmp_path: Path, tiny_cfg: Path) -> None:
    options = TrainingOptions(cfg=str(tiny_cfg), batch=4, max_batches=150, jitter=0, flip=0)
    assert train(rectangles, tmp_path / "run", options).best_ap50 > 0.9


def test_run_folder_holds_what_the_next_step_reads(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    run = tmp_path / "run"
    run.mkdir()  # the pipeline makes the folder of an output beforehand
    train(rectangles, run, options)
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names == {
        "options.yaml",
        "settings.yaml",
        "classes.names",
        "history.csv",
        "trained_on.json",
        "curves.svg",
        "report.html",
        "batches/000001.jpg",
        "batches/000002.jpg",
        "batches/000003.jpg",
        *(f"predictions/{number:02d}.jpg" for number in (1, 2, 3, 4)),
        "model.cfg",
        "model.weights",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
        "checkpoints/previous.pt",
        "summary.json",
        "verdict.json",
    }
    assert (run / "classes.names").read_text() == "red\nblue\n"
    assert TrainingOptions.read(run / "options.yaml") == options
    best = read_checkpoint(run / "checkpoints" / "best.pt")
    delivered = Network.from_cfg(run / "model.cfg")
    assert delivered.load_weights(run / "model.weights").header.seen == best.seen == 4 * best.iteration
    assert all(value.equal(best.averaged[name]) for name, value in delivered.state_dict().items() if "num_" not in name)
    assert [row.iteration for row in read_history(run / "history.csv") if row.ap50 is not None] == [4, 8]


def stop_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """The process dies in the update after `updates`."""
    update = Run._update

    def dying(run: Run, *arguments: Any) -> None:
        if run.iteration == updates:
            raise KeyboardInterrupt
        update(run, *arguments)

    monkeypatch.setattr(Run, "_update", dying)


@pytest.mark.many(1)
@pytest.mark.parametrize(("optimizer", "killed_after"), [("sgd", 6), ("adamw", 4)])
def test_resumed_run_equals_the_undisturbed_one(
    rectangles: Path, tmp_path: Path, options: TrainingOptions, optimizer: str, killed_after: int
) -> None:
    options = replace(options, optimizer=optimizer)
    whole = train(rectangles, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_after(monkeypatch, killed_after)
        with pytest.raises(KeyboardInterrupt):
            train(rectangles, tmp_path / "parts", options)
    torch.manual_seed(99)  # what the process draws elsewhere does not matter
    parts = train(rectangles, tmp_path / "parts", options, resume=True)
    assert replace(parts, seconds=0) == replace(whole, seconds=0)
    for name in ("model.weights", "model.cfg", "options.yaml", "classes.names"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    histories = [read_history(tmp_path / name / "history.csv") for name in ("whole", "parts")]
    whole_rows, rows = ([replace(row, seconds=0, images_per_s=None) for row in rows] for rows in histories)
    assert rows == whole_rows


def test_subdivisions_give_the_same_step_without_batch_norm(
    rectangles: Path, tmp_path: Path, tiny_cfg: Path, options: TrainingOptions
) -> None:
    plain = tiny_cfg.with_name("plain.cfg")
    plain.write_text(tiny_cfg.read_text().replace("batch_normalize=1\n", ""))
    weights = []
    for subdivisions in (1, 2):
        once = replace(options, cfg=str(plain), max_batches=1, subdivisions=subdivisions, learning_rate=1e-3, burn_in=0)
        train(rectangles, tmp_path / str(subdivisions), once)
        weights.append(torch.from_numpy(read_weights(tmp_path / str(subdivisions) / "model.weights").values.copy()))
    torch.testing.assert_close(weights[0], weights[1])


@pytest.mark.parametrize(("words", "changed"), [("heads", {3, 7}), ("from:6", {6, 7})])
def test_frozen_layers_stay_bit_for_bit(
    rectangles: Path, tmp_path: Path, tiny_cfg: Path, options: TrainingOptions, words: str, changed: set[int]
) -> None:
    start = Network.from_cfg(tiny_cfg, seed=3)
    start.save_weights(tmp_path / "start.weights")
    options = replace(options, weights=str(tmp_path / "start.weights"), fine_tune_layers=words, learning_rate=0.01)
    train(rectangles, tmp_path / "run", options)
    values = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt").averaged
    different = {int(name.split(".")[1]) for name, value in start.state_dict().items() if not value.equal(values[name])}
    assert different == changed


def test_training_from_weights_of_other_classes_runs(
    make_rectangles: Callable[..., Path], tmp_path: Path, tiny_cfg: Path, options: TrainingOptions
) -> None:
    Network.from_cfg(tiny_cfg).save_weights(tmp_path / "start.weights")
    (tmp_path / "old.names").write_text("RED\ngreen\n")
    dataset = make_rectangles(tmp_path / "dataset", ("red", "blue", "yellow"))
    options = replace(
        options,
        weights=str(tmp_path / "start.weights"),
        weights_names=str(tmp_path / "old.names"),
        class_seeds="blue=green",
    )
    assert isinstance(train(dataset, tmp_path / "run", options), TrainingSummary)
    assert Cfg.read(tmp_path / "run" / "model.cfg").layers[-1].get_int("classes", 0) == 3


def test_loss_that_is_no_number_stops_with_advice(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    options = replace(options, learning_rate=1e12, burn_in=0, optimizer="sgd")
    with pytest.raises(
        TrainingError,
        match=r"loss is (nan|inf) at iteration \d+ with learning rate 1e\+12, pictures recording/0.png, .*: try a smaller",
    ):
        train(rectangles, tmp_path / "run", options)


def test_existing_run_is_refused_and_left_alone(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(
        TrainingError, match=r"training run exists already: .*run; resume it \(--resume\), remove it, or choose"
    ):
        train(rectangles, tmp_path / "run", options)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_nothing_to_resume_is_refused(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    with pytest.raises(TrainingError, match=r"nothing to resume: .*run holds no training run"):
        train(rectangles, tmp_path / "run", options, resume=True)
    assert not (tmp_path / "run").exists()


def test_resuming_with_other_options_is_refused(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    train(rectangles, tmp_path / "run", options)
    with pytest.raises(TrainingError, match="resume: the options differ from"):
        train(rectangles, tmp_path / "run", replace(options, seed=1), resume=True)


@pytest.mark.long
def test_resuming_a_finished_run_changes_nothing(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    first = train(rectangles, tmp_path / "run", options)
    weights = (tmp_path / "run" / "model.weights").read_bytes()
    assert train(rectangles, tmp_path / "run", options, resume=True) == first
    assert (tmp_path / "run" / "model.weights").read_bytes() == weights


def test_data_set_without_val_pictures_is_refused(
    make_rectangles: Callable[..., Path], tmp_path: Path, options: TrainingOptions
) -> None:
    dataset = make_rectangles(tmp_path / "dataset")
    annotations = dataset / "annotations"
    (annotations / "instances_val.json").write_bytes((annotations / "instances_test.json").read_bytes())
    write_manifest(dataset)
    with pytest.raises(TrainingError, match="split val has no pictures"):
        train(dataset, tmp_path / "run", options)


def test_bad_start_leaves_no_folder(rectangles: Path, tmp_path: Path, options: TrainingOptions) -> None:
    with pytest.raises(DatasetError, match="data set not found"):
        train(tmp_path / "nothing", tmp_path / "run", options)
    if not torch.cuda.is_available():
        with pytest.raises(OptionsError, match="device is cuda, but PyTorch sees no GPU; use cpu or auto"):
            train(rectangles, tmp_path / "run", replace(options, device="cuda"))
    assert not (tmp_path / "run").exists()


def test_training_leaves_the_callers_random_state_alone(
    rectangles: Path, tmp_path: Path, options: TrainingOptions
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(rectangles, tmp_path / "run", options)
    assert torch.get_rng_state().equal(before)
