"""The local run through the command line: real processes, every way to end, kills at any moment."""

import csv
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from forked import Forked, Forks
from quick_yaml import load_yaml

from traffic_yolo.commands.katib import command
from traffic_yolo.errors import StorageError
from traffic_yolo.katib.run import runner
from traffic_yolo.katib.run.journal import Journal
from traffic_yolo.katib.run.pod import PodSetup

Experiment = Callable[..., Path]


def run(file: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(command, ["run", str(file), "--out", str(out), *more])


def status_of(out: Path) -> dict[str, Any]:
    status: dict[str, Any] = load_yaml((out / "experiment.yaml").read_text())["status"]
    return status


def started(nas: Path) -> list[str]:
    return (nas / "started").read_text().splitlines()


def test_an_experiment_runs_to_its_end(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answered = run(experiment(), out, "--nas-root", str(nas))
    assert answered.exit_code == 0, answered.output
    status = status_of(out)
    assert (status["trials"], status["trialsSucceeded"]) == (6, 6)
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("Created", "True"),
        ("Running", "False"),
        ("Succeeded", "True"),
    ]
    assert status["conditions"][-1]["reason"] == "ExperimentMaxTrialsReached"
    rows = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    assert all(float(row["score"]) == pytest.approx(1 - (float(row["x"]) - 0.3) ** 2, abs=1e-6) for row in rows)
    best = status["currentOptimalTrial"]
    nearest = min(rows, key=lambda row: abs(float(row["x"]) - 0.3))
    assert best["parameterAssignments"] == [{"name": "x", "value": nearest["x"]}]
    assert best["bestTrialName"] == nearest["trial"]
    assert [metric["name"] for metric in best["observation"]["metrics"]] == ["score", "size"]
    assert f"best trial {nearest['trial']}" in answered.output
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 1
    assert all(row["trial"] in page for row in rows)
    for row in rows:  # the pod's own files lie with the trial
        assert "loss is fine" in (out / "trials" / row["trial"] / "log" / "metrics.log").read_text()


def test_the_goal_ends_it_early(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    objective = {"type": "maximize", "objectiveMetricName": "score", "goal": 0.5}
    answered = run(experiment(objective=objective), tmp_path / "out", "--nas-root", str(nas), "--json")
    assert answered.exit_code == 0, answered.output
    told = json.loads(answered.stdout)  # trials are told of on stderr
    best = next(trial for trial in told["trials"] if trial["name"] == told["best"])
    assert best["metrics"]["score"] >= 0.5
    assert told["condition"] == "Succeeded"
    assert [Path(file).is_file() for file in told["files"]] == [True] * 3
    status = status_of(tmp_path / "out")
    assert status["conditions"][-1]["reason"] == "ExperimentGoalReached"
    assert status["trials"] < 6


def test_failed_trials_and_those_without_metrics_end_it(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    behaviour = "print('score is lost'); sys.exit(3 if len(open(here / 'started').readlines()) % 2 else 0)"
    (nas / "behaviour.py").write_text(behaviour)
    answered = run(experiment(maxTrialCount=9), tmp_path / "out", "--nas-root", str(nas))
    assert answered.exit_code == 1, answered.output
    status = status_of(tmp_path / "out")
    assert status["conditions"][-1]["reason"] == "ExperimentMaxFailedTrialsExceeded"
    assert status["trialsFailed"] >= 1
    assert status["trialMetricsUnavailable"] >= 1
    assert status["trialsFailed"] + status["trialMetricsUnavailable"] in (3, 4)  # two may end at once
    assert "exit code 3: score is lost" in answered.output
    assert "the log has no line of the objective score" in answered.output
    assert "currentOptimalTrial" not in status


def test_the_last_line_of_a_failed_trial_is_in_terminal_table_and_report(
    experiment: Experiment, nas: Path, tmp_path: Path
) -> None:
    (nas / "behaviour.py").write_text("print('loading'); raise ValueError('layer 7, \\'neck\\', is not there')")
    out = tmp_path / "out"
    answered = run(experiment(maxTrialCount=4, parallelTrialCount=1), out, "--nas-root", str(nas))
    assert answered.exit_code == 1, answered.output
    why = "exit code 1: ValueError: layer 7, 'neck', is not there"
    lines = answered.output.splitlines()
    assert sum(line.endswith(why) for line in lines) == 3  # each trial as it fails
    assert "why trials failed:" in lines
    assert any(line.startswith(f"  3 of 3: {why} ({out / 'trials'}") for line in lines)
    rows = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    assert [(row["state"], row["message"]) for row in rows] == [("Failed", why)] * 3
    page = (out / "report.html").read_text()
    assert "Why trials came to nothing" in page
    assert page.count("ValueError: layer 7, &#x27;neck&#x27;, is not there") >= 3


def test_a_trial_without_the_objective_tells_its_last_line(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    (nas / "behaviour.py").write_text("print('score: 0.5'); sys.exit(0)")
    out = tmp_path / "out"
    run(experiment(maxFailedTrialCount=0, parallelTrialCount=1), out, "--nas-root", str(nas))
    (row,) = csv.DictReader((out / "trials.csv").read_text().splitlines())
    assert row["message"] == "the log has no line of the objective score; its last line: score: 0.5"


def test_what_the_end_cuts_off_is_killed_and_runs_again_when_the_experiment_goes_on(
    experiment: Experiment, nas: Path, tmp_path: Path
) -> None:
    """The second trial fails while the first still runs; with a higher limit both and more are run to their end."""
    (nas / "behaviour.py").write_text(
        "first = os.environ['KATIB_TRIAL_NAME'] == open(here / 'started').readline().split()[0]\n"
        "if (here / 'sound').exists(): pass\n"
        "elif first: time.sleep(600)\n"
        "else: sys.exit(1)\n"
    )
    out = tmp_path / "out"
    answered = run(experiment(maxFailedTrialCount=0), out, "--nas-root", str(nas))
    assert "1 Failed, 1 Killed" in answered.output
    status = status_of(out)
    assert (status["trialsKilled"], len(status["killedTrialList"])) == (1, 1)
    assert not {"trialsRunning", "runningTrialList"} & set(status)
    states = {row["state"]: row["message"] for row in csv.DictReader((out / "trials.csv").read_text().splitlines())}
    assert states["Killed"] == "cut off by the experiment's end"
    (nas / "sound").touch()
    assert run(experiment(maxFailedTrialCount=2), out, "--nas-root", str(nas)).exit_code == 0
    again = status_of(out)
    assert (again["trialsSucceeded"], again["trialsFailed"]) == (5, 1)
    assert status["killedTrialList"][0] in again["succeededTrialList"]


def test_a_trial_that_a_killed_run_left_is_never_called_running(
    experiment: Experiment, nas: Path, tmp_path: Path
) -> None:
    """The run was killed when one trial had failed; the next one finds that the experiment is over at once."""
    out = tmp_path / "out"
    document = load_yaml(experiment(maxFailedTrialCount=0).read_text())
    journal = Journal(out / "journal.jsonl")
    journal.begin(document)
    for name, state in (("small-1", "Failed"), ("small-2", "Running")):
        journal.add(name, {"x": "0.5"})
        if state == "Failed":
            journal.end(name, "Failed", message="exit code 1: no")
    assert run(experiment(maxFailedTrialCount=0), out, "--nas-root", str(nas)).exit_code == 1
    rows = list(csv.DictReader((out / "trials.csv").read_text().splitlines()))
    assert [(row["state"], row["message"]) for row in rows] == [
        ("Failed", "exit code 1: no"),
        ("Killed", "cut off: the run was killed"),
    ]


def test_an_ignored_rule_does_not_stop_a_run(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    file = experiment(maxTrialCount=1, maxFailedTrialCount=1)  # more at once than there are
    refused = run(file, tmp_path / "out", "--nas-root", str(nas))
    assert str(refused.exception).endswith(
        "above spec.maxTrialCount: 2 [parallel-above-max]; "
        "`traffic-yolo katib check` lists them, --ignore RULE passes over one"
    )
    answered = run(file, tmp_path / "out", "--nas-root", str(nas), "--ignore", "parallel-above-max")
    assert answered.exit_code == 0, answered.output
    assert len(started(nas)) == 1


def test_a_grid_ends_when_it_is_through(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    grid = [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1", "step": "0.25"}}]
    file = experiment(parameters=grid, algorithm={"algorithmName": "grid"}, maxTrialCount=5)
    assert run(file, tmp_path / "out", "--nas-root", str(nas)).exit_code == 0
    assert {line.split()[1] for line in started(nas)} == {"0.0", "0.25", "0.5", "0.75", "1.0"}


def test_no_more_than_so_many_run_at_a_time(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    (nas / "behaviour.py").write_text(
        "(here / f'in-{os.getpid()}').touch()\n"
        # The first waits for a second, however slowly that starts; then a third would have time to come
        "for _ in range(20_000):\n"
        "    if len(list(here.glob('in-*'))) > 1 or (here / 'counts').exists(): break\n"
        "    time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "open(here / 'counts', 'a').write(f\"{len(list(here.glob('in-*')))}\\n\"); (here / f'in-{os.getpid()}').unlink()"
    )
    assert run(experiment(), tmp_path / "out", "--nas-root", str(nas)).exit_code == 0
    counts = [int(line) for line in (nas / "counts").read_text().split()]
    assert max(counts) == 2


def test_a_trial_that_is_worse_than_the_others_is_stopped(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    (nas / "behaviour.py").write_text(
        "bad = len(open(here / 'started').readlines()) > 3\n"
        "for step in range(3):\n    print('score=0.0' if bad else 'score=0.9', flush=True)\n"
        "time.sleep(600 if bad else 0); x = 0.3"
    )
    settings = [{"name": "min_trials_required", "value": "2"}, {"name": "start_step", "value": "2"}]
    stopping = {"algorithmName": "medianstop", "algorithmSettings": settings}
    file = experiment(earlyStopping=stopping, parallelTrialCount=1, maxTrialCount=4)
    answered = run(file, tmp_path / "out", "--nas-root", str(nas))
    assert answered.exit_code == 0, answered.output
    status = status_of(tmp_path / "out")
    assert (status["trialsSucceeded"], status["trialsEarlyStopped"]) == (3, 1)


def test_a_finished_run_says_its_end_again_and_goes_on_when_more_is_allowed(
    experiment: Experiment, nas: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run(experiment(), out, "--nas-root", str(nas)).output
    again = run(experiment(), out, "--nas-root", str(nas))
    assert again.exit_code == 0
    assert again.output in first
    assert len(started(nas)) == 6
    assert run(experiment(maxTrialCount=8), out, "--nas-root", str(nas)).exit_code == 0
    assert status_of(out)["trials"] == 8
    other = experiment(algorithm={"algorithmName": "tpe"})
    with pytest.raises(Exception, match="holds the run of another experiment"):
        CliRunner().invoke(
            command, ["run", str(other), "--out", str(out), "--nas-root", str(nas)], catch_exceptions=False
        )


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Forks that have loaded what the command loads."""
    modules = ("traffic_yolo.cli", "traffic_yolo.commands.katib", "traffic_yolo.katib.run.runner")
    with Forks(tmp_path_factory.mktemp("forks"), *modules) as forks:
        yield forks


def program(forks: Forks, file: Path, out: Path, nas: Path) -> Forked:
    code = "import sys; from traffic_yolo.cli import main; main(sys.argv[1:])"
    return forks.start(code, ["katib", "run", file, "--out", out, "--nas-root", nas])


def alive(nas: Path) -> list[int]:
    """Trials whose processes still are there."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(nas).encode() in line and b"trial.py" in line:
                pids.append(int(entry.name))
    return pids


def all_gone(nas: Path) -> bool:
    """Whether no trial is left; one that was killed may still be on its way out."""
    until = time.monotonic() + 300
    while found := alive(nas):
        if time.monotonic() > until:
            return not found
        time.sleep(0.02)
    return True


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_the_same_command_goes_on(
    forks: Forks, experiment: Experiment, nas: Path, tmp_path: Path, seed: int
) -> None:
    (nas / "behaviour.py").write_text("time.sleep(0.2)")
    out, chance = tmp_path / "out", random.Random(seed)
    for _ in range(2):
        process = program(forks, experiment(), out, nas)
        until = time.monotonic() + 300
        while not (out / "journal.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.0))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    if seed == 0:
        with (out / "journal.jsonl").open("ab") as file:
            file.write(b'{"event": "trial", "na')  # as a kill in the middle of a write leaves it
    answered = run(experiment(), out, "--nas-root", str(nas))
    assert answered.exit_code == 0, answered.output
    status = status_of(out)
    assert (status["trials"], status["trialsSucceeded"]) == (6, 6)
    journal = Journal(out / "journal.jsonl")
    assert len(journal.trials) == 6
    assert all_gone(nas)


@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_ends_its_trials_and_the_next_run_goes_on(
    forks: Forks, experiment: Experiment, nas: Path, tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    (nas / "behaviour.py").write_text("time.sleep(600)")
    out = tmp_path / "out"
    process = program(forks, experiment(), out, nas)
    until = time.monotonic() + 300
    while not alive(nas) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(sent)
    assert process.wait() == exit_code
    assert all_gone(nas)
    assert status_of(out)["trialsKilled"] >= 1
    messages = [row["message"] for row in csv.DictReader((out / "trials.csv").read_text().splitlines())]
    assert set(messages) == {"cut off by an interrupt"}
    (nas / "behaviour.py").write_text("")
    assert run(experiment(), out, "--nas-root", str(nas)).exit_code == 0
    assert status_of(out)["trialsSucceeded"] == 6


def test_interrupted_while_a_trial_is_being_started_it_ends_that_too(
    experiment: Experiment, nas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the process is there, and nobody has its number yet."""
    (nas / "behaviour.py").write_text("time.sleep(600)")
    real, processes = runner.start, []

    def start(setup: PodSetup) -> "subprocess.Popen[bytes]":
        process = real(setup)
        processes.append(process.pid)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(runner, "start", start)
    answered = run(experiment(), tmp_path / "out", "--nas-root", str(nas))
    assert answered.exit_code == 130, answered.output
    assert len(processes) == 1
    until = time.monotonic() + 300
    while lives(processes[0]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not lives(processes[0])


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"maxTrialCount": 0}, ["--nas-root", "{nas}"], "`traffic-yolo katib check` lists them"),
        (
            {"metricsCollectorSpec": {"collector": {"kind": "Push"}}},
            ["--nas-root", "{nas}"],
            "metrics collector Push: only StdOut and File can be read",
        ),
        ({}, ["--nas-root", "/no/such/folder"], "/nas in the pod: no such folder here: /no/such/folder"),
        ({}, ["--mount", "nas"], r"--mount 'nas': expected /PATH/IN/POD=FOLDER"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    experiment: Experiment,
    nas: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from traffic_yolo.cli import main

    given = [argument.format(nas=nas) for argument in arguments]
    with pytest.raises(SystemExit) as caught:
        main(["katib", "run", str(experiment(**changes)), "--out", str(tmp_path / "out"), *given])
    assert caught.value.code == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1


def lives(group: int) -> bool:
    """Whether a process of the group runs; one that is dead and not yet collected does not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone since it was listed
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            return True
    return False


def test_a_full_disk_is_one_line_and_leaves_no_trial_running(
    experiment: Experiment, nas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full between the start of a trial's process and its place in the journal, the worst moment."""
    (nas / "behaviour.py").write_text("time.sleep(600)")
    processes: list[int] = []

    def full(_journal: Journal, _name: str, process: dict[str, Any]) -> None:
        processes.append(process["pid"])
        raise StorageError("journal cannot be written: journal.jsonl: No space left on device")

    monkeypatch.setattr(Journal, "note_process", full)
    answered = run(experiment(), tmp_path / "out", "--nas-root", str(nas))
    assert isinstance(answered.exception, StorageError)
    assert len(processes) == 1
    until = time.monotonic() + 300
    while lives(processes[0]) and time.monotonic() < until:
        time.sleep(0.02)
    assert not lives(processes[0])


def test_a_trial_folder_that_cannot_be_written_is_said(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trials").write_text("a file where the folder should be")
    answered = run(experiment(), tmp_path / "out", "--nas-root", str(nas))
    assert isinstance(answered.exception, StorageError)
    assert "trial cannot be started" in str(answered.exception)


def test_a_volume_that_no_folder_stands_for_is_said_and_so_are_trials_that_the_end_cut_off(
    experiment: Experiment, nas: Path, tmp_path: Path
) -> None:
    answered = run(experiment(maxFailedTrialCount=0, parallelTrialCount=1), tmp_path / "without")
    assert "note: /nas is this machine's own path: no --nas-root or --mount" in answered.output
    (nas / "behaviour.py").write_text("sys.exit(1) if x > 0.5 else time.sleep(600)")
    answered = run(experiment(maxFailedTrialCount=0), tmp_path / "with", "--nas-root", str(nas))
    assert "note: /nas" not in answered.output
    assert answered.exit_code == 1
    assert "1 Killed" in answered.output


def test_interrupted_during_start_up_it_says_so(
    experiment: Experiment, nas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_args: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("traffic_yolo.katib.run.runner.open_run", interrupted)
    answered = run(experiment(), tmp_path / "out", "--nas-root", str(nas))
    assert (answered.exit_code, answered.output) == (130, "interrupted before any trial was started\n")


def test_a_file_is_read_where_the_collector_is_told_to(experiment: Experiment, nas: Path, tmp_path: Path) -> None:
    (nas / "behaviour.py").write_text("sys.stdout = open(values['log'], 'w')")
    file = experiment(
        metricsCollectorSpec={
            "collector": {"kind": "File"},
            "source": {"fileSystemPath": {"path": "/metrics/all.log", "kind": "File", "format": "TEXT"}},
        }
    )
    text = file.read_text().replace("- --x=", "- --log=/metrics/all.log\n              - --x=")
    document = load_yaml(text)
    file.write_text(yaml.safe_dump(document))
    answered = run(file, tmp_path / "out", "--nas-root", str(nas))
    assert answered.exit_code == 0, answered.output
    assert status_of(tmp_path / "out")["trialsSucceeded"] == 6
    assert os.listdir(tmp_path / "out" / "trials")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_command_that_is_a_shell_with_a_script_keeps_it_whole(
    experiment: Experiment, nas: Path, tmp_path: Path, shell: str
) -> None:
    file = experiment(maxTrialCount=2)
    document = load_yaml(file.read_text())
    pod = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    pod["containers"][0]["command"] = [shell, "-c", "x=0.5; echo score=$x; echo size=${trialParameters.x}; true"]
    file.write_text(yaml.safe_dump(document))
    answered = run(file, tmp_path / "out", "--nas-root", str(nas))
    assert answered.exit_code == 0, answered.output
    metrics = status_of(tmp_path / "out")["currentOptimalTrial"]["observation"]["metrics"]
    assert metrics[0] == {"name": "score", "latest": "0.5", "max": "0.5", "min": "0.5"}
