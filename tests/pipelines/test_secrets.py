"""No secret of whoever compiles, submits or runs stands in a file, a run, a log or an artifact."""

import os
from pathlib import Path

import pytest
from kfp import dsl
from kfp_server import kfp_server

from traffic_yolo.cli import main
from traffic_yolo.preflight.component import preflight
from traffic_yolo.run_report.component import report_run
from traffic_yolo.run_report.tasks import API_VARIABLE
from traffic_yolo.storage.in_pods import S3_SECRET_KEYS
from traffic_yolo.webhook import WEBHOOK_VARIABLE
from traffic_yolo_pipelines.server_credentials import COOKIE_VARIABLE, TOKEN_VARIABLE

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAQ7NOTAREALKEY42",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYnotarealone",
    "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEnotarealtoken//////////wE",
    TOKEN_VARIABLE: "eyJhbGciOiJSUzI1NiJ9.notareal.token",
    COOKIE_VARIABLE: "authservice_session=MTcNotARealSession",
    WEBHOOK_VARIABLE: "http://127.0.0.1:9/services/T0NOTAREAL/B0/xyzNotARealHook",
}
WORDS = [value.partition("=")[2] or value for value in SECRETS.values()]


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment full of them, as a shell of an engineer and a pod have it."""
    assert set(S3_SECRET_KEYS) - {"TRAFFIC_YOLO_S3_ENDPOINT", "AWS_REGION"} <= set(SECRETS)
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAFFIC_YOLO_S3_ENDPOINT", "http://127.0.0.1:9")
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "all_proxy"):
            monkeypatch.delenv(name)


def found_in(text: str) -> list[str]:
    return [word for word in WORDS if word in text]


def test_compiled_files_name_secrets_and_hold_none(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["-v", "pipeline", "compile", "--cluster", str(repository / "docs" / "cluster.example.yaml"), "--out", str(tmp_path)])  # fmt: skip
    texts = [path.read_text() for path in tmp_path.rglob("*.yaml")]
    assert len(texts) > 2
    assert all("lab-s3" in text for text in texts)
    assert found_in("".join([*texts, *capsys.readouterr()])) == []


def test_run_that_is_submitted_holds_none(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with kfp_server() as server, pytest.raises(SystemExit) as caught:
        main(["-v", "run", "--submit", "--host", server.host, "--cluster", str(repository / "docs" / "cluster.example.yaml"),
              "--source", "s3://bucket/recordings", "--zoo", "s3://bucket/zoo"])  # fmt: skip
    assert caught.value.code in (0, None)
    assert server.faults == []
    assert server.calls[0].headers["authorization"] == f"Bearer {SECRETS[TOKEN_VARIABLE]}"  # where they belong
    (body,) = server.runs
    assert body["service_account"] == "pipeline-runner"
    assert found_in(str([one.body for one in server.calls]) + "".join(capsys.readouterr())) == []


def test_tasks_that_meet_faults_log_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(API_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("TRAFFIC_YOLO_S3_ATTEMPTS", "1")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    with pytest.raises(SystemExit):
        preflight.python_func(source="s3://bucket/recordings", zoo="s3://bucket/zoo", snapshot_settings="{jobs: none}")
    status = dsl.PipelineTaskFinalStatus("FAILED", "run", "steps", None, None)
    summary = dsl.Markdown(uri=str(tmp_path / "summary.md"))
    report_run.python_func(status, summary, run_id="1", pipeline="p", zoo="s3://bucket/zoo", model_name="m")
    printed = "".join(capfd.readouterr())
    assert "s3://bucket/zoo" in printed
    assert found_in(printed + (tmp_path / "summary.md").read_text()) == []
