"""Submitting: what a Kubeflow Pipelines server receives, and the one line for whatever else stands at the address."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_replay import Server
from kfp_client_alone import alone
from kfp_server import (
    API,
    EXPERIMENTS,
    FOUND_RUNS,
    HEALTH,
    NEW_EXPERIMENT,
    NEW_PIPELINE,
    PIPELINES,
    RUNS,
    UPLOAD,
    Answer,
    Call,
    Fault,
    KfpServer,
    kfp_server,
)

from traffic_yolo._version import __version__
from traffic_yolo.cli import main
from traffic_yolo.errors import ClusterError
from traffic_yolo_pipelines.finetune_pipeline import finetune_pipeline
from traffic_yolo_pipelines.server_answers import said_in
from traffic_yolo_pipelines.server_connection import Connection
from traffic_yolo_pipelines.server_credentials import COOKIE_VARIABLE, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE
from traffic_yolo_pipelines.submit import submit

LOGIN_PAGE = """<!DOCTYPE html>
<html><head><title>Log in to
 Your Account</title><style>p {color: red}</style></head><body><form action=/dex/auth>login</form></body></html>"""
FLAGS = ["--namespace", "team-vision", "--source", "nas://recordings", "--zoo", "nas://zoo"]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[KfpServer]:
    """A server that takes what the API takes."""
    with kfp_server() as running:
        yield running


def run(server: KfpServer, *flags: str) -> int:
    """The exit code of `run --submit` against `server`."""
    with pytest.raises(SystemExit) as caught:
        main(["run", "--submit", "--host", server.host, *FLAGS, *flags])
    return int(caught.value.code or 0)


def refused(server: KfpServer, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """The one line with which `run --submit` ends with exit code 2; no run is spoken of."""
    assert run(server, *flags) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert server.host in line
    return line


def test_run_carries_the_pipeline_and_the_parameters(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server, "--gpus", "1", "--max-batches", "50", "--weights", "s3://lab/w", "--s3-secret", "lab-s3") == 0
    assert server.faults == []
    (version,) = server.versions.values()
    versions = ("GET", f"{API}/pipelines/p-1/versions")
    asked = [HEALTH, EXPERIMENTS, NEW_EXPERIMENT, PIPELINES, NEW_PIPELINE, versions, UPLOAD, RUNS]
    assert [one.call for one in server.calls] == asked
    printed = capsys.readouterr()
    assert (
        f"version {version['display_name']} of traffic-yolo-finetune, uploaded\nsubmitted run r-1, with" in printed.out
    )
    assert printed.out.splitlines()[-1] == "r-1"
    assert f"{server.host}/#/runs/details/r-1" in printed.out
    assert printed.err == ""
    (body,) = server.runs
    parameters = body["runtime_config"]["parameters"]
    assert parameters["source"] == "nas://recordings"  # not made absolute: the pod resolves it
    assert (parameters["gpus"], parameters["max_batches"]) == ("1", "50")
    submitted = server.pipeline_of(body)
    assert submitted.spec["pipelineInfo"]["name"] == "traffic-yolo-finetune"
    training = Server().run(submitted, parameters)["train"]
    assert training.resources[1]["nvidia.com/gpu"] == "1"
    assert training.claims == {"/nas": "nas-data"}
    assert training.environment["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "lab-s3"


def test_experiment_that_is_there_is_used(server: KfpServer) -> None:
    other = {"experiment_id": "e-0", "display_name": "traffic-yolo", "namespace": "another"}
    mine = {"experiment_id": "e-7", "display_name": "traffic-yolo", "namespace": "team-vision"}
    server.experiments |= {"e-0": other, "e-7": mine}
    assert run(server) == 0
    assert server.faults == []
    assert NEW_EXPERIMENT not in server.told
    assert server.runs[0]["experiment_id"] == "e-7"


@pytest.mark.long
def test_images_are_those_of_the_prefix_and_are_named(server: KfpServer) -> None:
    """In a process of its own: a prefix is read when the pipeline is imported."""
    environment = {**os.environ, "TRAFFIC_YOLO_IMAGE_PREFIX": "registry.example/vision"}
    program = str(Path(sys.executable).with_name("traffic-yolo"))
    command = [program, "run", "--submit", "--host", server.host, *FLAGS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    executors = server.pipeline_of(server.runs[0]).spec["deploymentSpec"]["executors"].values()
    images = {one["container"]["image"] for one in executors}
    assert images == {f"registry.example/vision/train:{__version__}-cpu"}
    assert f"with the images {', '.join(images)}" in done.stdout


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "call", [HEALTH, EXPERIMENTS, NEW_EXPERIMENT, PIPELINES, NEW_PIPELINE, UPLOAD, RUNS], ids=" ".join
)
def test_login_page_is_no_run(server: KfpServer, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    server.instead[call] = Answer(200, LOGIN_PAGE, "text/html")
    line = refused(server, capsys)
    assert "answered with a web page (Log in to Your Account)" in line
    assert f"set {TOKEN_VARIABLE} to a token ({TOKEN_FILE_VARIABLE}: to a file with one), or {COOKIE_VARIABLE}" in line
    assert server.started == {}


def test_login_page_behind_a_redirect_is_no_run(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.instead[HEALTH] = Answer(302, "", "text/html", {"Location": "/dex/auth"})
    server.instead["GET", "/dex/auth"] = Answer(200, LOGIN_PAGE, "text/html")
    assert "answered with a web page" in refused(server, capsys)


@pytest.mark.many(3)
@pytest.mark.parametrize("call", [NEW_EXPERIMENT, NEW_PIPELINE, UPLOAD, RUNS], ids=" ".join)
@pytest.mark.parametrize(("body", "words"), [({}, "answered without an id"), ("", "answered with no JSON")])
def test_answer_without_an_id_is_no_run(
    server: KfpServer, call: Call, body: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.instead[call] = Answer(200, body)
    assert words in refused(server, capsys)


@pytest.mark.many(4)
@pytest.mark.parametrize(
    ("call", "status", "body", "words"),
    [
        (HEALTH, 401, {"error": "Unauthorized", "message": "no token"},
         "refused: 401 Unauthorized: no token; log in to the server and set"),
        (EXPERIMENTS, 403, {"error": "x", "message": "User alice is not authorized\nwith reason: team-x", "code": 7},
         "asked for the experiment traffic-yolo, refused: 403 Forbidden: User alice is not authorized with reason: "
         "team-x; ask for the right to do so in the namespace team-vision"),
        (RUNS, 400, {"error": "a", "code": 3, "message": "InvalidInputError: the parameter gpus is not a number"},
         "told to start the run, refused: 400 Bad Request: InvalidInputError: the parameter gpus is not a number; correct"),
        (RUNS, 400, {"error_message": "name too long", "error_details": "the long story"}, "Request: name too long;"),
        (RUNS, 403, {"error": {"code": 403, "message": "quota of runs reached"}}, "Forbidden: quota of runs reached;"),
        (RUNS, 400, {"code": 3, "details": [{"@type": "x", "error_message": "of details"}]}, "Request: of details;"),
        (UPLOAD, 400, {"error_message": "bad spec", "error_details": "x"}, "given the version"),
        (NEW_PIPELINE, 500, {"error": "db down"}, "500 Internal Server Error: db down; the fault is the server's"),
        (HEALTH, 404, "<html><title>Not here</title></html>", "404 Not Found: Not here; check that --host"),
        (HEALTH, 503, "", "503 Service Unavailable: no reason given; the fault"),
        (HEALTH, 403, "RBAC: access denied", "403 Forbidden: RBAC: access denied; ask"),
    ],
)  # fmt: skip
def test_refusal_gives_the_server_s_own_reason(
    server: KfpServer, call: Call, status: int, body: object, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.instead[call] = Answer(status, body, "text/html" if isinstance(body, str) else "application/json")
    assert words in refused(server, capsys)


def test_long_reason_is_cut() -> None:
    assert said_in('{"message": "%s"}' % ("x" * 5000)).endswith("xxx...")
    assert len(said_in("y\n" * 5000)) == 400


def test_token_and_cookie_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with kfp_server(token="hush-token", cookie="session=hush-cookie") as server:
        assert "401 Unauthorized: the token is missing or wrong" in refused(server, capsys)
        monkeypatch.setenv(TOKEN_VARIABLE, "hush-token")
        line = refused(server, capsys)
        assert "the cookie is missing or wrong" in line
        assert "hush" not in line
        monkeypatch.setenv(COOKIE_VARIABLE, "session=hush-cookie")
        assert run(server) == 0
        assert "hush" not in capsys.readouterr().out
        assert "hush" not in str(server.runs)


def test_server_that_is_older_than_the_run_needs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with kfp_server(tag="2.15.0") as server:
        line = refused(server, capsys)
        assert (
            f"the server at {server.host} is Kubeflow Pipelines 2.15.0 and does not know the words of a parameter (since 2.16)"
            in line
        )
        assert [one.call for one in server.calls] == [HEALTH]


def test_same_content_is_one_version_and_every_run_has_a_name_of_its_own(
    server: KfpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.page = 1
    assert run(server) == run(server, "--max-batches", "7") == 0
    assert "finetune, which was there" in capsys.readouterr().out
    monkeypatch.setenv("TRAFFIC_YOLO_KFP_SERVER", "2.14")  # another compiled file
    assert run(server) == run(server) == 0
    assert server.faults == []
    assert [len(server.pipelines), len(server.versions), len(server.started)] == [1, 2, 4]
    assert server.told.count(UPLOAD) == 2
    assert len({one["display_name"] for one in server.started.values()}) == 4


def test_json_is_all_of_stdout(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server, "--json", "--experiment", "nightly") == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    (version,) = server.versions.values()
    assert told["version"] == version["display_name"]
    assert told["link"] == f"{server.host}/#/runs/details/r-1"
    known = {"run_id": "r-1", "version_id": "v-1", "pipeline_id": "p-1", "pipeline": "traffic-yolo-finetune"}
    known |= {"namespace": "team-vision", "experiment": "nightly", "state": "", "is_uploaded": True, "failures": []}
    assert {name: told[name] for name in known} == known
    assert "submitted run r-1" in printed.err


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "passing",
    [
        {EXPERIMENTS: ["502", "reset", "503"]},
        {NEW_EXPERIMENT: ["lost"]},
        {PIPELINES: ["reset"], UPLOAD: ["502"]},
        {NEW_PIPELINE: ["lost"], UPLOAD: ["lost"]},
        {RUNS: ["lost"], FOUND_RUNS: ["502"]},
    ],
    ids=lambda passing: " ".join(f"{path.rpartition('/')[2]}:{','.join(said)}" for (_, path), said in passing.items()),
)
def test_passing_faults_cost_no_run_and_make_none_twice(server: KfpServer, passing: dict[Call, list[Fault]]) -> None:
    server.passing = passing
    assert run(server) == 0
    assert server.faults == []
    assert not any(passing.values())
    assert [len(made) for made in (server.experiments, server.pipelines, server.versions, server.started)] == [1] * 4
    assert server.told.count(RUNS) == 1


@pytest.mark.parametrize("fault", ["502", "reset"])
def test_start_that_nobody_confirms_is_not_repeated(
    server: KfpServer, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    server.passing[RUNS] = [fault]
    line = refused(server, capsys)
    assert "told to start the run" in line
    assert "is there, and none was started a second time: look at" in line
    assert server.told.count(RUNS) == 1


def test_server_that_stays_away_is_asked_a_few_times(server: KfpServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.passing[EXPERIMENTS] = ["503"] * 9
    assert "503 Service Unavailable" in refused(server, capsys)
    assert [one.call for one in server.calls].count(EXPERIMENTS) == 4


@pytest.mark.long
def test_version_that_another_uploads_meanwhile_is_taken(server: KfpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(server) == 0
    (version,) = server.versions.values()
    shown = iter([{**version, "display_name": "not yet"}])
    monkeypatch.setattr(server, "_shown", lambda one: next(shown, one))
    assert run(server) == 0
    assert len(server.versions) == 1
    assert server.faults == [f"POST {API}/pipelines/upload_version: Already exist error: a version of the name exists"]
    assert server.runs[1]["pipeline_version_reference"] == server.runs[0]["pipeline_version_reference"]


def test_token_comes_from_a_file_anew_for_each_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(file))
    with kfp_server(token="first") as server:
        with pytest.raises(SystemExit):
            run(KfpServer(host=server.host))
            raise SystemExit
        assert f"{TOKEN_FILE_VARIABLE}: {file}: expected a file with a token: No such file" in capsys.readouterr().err
        for content, words in {"": "an empty file", "a\nb": "several"}.items():
            file.write_text(content)
            with pytest.raises(ValueError, match=f"expected one line with a token, found {words}"):
                Connection(server.host, "team-vision")
        assert server.calls == []
        file.write_text("first\n")
        connection = Connection(server.host, "team-vision")
        server.token = "second"  # the first has expired; whoever keeps the file writes the next a moment later
        monkeypatch.setattr(
            "traffic_yolo_pipelines.server_connection.pause", lambda _seconds: file.write_text("second\n")
        )
        connection.experiment_id("e")
        assert [one.headers["authorization"][7:] for one in server.calls] == ["first", "first", "second", "second"]


def test_token_that_kubeflow_puts_into_a_pod_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    with kfp_server(token="projected") as server:
        assert run(server) == 0
    monkeypatch.setenv(TOKEN_VARIABLE, "own")
    with kfp_server(token="own") as server:
        assert run(server) == 0
        monkeypatch.setenv(TOKEN_FILE_VARIABLE, "x")
        assert run(server) == 2


@pytest.mark.many(2)
@pytest.mark.parametrize("tag", ["unknown", "2.16.1", "v2.18.0-rc.1", "our-build-7"])
def test_newer_server_and_one_that_does_not_say_are_taken(tag: str) -> None:
    with kfp_server(tag=tag) as server:
        assert run(server) == 0


@pytest.mark.parametrize(("stated", "tag"), [("2.14", "2.14.3"), ("2.4", "2.4.1")])
def test_older_server_takes_what_was_compiled_for_it(stated: str, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_KFP_SERVER", stated)
    with kfp_server(tag=tag) as server:
        assert run(server) == 0


def test_run_with_a_cluster_file_has_its_names_and_its_gpus(server: KfpServer, repository: Path) -> None:
    file = str(repository / "docs" / "cluster.example.yaml")
    assert run(server, "--cluster", file, "--weights", "s3://lab/w") == 0
    assert run(server, "--cluster", file, "--gpus", "0") == 0
    assert server.faults == []
    first, second = server.runs
    assert first["service_account"] == "pipeline-runner"
    parameters = first["runtime_config"]["parameters"]
    assert (parameters["gpus"], second["runtime_config"]["parameters"]["gpus"]) == ("1", "0")
    assert not {"nas_claim", "s3_secret"} & set(parameters)
    training = Server().run(server.pipeline_of(first), parameters)["exit-handler-1/train"]
    assert training.claims == {"/nas": "nas-data"}
    assert training.environment["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "lab-s3"


def test_host_and_namespace_may_be_the_cluster_file_s(server: KfpServer, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(f"host: {server.host}\nnamespace: team-file\n")
    with pytest.raises(SystemExit) as caught:
        main(["run", "--submit", "--cluster", str(tmp_path / "cluster.yaml"), *FLAGS[2:]])
    assert not caught.value.code
    assert [one["namespace"] for one in server.experiments.values()] == ["team-file"]


@pytest.mark.long
def test_flag_wins_over_file_and_file_over_environment(
    server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_KFP_HOST", server.host)
    monkeypatch.setenv("TRAFFIC_YOLO_KFP_NAMESPACE", "team-env")
    (tmp_path / "cluster.yaml").write_text("namespace: team-file\n")
    for flags in ([], ["--cluster", str(tmp_path / "cluster.yaml")]):
        for namespace in ([], ["--namespace", "team-flag"]):
            with pytest.raises(SystemExit) as caught:
                main(["run", "--submit", *flags, *namespace, *FLAGS[2:]])
            assert not caught.value.code
    used = [server.experiments[body["experiment_id"]]["namespace"] for body in server.runs]
    assert used == ["team-env", "team-flag", "team-file", "team-flag"]


def test_server_of_several_users_wants_a_namespace(server: KfpServer) -> None:
    with pytest.raises(ValueError, match="is one of several users; give --namespace"):
        Connection(server.host, "")
    assert {one.call for one in server.calls} == {HEALTH}


def test_server_of_one_user_needs_no_namespace() -> None:
    places = {"source": "nas://recordings", "zoo": "nas://zoo"}
    with kfp_server(multi_user=False) as server:
        made = submit(Connection(server.host, ""), finetune_pipeline, places, experiment="nightly")
        assert server.faults == []
        assert made.run_id == "r-1"
        assert [one["display_name"] for one in server.experiments.values()] == ["nightly"]


def test_parameter_that_the_form_does_not_have_is_the_server_s_to_refuse(server: KfpServer) -> None:
    with pytest.raises(ClusterError, match="told to start the run"):
        submit(Connection(server.host, "team-vision"), finetune_pipeline, {"sauce": "x"}, experiment="e")


def test_call_of_another_kind_is_not_taken(server: KfpServer) -> None:
    """The recorder itself: an address, a method, a type or a field that the API does not have is refused and kept."""
    from urllib3 import request

    run_of = {"experiment_id": "e", "display_name": "d"}
    sent = [
        ("PATCH", f"{API}/runs", {}, 404),
        ("GET", f"{API}/runs?experiment_id=e-0", {}, 404),
        ("GET", "/apis/v1beta1/healthz", {}, 404),
        ("GET", f"{API}/healthz?deep=1", {}, 400),
        ("POST", f"{API}/runs", {"body": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", f"{API}/runs", {"json": {**run_of, "pipeline_id": "p"}}, 400),
        ("POST", f"{API}/experiments", {"json": {"name": "old field", "namespace": "n"}}, 400),
        ("POST", f"{API}/experiments", {"json": {"display_name": "no namespace"}}, 400),
    ]
    for method, path, given, status in sent:
        headers = {"Accept": "application/json", "Content-Type": "application/json", **given.pop("headers", {})}
        assert request(method, server.host + path, headers=headers, **given).status == status, path
    assert len(server.faults) == len(sent)


def test_server_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("traffic_yolo_pipelines.server_connection.TIMEOUT_S", (0.05, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = refused(KfpServer(host=f"http://127.0.0.1:{silent.getsockname()[1]}"), capsys)
    assert "asked how it is, gave no answer: Read timed out" in line


def test_pod_knows_the_server_of_its_cluster_and_its_namespace(
    server: KfpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("TRAFFIC_YOLO_KFP_API", server.host)
    (tmp_path / "namespace").write_text("team-pod\n")
    monkeypatch.setattr("kfp.Client._NAMESPACE_PATH", str(tmp_path / "namespace"))
    with pytest.raises(SystemExit) as caught:
        main(["run", "--submit", *FLAGS[2:]])
    assert not caught.value.code
    assert [one["namespace"] for one in server.experiments.values()] == ["team-pod"]
    assert not (tmp_path / "context.json").exists()


def test_interrupt_while_a_run_is_started_says_where_to_look(
    server: KfpServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_given: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kfp.Client.run_pipeline", interrupt)
    assert run(server) == 130
    assert capsys.readouterr().err == (
        f"interrupted: a run may have been started all the same; look at {server.host}/#/runs\n"
    )


def test_server_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    line = refused(KfpServer(host="http://127.0.0.1:9"), capsys)
    assert "gave no answer" in line
    assert "Connection refused" in line
    assert "object at 0x" not in line
    assert caplog.records == []  # which the command line would print
