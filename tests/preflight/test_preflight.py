"""The first task of a run: all that would fail later is told at once, one line each, and nothing is left behind."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo.errors import StorageError
from traffic_yolo.options import SETTINGS
from traffic_yolo.preflight.component import preflight
from traffic_yolo.preflight.run_options import RUN_STEPS
from traffic_yolo.preflight.writable import try_to_write
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo.storage.s3 import connect
from traffic_yolo.storage.s3_settings import S3Settings
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.step_options import STEP_OPTIONS


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path, untrained_model: Path) -> Path:
    """A share with a data set of three sites and a model for its classes."""
    share = tmp_path_factory.mktemp("share")
    shutil.copytree(small_data_set, share / "data")
    shutil.copytree(untrained_model, share / "model")
    (share / "half.weights").write_bytes((share / "model" / "model.weights").read_bytes()[:10_000])
    (share / "settings.yaml").write_text("nonsense: 1\n")
    return share


def look(share: Path, capsys: pytest.CaptureFixture[str], **given: Any) -> list[str]:
    """The lines that the component ends with, none where nothing is wrong."""
    places = {"source": str(share / "data"), "zoo": str(share / "zoo")}
    capsys.readouterr()
    try:
        preflight.python_func(**{**places, **given})
    except SystemExit as end:
        lines = capsys.readouterr().err.splitlines()
        return [line.removeprefix("error: ") if end.code == 2 else f"exit code {end.code}" for line in lines]
    assert "nothing speaks against this run" in capsys.readouterr().out
    return []


def start(share: Path, weights: str = "model/model.weights") -> dict[str, str]:
    return {
        "cfg": str(share / "model" / "model.cfg"),
        "weights": str(share / weights),
        "weights_names": str(share / "model" / "classes.names"),
    }


def test_run_that_can_start_is_let_through_and_nothing_is_left(share: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(share.rglob("*"))
    work = {"train_work": str(share / "deep" / "work"), "snapshot_cache": str(share / "cache" / "hashes")}
    assert look(share, capsys, **start(share), **work) == []
    assert sorted(share.rglob("*")) == before


def test_a_folder_of_bare_pairs_is_no_zoo_to_publish_to(
    share: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.weights").write_bytes(b"any")
    (line,) = look(share, capsys, zoo=str(tmp_path))
    assert line.startswith(f"zoo: {tmp_path} holds bare pairs of cfg and weights (a) and is only read")


def test_every_problem_is_a_line_of_its_own(share: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (share / "file").write_text("a file\n")
    lines = look(
        share, capsys, zoo=str(share / "file" / "zoo"), train_work=str(share / "file" / "work"), model_name="a/b",
        labels=str(share / "nothing"), **start(share, "half.weights"), gpus="two", train_settings="{batch: none}",
        evaluate_settings=str(share / "settings.yaml"), objective="best",
    )  # fmt: skip
    wanted = ["train_settings: batch: expected", "evaluate_settings", "objective: expected one of", "labels: ",
              "zoo: ", "train_work: ", "model name 'a/b'"]  # fmt: skip
    assert len(lines) == len(wanted)
    for words in wanted:
        assert sum(words in line for line in lines) == 1, (words, lines)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"weights": "half.weights"}, "half.weights"),
        ({"class_seeds": "LORRY=CAR"}, "LORRY"),
        ({"class_seeds": "CAR=unicorn"}, "unicorn"),
        ({"gpus": "1"}, "gpus: 1 asked for, PyTorch sees none"),
        ({"gpus": "1.5"}, "gpus: expected a whole number of 0 or more, found '1.5'"),
        ({"val_sites": "Atlantis"}, "no site 'Atlantis'"),
        ({"fine_tune_layers": "from:999"}, "999"),
        ({"source": "nas://x"}, f"source: nas://x: set {NAS_ROOT_VARIABLE}"),
    ],
)
def test_what_would_fail_hours_later_is_one_line_now(
    share: Path, given: dict[str, str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv(NAS_ROOT_VARIABLE, raising=False)
    if "weights" in given:
        given = {"weights": str(share / given["weights"])}
    (line,) = look(share, capsys, **{**start(share), **given})
    assert words in line


def test_share_that_is_not_mounted_is_told(
    share: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it the zoo would be made on the container's own disk, and be gone with the pod."""
    monkeypatch.setenv(NAS_ROOT_VARIABLE, "/nas")
    monkeypatch.setattr(os.path, "ismount", lambda _path: False)
    (line,) = look(share, capsys)
    assert line == "nothing is mounted at /nas; check the claim of the NAS (nas_claim)"


def test_room_for_temporary_files_that_cannot_be_written_is_told(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file" / "scratch"))
    (line,) = look(share, capsys)
    assert line.startswith("temporary files (TMPDIR): ")
    assert "cannot be written" in line


def test_full_disk_is_told_though_the_folder_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        try_to_write(tmp_path / "zoo")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_zoo_in_object_storage_is_written_to(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.01)
    made = use(moto, monkeypatch)
    try_to_write(f"s3://{made}/zoo")
    assert list(connect(S3Settings.from_environment()).list_objects(made, recursive=True)) == []
    with pytest.raises(StorageError, match="not-there"):
        try_to_write("s3://not-there/zoo")


def test_plain_run_loads_no_torch(share: Path) -> None:
    code = (
        "import sys\nfrom traffic_yolo.preflight.component import preflight\n"
        f"preflight.python_func(source={str(share / 'data')!r}, zoo={str(share / 'zoo')!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "nothing speaks against this run\n"), done.stderr


def test_steps_have_the_options_that_the_pipelines_give_them() -> None:
    assert {step: STEP_OPTIONS[step] for step in RUN_STEPS} == RUN_STEPS


def test_every_field_of_the_form_is_looked_at() -> None:
    """But for the names of objects in Kubernetes, which the pod's own start proves."""
    form = set(inspect.signature(finetune_pipeline.pipeline_func).parameters) - {"nas_claim", "s3_secret"}
    assert set(inspect.signature(preflight.python_func).parameters) == form
    assert {f"{step}_{SETTINGS}" for step in RUN_STEPS} - form <= {f"publish_{SETTINGS}"}
