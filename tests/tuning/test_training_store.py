"""The store of trainings: what is in its key, and that trials train once, in parallel and through kills."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from examples import slow
from forked import Forks
from records import pruned_from

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import StorageError
from traffic_yolo.pruned_from import PRUNED_NAME
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning import trained_run
from traffic_yolo.tuning.pruning_store import PRUNING_CODE
from traffic_yolo.tuning.shared_store import count_events, events
from traffic_yolo.tuning.training_store import CODE, code_files, trained_once, training_key

TRAINING = TrainingOptions(width=160, height=96, batch=2, max_batches=2, seed=3)
FAST = LeaseTiming(renew_s=0.05, expiry_s=600, poll_s=0.02)  # a busy machine may stop a holder for a second
# A real trial's training in a process of its own: data set, store, seed.
WORKER = """
import sys
from pathlib import Path
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.storage.lease import LeaseTiming
from traffic_yolo.tuning.training_store import trained_once
training = TrainingOptions(width=160, height=96, batch=2, max_batches=int(sys.argv[4]), seed=int(sys.argv[3]))
trained_once(DataSet.open(Path(sys.argv[1])), Path(sys.argv[2]), training, timing=LeaseTiming(0.1, 600, 0.05))
"""


@slow
def test_processes_in_parallel_train_once_though_one_is_killed_while_it_holds_the_lease(
    small_data_set: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    modules = ("traffic_yolo.tuning.training_store", "traffic_yolo.training.trainer", "torch._dynamo")
    with Forks(tmp_path, *modules) as forks:
        killed = forks.start(WORKER, (small_data_set, store, 1, 1000))
        until = time.monotonic() + 300
        while not any(store.glob("attempt-*/run/*")):
            assert time.monotonic() < until, f"the first training never began: {killed.output()}"
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert {event for event, count in count_events(store).items() if count} == {"training"}
        # The killed one's key is another training's, so its lease must also not be in the way of these
        workers = [forks.start(WORKER, (small_data_set, store, 1, 2)) for _ in range(3)]
        assert [process.wait() for process in workers] == [0, 0, 0], [process.output() for process in workers]
    counts = count_events(store)
    assert (counts["trained"], counts["inferred"], counts["reused"]) == (1, 1, 2)


@pytest.fixture(scope="module")
def finished(small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real training with its detections, to copy from."""
    store = tmp_path_factory.mktemp("finished")
    return trained_once(DataSet.open(small_data_set), store, TRAINING).run.parent


class Copies:
    """Stands in for training and inference: copies the finished ones, slowly."""

    def __init__(self, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.finished = finished
        monkeypatch.setattr(trained_run, "train", self.train)
        monkeypatch.setattr(trained_run, "infer", self.infer)

    def train(self, _dataset: Path, out: Path, _options: TrainingOptions) -> None:
        time.sleep(0.2)
        shutil.copytree(self.finished / "run", out)

    def infer(self, _run: Path, _data: DataSet, _split: str, out: Path, _training: TrainingOptions) -> None:
        shutil.copyfile(self.finished / out.name, out)


@pytest.mark.long
def test_sixty_trials_over_four_choices_train_four_times(
    small_data_set: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Copies(finished, monkeypatch)
    data = DataSet.open(small_data_set)
    choices = [dataclasses.replace(TRAINING, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda choice: trained_once(data, tmp_path, choice, timing=FAST), choices * 15))
    assert len({result.run for result in done}) == 4
    counts = {event: count for event, count in count_events(tmp_path).items() if count}
    assert counts == {"training": 4, "trained": 4, "inferred": 4, "reused": 56}
    assert all(result.detections.is_file() for result in done)
    assert not list(tmp_path.glob("attempt-*"))


def test_what_a_killed_training_left_is_cleared_away(
    small_data_set: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Copies(finished, monkeypatch)
    data = DataSet.open(small_data_set)
    key = trained_once(data, tmp_path, TRAINING).run.parent.name.removeprefix("training-")
    shutil.rmtree(tmp_path / f"training-{key}")
    (tmp_path / f"attempt-{key}-1" / "run").mkdir(parents=True)
    assert trained_once(data, tmp_path, TRAINING).run.is_dir()
    assert not list(tmp_path.glob("attempt-*"))


def test_a_failed_training_is_written_down_and_tried_again(
    small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_dataset: Path, out: Path, _options: TrainingOptions) -> None:
        out.mkdir(parents=True)
        raise RuntimeError("no more memory")

    monkeypatch.setattr(trained_run, "train", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no more memory"):
            trained_once(DataSet.open(small_data_set), tmp_path, TRAINING)
    assert count_events(tmp_path)["failed"] == 2
    assert [entry["error"] for entry in events(tmp_path) if entry["event"] == "failed"] == [
        "RuntimeError: no more memory"
    ] * 2
    assert not list(tmp_path.glob("attempt-*"))


def test_who_was_taken_over_drops_its_own_result(
    small_data_set: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = Copies(finished, monkeypatch)
    data = DataSet.open(small_data_set)

    def slow(dataset: Path, out: Path, options: TrainingOptions) -> None:
        copies.train(dataset, out, options)
        key = out.parent.name.split("-")[1]
        other = tmp_path / f"training-{key}"  # put there by another while we were paused
        shutil.copytree(finished, other)
        (other / "theirs").touch()

    monkeypatch.setattr(trained_run, "train", slow)
    done = trained_once(data, tmp_path, TRAINING)
    assert (done.run.parent / "theirs").exists()
    assert not list(tmp_path.glob("attempt-*"))


def test_everything_that_moves_a_training_is_in_its_key(
    small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataSet.open(small_data_set)
    weights = tmp_path / "a.weights"
    weights.write_bytes(b"one")
    base = dataclasses.replace(TRAINING, weights=str(weights))
    key = training_key(data, base)
    for change in (
        {"seed": 9},
        {"max_batches": 3},
        {"fine_tune_layers": "heads"},
        {"learning_rate": 0.1},
        {"validation_precision": "bfloat16"},
    ):
        assert training_key(data, dataclasses.replace(base, **change)) != key
    for change in ({"device": "cpu"}, {"workers": 2}, {"cache_mib": 1}, {"validation_batch": 1}):
        assert training_key(data, dataclasses.replace(base, **change)) == key
    shutil.copyfile(weights, tmp_path / "b.weights")
    assert training_key(data, dataclasses.replace(base, weights=str(tmp_path / "b.weights"))) == key
    pruned_from(parent="a" * 64, weights=sha256_of_file(weights)).write(tmp_path / PRUNED_NAME)
    assert training_key(data, base) != key  # the recipe trains all layers of what pruning wrote
    (tmp_path / PRUNED_NAME).unlink()
    weights.write_bytes(b"two")
    assert training_key(data, base) != key
    assert training_key(dataclasses.replace(data, manifest={"fingerprint": "other"}), base) != training_key(data, base)
    monkeypatch.setattr("traffic_yolo.tuning.training_store.code_fingerprint", lambda: "other")
    assert training_key(data, base)["code"] == "other"
    json.dumps(key)


def test_all_of_our_code_that_a_training_or_a_pruning_imports_is_in_its_key(repository: Path) -> None:
    program = (
        "import sys, json, importlib\n"
        "for name in ('tuning.trained_run', 'compression.prune_files'):\n"
        "    importlib.import_module('traffic_yolo.' + name)\n"
        "    print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith('traffic_yolo.')]))"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    package = repository / "components" / "traffic_yolo"
    light = {package / "_version.py", package / "atm" / "__init__.py", package / "tuning" / "__init__.py"}
    light |= {package / "snapshot" / "__init__.py"}
    for names, line in zip((CODE, PRUNING_CODE), printed.splitlines(), strict=True):
        imported = {Path(file).resolve() for file in json.loads(line) if file}
        hashed = {file.resolve() for file in code_files(package, names)}
        assert imported - hashed - light == set(), f"add to {names}"
        assert all((package / name).exists() for name in names)


def test_weights_that_do_not_exist_are_refused(small_data_set: Path, tmp_path: Path) -> None:
    training = dataclasses.replace(TRAINING, weights=str(tmp_path / "none.weights"))
    with pytest.raises(StorageError, match=r"weights not found: .*none\.weights"):
        trained_once(DataSet.open(small_data_set), tmp_path / "store", training)
