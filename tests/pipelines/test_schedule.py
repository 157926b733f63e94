"""Schedules: what a server is told, in order, and what a user is told of what cannot be."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver_replay import Server
from kfp_client_alone import alone
from kfp_schedules import NEW_SCHEDULE, SCHEDULES, ScheduleServer, names_of
from kfp_server import API, HEALTH, NEW_EXPERIMENT, NEW_PIPELINE, UPLOAD, Answer, kfp_server
from kubernetes_schema import hold_to_schema
from quick_yaml import load_yaml

from traffic_yolo._version import __version__
from traffic_yolo.cli import main
from traffic_yolo.container_images import image

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
FLAGS = ["--source", "nas://recordings", "--labels", "nas://labels.json", "--zoo", "nas://zoo"]
MONDAYS = "0 0 3 * * mon"


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    alone(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[ScheduleServer]:
    with kfp_server(ScheduleServer) as running:
        yield running


def schedule(server: ScheduleServer, *arguments: str) -> int:
    """The exit code of `traffic-yolo schedule`."""
    with pytest.raises(SystemExit) as caught:
        main(["schedule", arguments[0], "--host", server.host, "--namespace", "team-vision", *arguments[1:]])
    return int(caught.value.code or 0)


def create(server: ScheduleServer, name: str = "weekly", *more: str, cron: str = MONDAYS) -> int:
    return schedule(server, "create", name, "--cron", cron, *FLAGS, *more)


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said, of what was not done."""
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith("error: ")
    return line


def test_schedule_refers_to_a_version_of_the_pipeline_and_never_makes_up_for_missed_runs(
    server: ScheduleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(server, "weekly", "--gpus", "1", "--min-new-frames", "250", "--max-batches", "50") == 0
    assert server.faults == []
    assert server.told == [NEW_EXPERIMENT, NEW_PIPELINE, UPLOAD, NEW_SCHEDULE]
    (made,) = server.schedules.values()
    assert (made["no_catchup"], made["max_concurrency"], made["mode"]) == (True, "1", "ENABLE")
    assert made["trigger"] == {"cron_schedule": {"cron": MONDAYS}}
    parameters = made["runtime_config"]["parameters"]
    assert (parameters["min_new_frames"], parameters["max_batches"], parameters["gpus"]) == (250, "50", "1")
    (version,) = server.versions.values()
    assert re.fullmatch(rf"{re.escape(__version__)}-[0-9a-f]{{12}}", version["display_name"])
    pods = Server().run(server.compiled[version["pipeline_version_id"]], parameters)
    (training,) = [pod for name, pod in pods.items() if name.endswith("/train")]
    assert training.resources[1]["nvidia.com/gpu"] == "1"

    said = capsys.readouterr().out
    assert "schedule weekly (s-4): at 03:00 on Mondays" in said
    times = re.findall(r"^  Mon \d{4}-\d\d-\d\d 03:00:00 UTC$", said, re.MULTILINE)
    assert len(times) == 5
    assert "where the server counts in Etc/UTC" in said
    assert f"{server.host}/#/recurringrun/details/s-4" in said


def test_same_pipeline_is_uploaded_once(server: ScheduleServer) -> None:
    server.page = 1
    for name in ("a", "b", "c"):
        assert create(server, name) == 0
    assert server.told.count(UPLOAD) == 1
    assert names_of(server.schedules) == ["a", "b", "c"]
    assert server.faults == []


def test_name_that_is_taken_is_refused_or_replaced(server: ScheduleServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert create(server) == 0
    capsys.readouterr()
    assert create(server, cron="@daily") == 2
    assert "weekly: a schedule of this name is there (s-4, 0 0 3 * * mon); remove it first, give --replace" in refused(
        capsys
    )
    assert names_of(server.schedules) == ["weekly"]
    assert create(server, "weekly", "--replace", "--json", cron="@daily") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["schedule_id"], told["replaced"]) == ("weekly", "s-5", ["s-4"])
    assert len(told["next_times"]) == 5
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00Z", time) for time in told["next_times"])
    (made,) = server.schedules.values()
    assert made["trigger"]["cron_schedule"]["cron"] == "@daily"
    assert server.told[-2:] == [NEW_SCHEDULE, ("DELETE", f"{API}/recurringruns/s-4")]  # never without one
    assert server.faults == []


def test_pause_resume_list_and_remove(server: ScheduleServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.page = 1
    assert create(server, "a") == create(server, "b", cron="@every 36h") == 0
    capsys.readouterr()
    assert schedule(server, "pause", "a", "--json") == 0
    paused = json.loads(capsys.readouterr().out)
    assert paused == {"command": "schedule pause", "name": "a", "schedule_id": "s-4", "state": "paused"}
    assert schedule(server, "pause", "a") == 0
    assert schedule(server, "list") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "a (s-4): paused"
    assert re.fullmatch(r"a  paused  at 03:00 on Mondays \(0 0 3 \* \* mon\), next .* 03:00:00 UTC  s-4", said[1])
    assert said[2].startswith("b  active  every 36 h, counted from the last run (@every 36h), next ")
    assert schedule(server, "resume", "a") == 0
    assert schedule(server, "list", "--json") == 0
    found = json.loads(capsys.readouterr().out.partition("\n")[2])["schedules"]
    assert [(one["name"], one["is_active"], one["max_concurrency"], one["no_catchup"]) for one in found] == [("a", True, 1, True), ("b", True, 1, True)]  # fmt: skip
    assert schedule(server, "remove", "a") == 0
    assert names_of(server.schedules) == ["b"]
    assert server.faults == []


def test_several_of_one_name_are_told_apart_by_their_ids(
    server: ScheduleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(server) == 0
    server.schedules["s-9"] = {**server.schedules["s-4"], "recurring_run_id": "s-9"}
    capsys.readouterr()
    assert schedule(server, "remove", "weekly") == 2
    assert "weekly: 2 schedules have this name; give one by its id: s-4, s-9" in refused(capsys)
    assert schedule(server, "remove", "s-9") == 0
    assert list(server.schedules) == ["s-4"]
    capsys.readouterr()
    assert schedule(server, "pause", "daily") == 2
    assert "daily: no schedule of this name or id; found weekly" in refused(capsys)


def test_schedules_of_others_are_listed_as_they_are(server: ScheduleServer, capsys: pytest.CaptureFixture[str]) -> None:
    body = {"recurring_run_id": "x", "display_name": "theirs", "status": "ENABLED"}
    server.schedules["x"] = {**body, "trigger": {"periodic_schedule": {"interval_second": "3600"}}}
    server.schedules["y"] = {**body, "recurring_run_id": "y", "trigger": {"cron_schedule": {"cron": "0 3 * * *"}}}
    assert schedule(server, "list") == 0
    assert capsys.readouterr().out.splitlines() == ["theirs  active  every 3600 s  x", "theirs  active  0 3 * * * (not made here)  y"]  # fmt: skip
    server.schedules.clear()
    assert schedule(server, "list") == 0
    assert capsys.readouterr().out == "no schedules\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cron", "0 3 * * 1"], "--cron: expected six fields: second minute hour"),
        (["--timezone", "Europe/Nowhere"], "--timezone: expected an IANA name"),
        (["--timezone", "../etc/passwd"], "--timezone: expected an IANA name"),
        (["--zoo", "/home/me/zoo"], "--zoo: /home/me/zoo: a path of this machine"),
        (["--labels", "s3://lab/labels.json"], "--labels: s3://lab/labels.json: a pod has no credentials"),
        (["--gpus", "-1"], "--gpus: expected a whole number of 0 or more"),
        (["--nas-claim", "Not A Name"], "--nas-claim: expected a name in Kubernetes"),
        (["--min-new-frames", "0", "--min-new-sites", "0"], "set --min-new-frames, say"),
        (["--max-batches", "0"], "--max-batches: expected at least 1"),
        (["--convert-settings", "bach: 8"], "--convert-settings: unknown option 'bach'"),
        (["--host", ""], "--host: expected the address"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_before_the_server_is_asked(
    server: ScheduleServer, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(server, "weekly", *arguments) == 2
    assert message in refused(capsys)
    assert server.calls == []


@pytest.mark.long
def test_server_s_refusals_say_what_was_asked(server: ScheduleServer, capsys: pytest.CaptureFixture[str]) -> None:
    for call, words in {
        HEALTH: "asked how it is",
        SCHEDULES: "asked for its schedules",
        NEW_EXPERIMENT: "asked for the experiment traffic-yolo",
        NEW_PIPELINE: "told to make the pipeline traffic-yolo-retrain",
        UPLOAD: "given the version",
        NEW_SCHEDULE: "told to make the schedule",
    }.items():
        server.instead = {call: Answer(403, {"message": "no right"})}
        assert create(server) == 2
        line = refused(capsys)
        assert words in line
        assert "refused: 403 Forbidden: no right; ask for the right" in line
        server.instead = {call: Answer(200, "<html><title>Log in</title></html>", "text/html")}
        assert create(server) == 2
        assert "answered with a web page (Log in)" in refused(capsys)
    assert server.schedules == {}
    server.instead = {}
    assert create(server) == 0  # what was left half done is gone on with
    assert len(server.pipelines) == 1


def test_schedule_with_a_cluster_file_has_its_names_its_account_and_its_gpus(
    server: ScheduleServer, repository: Path
) -> None:
    assert create(server, "weekly", "--cluster", str(repository / "docs" / "cluster.example.yaml")) == 0
    assert server.faults == []
    (made,) = server.schedules.values()
    assert made["service_account"] == "pipeline-runner"
    parameters = made["runtime_config"]["parameters"]
    assert parameters["gpus"] == "1"
    assert not {"nas_claim", "s3_secret"} & set(parameters)
    pods = Server().run(server.pipeline_of(made), parameters)
    (training,) = [pod for name, pod in pods.items() if name.endswith("/train")]
    assert training.environment["AWS_ACCESS_KEY_ID"]["secretKeyRef"]["name"] == "lab-s3"


def test_schedule_whose_making_was_not_confirmed_is_not_made_twice(server: ScheduleServer) -> None:
    server.passing[NEW_SCHEDULE] = ["lost"]
    assert create(server) == 0
    server.passing[NEW_SCHEDULE] = ["lost"]
    assert create(server, "weekly", "--replace") == 0
    assert names_of(server.schedules) == ["weekly"]
    server.passing[NEW_SCHEDULE] = ["reset"]
    assert create(server, "daily") == 2
    assert names_of(server.schedules) == ["weekly"]
    assert server.told.count(NEW_SCHEDULE) == 3


def emitted(capsys: pytest.CaptureFixture[str], *more: str, cron: str = MONDAYS) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["schedule", "emit-cronjob", "weekly", "--cron", cron, *FLAGS, *more])
    printed = capsys.readouterr()
    return printed.out if not caught.value.code else printed.err


def test_cron_job_is_one_that_kubernetes_takes_and_restricted_pods_allow(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more = ["--gpus", "1", "--s3-secret", "lab-s3", "--namespace", "team", "--timezone", "Europe/Berlin"]
    text = emitted(capsys, *more, "--min-new-frames", "250", "--mosaic", "0.25", "--no-per-class")
    assert text.startswith("# at 03:00 on Mondays, Europe/Berlin: traffic-yolo retrain\n")
    job = load_yaml(text)
    hold_to_schema(job)
    assert (job["spec"]["schedule"], job["spec"]["timeZone"]) == ("0 3 * * mon", "Europe/Berlin")
    assert (job["spec"]["concurrencyPolicy"], job["metadata"]["namespace"]) == ("Forbid", "team")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    secured = container["securityContext"]
    assert (secured["allowPrivilegeEscalation"], secured["capabilities"]) == (False, {"drop": ["ALL"]})
    assert secured["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["image"] == image("train", "cuda")
    assert f"image: {image('train', 'cpu')}\n" in emitted(capsys)
    assert {"name": "nas", "persistentVolumeClaim": {"claimName": "nas-data"}} in pod["volumes"]
    assert all("value" in one or one["valueFrom"]["secretKeyRef"]["name"] == "lab-s3" for one in container["env"])

    # The command is one that the program takes, and comes to the parameters that were meant
    from traffic_yolo.commands.retrain import command

    context = command.make_context("retrain", container["command"][2:])
    assert (context.params["min_new_frames"], context.params["gpus"]) == (250, 1)
    assert "mosaic: 0.25" in context.params["train_settings"]
    assert context.params["source"] == "nas://recordings"
    with pytest.raises(SystemExit):
        main(
            [
                "schedule",
                "emit-cronjob",
                "weekly",
                "--cron",
                MONDAYS,
                *FLAGS,
                *more[2:],
                "--out",
                str(tmp_path / "job.yaml"),
            ]
        )
    assert load_yaml((tmp_path / "job.yaml").read_text())["kind"] == "CronJob"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cron", "@every 24h"], "begin it with second 0"),
        (["--zoo", "relative"], "--zoo: relative: a relative path means nothing in a pod"),
    ],
)
def test_cron_job_that_cannot_be_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in emitted(capsys, *arguments)
