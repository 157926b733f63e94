"""GPUs that a run asks for: their number in a form, and a training that never takes CPUs in their place."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from traffic_yolo.cli import main
from traffic_yolo.errors import OptionsError, TrainingError
from traffic_yolo.katib.launch.component import search
from traffic_yolo.training.component import train
from traffic_yolo.training.gpus import gpu_count, on_gpus
from traffic_yolo.training.options import TrainingOptions

NONE_SEEN = r"gpus: 2 asked for, PyTorch sees none; .*, or train on CPUs with gpus 0"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some who run these tests have one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("2", 2), (" 16 ", 16), ("07", 7)])
def test_number_of_gpus_is_a_text(text: str, number: int) -> None:
    assert gpu_count(text) == number


@pytest.mark.parametrize("text", ["", " ", "-1", "1.5", "1.0", "two", "1\n2", "²", "9" * 20, "{{$.inputs}}"])
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(OptionsError, match="gpus: expected a whole number of 0 or more, found") as caught:
        gpu_count(text)
    assert "\n" not in str(caught.value)


def test_gpus_that_were_asked_for_make_the_device_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    options = TrainingOptions(width=96)
    assert on_gpus(options, 1) == dataclasses.replace(options, device="cuda")
    assert on_gpus(options, 0) == options


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("cuda", "advice"), [(None, "no CUDA: build the train image"), ("12.4", "a driver for CUDA 12.4")]
)
def test_gpus_that_are_not_there_are_an_error_that_says_what_may_be_missing(
    cuda: str | None, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.version.cuda", cuda)
    with pytest.raises(TrainingError, match=NONE_SEEN) as caught:
        on_gpus(TrainingOptions(), 2)
    assert advice in str(caught.value)


def test_gpus_for_a_training_on_cpus_are_a_contradiction() -> None:
    with pytest.raises(OptionsError, match="gpus asks for 1, but device is cpu; leave one of them out"):
        on_gpus(TrainingOptions(device="cpu"), 1)


def arguments(dataset: Path, folder: Path, **given: Any) -> dict[str, Any]:
    outputs = {name: dsl.Artifact(uri=str(folder / name)) for name in ("run", "report", "metrics")}
    return {"dataset": dsl.Dataset(uri=str(dataset)), **outputs, **given}


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("gpus", "words"), [("2", "gpus: 2 asked for, PyTorch sees none"), ("", "gpus: expected a whole number")]
)
def test_training_task_that_gets_no_gpu_ends_at_once(
    gpus: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even the data set is looked for: there is none here."""
    with pytest.raises(SystemExit) as caught:
        train.python_func(**arguments(tmp_path / "no data set", tmp_path, gpus=gpus))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words}")
    assert list(tmp_path.iterdir()) == []


def test_training_task_says_which_device_it_got(
    rectangles: Path, tiny_cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    settings = "{device: cpu, max_batches: 1, batch: 2, evaluate_every: 1, workers: 0}"
    given = arguments(rectangles, tmp_path, cfg=str(tiny_cfg), gpus="0", settings=settings)
    train.python_func(**{**given, "metrics": metrics})
    assert "cpu (" in capsys.readouterr().out


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("where", [["--local"], ["--submit", "--host", "http://127.0.0.1:9"]], ids=["local", "submit"])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gpus", "-1"], "--gpus: expected a whole number of 0 or more, found -1"),
        (["--gpus", "1", "--device", "cpu"], "--gpus asks for 1, but --device is cpu; leave one of them out"),
    ],
)
def test_command_refuses_them_before_a_run_is_started(
    where: list[str], flags: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traffic_yolo.commands.pipeline_door.start", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(SystemExit) as caught:
        main(["run", *where, "--source", "/nas/recordings", "--zoo", "/nas/zoo", *flags])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {words}\n"


@pytest.mark.usefixtures("no_gpu")
def test_local_run_with_gpus_looks_for_them_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "--local", "--source", "/nas/recordings", "--zoo", "/nas/zoo", "--gpus", "1"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: --gpus: 1 asked for, PyTorch sees none; ")


@pytest.mark.parametrize("run_id", ["", "{{$.pipeline_job_uuid}}"])
def test_task_that_works_under_the_run_s_id_refuses_a_server_that_gives_none(
    run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under one name for all runs, one would go on with what another has left."""
    given = arguments(tmp_path / "no data set", tmp_path, work=str(tmp_path / "work"), run_id=run_id)
    with pytest.raises(SystemExit):
        train.python_func(**given)
    finished = {name: dsl.Artifact(uri=str(tmp_path / name)) for name in ("finished", "metrics", "report")}
    with pytest.raises(SystemExit):
        search.python_func(run_id=run_id, experiment="kind: Experiment\n", **finished)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("error: run_id: expected the id of this run, found ")
        assert "since 2.5" in line
