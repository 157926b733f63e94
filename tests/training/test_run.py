"""How a training begins, is interrupted, goes on and ends: baseline, verdict, patience, time, signals, checkpoints."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from examples import slow
from written_data_set import write_manifest

from traffic_yolo.cli import main
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.checkpoint import read_checkpoint, write_checkpoint
from traffic_yolo.training.choice import Choice
from traffic_yolo.training.history import read_history
from traffic_yolo.training.interrupts import TrainingInterrupted
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.run import Run
from traffic_yolo.training.trainer import train


@pytest.fixture
def options(tiny_cfg: Path) -> TrainingOptions:
    return TrainingOptions(cfg=str(tiny_cfg), batch=4, max_batches=6, evaluate_every=2, device="cpu")


def fine_tuning(trained: Path, **changes: Any) -> TrainingOptions:
    """Six more updates from the weights that know the pictures."""
    values = {
        "cfg": str(trained / "model.cfg"), "weights": str(trained / "model.weights"), "fine_tune_layers": "all",
        "batch": 4, "max_batches": 6, "evaluate_every": 2, "learning_rate": 1e-5, "jitter": 0, "flip": 0, "device": "cpu",
    }  # fmt: skip
    return TrainingOptions(**{**values, **changes})


def test_start_is_measured_before_the_first_update(rectangles: Path, trained: Path, tmp_path: Path) -> None:
    summary = train(rectangles, tmp_path / "run", fine_tuning(trained))
    rows = read_history(tmp_path / "run" / "history.csv")
    best = max(row.ap50 for row in read_history(trained / "history.csv") if row.ap50 is not None)
    assert (rows[0].iteration, rows[0].ap50) == (0, best) == (0, summary.baseline_ap50)
    assert [row.iteration for row in rows if row.ap50 is not None] == [0, 2, 4, 6]


def test_a_training_that_harms_delivers_the_start_and_says_so(rectangles: Path, trained: Path, tmp_path: Path) -> None:
    options = fine_tuning(trained, learning_rate=0.03, optimizer="sgd", burn_in=0)
    summary = train(rectangles, tmp_path / "run", options)
    assert (summary.best_iteration, summary.learnt, summary.is_improvement) == (0, False, False)
    assert summary.best_ap50 == summary.baseline_ap50
    assert "val: nothing was learnt (the start weights stayed the best)" in summary.text.splitlines()
    stored = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert (stored["learnt"], stored["verdicts"][0]["word"]) == (False, "nothing was learnt")
    delivered, start = (Network.from_cfg(folder / "model.cfg") for folder in (tmp_path / "run", trained))
    for network, folder in ((delivered, tmp_path / "run"), (start, trained)):
        network.load_weights(folder / "model.weights")
    assert all(value.equal(start.state_dict()[name]) for name, value in delivered.state_dict().items())


def test_improvement_that_is_required_and_not_shown_ends_with_exit_code_1(
    rectangles: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = f"train --dataset {rectangles} --cfg {trained / 'model.cfg'} --weights {trained / 'model.weights'} "
    arguments += f"--max-batches 2 --batch 4 --device cpu --require-improvement --out {tmp_path / 'run'}"
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 1
    assert (tmp_path / "run" / "model.weights").is_file()
    assert capsys.readouterr().out.splitlines()[-1].startswith("val: ")


def test_improvement_is_not_required_of_a_random_start(
    rectangles: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="require_improvement: the start is random, so there is no baseline"):
        train(rectangles, tmp_path / "run", replace(options, require_improvement=True))
    assert not (tmp_path / "run").exists()
    summary = train(rectangles, tmp_path / "run", options)
    assert [verdict.word for verdict in summary.verdicts] == ["no baseline"]
    assert (summary.baseline_ap50, summary.learnt) == (None, True)


@pytest.mark.long
def test_a_class_that_the_start_does_not_know_is_not_judged(
    make_rectangles: Callable[..., Path], trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.names").write_text("red\nblue\n")
    dataset = make_rectangles(tmp_path / "dataset", ("red", "violet"))
    options = fine_tuning(trained, weights_names=str(tmp_path / "old.names"), learning_rate=0.01, max_batches=30)
    summary = train(dataset, tmp_path / "run", options)
    judged = [verdict.classes for verdict in summary.verdicts]
    assert judged == [("red",)]


def test_patience_ends_a_training_that_gains_nothing(rectangles: Path, trained: Path, tmp_path: Path) -> None:
    options = fine_tuning(trained, learning_rate=0.03, optimizer="sgd", burn_in=0, max_batches=40, patience=2)
    summary = train(rectangles, tmp_path / "run", options)
    assert (summary.iteration, summary.stopped) == (4, "stopped after 2 validations without a gain")


def test_time_limit_ends_a_training_validated(rectangles: Path, options: TrainingOptions, tmp_path: Path) -> None:
    summary = train(
        rectangles, tmp_path / "run", replace(options, time_limit_minutes=0, max_batches=50, evaluate_every=20)
    )
    assert (summary.iteration, summary.stopped) == (1, "stopped by the time limit of 0 minutes")
    assert read_history(tmp_path / "run" / "history.csv")[-1].ap50 is not None
    assert (tmp_path / "run" / "model.weights").is_file()


@pytest.mark.many(1)
@pytest.mark.parametrize(("metric", "number"), [("map", "ap"), ("map50", "ap50"), ("f1", "f1")])
def test_best_is_chosen_by_the_metric_that_was_named(
    rectangles: Path, options: TrainingOptions, tmp_path: Path, metric: str, number: str
) -> None:
    options = replace(options, best_by=metric, max_batches=12, learning_rate=0.02, burn_in=0, ema_alpha=0)
    summary = train(rectangles, tmp_path / "run", options)
    values = {
        row.iteration: getattr(row, number)
        for row in read_history(tmp_path / "run" / "history.csv")
        if row.ap50 is not None
    }
    assert summary.best_iteration == min(values, key=lambda iteration: (-values[iteration], iteration))


def test_a_network_that_has_lost_its_numbers_ends_the_training_and_keeps_the_start(
    rectangles: Path, trained: Path, tmp_path: Path
) -> None:
    options = fine_tuning(trained, learning_rate=5.0, optimizer="sgd", burn_in=0)
    with pytest.raises(TrainingError, match=r"iteration \d+.*try a smaller --learning-rate"):
        train(rectangles, tmp_path / "run", options)
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt").iteration == 0


def with_own_val(dataset: Path) -> Path:
    """Gives split val pictures of its own, since validation wants every one; the folder of the training's."""
    pictures = dataset / "images" / "recording"
    shutil.copytree(pictures, dataset / "images" / "val")
    annotations = dataset / "annotations" / "instances_val.json"
    annotations.write_text(annotations.read_text().replace("recording/", "val/"))
    write_manifest(dataset)
    return pictures


def test_pictures_that_are_missing_or_damaged_are_skipped_counted_and_named(
    make_rectangles: Callable[..., Path],
    options: TrainingOptions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dataset = make_rectangles(tmp_path / "dataset")
    pictures = with_own_val(dataset)
    (pictures / "0.png").unlink()
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:-40])
    summary = train(dataset, tmp_path / "run", replace(options, max_bad_pictures=0.5))
    assert summary.skipped == {"damaged": 1, "missing": 1}
    assert "training pictures skipped: 1 damaged, 1 missing" in summary.text.splitlines()
    assert sum("training picture skipped" in record.getMessage() for record in caplog.records) == 2
    with pytest.raises(TrainingError, match=r"cannot be used, more than max_bad_pictures=0.25 .*recording/[01]\.png"):
        train(dataset, tmp_path / "strict", replace(options, max_bad_pictures=0.25))


# ---------------------------------------------------------------- interruptions


def signalled(monkeypatch: pytest.MonkeyPatch, number: int, *, after: int) -> None:
    """The signal comes during the update after `after` others."""
    update = Run._update

    def interrupted(run: Run, *arguments: Any) -> None:
        if run.iteration == after:
            os.kill(os.getpid(), number)
        update(run, *arguments)

    monkeypatch.setattr(Run, "_update", interrupted)


@pytest.mark.many(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_update_and_the_run_goes_on_as_if_it_had_not_come(
    rectangles: Path, options: TrainingOptions, tmp_path: Path, number: int
) -> None:
    whole = train(rectangles, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as monkeypatch:
        signalled(monkeypatch, number, after=2)
        with pytest.raises(TrainingInterrupted) as ended:
            train(rectangles, tmp_path / "parts", options, resume="auto")
    assert ended.value.code == 128 + number
    assert read_checkpoint(tmp_path / "parts" / "checkpoints" / "last.pt").iteration == 3
    parts = train(rectangles, tmp_path / "parts", options, resume="auto")
    assert replace(parts, seconds=0) == replace(whole, seconds=0)
    assert (tmp_path / "parts" / "model.weights").read_bytes() == (tmp_path / "whole" / "model.weights").read_bytes()
    whole_rows, rows = (
        [replace(row, seconds=0, images_per_s=None) for row in read_history(tmp_path / name / "history.csv")]
        for name in ("whole", "parts")
    )
    assert rows == whole_rows  # with no validation more, which would be one candidate more


@pytest.mark.long
def test_a_run_that_went_on_reports_what_its_first_part_was_given_and_skipped(
    make_rectangles: Callable[..., Path],
    options: TrainingOptions,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The pictures are back when it goes on, so that only the checkpoint knows of them."""
    dataset = make_rectangles(tmp_path / "dataset")
    pictures = with_own_val(dataset)
    (pictures / "0.png").rename(tmp_path / "0.png")
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:-40])
    options = replace(options, max_bad_pictures=0.5)
    whole = train(dataset, tmp_path / "whole", options)
    with pytest.MonkeyPatch.context() as monkeypatch:
        signalled(monkeypatch, signal.SIGTERM, after=3)
        with pytest.raises(TrainingInterrupted):
            train(dataset, tmp_path / "parts", options)
    shutil.copytree(dataset / "images" / "val", pictures, dirs_exist_ok=True)
    caplog.clear()
    parts = train(dataset, tmp_path / "parts", options, resume=True)
    assert parts.skipped == whole.skipped == {"damaged": 1, "missing": 1}
    assert not any("skipped" in record.getMessage() for record in caplog.records)
    shown = [section_of(tmp_path / name / "report.html", "What it was given") for name in ("whole", "parts")]
    assert shown[0] == shown[1]
    assert shown[0].count("<img") == 3
    assert [f"Batch of iteration {number}: all pictures" in shown[0] for number in (1, 2, 3, 4)] == [True] * 3 + [False]
    left_out = section_of(tmp_path / "parts" / "report.html", "Boxes and pictures left out")
    assert re.search(
        r"pictures</td><td[^>]*>damaged</td><td[^>]*>1<.*pictures</td><td[^>]*>missing</td><td[^>]*>1<", left_out, re.S
    )


def section_of(page: Path, heading: str) -> str:
    """What stands under a heading of an HTML report."""
    return page.read_text().partition(f">{heading}</h2>")[2].partition("<h2")[0]


@pytest.mark.long
def test_a_signal_during_a_validation_does_not_wait_for_its_end(
    rectangles: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    from traffic_yolo.training.validation import Validation

    whole = train(rectangles, tmp_path / "whole", options)
    measure, seen = Validation.measure, []

    def interrupted(validation: Validation, network: Network) -> Any:
        seen.append("begun")
        if seen.count("begun") == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)  # where Python runs the handler
        found = measure(validation, network)
        seen.append("ended")
        return found

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Validation, "measure", interrupted)
        with pytest.raises(TrainingInterrupted):
            train(rectangles, tmp_path / "parts", options)
    assert seen == ["begun", "ended", "begun"]
    assert not read_checkpoint(tmp_path / "parts" / "checkpoints" / "last.pt").is_validated
    parts = train(rectangles, tmp_path / "parts", options, resume=True)
    assert replace(parts, seconds=0) == replace(whole, seconds=0)


def test_a_signal_while_a_validation_is_taken_in_waits_until_it_is_saved(
    rectangles: Path, trained: Path, tmp_path: Path
) -> None:
    """Else the choice would know of weights that no checkpoint holds."""
    options = fine_tuning(trained, learning_rate=1e-3)
    with pytest.MonkeyPatch.context() as monkeypatch:
        add, seen = Choice.add, []

        def interrupted(choice: Choice, iteration: int, found: Any, **more: Any) -> bool:
            is_best = add(choice, iteration, found, **more)
            seen.append(iteration)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return is_best

        monkeypatch.setattr(Choice, "add", interrupted)
        with pytest.raises(TrainingInterrupted):
            train(rectangles, tmp_path / "run", options)
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    best = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")
    assert (last.iteration, last.is_validated) == (2, True)
    assert last.choice["best_iteration"] == best.iteration


def test_a_best_that_the_last_checkpoint_does_not_know_is_kept(rectangles: Path, trained: Path, tmp_path: Path) -> None:
    """The process died after it wrote the best weights and before the state of the run."""
    options, run = fine_tuning(trained, learning_rate=0.03, optimizer="sgd", burn_in=0), tmp_path / "run"
    train(rectangles, run, options)
    best, last = (read_checkpoint(run / "checkpoints" / name) for name in ("best.pt", "last.pt"))
    ahead = {**last.choice, "best_value": 2.0, "best_iteration": 4}
    write_checkpoint(run / "checkpoints" / "best.pt", replace(best, iteration=4, choice=ahead, averaged=last.averaged))
    summary = train(rectangles, run, options, resume=True)
    assert summary.best_iteration == 4
    assert summary.best_ap50 < (summary.baseline_ap50 or 0)  # what these weights score, and not what stands in a file


def test_best_weights_that_cannot_be_read_are_named_and_chosen_anew(
    rectangles: Path, options: TrainingOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        signalled(monkeypatch, signal.SIGTERM, after=4)
        with pytest.raises(TrainingInterrupted):
            train(rectangles, tmp_path / "run", options)
    (tmp_path / "run" / "checkpoints" / "best.pt").write_bytes(b"PK half")
    summary = train(rectangles, tmp_path / "run", options, resume=True)
    assert (summary.best_iteration, summary.iteration) == (6, 6)
    assert any("best.pt is not a checkpoint" in record.getMessage() for record in caplog.records)


def test_a_run_whose_time_is_used_up_is_validated_when_it_goes_on(
    rectangles: Path, options: TrainingOptions, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        signalled(monkeypatch, signal.SIGTERM, after=0)
        with pytest.raises(TrainingInterrupted):
            train(rectangles, tmp_path / "run", options)
    summary = train(rectangles, tmp_path / "run", replace(options, time_limit_minutes=0), resume=True)
    assert (summary.iteration, summary.best_iteration) == (1, 1)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "traffic_yolo.cli", *map(str, arguments)]


def wait_for(path: Path, process: "subprocess.Popen[Any]", text: str) -> None:
    while not path.is_file() or text not in path.read_text():
        assert process.poll() is None, "the training ended before it was interrupted"
        time.sleep(0.02)


@slow
def test_sigterm_to_the_command_is_exit_code_143(rectangles: Path, tiny_cfg: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    training = ("train", "--dataset", rectangles, "--cfg", tiny_cfg, "--batch", 4, "--device", "cpu", "--out", run)
    with subprocess.Popen(
        command(*training, "--max-batches", 100_000, "--resume", "auto"), env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        wait_for(run / "history.csv", process, "\n3,")
        process.terminate()
        assert process.wait() == 143
    last = read_checkpoint(run / "checkpoints" / "last.pt")
    assert last.iteration >= 3
    assert not (run / "run.lock").exists()


# ---------------------------------------------------------------- going on


@pytest.mark.long
def test_a_run_may_be_made_longer_and_says_what_is_otherwise(
    rectangles: Path, options: TrainingOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(rectangles, tmp_path / "run", options)
    longer = replace(options, max_batches=8, workers=1, cache_mib=0)
    assert train(rectangles, tmp_path / "run", longer, resume="auto").iteration == 8
    assert {
        "resume: max_batches was 6, now 8",
        "resume: workers was 0, now 1",
        "resume: cache_mib was 1024, now 0",
    } <= {record.getMessage() for record in caplog.records}
    with pytest.raises(TrainingError, match="max_batches was 8, now 6; train into a new folder"):
        train(rectangles, tmp_path / "run", options, resume="auto")


@pytest.mark.long
@pytest.mark.many(1)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns(rectangles: Path, tiny_cfg: Path, tmp_path: Path, precision: str) -> None:
    options = TrainingOptions(
        cfg=str(tiny_cfg), batch=4, max_batches=60, optimizer="adamw", learning_rate=0.02, jitter=0, flip=0,
        ema_alpha=0.9, device="cpu", precision=precision,
    )  # fmt: skip
    train(rectangles, tmp_path / "run", options)
    rows = read_history(tmp_path / "run" / "history.csv")
    assert rows[-1].loss < rows[0].loss / 3
