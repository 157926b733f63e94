"""The rate test: a rate that does harm is halved, a good one stays, and the run that follows is none the wiser."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery import change_classes
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.training import rate_test
from traffic_yolo.training.checkpoint import read_checkpoint
from traffic_yolo.training.distributed import Processes
from traffic_yolo.training.history import read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.rate_test import LEAST_RUN, MEASURED, RateTest, architecture_of, try_rate, wants_test
from traffic_yolo.training.run import Run
from traffic_yolo.training.trainer import train


@pytest.fixture
def options(trained: Path) -> TrainingOptions:
    """A fine-tuning that leaves its rate to the recipe, with pictures that the weights have not learnt by heart."""
    return TrainingOptions(
        cfg=str(trained / "model.cfg"),
        weights=str(trained / "model.weights"),
        fine_tune_layers="all",
        batch=4,
        max_batches=LEAST_RUN,
        evaluate_every=LEAST_RUN,
        hue=0.1,
        device="cpu",
    )


def found_at(rate: float, options: TrainingOptions, rectangles: Path, out: Path) -> tuple[RateTest, Run]:
    """The test of a rate, and the run that it was made for."""
    run = Run(DataSet.open(rectangles), out, options, torch.device("cpu"), Processes())
    settings = replace(run.settings, schedule=replace(run.settings.schedule, learning_rate=rate))
    found = try_rate(
        run.network,
        settings,
        lambda first, last: run.pictures.batches(first=first, last=last, workers=0),
        loss=options.loss,
        precision="float32",
        device=torch.device("cpu"),
        processes=Processes(),
    )
    return found, run


@pytest.mark.long
def test_a_rate_that_does_harm_is_halved_until_it_does_none(
    rectangles: Path, tmp_path: Path, options: TrainingOptions
) -> None:
    found, _ = found_at(0.03, options, rectangles, tmp_path / "run")
    rates = [rate for rate, _ in found.tried]
    losses = dict(found.tried)
    assert rates[:3] == [0.03, 0.015, 0.0075]
    assert found.learning_rate < 0.01
    assert not found.does_harm
    assert losses[0.03] > 1.5 * losses[found.learning_rate]
    assert f"learning rate {found.learning_rate:g}" in found.text


def test_a_rate_that_does_no_harm_stays_and_so_does_the_network(
    rectangles: Path, tmp_path: Path, options: TrainingOptions
) -> None:
    found, run = found_at(1e-4, options, rectangles, tmp_path / "run")
    assert [rate for rate, _ in found.tried] == [1e-4, 5e-5]
    assert found.learning_rate == 1e-4
    start = Network.read(Path(options.cfg or ""), Path(options.weights or ""))
    now = run.network.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in start.state_dict().items())


@pytest.mark.parametrize(
    ("start", "tried", "rate", "does_harm"),
    [
        (30.0, ((1e-3, 22.0), (5e-4, 21.9)), 1e-3, False),
        (30.0, ((1e-3, 27.0), (5e-4, 22.0), (2.5e-4, 22.5)), 5e-4, False),  # lower than the start, and yet too large
        (20.0, ((1e-3, 20.9), (5e-4, 20.5)), 1e-3, False),  # a start that fits: a little is no harm
        (20.0, ((1e-3, 21.1), (5e-4, 20.5), (2.5e-4, 20.2)), 5e-4, False),
        (20.0, ((1e-3, math.nan), (5e-4, 19.0), (2.5e-4, 18.9)), 5e-4, False),
        (20.0, ((1e-3, 50.0), (5e-4, 40.0)), 5e-4, True),
        (20.0, ((1e-3, math.nan), (5e-4, math.nan)), 5e-4, True),
        (20.0, ((1e-3, 50.0), (5e-4, math.inf), (2.5e-4, 20.0)), 2.5e-4, False),
    ],
)
def test_which_rate_is_taken(
    start: float, tried: tuple[tuple[float, float], ...], rate: float, does_harm: bool
) -> None:
    found = RateTest(start, tried)
    assert (found.learning_rate, found.does_harm) == (rate, does_harm)
    assert ("every rate did harm" in found.text) == does_harm


def test_only_a_recipes_rate_for_whole_weights_of_an_unmeasured_network_is_tested(
    rectangles: Path, tmp_path: Path, options: TrainingOptions, tiny_cfg: Path
) -> None:
    def wants(given: TrainingOptions) -> bool:
        run = Run(DataSet.open(rectangles), tmp_path / "run", given, torch.device("cpu"), Processes())
        return wants_test(given, run.settings, run.network)

    assert wants(options)
    assert not wants(replace(options, learning_rate=1e-3))
    assert not wants(replace(options, recipe="darknet"))
    assert not wants(replace(options, max_batches=LEAST_RUN - 1))
    assert not wants(replace(options, cfg=str(tiny_cfg), weights=""))


def test_the_measured_network_is_known_whatever_its_classes_and_size(reference: Path) -> None:
    files = "yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-coco"
    networks = [Network(Cfg.read(reference / "weights" / f"{name}.cfg")) for name in files]
    names = (reference / "weights" / "coco.names").read_text().splitlines()
    assert architecture_of(networks[0]) in MEASURED
    assert architecture_of(change_classes(networks[0], names, ["car", "bus"])) in MEASURED
    assert architecture_of(networks[0]) != architecture_of(networks[1])


@pytest.mark.long
def test_a_run_has_the_tested_rate_and_keeps_it_when_it_goes_on(
    rectangles: Path, tmp_path: Path, options: TrainingOptions, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_test, "LEAST_RUN", 4)
    told: list[str] = []
    cfg = tmp_path / "fast.cfg"
    cfg.write_text((trained / "model.cfg").read_text().replace("learning_rate=0.02", "learning_rate=0.05"))
    options = replace(options, cfg=str(cfg), optimizer="sgd", max_batches=4, evaluate_every=2)
    out = tmp_path / "run"
    train(rectangles, out, options, tell=told.append)
    rate = read_checkpoint(out / "checkpoints" / "last.pt").learning_rate
    assert any(line.startswith("rate test: ") and line.endswith(f"learning rate {rate:g}") for line in told)
    assert rate < 0.005  # the recipe's: a tenth of the cfg's
    assert f"learning_rate: {rate:g}" in (out / "settings.yaml").read_text()
    assert 0.8 * rate < max(row.learning_rate for row in read_history(out / "history.csv")) <= rate
    train(rectangles, out, replace(options, max_batches=6), resume="yes", tell=told.append)
    assert sum(line.startswith("rate test: ") for line in told) == 1
    after = [row.learning_rate for row in read_history(out / "history.csv") if row.iteration > 4]
    assert len(after) == 2
    assert max(after) < rate
