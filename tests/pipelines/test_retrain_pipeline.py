"""The retraining as a pipeline: a run that finds nothing new ends green, and the others end as they should."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from driver_replay import Compiled, Server
from quick_yaml import load_documents, load_yaml

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.retraining.attempts import Attempts, Ended
from traffic_yolo.retraining.look import Run, look
from traffic_yolo.retraining.options import NewDataOptions
from traffic_yolo.snapshot.content import ShareContent
from traffic_yolo.snapshot.snapshot import take_snapshot
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.local_run import run_locally
from traffic_yolo_pipelines.retrain_pipeline import retrain_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SLOW = pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="minutes: TRAFFIC_YOLO_SLOW=1")
BODY = ("convert-files", "convert", "train", "export", "evaluate", "tune", "validate", "note-weights", "publish")


def share_of(folder: Path, frames: int = 3) -> Path:
    """Rendered recordings of three sites with labels."""
    options = SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=frames, image_wh=(320, 192), seed=3)
    write_share(folder / "nas", options)
    return folder / "nas"


def test_committed_yaml_is_what_the_source_compiles_to(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRAFFIC_YOLO_IMAGE_PREFIX", "TRAFFIC_YOLO_KFP_SERVER"):
        monkeypatch.delenv(name, raising=False)
    compile_to(retrain_pipeline, tmp_path / "compiled.yaml")
    committed, compiled = (
        [{k: v for k, v in document.items() if k != "sdkVersion"} for document in load_documents(path.read_text())]
        for path in (repository / "pipelines" / "retrain_pipeline.yaml", tmp_path / "compiled.yaml")
    )
    assert committed == compiled, "the committed YAML is stale; run `make compile`"


def test_workflow_stays_far_below_what_an_api_server_takes(repository: Path) -> None:
    """Argo refuses workflows above 256 KiB."""
    assert (repository / "pipelines" / "retrain_pipeline.yaml").stat().st_size < 200_000


def test_what_the_gate_found_reaches_the_tasks_behind_it(repository: Path) -> None:
    found = {
        "new-data": {"policy": "{keep_splits: s}", "cfg": "c", "weights": "w", "weights_names": "n"},
        "open-gate": {"Output": "retrain"},
    }
    server = Server(outputs=lambda name, *_: found.get(name, {}))
    given = {"source": "nas://r", "zoo": "nas://z", "policy": "{leak_check: report}", "cfg": "first.cfg"}
    pipeline = Compiled.read(repository / "pipelines" / "retrain_pipeline.yaml")
    tasks = {name.rpartition("/")[2]: task for name, task in server.run(pipeline, given).items()}
    assert set(tasks) == {"snapshot", "new-data", "open-gate", "preflight", *BODY, "close-attempt"}
    assert tasks["new-data"].parameters["policy"] == "{leak_check: report}"
    assert tasks["new-data"].parameters["cfg"] == "first.cfg"
    for name in ("convert-files", "convert"):
        assert tasks[name].parameters["policy"] == "{keep_splits: s}"
    assert [tasks["train"].parameters[name] for name in ("cfg", "weights", "weights_names")] == ["c", "w", "n"]
    run_ids = {tasks[name].parameters["run_id"] for name in ("new-data", "note-weights", "close-attempt", "train")}
    assert run_ids == {server.run_id}
    assert not any(tasks[name].key for name in ("snapshot", "new-data", "open-gate", "publish", "close-attempt"))


@pytest.mark.long
def test_run_that_finds_nothing_new_ends_green_and_trains_nothing(tmp_path: Path) -> None:
    nas = share_of(tmp_path)
    convert = ConvertOptions(str(nas / "recordings"), labels=str(nas / "human_labels.json"))
    fingerprint = str(ShareContent.of(take_snapshot(convert.source, labels=convert.labels)))
    began = look(
        convert,
        NewDataOptions(),
        Run("run-1", _now(), {}),
        zoo=tmp_path / "zoo",
        model_name="m",
        fingerprint=fingerprint,
    )
    assert began.attempt == 1
    attempts = Attempts.read(tmp_path / "zoo" / "m")
    attempts.end(attempts.attempts[0], Ended("rejected", "", ("AP50 falls",), "20261129T030000Z"))
    before = sorted((tmp_path / "zoo").rglob("*"))
    run = run_locally(
        retrain_pipeline,
        {"source": convert.source, "labels": convert.labels, "zoo": str(tmp_path / "zoo"), "model_name": "m"},
        tmp_path / "runs",
    )
    assert run.artifact("new-data", "verdict").read_text() == "no_new_data"
    assert (
        run.artifact("new-data", "summary").read_text().startswith("**no new data**\n\n- share and options are as in")
    )
    assert {path.name for path in run.folder.iterdir()} == {"snapshot", "new-data", "open-gate", "close-attempt"}
    assert sorted((tmp_path / "zoo").rglob("*")) == before


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def command(folder: Path, *more: str) -> list[str]:
    """A retraining on one machine; of options that are given twice the last counts."""
    return [
        *(sys.executable, "-m", "traffic_yolo.cli", "retrain", "--local", "--out", str(folder / "runs")),
        *("--source", str(folder / "nas" / "recordings"), "--labels", str(folder / "nas" / "human_labels.json")),
        *("--zoo", str(folder / "zoo"), "--model-name", "m", "--min-new-frames", "1"),
        *("--width", "160", "--height", "96", "--batch", "4", "--max-batches", "2", "--accept-few", *more),
    ]


def retrain(folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TRAFFIC_YOLO_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command(folder, *more), env=environment, capture_output=True, text=True, check=False)


def correct(folder: Path, boxes: int = 3) -> None:
    """A human moves some boxes of every site."""
    path = folder / "nas" / "human_labels.json"
    labels = json.loads(path.read_text())
    for annotation in labels["annotations"][::boxes]:
        annotation["bbox"][2] += 2
    path.write_text(json.dumps(labels))


@SLOW
def test_four_outcomes_one_after_another(tmp_path: Path) -> None:
    share_of(tmp_path, frames=6)
    zoo = tmp_path / "zoo" / "m"

    failed = retrain(tmp_path, "--learning-rate", "1e30")
    assert failed.returncode == 2, failed.stdout + failed.stderr
    (line,) = failed.stderr.splitlines()
    assert line.startswith("error: ")
    repeated = retrain(tmp_path)
    assert repeated.returncode == 2
    assert "attempt 1" in repeated.stderr
    assert "failed on the same data" in repeated.stderr
    assert len(Attempts.read(zoo).attempts) == 1

    first = retrain(tmp_path, "--again", "--max-batches", "200", "--learning-rate", "0.003")
    ended = Attempts.read(zoo).attempts[-1].ended
    assert ended is not None, first.stderr
    assert ended.outcome == "published", ended.reasons
    assert first.stdout.endswith(f": published {ended.version}\n")
    assert first.returncode == 0

    nothing = retrain(tmp_path)
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert nothing.stdout.endswith("nothing was trained: no_new_data\n")

    correct(tmp_path)
    second = retrain(tmp_path)  # two steps at a high rate: no better than what it starts from
    attempt = Attempts.read(zoo).attempts[-1]
    assert (attempt.number, attempt.begun.in_use, attempt.begun.compared_with) == (3, ended.version, 2), second.stderr
    options = load_yaml((sorted((tmp_path / "runs").iterdir())[-1] / "train" / "run" / "options.yaml").read_text())
    assert options["weights"] == str(zoo / ended.version / "model.weights")
    assert attempt.ended is not None
    assert attempt.ended.outcome == "rejected"
    assert "3 (" in second.stdout.splitlines()[-1]
    assert (zoo / "current").read_text().strip() == ended.version
    assert retrain(tmp_path).stdout.endswith("nothing was trained: no_new_data\n")


@SLOW
@pytest.mark.parametrize("task", ["snapshot", "new-data", *BODY, "close-attempt"])
def test_kill_in_any_task_leaves_what_the_next_run_goes_on_from(tmp_path: Path, task: str) -> None:
    share_of(tmp_path)
    environment = {**os.environ, "TRAFFIC_YOLO_PROGRESS": "0", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command(tmp_path), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if "Executing task" in line and f"'{task}'" in line.replace("\x1b[96m", "").replace("\x1b[0m", ""):
                time.sleep(1.0)  # into the task
                break
        os.killpg(process.pid, signal.SIGKILL)
    before = Attempts.read(tmp_path / "zoo" / "m").attempts
    ended = before[0].ended if before else None
    done = retrain(tmp_path)
    after = Attempts.read(tmp_path / "zoo" / "m").attempts
    if ended is not None or task == "close-attempt" or len(after) == len(before):
        assert done.stdout.endswith("nothing was trained: no_new_data\n"), done.stdout[-2000:]
        assert after[0].ended is not None
    else:
        assert len(after) == len(before) + 1
        assert after[-1].ended is not None
        assert after[-1].ended.outcome in ("published", "rejected")
