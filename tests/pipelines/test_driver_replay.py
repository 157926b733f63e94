"""What a server makes of the compiled pipelines: pods with the GPUs, claims and settings that were asked for."""

import copy
import dataclasses
import importlib
import inspect
import json
from pathlib import Path
from typing import Any, Optional

import pytest
from driver_pod import DriverError
from driver_replay import HEAD, OLD, Compiled, Server, Task, references
from kfp import dsl, kubernetes
from kubernetes_schema import hold_to_schema
from quick_yaml import load_documents

from traffic_yolo.container_images import IMAGES, image
from traffic_yolo.options import SETTINGS, fields_of
from traffic_yolo.storage import NAS_ROOT_VARIABLE
from traffic_yolo.storage.in_pods import NO_SECRET, S3_SECRET_KEYS
from traffic_yolo.storage.s3_settings import S3Settings
from traffic_yolo.training.component import train
from traffic_yolo_pipelines.compile import compile_to
from traffic_yolo_pipelines.server_needs import FINAL_STATUS
from traffic_yolo_pipelines.step_options import STEP_OPTIONS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
FOLDER = Path(__file__).resolve().parents[2] / "pipelines"
PACKAGES = sorted(FOLDER.glob("*.yaml"))
SERVERS = {"2.4": OLD, "HEAD": HEAD}
# Parameters of components that may say where something lies
PLACES = {name for step in STEP_OPTIONS.values() for name, field in fields_of(*step).items()
          if field.metadata.get("location")} | {
    SETTINGS, "work", "snapshot_cache", "experiment", "store", "compare_with",
}  # fmt: skip


def form(pipeline: Compiled, **given: Any) -> dict[str, Any]:
    """A run's parameters: those given that the form has, and something for those that it needs."""
    needed = {name: f"nas://{name}" for name, spec in pipeline.parameters.items() if not spec.get("isOptional")}
    return needed | {name: value for name, value in given.items() if name in pipeline.parameters}


def tasks(pipeline: Compiled, version: tuple[int, int] = HEAD, **given: Any) -> dict[str, Task]:
    return Server(version).run(pipeline, form(pipeline, **given))


@pytest.fixture(params=PACKAGES, ids=lambda path: path.stem)
def pipeline(request: pytest.FixtureRequest) -> Compiled:
    """Every compiled pipeline of the repository, whoever adds one."""
    return Compiled.read(request.param)


@pytest.fixture
def finetune() -> Compiled:
    """The main pipeline."""
    return Compiled.read(FOLDER / "finetune_pipeline.yaml")


@pytest.fixture(params=SERVERS)
def version(request: pytest.FixtureRequest) -> tuple[int, int]:
    """The oldest server that compiling knows, and the newest sources."""
    return SERVERS[request.param]


def test_every_pipeline_is_found() -> None:
    assert {path.stem for path in PACKAGES} >= {"convert_pipeline", "finetune_pipeline", "tune_pipeline"}


@pytest.fixture
def known(pipeline: Compiled, version: tuple[int, int]) -> None:
    """Leaves out a pipeline for which compiling refuses this server."""
    ends = json.dumps(pipeline.spec["root"]).count("taskFinalStatus")
    if ends and version < FINAL_STATUS.since:
        pytest.skip(f"final status since {FINAL_STATUS.since}")


@pytest.mark.many(5)
def test_every_pod_is_one_that_kubernetes_takes(pipeline: Compiled, version: tuple[int, int], known: None) -> None:
    for task in tasks(pipeline, version, gpus="2", nas_claim="team-share").values():
        pod = copy.deepcopy(dict(task.pod or {}))
        names = [volume["name"] for volume in pod["volumes"]]
        assert len(names) == len(set(names)), task.name
        assert task.main["image"] in {image(name) for name in IMAGES}
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "task"}, "spec": pod}
        hold_to_schema(document)


@pytest.mark.many(4)
def test_claim_is_the_one_that_was_named_where_the_environment_says(
    pipeline: Compiled, version: tuple[int, int], known: None
) -> None:
    found = tasks(pipeline, version, nas_claim="team-share")
    mounted = [task for task in found.values() if task.claims]
    assert mounted
    for task in mounted:
        assert task.claims == {task.environment[NAS_ROOT_VARIABLE]: "team-share"}, task.name


def reaches_places(task: Task) -> bool:
    """Whether a task is told of a place, reads a data set (which may be a reference to one) or writes one."""
    inputs, outputs = (task.component.get(f"{what}Definitions", {}) for what in ("input", "output"))
    return bool(PLACES & set(inputs.get("parameters", {}))) or any(
        "dataset" in one.get("artifacts", {}) for one in (inputs, outputs)
    )


def test_task_that_is_told_of_places_or_reads_a_data_set_has_the_nas(pipeline: Compiled) -> None:
    for task in tasks(pipeline).values():
        if reaches_places(task):
            assert task.claims, task.name


def test_task_that_is_told_of_places_has_the_secret_of_the_object_storage(pipeline: Compiled) -> None:
    told = []
    for task in tasks(pipeline, s3_secret="lab-s3").values():
        taken = {name: value for name, value in task.environment.items() if isinstance(value, dict)}
        if reaches_places(task):
            told.append(task.name)
            reference = {"name": "lab-s3", "optional": True}
            assert taken == {key: {"secretKeyRef": {"key": key} | reference} for key in S3_SECRET_KEYS}, task.name
        elif "dataset" not in task.artifacts:  # which may be a reference to a place
            assert not taken, task.name
    assert told


def test_secret_s_keys_are_the_variables_that_object_storage_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ("https://s3.example:9000", "key-id", "secret-key", "token", "eu-west-9")
    for key, value in zip(S3_SECRET_KEYS, values, strict=True):
        monkeypatch.setenv(key, value)
    read = S3Settings.from_environment()
    found = (read.url, read.access_key, read.secret_key, read.session_token, read.region)
    assert found == values


@pytest.mark.many(2)
def test_run_without_object_storage_needs_no_secret(pipeline: Compiled, tmp_path: Path) -> None:
    """Every reference is to a name that no secret has, and may be missing; a server without `optional` gets none."""
    for task in tasks(pipeline).values():
        references = [one["secretKeyRef"] for one in task.environment.values() if isinstance(one, dict)]
        assert {(one["name"], one["optional"]) for one in references} <= {(NO_SECRET, True)}, task.name
    name = str(pipeline.spec["pipelineInfo"]["name"]).removeprefix("traffic-yolo-")
    source = importlib.import_module(f"traffic_yolo_pipelines.{name}_pipeline")
    compile_to(getattr(source, f"{name}_pipeline"), tmp_path / "old.yaml", server="2.14")
    ends = json.dumps(pipeline.spec["root"]).count("taskFinalStatus")  # which the older one does not know
    for version in ((2, 14),) if ends else (OLD, (2, 14)):
        for task in tasks(Compiled.read(tmp_path / "old.yaml"), version).values():
            assert not [one for one in task.environment.values() if isinstance(one, dict)], task.name


def test_no_parameter_that_a_pod_s_settings_name_is_of_a_type_that_the_driver_drops(pipeline: Compiled) -> None:
    found = references(pipeline)
    assert found
    assert [reference for reference in found if reference.is_dropped] == []


@pytest.mark.parametrize(("gpus", "limit"), [("2", "2"), ("0", "0"), ("", None)])
def test_gpus_that_are_asked_for_reach_the_pod_and_the_component(
    finetune: Compiled, version: tuple[int, int], gpus: str, limit: str | None
) -> None:
    found = tasks(finetune, version, gpus=gpus)
    requests, limits = found["train"].resources
    assert limits.get("nvidia.com/gpu") == limit
    assert limits["memory"] == "32G"
    assert requests == {"memory": "8G", "cpu": "2"}
    assert found["train"].parameters["gpus"] == gpus
    assert [name for name, task in found.items() if "nvidia.com/gpu" in task.resources[1]] in (
        ["preflight", "train"],
        [],
    )


def test_secret_without_a_name_is_refused(finetune: Compiled) -> None:
    with pytest.raises(DriverError, match="Expected a non-empty string"):
        tasks(finetune, s3_secret="")


def test_training_shares_memory_and_is_begun_again(finetune: Compiled) -> None:
    task = tasks(finetune)["train"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}} in task.pod["volumes"]  # type: ignore[index]
    assert {"name": "shm", "mountPath": "/dev/shm"} in task.main["volumeMounts"]
    assert task.retry is not None
    assert task.retry["maxRetryCount"] == 2
    assert tasks(finetune, OLD)["train"].retry is None  # which did not know retries yet


def test_a_number_of_gpus_is_caught(version: tuple[int, int]) -> None:
    """As it was: an int is a number for the driver, which reads "" and sets no limit; the run is green, on CPUs."""
    documents = load_documents((FOLDER / "finetune_pipeline.yaml").read_text())
    documents[0]["root"]["inputDefinitions"]["parameters"]["gpus"] |= {
        "parameterType": "NUMBER_INTEGER",
        "defaultValue": 0,
    }
    mutant = Compiled.of(documents)
    assert "nvidia.com/gpu" not in tasks(mutant, version, gpus=2)["train"].resources[1]
    dropped = [reference for reference in references(mutant) if reference.is_dropped]
    assert sorted(one.executor for one in dropped) == ["exec-preflight", "exec-train"]
    assert {(one.parameter, one.kind) for one in dropped} == {("pipelinechannel--gpus", "NUMBER_INTEGER")}
    assert {one.where for one in dropped} == {"resources.accelerator.resourceCount"}


def test_claim_without_a_name_is_refused_or_was_mounted_as_nothing(finetune: Compiled) -> None:
    with pytest.raises(DriverError, match="Expected a non-empty string"):
        tasks(finetune, nas_claim="")
    assert tasks(finetune, OLD, nas_claim="")["train"].claims == {"/nas": ""}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gpus": 2}, "gpus requires type STRING"),
        ({"per_class": "true"}, "per_class requires type BOOLEAN"),
        ({"per_class": 1}, "per_class requires type BOOLEAN"),
        ({"objective": "best"}, "does not match any of"),
        ({"gpu": "2"}, "unknown parameters: gpu"),
    ],
)
def test_server_refuses_what_does_not_fit_the_form(finetune: Compiled, given: dict[str, Any], words: str) -> None:
    with pytest.raises(DriverError, match=words):
        Server(HEAD).run(finetune, {**form(finetune), **given})


def test_run_s_own_id_is_known_to_its_tasks_since_2_5(finetune: Compiled) -> None:
    assert tasks(finetune)["train"].parameters["run_id"] == "run-1"
    assert tasks(finetune, OLD)["train"].parameters["run_id"] == "{{$.pipeline_job_uuid}}"  # the component refuses it
    assert "run_id" in inspect.signature(train.python_func).parameters


# What a cluster's settings may be, each by a parameter of the form: the rules themselves


@dsl.component(base_image=image("train"), install_kfp_package=False)
def step(text: str = "") -> str:
    """A task with settings of all kinds."""
    return text


@dsl.pipeline(name="settings")
def every_setting(
    secret: str = "s3-credentials",
    config: str = "team-settings",
    pull_secret: str = "registry",
    claim: str = "scratch",
    memory: str = "3Gi",
    cpus: str = "500m",
    kind: str = "nvidia.com/gpu",
    selector: dict = {"accelerator": "h200"},  # noqa: B006 (kfp wants the default there)
    toleration: list = [{"key": "gpu", "operator": "Exists"}],  # noqa: B006
    left_out: Optional[str] = None,  # noqa: UP045 (kfp 2.17 takes no other spelling)
) -> None:
    task = step()
    task.set_memory_limit(memory).set_cpu_request(cpus).set_accelerator_type(kind).set_accelerator_limit(1)
    task.set_env_variable("PLAIN", "text")
    kubernetes.use_secret_as_env(task, secret, {"key": "AWS_SECRET_ACCESS_KEY"})
    kubernetes.use_secret_as_volume(task, secret, "/secrets")
    kubernetes.use_config_map_as_env(task, config, {"region": "AWS_REGION"})
    kubernetes.use_config_map_as_volume(task, config, "/config")
    kubernetes.set_image_pull_secrets(task, [pull_secret])
    kubernetes.mount_pvc(task, claim, "/scratch")
    kubernetes.add_node_selector_json(task, selector)
    kubernetes.add_toleration_json(task, toleration)
    kubernetes.add_toleration(task, key="spot", operator="Equal", value="yes", effect="NoSchedule")
    kubernetes.set_timeout(task, 3600)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.add_ephemeral_volume(task, "work", "/work", ["ReadWriteOnce"], "10Gi")
    kubernetes.use_secret_as_volume(task, left_out, "/none")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """The compiled pipeline of all settings."""
    path = tmp_path_factory.mktemp("compiled") / "settings.yaml"
    compile_to(every_setting, path)
    return Compiled.read(path)


def test_settings_that_parameters_name_arrive_as_they_were_given(settings: Compiled) -> None:
    task = tasks(settings, secret="minio", memory="7G", selector={"zone": "a"})["step"]
    assert task.resources == ({"cpu": "500m"}, {"memory": "7G", "nvidia.com/gpu": "1"})
    assert task.environment == {
        "PLAIN": "text",
        "AWS_SECRET_ACCESS_KEY": {"secretKeyRef": {"name": "minio", "key": "key", "optional": False}},
        "AWS_REGION": {"configMapKeyRef": {"name": "team-settings", "key": "region", "optional": False}},
    }
    assert task.claims == {"/scratch": "scratch"}
    pod = dict(task.pod or {})
    assert pod["nodeSelector"] == {"zone": "a"}
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Exists"},
        {"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
    ]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["activeDeadlineSeconds"] == 3600
    assert [volume["name"] for volume in pod["volumes"]] == ["scratch", "minio", "team-settings", "work"]  # no "/none"
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "task"}, "spec": pod}
    hold_to_schema(document)
    assert [reference for reference in references(settings) if reference.is_dropped] == []


def test_old_server_knows_no_settings_by_parameter(settings: Compiled) -> None:
    given = {name: spec["defaultValue"] for name, spec in settings.parameters.items() if "defaultValue" in spec}
    task = tasks(settings, OLD, **given, left_out="any")["step"]
    pod = dict(task.pod or {})
    assert pod["nodeSelector"] == {}
    assert [volume["name"] for volume in pod["volumes"]][:1] == ["scratch"]
    assert task.environment["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"]["name"] != "s3-credentials"


@pytest.mark.parametrize(
    ("name", "kind", "value", "outcome"),
    [
        ("memory", "NUMBER_INTEGER", 7, "quantities must match"),
        ("secret", "NUMBER_INTEGER", 7, "Expected a string but got: 7"),
        ("claim", "STRUCT", {}, "Expected a string"),
        ("toleration", "STRING", "[]", "must be either struct or list type"),
        ("kind", "BOOLEAN", True, {"memory": "3Gi"}),
        ("selector", "STRING", '{"zone": "a"}', {}),
    ],
)
def test_types_that_the_driver_cannot_read_are_dropped_or_refused_and_found(
    settings: Compiled, name: str, kind: str, value: Any, outcome: str | dict[str, str]
) -> None:
    spec = copy.deepcopy(dict(settings.spec))
    spec["root"]["inputDefinitions"]["parameters"][name] = {"parameterType": kind, "isOptional": True}
    mutant = dataclasses.replace(settings, spec=spec)
    assert {reference.kind for reference in references(mutant) if reference.is_dropped} == {kind}
    if isinstance(outcome, str):
        with pytest.raises(DriverError, match=outcome):
            tasks(mutant, **{name: value})
        return
    task = tasks(mutant, **{name: value})["step"]
    assert outcome in (task.resources[1], dict(task.pod or {})["nodeSelector"])
