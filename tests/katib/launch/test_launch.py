"""The launcher against an API server that behaves like one: conflicts, losses, faults; and without a cluster."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from katib_server import KatibServer
from quick_yaml import load_documents, load_yaml

from traffic_yolo.cluster import api_server
from traffic_yolo.cluster.api_server import CLUSTER_VARIABLE
from traffic_yolo.cluster.run_objects import unique_name
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.katib.check.findings import RULES
from traffic_yolo.katib.launch import launch
from traffic_yolo.katib.launch.cluster import Experiments
from traffic_yolo.katib.launch.launch import LaunchOptions, best_html, experiment_of
from traffic_yolo.katib.launch.stopping import Patience

QUICK = Patience(passes=3, pause_s=0.01)
OPTIONS = LaunchOptions("run-1", poll_s=0.01, timeout_s=600, patience=QUICK)
BEST = {
    "bestTrialName": "thresholds-abc",
    "parameterAssignments": [
        {"name": "confidence_threshold", "value": "0.31"},
        {"name": "iou_threshold", "value": "0.5"},
    ],
    "observation": {
        "metrics": [
            {"name": "f1", "latest": "0.61", "max": "0.62", "min": "0.6"},
            {"name": "cost", "latest": "unavailable", "max": "unavailable", "min": "unavailable"},
        ]
    },
}


def condition(kind: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": kind, "message": message}


SUCCEEDED = {"conditions": [condition("Created"), condition("Succeeded")], "currentOptimalTrial": BEST, "trials": 3}


def test_an_experiment_is_created_waited_for_and_kept(
    server: KatibServer, experiments: Experiments, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    running = {"conditions": [condition("Running")], "trials": 2, "trialsRunning": 1, "trialsSucceeded": 1}
    server.statuses = [{}, running, running, SUCCEEDED]
    best = launch.launch(document, experiments, OPTIONS)
    assert (best.trial, best.objective) == ("thresholds-abc", "f1")
    assert best.parameters == {"confidence_threshold": "0.31", "iou_threshold": "0.5"}
    assert best.metrics == {"f1": 0.62}  # by its strategy, max; cost has no number
    assert (best.number("iou_threshold", 0), best.number("learning_rate", 7)) == (0.5, 7)
    name = document["metadata"]["name"]
    assert list(server.objects) == [name]
    told = capsys.readouterr().out.splitlines()
    assert told == [f"experiment team/{name} created", "no trial yet", "2 trials, 1 running, 1 succeeded"]
    assert "thresholds-abc" in best_html(best)


def test_a_restarted_task_takes_up_its_experiment_and_may_remove_it(
    server: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    assert experiments.create(document)
    server.statuses = [{}, SUCCEEDED]
    options = LaunchOptions("run-1", poll_s=0.01, keep=False)
    assert launch.launch(document, experiments, options).trial == "thresholds-abc"
    assert server.objects == {}
    assert server.requests.count("POST") == 2


def test_another_experiment_of_the_name_is_left_alone(
    server: KatibServer, experiments: Experiments, document: dict[str, Any]
) -> None:
    foreign = {**document, "metadata": {"name": document["metadata"]["name"]}}
    experiments.create(foreign)
    with pytest.raises(ClusterError, match="stands there already with another spec; remove it"):
        launch.launch(document, experiments, LaunchOptions("run-1", keep=False))
    assert len(server.objects) == 1


@pytest.mark.parametrize("fault", [500, 503, 429, "hang up", "lose the answer"])
def test_a_server_that_is_away_for_a_moment_is_asked_again(
    server: KatibServer, experiments: Experiments, document: dict[str, Any], fault: int | str
) -> None:
    server.faults = [fault, fault if fault != "lose the answer" else 503]
    server.statuses = [SUCCEEDED]
    assert launch.launch(document, experiments, OPTIONS).trial == "thresholds-abc"
    assert len(server.objects) == 1


def test_a_server_that_stays_away_is_given_up_in_one_line(experiments: Experiments, server: KatibServer) -> None:
    server.faults = [500] * 9
    with pytest.raises(ClusterError, match=r"^get experiment in team: the server answered 500: a fault$"):
        experiments.get("x")
    assert server.requests == ["GET"] * api_server.ATTEMPTS
    server.faults = ["hang up"] * 9
    with pytest.raises(ClusterError, match="get experiment: the API server cannot be reached"):
        experiments.get("x")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"answered 401: a fault; the server does not take the token of the task's service account: .*expired"),
        (403, "the task's service account needs the rights of katib/rbac.yaml in team"),
        (404, "is Katib installed"),
        (422, "the server answered 422: a fault"),
    ],
)
def test_a_refusal_is_not_repeated(
    server: KatibServer, experiments: Experiments, document: dict[str, Any], status: int, message: str
) -> None:
    server.faults = [status]
    with pytest.raises(ClusterError, match=message):
        experiments.create(document)
    assert server.requests == ["POST"]
    server.faults = [status]
    with pytest.raises(ClusterError) as refused:
        experiments.trials("x")
    assert ("rbac" in str(refused.value)) is (status == 403)


@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        (
            [{"conditions": [condition("Failed", "max failed count has reached")], "failedTrialList": ["t-1"]}],
            r"failed: max failed count has reached; see `kubectl -n team logs -l katib.kubeflow.org/trial=t-1 ",
        ),
        ([{"conditions": [condition("Failed", "no")]}], r"failed: no; see `kubectl -n team describe experiment"),
        ([{"conditions": [condition("Succeeded")]}], "ended without a trial that has f1"),
    ],
)
def test_an_experiment_that_came_to_nothing_is_an_error_and_stays(
    server: KatibServer,
    experiments: Experiments,
    document: dict[str, Any],
    statuses: list[dict[str, Any]],
    message: str,
) -> None:
    server.statuses = statuses
    with pytest.raises(ClusterError, match=message):
        launch.launch(document, experiments, LaunchOptions("run-1", poll_s=0.01, keep=False))
    assert len(server.objects) == 1


def test_an_experiment_that_somebody_removed_is_an_error(
    server: KatibServer, experiments: Experiments, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "get", lambda _name: None)
    with pytest.raises(ClusterError, match="was removed while it ran"):
        launch.launch(document, experiments, OPTIONS)
    assert len(server.objects) == 1


def test_a_restarted_task_has_no_more_time_than_the_first_had(
    experiments: Experiments, server: KatibServer, document: dict[str, Any]
) -> None:
    """The limit counts from the Experiment's creation: this one was made an hour ago, by a pod that is gone."""
    experiments.create(document)
    made = datetime.now(UTC) - timedelta(hours=1)
    server.objects[document["metadata"]["name"]]["metadata"]["creationTimestamp"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(ClusterError, match="took longer than 3000 s"):
        launch.launch(document, experiments, LaunchOptions("run-1", poll_s=0.01, timeout_s=3000, patience=QUICK))
    server.statuses = [SUCCEEDED]  # it may end late: an Experiment that succeeded is taken as it is
    assert launch.launch(
        document, experiments, LaunchOptions("run-1", poll_s=0.01, timeout_s=3000, patience=QUICK)
    ).trial


def test_removing_what_is_gone_is_no_fault(experiments: Experiments) -> None:
    experiments.delete("nothing")


def test_the_name_comes_from_the_run_alone(repository: Path) -> None:
    text = (repository / "katib" / "thresholds_experiment.yaml").read_text()
    first, again = (experiment_of(text, LaunchOptions("run-1")) for _ in range(2))
    assert first == again
    assert experiment_of(text, LaunchOptions("run-2"))["metadata"]["name"] != first["metadata"]["name"]
    assert len(unique_name("x" * 60, "run", most=40)) == 40
    assert unique_name("a" * 30 + "-" * 10, "run", most=40).count("--") == 0


def test_a_broken_experiment_never_reaches_the_server() -> None:
    with pytest.raises(OptionsError, match="experiment: "):
        experiment_of("kind: Experiment", OPTIONS)
    with pytest.raises(OptionsError, match="ignore 'metrics-name': no such rule; write metric-name"):
        LaunchOptions("run", ignore=("metrics-name",))
    with pytest.raises(OptionsError, match="expected times above 0"):
        LaunchOptions("run", timeout_s=0)


def test_an_ignored_rule_reaches_the_server(repository: Path) -> None:
    text = (
        (repository / "katib" / "thresholds_experiment.yaml")
        .read_text()
        .replace("maxTrialCount: 60", "maxTrialCount: 1")
    )
    with pytest.raises(OptionsError, match=r"above spec.maxTrialCount: .* \[max-failed-above-max\].*ignore: RULE"):
        experiment_of(text, OPTIONS)
    rules = ("max-failed-above-max", "parallel-above-max")
    assert experiment_of(text, LaunchOptions("run-1", ignore=rules))["spec"]["maxTrialCount"] == 1
    with pytest.raises(OptionsError, match="without them there is nothing to run"):
        experiment_of("kind: Experiment", LaunchOptions("run-1", ignore=tuple(RULES)))


def test_outside_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)
    with pytest.raises(ClusterError, match=r"this is no pod of a cluster: .*katib run"):
        Experiments("team")


def shell_experiment(write: Path, command: list[str]) -> str:
    spec: dict[str, Any] = {
        "objective": {"type": "maximize", "objectiveMetricName": "score"},
        "algorithm": {"algorithmName": "grid"},
        "maxTrialCount": 2,
        "parallelTrialCount": 1,
        "maxFailedTrialCount": 1,
        "parameters": [
            {"name": "confidence_threshold", "parameterType": "discrete", "feasibleSpace": {"list": ["0.25", "0.5"]}}
        ],
        "trialTemplate": {
            "primaryContainerName": "trial",
            "trialParameters": [
                {"name": "confidence_threshold", "reference": "confidence_threshold", "description": "x"}
            ],
            "trialSpec": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "spec": {
                    "backoffLimit": 0,
                    "template": {
                        "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                        "spec": {
                            "restartPolicy": "Never",
                            "containers": [{"name": "trial", "image": "registry.example/x:1", "command": command}],
                        },
                    },
                },
            },
        },
    }
    named = {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": {"name": "tiny"}, "spec": spec}
    text = yaml.safe_dump(named)
    write.write_text(text)
    return text


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_pipeline_runs_to_its_end_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from traffic_yolo_pipelines.local_run import run_locally
    from traffic_yolo_pipelines.tune_pipeline import tune_pipeline

    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)
    experiment = tmp_path / "experiment.yaml"
    shell_experiment(experiment, ["echo", "score=${trialParameters.confidence_threshold}"])
    run = run_locally(tune_pipeline, {"experiment": str(experiment)}, tmp_path / "runs")
    finished = load_yaml(run.artifact("search", "finished").read_text())
    assert finished["status"]["currentOptimalTrial"]["parameterAssignments"] == [
        {"name": "confidence_threshold", "value": "0.5"}
    ]
    outputs = json.loads((run.folder / "search" / "executor_output.json").read_text())["parameterValues"]
    assert outputs == {
        "confidence_threshold": 0.5,
        "iou_threshold": 0.45,
        "fine_tune_layers": "",
        "learning_rate": 0.0,
        "objective": 0.5,
    }
    assert "Best trial: tiny-" in run.artifact("search", "report").read_text()
    assert "best trial tiny-" in capfd.readouterr().out


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_committed_yaml_is_what_the_source_compiles_to(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp import compiler

    from traffic_yolo_pipelines.tune_pipeline import tune_pipeline

    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)
    compiler.Compiler().compile(tune_pipeline, str(tmp_path / "compiled.yaml"))

    def loaded(path: Path) -> list[Any]:
        documents = load_documents(path.read_text())
        for document in documents:
            document.pop("sdkVersion", None)
        return documents

    assert loaded(repository / "pipelines" / "tune_pipeline.yaml") == loaded(tmp_path / "compiled.yaml"), "make compile"


def test_a_failing_experiment_fails_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLUSTER_VARIABLE, raising=False)
    text = shell_experiment(tmp_path / "e.yaml", ["test", "${trialParameters.confidence_threshold}", "-gt", "9"])
    with pytest.raises(
        ClusterError, match=r"experiment tiny failed: Experiment has .*; tiny-\w+: exit code 2: sh: .*Illegal number"
    ):
        launch.run_experiment(text, OPTIONS, tmp_path / "work")
