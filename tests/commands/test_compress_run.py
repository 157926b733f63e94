"""`traffic-yolo compress run`: what its pipeline is handed, and what is refused before the first task."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.cli import main
from traffic_yolo.commands.pipeline_door import ReadyPipeline

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
NAMES = {"cfg": "model.cfg", "weights": "model.weights", "weights_names": "classes.names"}


@pytest.fixture
def place(tmp_path: Path, untrained_model: Path, small_data_set: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, in which a model and a data set lie."""
    shutil.copytree(untrained_model, tmp_path / "model")
    (tmp_path / "dataset").symlink_to(small_data_set)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *flags: str, **given: str) -> tuple[int, list[ReadyPipeline]]:
    """Exit code, and what would run: the tasks are processes of minutes, which tests/pipelines waits for."""
    started: list[ReadyPipeline] = []
    monkeypatch.setattr("traffic_yolo.commands.compress_run.run_here", lambda ready, _out: started.append(ready))
    needed = {"dataset": "dataset", "zoo": "zoo", **{key: f"model/{name}" for key, name in NAMES.items()}, **given}
    texts = [f"--{key.replace('_', '-')}={value}" for key, value in needed.items() if value]
    with pytest.raises(SystemExit) as caught:
        main(["compress", "run", *texts, *flags])
    return int(caught.value.code or 0), started


def test_places_become_absolute_also_in_settings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks run in another folder. Layers may be frozen: the training starts from what was pruned."""
    (place / "table.json").write_text("{}")
    (place / "train.yaml").write_text("mosaic: 0.25\n")
    settings = ["--prune-settings={latency_table: table.json, keep_at_least: 0.2}", "--train-settings=train.yaml"]
    code, started = call(monkeypatch, *settings, "--fine-tune-layers=neck_and_heads", "--max-batches=2")
    assert code == 0
    (ready,) = started
    given: dict[str, Any] = ready.parameters
    for name, file in NAMES.items():
        assert given[name] == str(place / "model" / file)
    assert (given["dataset"], given["zoo"]) == (str((place / "dataset").resolve()), str(place / "zoo"))
    assert yaml.safe_load(given["prune_settings"]) == {
        "latency_table": str(place / "table.json"),
        "keep_at_least": 0.2,
    }
    assert yaml.safe_load(given["train_settings"]) == {"mosaic": 0.25}
    assert (given["fine_tune_layers"], given["max_batches"], given["gpus"]) == ("neck_and_heads", "2", "0")
    assert ready.pipeline.name == "traffic-yolo-compress"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("given", "flags", "words"),
    [
        ({"cfg": "none.cfg"}, [], "cfg: none.cfg: not found"),
        ({"dataset": "none"}, [], "dataset: none: not found"),
        ({}, ["--prune-settings={latency_table: none.json}"], "latency_table: none.json: not found"),
        ({}, ["--prune-ratio=2"], "--prune-ratio: expected a number from 0 to 0.99, found 2"),
        ({}, ["--version=0001"], "--version: a name in a zoo; cfg names another model"),
        ({}, ["--gpus=-1"], "--gpus: expected a whole number of 0 or more, found -1"),
        ({}, ["--fine-tune-layers=tail"], "--fine-tune-layers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_task_would_refuse_is_refused_before_the_first_one(
    given: dict[str, str],
    flags: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, started = call(monkeypatch, *flags, **given)
    assert (code, started) == (2, [])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line
