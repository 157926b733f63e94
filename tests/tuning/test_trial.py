"""A Katib trial: its metrics, what makes it train again, and its store under parallel and killed trials."""

import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from traffic_yolo.commands.trial import command
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import StorageError
from traffic_yolo.evaluation.nms import NmsOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning import trial
from traffic_yolo.tuning.experiment import METRIC_FORMAT, WORK_FOLDER, ExperimentOptions
from traffic_yolo.tuning.metrics import METRICS
from traffic_yolo.tuning.trial import exclusive_lock, run_trial, trained_once, training_key

TRAINING = TrainingOptions(width=160, height=96, batch=2, max_batches=2, seed=3)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first_metrics(
    small_data_set: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, float]:
    """One real trial, whose training the tests after it find in the store."""
    return run_trial(
        small_data_set, tmp_path_factory.mktemp("work"), TRAINING, NmsOptions(0.002, 0.5), store=shared_store
    )


class Trainings:
    """Stands in for `train`: copies a finished run, slowly, and counts."""

    def __init__(self, finished: Path) -> None:
        self.finished = finished
        self.count = 0

    def __call__(self, _dataset: Path, out: Path, _options: TrainingOptions) -> None:
        self.count += 1
        time.sleep(0.3)
        shutil.copytree(self.finished, out)


def finished_run(store: Path) -> Path:
    (folder,) = (path for path in store.iterdir() if path.is_dir())
    return folder / "run"


def test_a_trial_gives_every_metric_as_a_number(first_metrics: dict[str, float]) -> None:
    assert tuple(first_metrics) == tuple(METRICS) == ("f1", "precision", "recall", "map", "map50")
    assert all(0 <= value <= 1 for value in first_metrics.values())


@pytest.mark.usefixtures("first_metrics")
def test_other_thresholds_train_nothing_again(
    small_data_set: Path, shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = Trainings(finished_run(shared_store))
    monkeypatch.setattr(trial, "train", trainings)
    run_trial(small_data_set, tmp_path, TRAINING, NmsOptions(0.5, 0.3), store=shared_store)
    assert trainings.count == 0
    assert (tmp_path / "trial.json").is_file()


def test_the_command_with_katib_values_prints_lines_that_the_collector_reads(
    small_data_set: Path, shared_store: Path, tmp_path: Path, first_metrics: dict[str, float]
) -> None:
    """The experiment's own command, placeholders filled as Katib fills them, run for real."""
    options = ExperimentOptions(str(small_data_set), str(shared_store), TRAINING, fine_tune_layers=("all",))
    values = {"confidence_threshold": "0.002", "iou_threshold": "0.5", "fine_tune_layers": "all"}
    arguments = []
    for argument in options.command()[2:]:
        for name, value in values.items():
            argument = argument.replace(f"${{trialParameters.{name}}}", value)
        arguments.append(argument.replace(WORK_FOLDER, str(tmp_path)))
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    read = dict(re.findall(METRIC_FORMAT, result.output, flags=re.MULTILINE))
    assert {name: float(value) for name, value in read.items()} == pytest.approx(first_metrics, abs=1e-6)
    assert len([path for path in shared_store.iterdir() if path.is_dir()]) == 1


@pytest.mark.usefixtures("first_metrics")
def test_parallel_trials_train_once(
    small_data_set: Path, shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = Trainings(finished_run(shared_store))
    monkeypatch.setattr(trial, "train", trainings)
    data = DataSet.open(small_data_set)
    options = [dataclasses.replace(TRAINING, seed=seed) for seed in (1, 2)] * 3
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda training: trained_once(data, tmp_path, training), options))
    assert trainings.count == 2
    assert len({result.run for result in done}) == 2


@pytest.mark.usefixtures("first_metrics")
def test_a_trial_killed_in_its_training_leaves_the_store_usable(
    small_data_set: Path, shared_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataSet.open(small_data_set)
    trainings = Trainings(finished_run(shared_store))
    monkeypatch.setattr(trial, "train", trainings)
    folder = trained_once(data, tmp_path, TRAINING).run.parent
    (folder / "key.json").unlink()  # as a training that was not finished
    code = (
        "import sys, time; from pathlib import Path; from traffic_yolo.tuning.trial import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    arguments = [sys.executable, "-c", code, str(folder.with_name(f"{folder.name}.lock"))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(trained_once, data, tmp_path, TRAINING)
            time.sleep(0.3)
            assert not waiting.done()
            holder.send_signal(signal.SIGKILL)
            assert waiting.result(timeout=30).run.is_dir()
    assert trainings.count == 2


def test_a_failed_training_is_tried_again(
    small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(_dataset: Path, out: Path, _options: TrainingOptions) -> None:
        calls.append(out)
        out.mkdir(parents=True)
        raise RuntimeError("no more memory")

    monkeypatch.setattr(trial, "train", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no more memory"):
            trained_once(DataSet.open(small_data_set), tmp_path, TRAINING)
    assert len(calls) == 2


def test_everything_that_moves_a_training_is_in_its_key(small_data_set: Path, tmp_path: Path) -> None:
    data = DataSet.open(small_data_set)
    weights = tmp_path / "a.weights"
    weights.write_bytes(b"one")
    base = dataclasses.replace(TRAINING, weights=str(weights))
    key = training_key(data, base)
    for change in ({"seed": 9}, {"max_batches": 3}, {"fine_tune_layers": "heads"}, {"learning_rate": 0.1}):
        assert training_key(data, dataclasses.replace(base, **change)) != key
    for change in ({"device": "cpu"}, {"workers": 2}, {"cache_mib": 1}):
        assert training_key(data, dataclasses.replace(base, **change)) == key
    shutil.copyfile(weights, tmp_path / "b.weights")
    assert training_key(data, dataclasses.replace(base, weights=str(tmp_path / "b.weights"))) == key
    weights.write_bytes(b"two")
    assert training_key(data, base) != key
    assert training_key(dataclasses.replace(data, manifest={"fingerprint": "other"}), base) != training_key(data, base)


def test_weights_that_do_not_exist_are_refused(small_data_set: Path, tmp_path: Path) -> None:
    training = dataclasses.replace(TRAINING, weights=str(tmp_path / "none.weights"))
    with pytest.raises(StorageError, match=r"weights not found: .*none\.weights"):
        run_trial(small_data_set, tmp_path / "work", training, NmsOptions())


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="store cannot be written"), exclusive_lock(tmp_path / "file" / "x.lock"):
        pass
