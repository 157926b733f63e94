"""Pod Security's level `restricted`: our own pods satisfy it as they are, a pipeline's where the server says a user."""

import copy
from pathlib import Path
from typing import Any

import pytest
from driver_replay import Compiled, Server
from pod_security import breaches, executor_pod
from quick_yaml import load_yaml

from traffic_yolo.container_images import security_context
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainjob import trainjob_document
from traffic_yolo.training.trainjob_options import TrainJobOptions

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINES = sorted((REPOSITORY / "pipelines").glob("*_pipeline.yaml"))
EXPERIMENTS = sorted((REPOSITORY / "katib").glob("*_experiment.yaml"))
ADMITTED: dict[str, Any] = {
    "containers": [{"name": "main", "securityContext": security_context()}],
    "volumes": [{"name": "nas", "persistentVolumeClaim": {"claimName": "nas-data"}}, {"name": "tmp", "emptyDir": {}}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The admitted pod with one value set (None: taken away)."""
    pod = copy.deepcopy(ADMITTED)
    place: Any = pod if path.startswith("pod.") else pod["containers"][0]
    *folders, last = path.removeprefix("pod.").split(".")
    for folder in folders:
        place = place.setdefault(folder, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return pod


def test_pod_of_ours_is_admitted() -> None:
    assert breaches(ADMITTED) == []


@pytest.mark.parametrize(
    ("path", "value", "breach"),
    [
        ("pod.hostNetwork", True, "pod: hostNetwork"),
        ("pod.volumes", [{"name": "root", "hostPath": {"path": "/"}}], "pod: volume root of kind hostPath"),
        ("pod.volumes", [{"name": "nas", "nfs": {"server": "a", "path": "/"}}], "pod: volume nas of kind nfs"),
        ("securityContext.runAsNonRoot", None, "main: runAsNonRoot is not true"),
        ("securityContext.runAsUser", 0, "main: runAsUser 0"),
        ("securityContext.allowPrivilegeEscalation", None, "main: allowPrivilegeEscalation is not false"),
        ("securityContext.capabilities", {"drop": ["NET_RAW"]}, "main: capabilities are not dropped"),
        ("securityContext.capabilities.add", ["SYS_ADMIN"], "main: capability SYS_ADMIN"),
        ("securityContext.seccompProfile", None, "main: no seccompProfile"),
        ("securityContext.seccompProfile.type", "Unconfined", "main: seccompProfile Unconfined"),
        ("securityContext.privileged", True, "main: privileged"),
        ("securityContext.procMount", "Unmasked", "main: procMount"),
        ("ports", [{"containerPort": 80, "hostPort": 80}], "main: hostPort"),
    ],
)
def test_each_control_is_held(path: str, value: Any, breach: str) -> None:
    assert breaches(changed(path, value)) == [breach]


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_trials_are_admitted(experiment: Path) -> None:
    template = load_yaml(experiment.read_text())["spec"]["trialTemplate"]
    pod = template["trialSpec"]["spec"]["template"]["spec"]
    assert breaches(pod) == []
    # Katib copies the first container's context to the collector (injectSecurityContext), whose image is root's
    assert pod["containers"][0]["name"] == template["primaryContainerName"]
    assert pod["containers"][0]["securityContext"]["runAsUser"] != 0


def test_nodes_of_a_trainjob_are_admitted() -> None:
    document = trainjob_document("nas://a", "nas://b", TrainingOptions(), TrainJobOptions(gpus_per_node=1))
    (patch,) = document["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert breaches(replicated["template"]["spec"]["template"]["spec"]) == []


@pytest.mark.many(2)
@pytest.mark.parametrize("package", PIPELINES, ids=lambda path: path.stem)
def test_tasks_of_a_pipeline_are_admitted_where_the_server_runs_none_as_root(package: Path) -> None:
    pipeline = Compiled.read(package)
    needed = {name: f"nas://{name}" for name, spec in pipeline.parameters.items() if not spec.get("isOptional")}
    tasks = [task for task in Server().run(pipeline, needed).values() if task.pod is not None]
    assert tasks
    for task in tasks:
        assert task.pod is not None
        assert breaches(executor_pod(task.pod, run_as_non_root=True)) == [], task.name
        # Of what the level asks for, the rest is the server's own since 2.16; before, nothing is
        assert set(breaches(executor_pod(task.pod))) <= {"main: runAsNonRoot is not true"}, task.name
