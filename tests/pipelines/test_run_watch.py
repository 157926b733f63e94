"""Waiting for a run: what is told of it, its exit code, the failed task's own line, and what ends a wait but no run."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kfp_client_alone import alone
from kfp_server import API, Answer, KfpServer, kfp_server
from workflow_play import WORKFLOW, Look, Play

from traffic_yolo.cli import main
from traffic_yolo_pipelines.run_logs import telling_line, without_error
from traffic_yolo_pipelines.run_pods import node_id

RUN = ("GET", f"{API}/runs/r-1")
SHARE, TRAIN = "root.preflight", "root.train"
BEGUN = {f"{SHARE}-driver": "SUCCEEDED", SHARE: "RUNNING", f"{SHARE}.executor": "RUNNING"}
CHECKED = {**BEGUN, SHARE: "SUCCEEDED", f"{SHARE}.executor": "SUCCEEDED"}
TRAINING = {**CHECKED, f"{TRAIN}-driver": "SUCCEEDED", TRAIN: "RUNNING", f"{TRAIN}.executor": "RUNNING",
            f"{TRAIN}.executor(0)": "FAILED", f"{TRAIN}.executor(1)": "RUNNING"}  # fmt: skip
FAILED = {**TRAINING, TRAIN: "FAILED", f"{TRAIN}.executor": "FAILED", f"{TRAIN}.executor(1)": "FAILED"}
DONE = {**TRAINING, TRAIN: "SUCCEEDED", f"{TRAIN}.executor": "SUCCEEDED", f"{TRAIN}.executor(1)": "SUCCEEDED"}
FIRST = "I1129 10:00:00.1 1 launcher_v2.go:90] Launch\niteration 1\niteration 2: lo"
LAST = (
    "iteration 1\nerror: train: cfg: width: expected a multiple of 32, found 33\n"
    "F1129 10:00:01.1 1 main.go:56] failed to execute component: exit status 2\n"
)


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[KfpServer]:
    with kfp_server() as running:
        running.experiments["e"] = {"experiment_id": "e"}
        running.started["r-1"] = {"run_id": "r-1", "pipeline_spec": SPEC}
        yield running


def spec_of(*tasks: str) -> dict[str, Any]:
    """A compiled pipeline with a group in it, as far as its tasks' names go."""
    named = {task: {"componentRef": {"name": f"comp-{task}"}} for task in tasks}
    group = {"for-loop-1": {"componentRef": {"name": "comp-for-loop-1"}}}
    inner = {"detect-shard": {"componentRef": {"name": "comp-detect"}}}
    components: dict[str, Any] = {f"comp-{task}": {"executorLabel": f"exec-{task}"} for task in tasks}
    components |= {"comp-for-loop-1": {"dag": {"tasks": inner}}, "comp-detect": {"executorLabel": "exec-detect"}}
    return {"root": {"dag": {"tasks": {**named, **group}}}, "components": components}


SPEC = spec_of("preflight", "train")


def wait(server: KfpServer, *looks: Look, flags: tuple[str, ...] = ()) -> int:
    """The exit code of `pipeline wait` for a run of these looks."""
    server.play = Play(list(looks), pods_v1=server.play.pods_v1)
    with pytest.raises(SystemExit) as caught:
        main(["pipeline", "wait", "r-1", "--host", server.host, "--namespace", "team-vision", *flags])
    return int(caught.value.code or 0)


def follow(server: KfpServer) -> int:
    """The same of a run whose training is begun twice and fails, with what it prints."""
    return wait(
        server,
        Look("PENDING"),
        Look("RUNNING", BEGUN, {f"{SHARE}.executor": "looked at "}),
        Look("RUNNING", TRAINING, {f"{SHARE}.executor": "looked at all", f"{TRAIN}.executor(0)": FIRST}),
        Look("FAILED", FAILED, {f"{SHARE}.executor": "looked at all", f"{TRAIN}.executor(0)": FIRST, f"{TRAIN}.executor(1)": LAST}),
        flags=("--follow",),
    )  # fmt: skip


def test_states_are_told_once_each_and_success_is_exit_code_zero(
    server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = [Look("RUNNING", BEGUN)] * 3 + [Look("RUNNING", TRAINING), Look("SUCCEEDED", DONE)]
    assert wait(server, Look("PENDING"), *looks) == 0
    assert server.faults == []
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"{server.host}/#/runs/details/r-1", "run: pending", "preflight: running", "run: running", "preflight: succeeded",
        "train: running", "train: succeeded", "run: succeeded", "r-1",
    ]  # fmt: skip
    assert printed.err == ""


def test_failed_task_s_own_line_is_told_and_is_exit_code_one(
    server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = {f"{TRAIN}.executor(0)": "error: of the first attempt\n", f"{TRAIN}.executor(1)": LAST}
    assert wait(server, Look("FAILED", FAILED, logs)) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "r-1"
    assert printed.err == "run failed: train: error: train: cfg: width: expected a multiple of 32, found 33\n"


@pytest.mark.parametrize("logs_by", ["API", "user interface"])
@pytest.mark.parametrize("pods_v1", [False, True], ids=["pods by template", "pods by node"])
def test_lines_are_told_as_they_come_by_whoever_has_them(
    logs_by: Any, pods_v1: bool, server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.logs_by, server.play.pods_v1 = logs_by, pods_v1
    assert follow(server) == 1
    assert server.faults == []
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if " | " in line] == [
        "preflight | looked at all",  # not the half of it
        "train | I1129 10:00:00.1 1 launcher_v2.go:90] Launch",
        "train | iteration 1",
        "train | iteration 2: lo",  # of an attempt that is over
        *(f"train | {line}" for line in LAST.splitlines()),
    ]


def test_server_without_logs_is_said_once_and_states_go_on(
    server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.logs_by = "nobody"
    assert follow(server) == 1
    printed = capsys.readouterr()
    assert printed.out.count("the server gives no logs (API: 404; user interface: 404); states alone are told") == 1
    assert "train: failed" in printed.out
    assert printed.err == "run failed: train: no reason given\n"


@pytest.mark.parametrize(("logs_by", "asked"), [("API", 1 + 3 * 3), ("user interface", 1 + 3 * 3)])
def test_log_that_is_whole_or_nowhere_is_asked_for_no_more(logs_by: Any, asked: int, server: KfpServer) -> None:
    """The preflight's log is there at once; the training was found in the cache, and its pod has three possible names."""
    server.logs_by = logs_by
    logs = {f"{SHARE}.executor": "looked at all\n"}
    looks = [Look("RUNNING", CHECKED, logs)] + [Look("RUNNING", DONE, logs)] * 9
    assert wait(server, *looks, Look("SUCCEEDED", DONE, logs), flags=("--follow",)) == 0
    found = [one.call[1] for one in server.calls if one.call[1].endswith(("/log", "/logs"))]
    by_source = [path for path in found if path.startswith("/k8s") == (logs_by == "user interface")]
    assert len(by_source) == asked + 3 * 3  # of two attempts
    assert len(found) - len(by_source) == (0 if logs_by == "API" else 1)


def test_iterations_of_a_loop_are_counted_and_their_lines_told_apart(
    server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes, logs = {}, {}
    for number, state in enumerate(["SUCCEEDED", "FAILED"]):
        task = f"root.for-loop-1.iteration-iterations({number}:{number}).iteration-item.detect-shard"
        nodes |= {task: state, f"{task}.executor": state}
        logs[f"{task}.executor"] = f"{'error: ' * number}shard {number}\n"
    assert wait(server, Look("FAILED", nodes, logs), flags=("--follow",)) == 1
    printed = capsys.readouterr()
    assert "detect-shard: 1 failed, 1 succeeded" in printed.out
    for number in (0, 1):
        assert (
            f"iteration-iterations({number}:{number})/detect-shard | {'error: ' * number}shard {number}\n"
            in printed.out
        )
    assert printed.err == "run failed: detect-shard: error: shard 1\n"


@pytest.mark.parametrize(
    ("look", "line"),
    [
        (Look("FAILED", error="workflow was\nkilled"), r"run failed: run: workflow was\nkilled"),
        (Look("CANCELED", CHECKED), "run canceled: run: canceled"),
        (Look("FAILED", FAILED), "run failed: train: no reason given"),
    ],
)
def test_end_without_a_log_has_the_server_s_words(
    look: Look, line: str, server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wait(server, look) == 1
    assert capsys.readouterr().err.splitlines() == [line]


def test_json_has_the_end_and_the_failures(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    logs = {f"{TRAIN}.executor(1)": LAST}
    assert wait(server, Look("RUNNING", TRAINING), Look("FAILED", FAILED, logs), flags=("--json",)) == 1
    told = json.loads(capsys.readouterr().out)
    line = "error: train: cfg: width: expected a multiple of 32, found 33"
    assert told["failures"] == [{"task": "train", "line": line}]
    assert (told["run_id"], told["state"], told["namespace"]) == ("r-1", "FAILED", "team-vision")


def test_passing_faults_end_no_wait(server: KfpServer) -> None:
    server.passing[RUN] = ["502", "reset", "503", "lost"]
    assert wait(server, Look("RUNNING", BEGUN), Look("SUCCEEDED", DONE)) == 0
    server.passing[RUN] = ["502"] * 29
    assert wait(server, Look("SUCCEEDED", DONE)) == 0


@pytest.mark.parametrize("many", [True, False], ids=["away", "gone"])
def test_wait_that_is_given_up_says_that_the_run_goes_on(
    many: bool, server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    if many:
        server.passing[RUN] = ["502"] * 30
    else:
        server.started.clear()
    assert wait(server, Look("RUNNING")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("502 Bad Gateway" if many else "404 Not Found: Run r-1 not found") in line
    assert f"traffic-yolo pipeline wait r-1 --host {server.host} --namespace team-vision` waits for it again" in line


def test_answer_that_is_no_run_is_no_end(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.instead[RUN] = Answer(200, {})
    assert wait(server, Look("RUNNING")) == 2
    assert "asked for the run r-1, answered with no run; the run goes on" in capsys.readouterr().err


def test_interrupt_leaves_the_run_and_says_how_to_see_and_end_it(
    server: KfpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("traffic_yolo_pipelines.run_watch.pause", interrupt)
    assert wait(server, Look("RUNNING")) == 130
    assert "is_terminated" not in server.started["r-1"]
    line = capsys.readouterr().err
    assert line.startswith("interrupted: the run goes on; `traffic-yolo pipeline wait r-1 --host")
    assert "`pipeline terminate` in place" in line
    with pytest.raises(SystemExit) as caught:
        main(["pipeline", "terminate", "r-1", "--host", server.host, "--namespace", "team-vision", "--json"])
    assert not caught.value.code
    told = {"command": "pipeline terminate", "run_id": "r-1", "state": "told to end"}
    assert json.loads(capsys.readouterr().out) == told
    assert server.started["r-1"]["is_terminated"]


def test_tasks_are_known_by_their_looks_where_the_pipeline_is_gone(
    server: KfpServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.started["r-1"]["pipeline_spec"]
    server.started["r-1"]["pipeline_version_reference"] = {"pipeline_id": "p-9", "pipeline_version_id": "v-9"}
    logs = {f"{TRAIN}.executor(1)": LAST}
    assert wait(server, Look("FAILED", FAILED, logs), flags=("--follow",)) == 1
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if ": " in line and " | " not in line and "http" not in line] == [
        "preflight: succeeded", "train: failed", "run: failed",
    ]  # fmt: skip
    assert "train | iteration 1" in printed.out


@pytest.mark.parametrize(
    ("workflow", "name", "number"),
    [
        # Of clusters, as others have shown them: kubeflow/pipelines#11585, kubeflow/kubeflow#4988, a run of 2.16
        ("debug-component-pipeline-d6wjn", "root-driver", 2907082658),
        (
            "conditional-execution-pipeline-with-exit-handler-r4x2b",
            "exit-handler-1.condition-2.condition-4",
            2463707964,
        ),
        ("general-cpu-rnggt", "root.workspace-name.executor(0)", 1467617326),
    ],
)
def test_ids_of_nodes_are_argo_s(workflow: str, name: str, number: int) -> None:
    assert node_id(workflow, f"{workflow}.{name}") == f"{workflow}-{number}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('a\n{"error_message":"gone","error_details":"x"}', "a\n"),
        ('{"error_message":"gone"}', None),
        ('{"error_message":"gone"} is what it said\n', '{"error_message":"gone"} is what it said\n'),
        ("", ""),
    ],
)
def test_error_behind_a_log_is_none_of_its_lines(text: str, found: str | None) -> None:
    assert without_error(text) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["gates failed: x", "F1129 10:00:01.1 1 main.go:56] failed", ""], "gates failed: x"),
        (["Traceback", "  ValueError: no", 'time="2026" level=info msg=x'], "ValueError: no"),
        (["I1129 10:00:01.1 1 main.go:56] started"], ""),
        ([], ""),
    ],
)
def test_line_that_says_why_is_the_task_s_own(lines: list[str], found: str) -> None:
    assert telling_line(lines) == found


def test_play_of_the_helper_tells_no_node_s_own_id() -> None:
    told: Mapping[str, Any] = Play([Look("RUNNING", TRAINING)]).look("r-1")
    nodes = told["run_details"]["task_details"]
    assert not any("pod_name" in one for one in nodes)
    assert {one["display_name"] for one in nodes} >= {WORKFLOW, "root", "train", "executor", "executor(0)"}
