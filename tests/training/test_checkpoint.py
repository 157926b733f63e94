"""Checkpoints: plain contents, whole files, and refusal of what belongs to another run."""

import contextlib
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.errors import TrainingError
from traffic_yolo.training.checkpoint import (
    MAY_DIFFER,
    Checkpoint,
    check_same_run,
    fitting,
    read_checkpoint,
    write_checkpoint,
)
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
    learning_rate=0.001,
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


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint; what is done to it is done to a copy."""
    path = tmp_path_factory.mktemp("written") / "last.pt"
    write_checkpoint(path, CHECKPOINT)
    return path


@examples(150)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_nothing(written: Path, place: float, bit: int) -> None:
    """Of torch's own reading, bits of the weights come through, and bits of names raise what they like."""
    data = bytearray(written.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    damaged = written.with_name("damaged.pt")
    damaged.write_bytes(data)
    found = CHECKPOINT
    with contextlib.suppress(TrainingError):
        found = read_checkpoint(damaged)
    assert leaves(asdict(found)) == leaves(asdict(CHECKPOINT))


@pytest.mark.parametrize(
    "words", [b"layers", b"momentum_buffer", b"torch._utils", b"archive/data.pkl", b"archive/data/0"]
)
def test_damaged_names_are_refused(written: Path, words: bytes) -> None:
    data = written.read_bytes()
    damaged = written.with_name("damaged.pt")
    for change in (b"\xff", b"x"):
        place = data.rindex(words)
        damaged.write_bytes(data[:place] + change + data[place + 1 :])
        with pytest.raises(TrainingError, match="is not a checkpoint that can be read: "):
            read_checkpoint(damaged)


def leaves(value: Any) -> Any:
    """With tensors as lists."""
    if isinstance(value, dict):
        return {key: leaves(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, torch.Tensor) else value


def test_a_folder_flag_on_a_part_is_refused(written: Path) -> None:
    """Torch reads no bytes of such a part, and hands out a tensor all the same."""
    data = bytearray(written.read_bytes())
    with zipfile.ZipFile(written) as archive:
        part = next(info.filename for info in archive.infolist() if info.filename.endswith("data/0"))
    name = data.rindex(part.encode())  # in the directory at the end, whose entries have 46 bytes before it
    assert data[name - 46 : name - 42] == b"PK\x01\x02"
    data[name - 8] = 0x10
    damaged = written.with_name("damaged.pt")
    damaged.write_bytes(data)
    with pytest.raises(TrainingError, match=f"{part} in it has not the checksum that it was written with"):
        read_checkpoint(damaged)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"checkpoint not found: .*last.pt"):
        read_checkpoint(tmp_path / "last.pt")
    torch.save({"epoch": 1}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="expected a checkpoint of schema version 3, found another file"):
        read_checkpoint(tmp_path / "last.pt")


def test_what_may_differ_are_options_and_a_cache_of_another_place_is_one() -> None:
    assert set(MAY_DIFFER) <= set(asdict(TrainingOptions()))
    check_same_run(
        CHECKPOINT, TrainingOptions(cache_mib=1, cache_folder="/scratch", workers=2), ("CAR",), "f", cfg="[net]\n"
    )


def test_checkpoint_of_another_run_is_refused() -> None:
    check_same_run(CHECKPOINT, TrainingOptions(), ("CAR",), "f", cfg="[net]\n")
    with pytest.raises(TrainingError, match="seed was 0, now 1; take a new folder"):
        check_same_run(CHECKPOINT, TrainingOptions(seed=1), ("CAR",), "f", cfg="[net]\n")
    with pytest.raises(TrainingError, match="the data set is not the one of the interrupted run"):
        check_same_run(CHECKPOINT, TrainingOptions(), ("CAR",), "g", cfg="[net]\n")
    with pytest.raises(TrainingError, match="line 2 was '', now 'batch=2'; take that cfg again, or a new folder"):
        check_same_run(CHECKPOINT, TrainingOptions(), ("CAR",), "f", cfg="[net]\nbatch=2\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iteration": "7"}, "iteration: expected a whole number; found '7'"),
        ({"iteration": -1}, "iteration: expected a number from 0; found -1"),
        ({"seconds": float("nan")}, "seconds: expected a finite number; found nan"),
        ({"is_validated": 1}, "is_validated: expected true or false; found 1"),
        ({"network": {"a": 1}}, r"network\.a: expected a Tensor; found 1"),
        ({"averaged": [torch.zeros(1)]}, "averaged: expected an object"),
        ({"skipped": [{"picture": 1}]}, r"skipped\[0\]\.picture: expected a text; found 1"),
        ({"random_state": None}, "random_state: expected a Tensor; found None"),
        ({"classes": "CAR"}, "classes: expected a list; found 'CAR'"),
        ({"learning_rate": None}, "learning_rate: expected a finite number; found None"),
    ],
)
def test_values_of_another_type_are_refused_with_the_field(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write_checkpoint(tmp_path / "last.pt", replace(CHECKPOINT, **change))
    with pytest.raises(TrainingError, match=rf"last\.pt: not a checkpoint of ours: {words}"):
        read_checkpoint(tmp_path / "last.pt")


def test_a_checkpoint_that_does_not_fit_the_network_is_refused_in_one_line() -> None:
    network = torch.nn.Linear(3, 2)
    with (
        pytest.raises(TrainingError, match="resume: the checkpoint after iteration 7 does not fit the run: ") as caught,
        fitting(CHECKPOINT),
    ):
        network.load_state_dict(CHECKPOINT.network)
    assert "\n" not in str(caught.value)
