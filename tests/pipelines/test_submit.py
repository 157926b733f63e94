"""Submitting: what a Kubeflow Pipelines server would receive, read from a server on the loopback that records it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from driver_replay import Compiled, Server

from traffic_yolo.cli import main
from traffic_yolo.errors import OptionsError
from traffic_yolo_pipelines.submit import submit

EXPERIMENT = {"experiment_id": "e-1", "display_name": "traffic-yolo", "namespace": "team-vision"}


class _Server(BaseHTTPRequestHandler):
    received: list[tuple[str, Any]]

    def do_GET(self) -> None:
        if self.path.endswith("/healthz"):
            self._answer({"multi_user": True})
        else:
            self._answer({"experiments": [EXPERIMENT], "total_size": 1})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append((self.path, body))
        self._answer({"run_id": "r-1", "display_name": body.get("display_name")})

    def _answer(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    monkeypatch.setenv("HOME", str(tmp_path))  # kfp.Client keeps a context file there
    handler = type("Handler", (_Server,), {"received": []})
    httpd = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", handler.received  # type: ignore[attr-defined]
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_run_carries_the_committed_pipeline_and_the_parameters(
    server: tuple[str, list[tuple[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    host, received = server
    arguments = ["run", "--submit", "--host", host, "--namespace", "team-vision", "--source", "nas://recordings"]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--zoo", "nas://zoo", "--gpus", "1", "--max-batches", "50"])
    assert caught.value.code == 0
    assert "submitted run r-1" in capsys.readouterr().out
    ((path, body),) = received
    assert path == "/apis/v2beta1/runs"
    assert body["experiment_id"] == "e-1"
    parameters = body["runtime_config"]["parameters"]
    assert parameters["source"] == "nas://recordings"  # not made absolute: the pod resolves it
    assert parameters["gpus"] == "1"
    assert parameters["max_batches"] == "50"
    specification = body["pipeline_spec"].get("pipeline_spec", body["pipeline_spec"])
    assert specification["pipelineInfo"]["name"] == "traffic-yolo-finetune"
    submitted = Compiled.of([specification, body["pipeline_spec"]["platform_spec"]])
    training = Server().run(submitted, parameters)["train"]  # which refuses values of other types than the form's
    assert training.resources[1]["nvidia.com/gpu"] == "1"
    assert training.claims == {"/nas": "nas-data"}


def test_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    package = Path(__file__).parents[2] / "pipelines" / "finetune_pipeline.yaml"
    with pytest.raises(OptionsError, match=r"http://127\.0\.0\.1:9 did not take the run") as caught:
        submit(package, {}, host="http://127.0.0.1:9", namespace="", experiment="traffic-yolo")
    assert "\n" not in str(caught.value)
