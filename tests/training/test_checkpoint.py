"""Checkpoints: plain contents, whole files, and refusal of what belongs to another run."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from traffic_yolo.errors import TrainingError
from traffic_yolo.training.checkpoint import MAY_DIFFER, Checkpoint, check_same_run, read_checkpoint, write_checkpoint
from traffic_yolo.training.options import TrainingOptions

CHECKPOINT = Checkpoint(
    iteration=7,
    seen=112,
    seconds=1.5,
    is_validated=True,
    network={"a": torch.arange(3.0)},
    averaged={"a": torch.zeros(3)},
    optimizer={"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    scaler={},
    loss={},
    choice={"best_value": None},
    skipped=[],
    random_state=torch.get_rng_state(),
    options=asdict(TrainingOptions()),
    classes=["CAR"],
    cfg="[net]\n",
    dataset_fingerprint="f",
)


def test_written_checkpoint_reads_back_the_same(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "last.pt", CHECKPOINT)
    found = read_checkpoint(tmp_path / "last.pt")
    assert found.network["a"].equal(CHECKPOINT.network["a"])
    assert found.optimizer["state"][0]["momentum_buffer"].equal(torch.ones(2))
    assert (found.iteration, found.options, found.choice) == (7, CHECKPOINT.options, {"best_value": None})


def test_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    write_checkpoint(path, CHECKPOINT)
    before = path.read_bytes()

    def killed(values: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, replace(CHECKPOINT, iteration=8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half"])
def test_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"last.pt is not a checkpoint that can be read"):
        read_checkpoint(tmp_path / "last.pt")


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint not found: .*last.pt"):
        read_checkpoint(tmp_path / "last.pt")
    torch.save({"epoch": 1}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="expected a checkpoint of schema version 3, found another file"):
        read_checkpoint(tmp_path / "last.pt")


def test_what_may_differ_are_options_and_a_cache_of_another_place_is_one() -> None:
    assert set(MAY_DIFFER) <= set(asdict(TrainingOptions()))
    check_same_run(CHECKPOINT, TrainingOptions(cache_mib=1, cache_folder="/scratch", workers=2), ("CAR",), "f")


def test_checkpoint_of_another_run_is_refused() -> None:
    check_same_run(CHECKPOINT, TrainingOptions(), ("CAR",), "f")
    with pytest.raises(TrainingError, match="seed was 0, now 1; take a new folder"):
        check_same_run(CHECKPOINT, TrainingOptions(seed=1), ("CAR",), "f")
    with pytest.raises(TrainingError, match="the data set is not the one of the interrupted run"):
        check_same_run(CHECKPOINT, TrainingOptions(), ("CAR",), "g")
