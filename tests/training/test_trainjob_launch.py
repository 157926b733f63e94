"""A TrainJob from a pipeline's task: made once, followed, and never left running by a task that is gone."""

import dataclasses
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from quick_yaml import load_documents
from trainjob_server import PODS, TRAINJOBS, TrainJobServer, serving

from traffic_yolo.cluster import api_server
from traffic_yolo.cluster.run_objects import of_run
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.import_dataset import import_dataset
from traffic_yolo.dataset.options import DataSetChoice
from traffic_yolo.errors import ClusterError, OptionsError, TrainingError
from traffic_yolo.storage import write_json
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.summary import SUMMARY_NAME, FinishedTraining
from traffic_yolo.training.trainjob import trainjob_document
from traffic_yolo.training.trainjob_launch import TrainJobLaunch, TrainJobs, launch
from traffic_yolo.training.trainjob_options import MOST_NAME, TrainJobOptions, TrainJobTaskOptions
from traffic_yolo.training.trainjob_task import TrainJobTask, trainjob_settings

JOB = TrainJobOptions(namespace="team", nodes=2)


@pytest.fixture
def server() -> Iterator[TrainJobServer]:
    with serving(TrainJobServer()) as state:
        yield state


@pytest.fixture
def api(server: TrainJobServer, monkeypatch: pytest.MonkeyPatch) -> client.ApiClient:
    monkeypatch.setattr(api_server, "LONGEST_WAIT_S", 0.01)
    configuration = client.Configuration(host=server.url)
    configuration.retries = False
    return client.ApiClient(configuration)


@pytest.fixture
def jobs(api: client.ApiClient) -> TrainJobs:
    return TrainJobs("team", api=api)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def document() -> dict[str, Any]:
    made = trainjob_document(
        "nas://data", "nas://work/run-1", TrainingOptions(), JOB, image_name="registry.example/x:1"
    )
    return of_run(made, "run-1", most=MOST_NAME)


def options(told: list[str], *, keep: bool = True, timeout_s: float = 600) -> TrainJobLaunch:
    return TrainJobLaunch(timeout_s=timeout_s, poll_s=0.005, keep=keep, tell=told.append)


def test_it_is_made_followed_and_waited_for(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    launch(document, jobs, options(told))
    (name,) = server.objects
    assert name == document["metadata"]["name"]
    assert name.startswith("traffic-yolo-train-")
    assert [line for line in told if line.startswith("iteration")] == [
        f"iteration {step}{part}" for step in (1, 2, 3) for part in "ab"
    ]
    assert told[0] == f"TrainJob team/{name} created"
    assert f"TrainJob {name}: 1 active, 1 ready" in told
    assert server.objects[name]["spec"]["trainer"]["image"] == "registry.example/x:1"


def test_one_that_is_not_kept_is_removed_when_it_is_over(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    launch(document, jobs, options(told, keep=False))
    assert server.objects == {}


def test_lines_are_told_once_wherever_a_look_cuts_them(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any]
) -> None:
    jobs.create(document)
    name = document["metadata"]["name"]
    log, seen = jobs.log(name), []
    moments = [0, 0, 0, 1, 1, 2, 2, 2, 3]
    server.pods["first"] = []
    for number, moment in enumerate(moments):
        server.pods["first"].append(f"2026-11-29T12:00:{moment:02d}Z line {number}")
        seen += log.new_lines()
        seen += log.new_lines()
    assert seen == [f"line {number}" for number in range(len(moments))]
    server.pods = {"second": ["2026-11-29T11:59:00Z anew"]}  # another pod in its place, on a node whose clock is behind
    assert log.new_lines() == ["anew"]


def test_without_rights_on_pods_it_trains_all_the_same_and_says_so_once(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    server.refuses = lambda _method, path: 403 if path.startswith(PODS) else 0
    launch(document, jobs, options(told))
    (note,) = [line for line in told if "cannot be shown" in line]
    assert "list pods in team: the server answered 403" in note
    assert "katib/trainjob_rbac.yaml" in note


@pytest.mark.parametrize("fault", [500, 429, "lose the answer"])
def test_a_server_that_is_away_for_a_moment_is_asked_again(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str], fault: int | str
) -> None:
    server.faults = [fault, 503]
    launch(document, jobs, options(told))
    assert len(server.objects) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "create TrainJob in team: the server answered 401: a fault; the server does not take the token"),
        (403, "the task's service account needs the rights of katib/trainjob_rbac.yaml in team"),
        (404, r"is Kubeflow Trainer installed\?"),
    ],
)
def test_a_refusal_says_what_to_do(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str], status: int, message: str
) -> None:
    server.faults = [status]
    with pytest.raises(ClusterError, match=message):
        launch(document, jobs, options(told))
    assert server.requests == [f"POST {TRAINJOBS}"]


def test_one_that_failed_is_an_error_with_what_it_printed_last(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    server.ends = "Failed"
    with pytest.raises(
        ClusterError, match=r"failed: jobset Failed; its last lines: .*iteration 3a \| iteration 3b; see "
    ):
        launch(document, jobs, options(told, keep=False))
    assert len(server.objects) == 1  # for a look at it


def test_at_the_time_limit_it_is_suspended_or_deleted(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    server.steps = 10_000
    with pytest.raises(
        ClusterError, match=r"took longer than 0\.05 s \(1 active, 1 ready\); it is kept, and suspended"
    ):
        launch(document, jobs, options(told, timeout_s=0.05))
    name = document["metadata"]["name"]
    assert server.objects[name]["spec"]["suspend"] is True
    before = server.work
    jobs.get(name)
    assert server.work == before
    with pytest.raises(ClusterError, match=r"took longer than 0\.05 s .*; it was deleted$"):
        launch(document, jobs, options(told, keep=False, timeout_s=0.05))
    assert server.objects == {}


def test_a_restarted_task_has_no_more_time_than_the_first_had(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    server.steps = 10_000
    jobs.create(document)
    made = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    server.objects[document["metadata"]["name"]]["metadata"]["creationTimestamp"] = made
    with pytest.raises(ClusterError, match="took longer than 3000 s"):
        launch(document, jobs, options(told, timeout_s=3000))


def send_sigterm_once_it_works(server: TrainJobServer) -> threading.Thread:
    def send() -> None:
        while server.work < 2 or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # of the request that the signal came into
@pytest.mark.parametrize("keep", [True, False])
def test_after_sigterm_nothing_runs_and_a_new_task_goes_on(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str], keep: bool
) -> None:
    server.steps = 10_000
    thread = send_sigterm_once_it_works(server)
    came = "it is kept, and suspended: this task, run again, lets it go on" if keep else "it was deleted"
    with pytest.raises(ClusterError, match=f"SIGTERM ended the task; {came}"):
        launch(document, jobs, options(told, keep=keep))
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert [job["spec"].get("suspend") for job in server.objects.values()] == ([True] if keep else [])
    server.steps = server.work + 3
    told.clear()
    launch(document, jobs, options(told, keep=keep))
    assert ("it was suspended; it goes on" in told) is keep


def test_another_s_trainjob_of_the_name_is_left_alone(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    jobs.create({**document, "metadata": {"name": document["metadata"]["name"]}})
    with pytest.raises(ClusterError, match="stands there already with another spec; remove it and run again"):
        launch(document, jobs, options(told, keep=False))
    assert len(server.objects) == 1


def test_one_that_somebody_removed_is_an_error(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str]
) -> None:
    server.makes_pods = False
    thread = threading.Thread(target=lambda: (wait_for(server), server.objects.clear()))
    thread.start()
    with pytest.raises(ClusterError, match="was removed while it ran"):
        launch(document, jobs, options(told))
    thread.join()


def wait_for(server: TrainJobServer) -> None:
    while len(server.requests) < 4:
        time.sleep(0.005)


# The step: from the data set to the run folder


@pytest.fixture
def nas(tmp_path: Path, small_data_set: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(small_data_set, tmp_path / "nas" / "data")
    (tmp_path / "nas" / "work").mkdir()
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(tmp_path / "nas"))
    return tmp_path / "nas"


def task(**others: Any) -> TrainJobTask:
    made = TrainJobTask(
        TrainingOptions(), JOB, TrainJobTaskOptions(), "nas://work", "run-1", "registry.example/x:1", 0.005
    )
    return dataclasses.replace(made, **others)


def leaves_a_run(nas: Path, fingerprint: str) -> Any:
    """What the pods of a TrainJob leave on the share, as far as the task reads it."""

    def done(job: dict[str, Any]) -> None:
        (out,) = [part.removeprefix("--out=nas://") for part in job["spec"]["trainer"]["command"] if "--out=" in part]
        (nas / out).mkdir()
        FinishedTraining("best", {"val_ap50": 0.5}, (), True).write(nas / out)
        TrainedOn(fingerprint, (), (), "", "").write(nas / out / TRAINED_ON_NAME)

    return done


def test_run_folder_comes_back_from_the_share(
    server: TrainJobServer, api: client.ApiClient, nas: Path, tmp_path: Path
) -> None:
    import_dataset(DataSetChoice(dataset="nas://data"), tmp_path / "reference")
    server.done = leaves_a_run(nas, DataSet.open(nas / "data").fingerprint)
    found = task().run(tmp_path / "reference", tell=lambda _line: None, api=api)
    assert found == nas / "work" / "run-1"
    assert FinishedTraining.read(found).numbers == {"val_ap50": 0.5}
    (job,) = server.objects.values()
    assert "--dataset=nas://data" in job["spec"]["trainer"]["command"]
    assert [path.name for path in (nas / "work").iterdir()] == ["run-1"]  # nothing was copied


def test_data_set_that_is_no_reference_is_copied_to_the_share_once(
    server: TrainJobServer, api: client.ApiClient, nas: Path, small_data_set: Path
) -> None:
    server.done = leaves_a_run(nas, DataSet.open(small_data_set).fingerprint)
    task().run(small_data_set, tell=lambda _line: None, api=api)
    copied = nas / "work" / "run-1-dataset"
    assert DataSet.open(copied).fingerprint == DataSet.open(small_data_set).fingerprint
    (copied / "mark").touch()
    task().run(small_data_set, tell=lambda _line: None, api=api)  # begun anew
    assert (copied / "mark").exists()
    assert "--dataset=nas://work/run-1-dataset" in next(iter(server.objects.values()))["spec"]["trainer"]["command"]


def test_complete_without_a_run_or_on_other_data_is_an_error(
    server: TrainJobServer, api: client.ApiClient, nas: Path, tmp_path: Path
) -> None:
    import_dataset(DataSetChoice(dataset="nas://data"), tmp_path / "reference")
    with pytest.raises(TrainingError, match="holds no run; do its pods and this task mount the same claim"):
        task().run(tmp_path / "reference", tell=lambda _line: None, api=api)
    server.done = leaves_a_run(nas, "0123456789abcdef")
    with pytest.raises(TrainingError, match="trained on another data set"):
        task(run_id="run-2").run(tmp_path / "reference", tell=lambda _line: None, api=api)
    (nas / "work" / "run-2" / SUMMARY_NAME).unlink()
    with pytest.raises(TrainingError, match="the training in this folder has not ended"):
        task(run_id="run-2").run(tmp_path / "reference", tell=lambda _line: None, api=api)
    write_json(nas / "work" / "run-2" / SUMMARY_NAME, {"schema_version": 1, "text": ""})
    with pytest.raises(TrainingError, match="not a summary of a training"):
        FinishedTraining.read(nas / "work" / "run-2")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"work": ""}, "train_work: expected a folder on the share"),
        ({"work": "/home/me"}, "out: expected nas:// or a path below /nas"),
        ({"run_id": "{{$.pipeline_job_uuid}}"}, "run_id: expected the id of this run"),
    ],
)
def test_what_pods_cannot_reach_is_refused_before_anything_is_made(
    server: TrainJobServer, api: client.ApiClient, nas: Path, tmp_path: Path, others: dict[str, Any], message: str
) -> None:
    import_dataset(DataSetChoice(dataset="nas://data"), tmp_path / "reference")
    with pytest.raises(OptionsError, match=message):
        task(**others).run(tmp_path / "reference", tell=lambda _line: None, api=api)
    assert server.requests == []


def test_settings_of_the_form() -> None:
    job, follow = trainjob_settings(
        "{nodes: 4, gpus_per_node: 8, processes_per_node: 8, keep: false}", nas_claim="share"
    )
    assert (job.nodes, job.gpus_per_node, job.nas_claim, follow.keep) == (4, 8, "share", False)
    assert trainjob_settings("", nas_claim="nas-data", s3_secret="none")[0] == TrainJobOptions()
    with pytest.raises(OptionsError, match=r"^trainjob: unknown option 'node'; did you mean nodes\?"):
        trainjob_settings("{node: 4}", nas_claim="share")
    with pytest.raises(OptionsError, match="^trainjob: nas_claim: the form says share, the text other"):
        trainjob_settings("{nas_claim: other}", nas_claim="share")
    with pytest.raises(OptionsError, match="^trainjob: timeout_hours: expected a time above 0"):
        trainjob_settings("{timeout_hours: 0}", nas_claim="share")


def test_pods_have_the_image_the_secrets_and_nothing_of_their_values() -> None:
    job = TrainJobOptions(s3_secret="lab-s3", pull_secret="registry")
    made = trainjob_document("nas://d", "nas://r", TrainingOptions(), job, image_name="registry.example/train:1")
    assert made["spec"]["trainer"]["image"] == "registry.example/train:1"
    taken = [entry for entry in made["spec"]["trainer"]["env"] if "valueFrom" in entry]
    assert {entry["valueFrom"]["secretKeyRef"]["name"] for entry in taken} == {"lab-s3"}
    assert all(entry["valueFrom"]["secretKeyRef"]["optional"] for entry in taken)
    pod = made["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    assert pod["template"]["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_rights_are_those_of_the_calls_that_are_made(
    server: TrainJobServer, jobs: TrainJobs, document: dict[str, Any], told: list[str], repository: Path
) -> None:
    server.steps = 10_000
    with pytest.raises(ClusterError):
        launch(document, jobs, options(told, timeout_s=0.05))
    jobs.set_suspended(document["metadata"]["name"], suspended=False)
    server.steps = 0
    launch(document, jobs, options(told, keep=False))
    verbs = {"POST": "create", "GET": "get", "PATCH": "patch", "DELETE": "delete"}
    made = set()
    for request in server.requests:
        method, path = request.split()
        if path.startswith(TRAINJOBS):
            made.add(("trainjobs", verbs[method]))
        else:
            made.add(("pods", "list") if path == PODS else ("pods/log", "get"))
    role = load_documents((repository / "katib" / "trainjob_rbac.yaml").read_text())[0]
    given = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert given == made


@pytest.mark.skipif(
    not os.environ.get("TRAFFIC_YOLO_SLOW"), reason="set TRAFFIC_YOLO_SLOW: a training of two processes"
)
def test_without_a_cluster_the_pods_command_runs_here(nas: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(api_server.CLUSTER_VARIABLE, raising=False)
    training = TrainingOptions(width=160, height=96, batch=2, max_batches=2, mosaic=0.25, device="cpu")
    two = TrainJobOptions(processes_per_node=2)
    found = task(training=training, job=two).run(nas / "data", tell=lambda _line: None)
    assert FinishedTraining.read(found).numbers["iterations"] == 2
    missing = dataclasses.replace(training, cfg=str(nas / "none.cfg"))
    with pytest.raises(TrainingError, match="ended with exit code 1"):
        task(training=missing, run_id="run-2").run(nas / "data", tell=lambda _line: None)


def test_outside_a_cluster_a_client_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(api_server.CLUSTER_VARIABLE, raising=False)
    with pytest.raises(ClusterError, match="this is no pod of a cluster: .*train by `traffic-yolo train`"):
        TrainJobs("team")
