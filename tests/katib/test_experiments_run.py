"""The committed experiments, run to their end by the local runner: real data, real trainings, the real command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from quick_yaml import load_yaml

from traffic_yolo.tuning.shared_store import count_events, events

SLOW = pytest.mark.skipif(
    os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="128 trials (minutes): TRAFFIC_YOLO_SLOW=1 runs them"
)
# What is cut so that two cores can train; the network is 160 x 96 by the start model's cfg
CUT = {r"--batch=64\b": "--batch=2", r"--subdivisions=4\b": "--subdivisions=1", r"--max-batches=\d+": "--max-batches=2"}


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "traffic_yolo.cli", *map(str, arguments)]


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NAS as the committed files expect it: a data set, a start model, and its evaluation."""
    from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
    from traffic_yolo.dataset.convert import convert
    from traffic_yolo.dataset.data_set import DataSet
    from traffic_yolo.dataset.options import ConvertOptions
    from traffic_yolo.training.options import TrainingOptions
    from traffic_yolo.tuning import trained_run

    share, root = tmp_path_factory.mktemp("share"), tmp_path_factory.mktemp("nas")
    write_share(share, SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=4, image_wh=(320, 192)))
    source = ConvertOptions(str(share / "recordings"), labels=str(share / "human_labels.json"))
    data = root / "datasets" / "traffic"
    data.parent.mkdir()
    convert(source, data)
    options = TrainingOptions(width=160, height=96, batch=2, max_batches=2)
    trained_run.train(data, share / "run", options)
    start = root / "models" / "start"
    start.mkdir(parents=True)
    for name in ("model.cfg", "model.weights", "classes.names"):
        shutil.copy(share / "run" / name, start)
    evaluation = root / "evaluations" / "traffic"
    evaluation.mkdir(parents=True)
    trained_run.infer(share / "run", DataSet.open(data), "val", evaluation / "detections_val.npz", options)
    return root


def cut(file: Path, to: Path, **counts: int) -> Path:
    """A copy of a committed experiment with shorter trainings, and other `counts` where given."""
    text = file.read_text()
    for long, short in CUT.items():
        text, changed = re.subn(long, short, text)
        assert changed == 1
    for name, count in counts.items():
        text, changed = re.subn(rf"{name}: \d+", f"{name}: {count}", text)
        assert changed == 1
    to.write_text(text)
    return to


def status_of(out: Path) -> dict[str, Any]:
    status: dict[str, Any] = load_yaml((out / "experiment.yaml").read_text())["status"]
    return status


@SLOW
def test_trials_of_the_fine_tuning_experiment_share_their_trainings(
    nas: Path, repository: Path, tmp_path: Path
) -> None:
    """Four trials, as many trainings as they have values of fine_tune_layers."""
    file = cut(repository / "katib" / "fine_tuning_experiment.yaml", tmp_path / "few.yaml", maxTrialCount=4)
    store = tmp_path / "store"
    store.mkdir()
    mount = ("--mount", f"/nas/katib={store}")
    subprocess.run(program("katib", "run", file, "--nas-root", nas, *mount, "--out", tmp_path / "out"), check=True)
    assert status_of(tmp_path / "out")["trialsSucceeded"] == 4
    layers = {line.split(",")[4] for line in (tmp_path / "out" / "trials.csv").read_text().splitlines()[1:]}
    counts = count_events(store / "trainings")
    assert (counts["trained"], counts["inferred"], counts["reused"]) == (len(layers), len(layers), 4 - len(layers))


@SLOW
def test_trials_of_the_compression_share_prunings_and_leave_a_front(
    nas: Path, repository: Path, tmp_path: Path
) -> None:
    """Four trials of the committed experiment by one table; what they left is drawn."""
    file = cut(repository / "katib" / "compression_experiment.yaml", tmp_path / "few.yaml", maxTrialCount=4)
    store = tmp_path / "store" / "compression"
    store.mkdir(parents=True)
    start = nas / "models" / "start"
    subprocess.run(program("compress", "measure", "--model", start, "--out", store / "latency.json"), check=True)
    mount = ("--mount", f"/nas/katib={store.parent}")
    subprocess.run(program("katib", "run", file, "--nas-root", nas, *mount, "--out", tmp_path / "out"), check=True)
    assert status_of(tmp_path / "out")["trialsSucceeded"] == 4
    counts = count_events(store)
    assert counts["pruned"] + counts["pruning_reused"] == counts["trained"] + counts["reused"] == 4
    assert counts["failed"] == 0
    front = program("compress", "front", "--store", store, "--out", tmp_path / "front")
    subprocess.run(front, check=True)
    trials = json.loads((tmp_path / "front" / "front.json").read_text())["trials"]
    assert len(trials) == counts["trained"]


@SLOW
def test_the_committed_thresholds_experiment_runs_to_its_end(nas: Path, repository: Path, tmp_path: Path) -> None:
    file = repository / "katib" / "thresholds_experiment.yaml"
    subprocess.run(program("katib", "run", file, "--nas-root", nas, "--out", tmp_path / "out"), check=True)
    status = status_of(tmp_path / "out")
    assert (status["trials"], status["trialsSucceeded"]) == (60, 60)


@SLOW
def test_sixty_trials_train_four_times_also_when_one_is_killed(nas: Path, repository: Path, tmp_path: Path) -> None:
    file = cut(repository / "katib" / "fine_tuning_experiment.yaml", tmp_path / "cut.yaml")
    store = tmp_path / "store" / "trainings"
    store.mkdir(parents=True)
    mount = ("--mount", f"/nas/katib={store.parent}")
    with subprocess.Popen(program("katib", "run", file, "--nas-root", nas, *mount, "--out", tmp_path / "out")) as run:
        while not (begun := [event for event in events(store) if event["event"] == "training"]):
            assert run.poll() is None
            time.sleep(0.02)
        os.kill(begun[0]["pid"], signal.SIGKILL)  # it holds the lease
        assert run.wait() == 0
    status = status_of(tmp_path / "out")
    assert (status["trials"], status["trialsSucceeded"], status["trialsFailed"]) == (60, 59, 1)
    told = subprocess.run(
        program("trial", "store", "--store", store), capture_output=True, text=True, check=True
    ).stdout
    counts = dict(line.split(": ") for line in told.splitlines() if ": " in line)
    assert (counts["training"], counts["trained"], counts["inferred"], counts["reused"]) == ("5", "4", "4", "55")
