"""Two processes that train together: the same losses as one, one that writes, and what is said when they cannot meet."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forked import Forks

from traffic_yolo.darknet.weights import read_weights
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.distributed import Processes, requested
from traffic_yolo.training.history import HistoryRow, read_history
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

# torchrun's own part is seen where two nodes train by the command of a manifest (test_trainjob.py)
TRAIN = "import sys; from traffic_yolo.cli import main; main(sys.argv[1:])"


def together(forks: Forks, code: str, *arguments: object) -> list[tuple[int, str, str]]:
    """Two processes of a group, as torchrun starts them; exit code, stdout and stderr of each."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    started = [
        forks.start(
            code,
            arguments,
            {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
        )
        for rank in ("0", "1")
    ]
    return [(process.wait(), *process.output()) for process in started]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Forks that have loaded what a training loads."""
    with Forks(tmp_path_factory.mktemp("forks"), "traffic_yolo.training.trainer", "torch._dynamo") as forks:
        yield forks


def losses(rows: list[HistoryRow]) -> np.ndarray:
    return np.array([[row.loss, row.box, row.objectness, row.classes] for row in rows])


def test_two_processes_train_as_one_does(forks: Forks, rectangles: Path, tiny_cfg: Path, tmp_path: Path) -> None:
    # A rate so small that rounding stays rounding: at the cfg's own it grows fivefold with each update
    options = TrainingOptions(
        cfg=str(tiny_cfg), batch=4, max_batches=6, optimizer="sgd", learning_rate=0.001, device="cpu"
    )
    train(rectangles, tmp_path / "1", options)
    flags = ("--cfg", tiny_cfg, "--batch", 4, "--max-batches", 6, "--optimizer", "sgd", "--learning-rate", 0.001)
    where = ("--dataset", rectangles, "--out", tmp_path / "2")
    (code, first, err), (other_code, second, other_err) = together(
        forks, TRAIN, "train", *where, *flags, "--device", "cpu"
    )
    assert (code, other_code) == (0, 0), (err, other_err)
    assert (first.count("best AP50 on val"), second) == (1, "")
    one, two = (read_history(tmp_path / name / "history.csv") for name in ("1", "2"))
    assert [row.iteration for row in two] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(losses(two), losses(one), rtol=2e-4)
    weights = [read_weights(tmp_path / name / "model.weights").values for name in ("1", "2")]
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-3)  # after six updates of rounding
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == sorted(
        path.name for path in (tmp_path / "1").iterdir()
    )


SKIPPING = """
import sys
from traffic_yolo.entry_point import one_line_errors
from traffic_yolo.training.distributed import process_group
from traffic_yolo.training.skipped_pictures import SkippedPicture, SkippedPictures

updates = (((0,), ()), ((), ()), ((1, 2), (0, 3)), ((), (4,)))  # pictures that each of two processes meets, by update
with one_line_errors(), process_group("cpu") as processes:
    skipped = SkippedPictures(10, most=0.4, processes=processes)
    for number, met in enumerate(updates, start=1):
        try:
            skipped.add([SkippedPicture(f"{n}.png", ("missing", "damaged")[n % 2], f"{n}.png") for n in met[processes.rank]])
        finally:
            print(number, skipped.counts, flush=True)
"""


def test_pictures_that_any_process_skips_are_counted_by_all_and_end_all(forks: Forks) -> None:
    ended = together(forks, SKIPPING)
    for code, out, err in ended:
        assert out.splitlines() == [
            "1 {'missing': 1}", "2 {'missing': 1}", "3 {'damaged': 2, 'missing': 2}", "4 {'damaged': 2, 'missing': 3}",
        ]  # fmt: skip
        assert code == 2
        assert err.splitlines()[-1] == (
            "error: 5 of 10 training pictures cannot be used, more than max_bad_pictures=0.4 of them: 0.png (missing), "
            "1.png (damaged), 2.png (missing) and 2 more; mend the data set or raise --max-bad-pictures"
        )
    assert [err.count("training picture skipped") for *_, err in ended] == [5, 0]


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
