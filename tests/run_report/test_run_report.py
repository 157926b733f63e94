"""The report at the end of a run: what the API tells, what it does not, and a webhook whose address nobody sees."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from traffic_yolo.errors import ClusterError
from traffic_yolo.run_report.component import report_run
from traffic_yolo.run_report.report import RunReport
from traffic_yolo.run_report.tasks import API_VARIABLE, TOKEN_FILE_VARIABLE, TaskState, read_tasks, tasks_of
from traffic_yolo.webhook import WEBHOOK_VARIABLE, tell_webhook

ID = "0a1b2c"


def task(name: str, state: str, start: str = "2026-11-29T10:00:00Z", **more: Any) -> dict[str, Any]:
    return {"display_name": name, "state": state, "start_time": start, "end_time": "2026-11-29T10:03:00Z", **more}


RUN = {
    "run_id": ID,
    "display_name": "traffic-yolo-finetune-x1",
    "run_details": {
        "task_details": [
            task("traffic-yolo-finetune-x1", "RUNNING"),
            task("root", "RUNNING"),
            task("train-driver", "SUCCEEDED"),
            task("executor", "FAILED"),
            task("train", "FAILED", "2026-11-29T10:01:00Z", error={"code": 2, "message": "exit code 2 |\n*bad*"}),
            task("snapshot", "SUCCEEDED"),
            task("publish", "PENDING", "", end_time="1970-01-01T00:00:00Z"),
            "nonsense",
        ]
    },
}


def test_nodes_of_the_workflow_that_are_no_tasks_are_left_out() -> None:
    """The workflow has a name of its own, with which the ids of its nodes begin; the run's is another."""
    names = ["wf-x9", "root", "exit-handler-1", "for-loop-2", "for-loop-2-iterations", "iteration-item", "executor(1)",
             "iteration-iterations(3:3)", "condition-4-driver", "train"]  # fmt: skip
    told = [task(name, "RUNNING") for name in names]
    told[0]["child_tasks"] = [{"pod_name": "wf-x9-2907082658"}, "nonsense", {"task_id": "t"}]
    run = {"display_name": "nightly", "run_details": {"task_details": told}}
    assert [one.name for one in tasks_of(run)] == ["train"]


class Answering(HTTPServer):
    """Answers every call with `answer`, and keeps what came."""

    answer: tuple[int, bytes] = (200, b"{}")

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "")
        self.server.calls.append((self.command, self.path, body, token))
        status, answer = self.server.answer
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"{self.server.address}/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _any

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Answering]:
    """A server in the place of the API, and of a chat."""
    running = Answering()
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv(API_VARIABLE, running.address)
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(tmp_path / "token"))
    yield running
    running.shutdown()
    running.server_close()


def test_tasks_are_those_of_the_pipeline_in_their_order() -> None:
    found = tasks_of(RUN)
    assert [(one.name, one.state, one.seconds) for one in found] == [
        ("snapshot", "SUCCEEDED", 180.0), ("train", "FAILED", 120.0), ("publish", "PENDING", None),
    ]  # fmt: skip
    assert found[1].reason == "exit code 2 | *bad*"


@pytest.mark.parametrize("run", [None, [], {}, {"run_details": None}, {"run_details": {"task_details": None}}])
def test_description_of_another_shape_has_no_tasks(run: Any) -> None:
    assert tasks_of(run) == []


def test_api_is_asked_with_the_pod_s_token(server: Answering, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush\n")
    server.answer = 200, json.dumps(RUN).encode()
    assert [one.name for one in read_tasks(ID)] == ["snapshot", "train", "publish"]
    assert server.calls == [("GET", f"/apis/v2beta1/runs/{ID}", b"", "Bearer hush")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [((403, b"no"), "refused: 403"), ((302, b""), "refused: 302"), ((200, b"<html>"), "not valid JSON")],
)
def test_api_that_does_not_tell_is_one_line(server: Answering, answer: tuple[int, bytes], words: str) -> None:
    server.answer = answer
    with pytest.raises(ClusterError, match=words):
        read_tasks(ID)
    assert len(server.calls) == 1  # nobody else is given the token


def report(state: str = "COMPLETE", tasks: tuple[TaskState, ...] = ()) -> RunReport:
    return RunReport("p", ID, state, tasks, ["in use: m 0001-a, AP50 0.671"], [], "https://x/#/runs/details/1")


def test_report_says_what_failed_and_why() -> None:
    failed = report(tasks=tuple(tasks_of(RUN)))
    assert failed.line == "p failed in train · in use: m 0001-a, AP50 0.671 · https://x/#/runs/details/1"
    page = failed.markdown()
    assert page.startswith("# p failed in train\n")
    assert r"| train | failed | 2.0 | exit code 2 \| \*bad\* |" in page
    assert "[its page](https://x/#/runs/details/1)" in page


def test_state_alone_is_said_where_no_task_is_known() -> None:
    assert report("COMPLETE").outcome == "p succeeded"
    assert report("FAILED").outcome == "p ended: failed"


def test_task_ends_green_with_a_page_when_nobody_answers(
    server: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = 500, b"hush: the log of a server"
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"{server.address}/services/T0/hush-key")
    status = dsl.PipelineTaskFinalStatus("FAILED", "run", "steps", None, None)
    summary = dsl.Markdown(uri=str(tmp_path / "summary.md"))
    report_run.python_func(status, summary, run_id=ID, pipeline="p", zoo=str(tmp_path / "none"), model_name="m")
    page = (tmp_path / "summary.md").read_text()
    assert page.startswith("# p ended: failed\n")
    assert "which tasks ran is not known" in page
    assert "what is in use is not known" in page
    printed = "".join(capsys.readouterr())
    assert "note: the webhook refused: 500" in printed
    assert "hush" not in printed + page


def test_webhook_is_told_one_line(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)
    assert not tell_webhook("text")
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"{server.address}/hook\n")
    assert tell_webhook("über")
    ((method, path, body, _),) = server.calls
    assert (method, path, json.loads(body)) == ("POST", "/hook", {"text": "über"})


@pytest.mark.parametrize("address", ["hush-word", "http://127.0.0.1:9/hush-key", "http://hush user@:x/"])
def test_address_of_a_webhook_stands_in_no_message(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, address)
    with pytest.raises((ClusterError, ValueError)) as caught:
        tell_webhook("text")
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None
