"""Two processes that train together: the same losses as one, one that writes, and what is said when they cannot meet."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.distributed import Processes, requested
from traffic_yolo.training.history import HistoryRow, read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def train_in_two(run: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, "-m", "traffic_yolo.cli", "train", *map(str, arguments), "--out", str(run)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def losses(rows: list[HistoryRow]) -> np.ndarray:
    return np.array([[row.loss, row.box, row.objectness, row.classes] for row in rows])


def test_two_processes_train_as_one_does(rectangles: Path, tiny_cfg: Path, tmp_path: Path) -> None:
    options = TrainingOptions(cfg=str(tiny_cfg), batch=4, max_batches=6, optimizer="sgd", device="cpu")
    train(rectangles, tmp_path / "1", options)
    flags = ("--cfg", tiny_cfg, "--batch", 4, "--max-batches", 6, "--optimizer", "sgd", "--device", "cpu")
    done = train_in_two(tmp_path / "2", "--dataset", rectangles, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best AP50 on val") == 1
    one, two = (read_history(tmp_path / name / "history.csv") for name in ("1", "2"))
    assert [row.iteration for row in two] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-4)
    weights = [read_weights(tmp_path / name / "model.weights").values for name in ("1", "2")]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-3)  # after six updates of rounding
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == sorted(
        path.name for path in (tmp_path / "1").iterdir()
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 .* RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost"},
            "MASTER_PORT is not set; start the command with torchrun",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "x", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK='x': expected a whole number",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK=2: expected a number below WORLD_SIZE=2",
        ),
    ],
)
def test_a_group_that_cannot_meet_is_refused_by_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=words):
        requested()


@pytest.mark.parametrize("size", ["", "1"])
def test_one_process_is_no_group(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    assert requested() == Processes()
    assert replace(Processes(), rank=1).is_first is False


def test_world_size_without_torchrun_is_one_line(
    rectangles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from traffic_yolo.cli import main

    monkeypatch.setenv("WORLD_SIZE", "4")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--dataset", str(rectangles), "--max-batches", "1", "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()
