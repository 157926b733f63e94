"""What a server makes of every pipeline that was compiled with a full cluster file: each setting reaches its pods."""

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from driver_pod import DriverError
from driver_replay import Compiled, Server, Task, references
from kubernetes_schema import hold_to_schema
from pod_security import as_compiled, breaches

from traffic_yolo._version import __version__
from traffic_yolo.cluster.settings import Amounts, ClusterSettings, Gpu, Nas, Retries, RunAs, Scratch, Step, Summary
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import fields_of
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH, S3_SECRET_KEYS
from traffic_yolo.webhook import WEBHOOK_VARIABLE
from traffic_yolo_pipelines.catalogue import pipeline_named, pipeline_names
from traffic_yolo_pipelines.compile import compiled_for, write_package
from traffic_yolo_pipelines.platform_settings import READ_ONLY_STEPS, SCRATCH_PATH, step_of, steps_of
from traffic_yolo_pipelines.server_needs import server_needs
from traffic_yolo_pipelines.step_options import STEP_OPTIONS

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
NEWEST = (2, 17)
# Parameters of components, beside the options of their steps, that say where something is written
WRITTEN = {"work", "train_work", "zoo", "snapshot_cache", "location"}


@pytest.fixture(scope="session")
def full(repository: Path) -> ClusterSettings:
    """The documentation's example, which says everything."""
    return ClusterSettings.read(repository / "docs" / "cluster.example.yaml")


def compiled(name: str, settings: ClusterSettings | None, folder: Path) -> Compiled:
    """The file of a pipeline, read as a server reads it."""
    write_package(compiled_for(pipeline_named(name), cluster=settings), folder / "made.yaml")
    return Compiled.read(folder / "made.yaml")


@pytest.fixture(scope="session", params=pipeline_names())
def made(request: pytest.FixtureRequest, full: ClusterSettings, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Every pipeline of the package with all settings, whoever adds one."""
    return compiled(request.param, full, tmp_path_factory.mktemp("made"))


def tasks(pipeline: Compiled, version: tuple[int, int] = NEWEST, **given: Any) -> dict[str, Task]:
    """The container tasks of a run, by name."""
    needed = {name: f"nas://{name}" for name, spec in pipeline.parameters.items() if not spec.get("isOptional")}
    return Server(version).run(pipeline, needed | given)


def step(task: Task) -> str:
    return task.name.rpartition("/")[2].replace("-", "_")


@pytest.mark.many(2)
def test_every_pod_is_one_that_kubernetes_takes_and_satisfies_restricted(made: Compiled) -> None:
    for task in tasks(made).values():
        pod = copy.deepcopy(dict(task.pod or {}))
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(volumes) == len(set(volumes)), task.name
        whole = as_compiled(pod, NEWEST)
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "task"}, "spec": whole}
        hold_to_schema(document)
        assert breaches(whole) == [], task.name


def test_server_before_2_16_does_not_make_pods_restricted(made: Compiled) -> None:
    """As the page says: it drops the user, and adds no defaults."""
    for task in tasks(made, (2, 15)).values():
        faults = breaches(as_compiled(dict(task.pod or {}), (2, 15)))
        expected = ("runAsNonRoot is not true", "allowPrivilegeEscalation is not false", "capabilities are not dropped")
        assert {f"main: {fault}" for fault in expected} <= set(faults)


def test_everything_that_the_file_says_is_in_every_pod(made: Compiled) -> None:
    for task in tasks(made, gpus="2").values() if "gpus" in made.parameters else tasks(made).values():
        pod = dict(task.pod or {})
        assert task.main["image"].rpartition("/")[0] == "registry.example/vision", task.name
        flavour = "cuda" if "nvidia.com/gpu" in task.resources[1] else "cpu"  # the example asks for one
        tag = __version__ if step(task) == "deepstream_run" else f"{__version__}-{flavour}"  # one flavour: GPU nodes
        assert task.main["image"].endswith(f":{tag}")
        assert task.main["imagePullPolicy"] == "IfNotPresent"
        assert pod["imagePullSecrets"] == [{"name": "registry-login"}]
        assert pod["nodeSelector"]["team.example/pool"] == "vision"
        assert {"key": "dedicated", "operator": "Equal", "value": "vision", "effect": "NoSchedule"} in pod[
            "tolerations"
        ]
        assert pod["tolerations"][1]["tolerationSeconds"] == 60
        assert (task.main["securityContext"]["runAsUser"], task.main["securityContext"]["runAsGroup"]) == (12345, 12345)
        assert task.environment["TMPDIR"] == SCRATCH_PATH
        (scratch,) = (volume for volume in pod["volumes"] if "ephemeral" in volume)
        claim = scratch["ephemeral"]["volumeClaimTemplate"]["spec"]
        assert claim["storageClassName"] == "fast"
        assert claim["resources"]["requests"] == {"storage": "200Gi"}
        assert {"name": scratch["name"], "mountPath": SCRATCH_PATH} in task.main["volumeMounts"]


def test_amounts_times_and_retries_are_those_of_the_step(made: Compiled) -> None:
    for task in tasks(made).values():
        requests, limits = task.resources
        own = {"train": ({"cpu": "8", "memory": "32Gi"}, "64Gi", 4 * 86400),
               "convert": ({"cpu": "4", "memory": "8Gi"}, "16Gi", 2 * 86400)}  # fmt: skip
        amounts, limit, seconds = own.get(step(task), ({"cpu": "1", "memory": "2Gi"}, "16Gi", 12 * 3600))
        assert requests == amounts, task.name
        assert limits["memory"] == limit
        assert (task.pod or {})["activeDeadlineSeconds"] == seconds
        if step(task) in ("publish", "preflight", "report_run"):
            assert task.retry is None
        else:
            assert task.retry is not None
            assert (task.retry["maxRetryCount"], task.retry["backoffDuration"]) == (2, "30s")
            assert (task.retry["backoffFactor"], task.retry["backoffMaxDuration"]) == (2, "600s")


def test_share_is_read_only_where_a_task_only_reads(made: Compiled) -> None:
    for task in tasks(made).values():
        expected = "nas-data-ro" if step(task) in READ_ONLY_STEPS else "nas-data"
        assert set(task.claims.values()) <= {expected}, task.name
        assert set(task.claims) <= {NAS_MOUNT_PATH}


@pytest.mark.parametrize("name", pipeline_names())
def test_step_that_may_write_on_the_share_is_not_held_to_reading(name: str) -> None:
    spec = pipeline_named(name).pipeline_spec
    for component, stated in spec.components.items():
        written = set(stated.input_definitions.parameters) & WRITTEN
        for option, field in fields_of(*STEP_OPTIONS.get(step_of(component), ())).items():
            if field.metadata.get("location") in ("write", "keep") and option != "cache_folder":
                written.add(option)
        if step_of(component) in READ_ONLY_STEPS - {"convert_shard", "convert_files", "report_run"}:
            assert written == set(), component
        # Their options are those of convert, and they take no cache; the report reads the zoo
        if step_of(component) in ("convert_shard", "convert_files"):
            assert "snapshot_cache" not in stated.input_definitions.parameters


def test_names_of_the_file_are_no_parameters_of_the_form(made: Compiled, full: ClusterSettings) -> None:
    assert not {"nas_claim", "s3_secret"} & set(made.parameters)
    if "gpus" in made.parameters:
        assert made.parameters["gpus"]["defaultValue"] == str(full.gpu.count)
    assert [reference for reference in references(made) if reference.is_dropped] == []


def test_secret_is_the_file_s_wherever_a_task_reaches_storage(made: Compiled) -> None:
    for task in tasks(made).values():
        taken = {name: one["secretKeyRef"] for name, one in task.environment.items() if isinstance(one, dict)}
        assert task.claims == {} or set(S3_SECRET_KEYS) <= set(taken), task.name
        for key in set(S3_SECRET_KEYS) & set(taken):
            assert taken[key] == {"name": "lab-s3", "key": key, "optional": True}


def test_gpus_and_their_nodes_are_for_the_tasks_that_ask_for_some(made: Compiled) -> None:
    asking = [task for task in tasks(made).values() if "nvidia.com/gpu" in task.resources[1]]
    computing = {"train", "detect_shard", "deepstream_run"} if "gpus" in made.parameters else set()
    assert {step(task) for task in asking} <= computing | {"preflight"}
    assert bool(computing & {step(task) for task in asking}) == ("gpus" in made.parameters)
    for task in tasks(made).values():
        pod = dict(task.pod or {})
        has = task in asking
        assert (pod["nodeSelector"].get("accelerator") == "h200") == has, task.name
        assert ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]) == has
        assert not has or task.resources[1]["nvidia.com/gpu"] == "1"


def test_mig_profile_takes_the_place_of_whole_gpus(full: ClusterSettings, tmp_path: Path) -> None:
    settings = dataclasses.replace(full, gpu=Gpu(resource="nvidia.com/mig-3g.40gb", count=2))
    limits = tasks(compiled("finetune", settings, tmp_path))[_name_of_training(settings)].resources[1]
    assert limits == {"nvidia.com/mig-3g.40gb": "2", "memory": "64Gi"}


def _name_of_training(settings: ClusterSettings) -> str:
    return "exit-handler-1/train" if settings.summary else "train"


def test_shared_memory_and_webhook_have_their_places(full: ClusterSettings, tmp_path: Path) -> None:
    found = tasks(compiled("finetune", full, tmp_path))
    (shm,) = (v["emptyDir"] for v in (found[_name_of_training(full)].pod or {})["volumes"] if v["name"] == "shm")
    assert shm == {"medium": "Memory", "sizeLimit": "8Gi"}
    reference = found["report-run"].environment[WEBHOOK_VARIABLE]["secretKeyRef"]
    assert (reference["name"], reference["key"]) == ("team-chat", "url")
    assert found["report-run"].parameters["host"] == "https://kubeflow.example/pipeline"
    assert found["report-run"].parameters["zoo"] == "nas://zoo"


def test_file_that_says_little_changes_little(tmp_path: Path) -> None:
    before = tasks(compiled("finetune", None, tmp_path), nas_claim="share")
    after = tasks(compiled("finetune", ClusterSettings(nas=Nas("share")), tmp_path))
    assert list(before) == list(after)
    for name, task in after.items():
        pod, other = (dict(one.pod or {}) for one in (task, before[name]))
        secrets = [one for one in pod["containers"][0]["env"] if "valueFrom" in one]
        assert secrets == [], name
        other["containers"][0]["env"] = [one for one in other["containers"][0]["env"] if "valueFrom" not in one]
        assert pod == other
        assert task.retry == before[name].retry


def test_scratch_on_the_node_is_bounded(tmp_path: Path) -> None:
    for task in tasks(compiled("convert", ClusterSettings(scratch=Scratch(size="50Gi")), tmp_path)).values():
        (room,) = (volume for volume in (task.pod or {})["volumes"] if "emptyDir" in volume)
        assert room["emptyDir"] == {"sizeLimit": "50Gi"}
        assert {"name": room["name"], "mountPath": SCRATCH_PATH} in task.main["volumeMounts"]


def test_scratch_claim_is_shared_by_all_pods(tmp_path: Path) -> None:
    found = tasks(compiled("convert", ClusterSettings(scratch=Scratch(claim="scratch")), tmp_path))
    assert {task.claims[SCRATCH_PATH] for task in found.values()} == {"scratch"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ClusterSettings(min_server="2.15", run_as=RunAs(user=1)),
            r"min_server 2.15 does not know run_as \(since 2.16\)",
        ),
        (ClusterSettings(min_server="2.13", summary=Summary()), r"a summary at the end of a run \(since 2.14\)"),
        (ClusterSettings(min_server="2.14", s3_secret="lab"), r"a secret whose keys may be missing \(since 2.15\)"),
        (ClusterSettings(min_server="2.4", default=Step(retries=Retries())), r"retries \(since 2.5\)"),
        (
            ClusterSettings(steps={"train": Step(requests=Amounts(memory="40G"))}),
            "steps.train, with what the pipeline gives it: requests.memory: expected at most the limit, 32G, found 40G",
        ),
    ],
)
def test_settings_that_no_such_server_or_pod_takes_are_refused(settings: ClusterSettings, words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        compiled_for(pipeline_named("finetune"), cluster=settings)


def test_what_a_pipeline_needs_of_a_server_is_what_the_replay_needs(full: ClusterSettings, tmp_path: Path) -> None:
    plain = compiled_for(pipeline_named("finetune"), cluster=ClusterSettings(min_server="2.5", nas=Nas("share")))
    assert {need.since for need in server_needs(plain)} == {(2, 5)}
    write_package(plain, tmp_path / "plain.yaml")
    assert tasks(Compiled.read(tmp_path / "plain.yaml"), (2, 5))["train"].retry is not None
    assert tasks(Compiled.read(tmp_path / "plain.yaml"), (2, 4))["train"].retry is None
    whole = compiled("finetune", full, tmp_path)
    with pytest.raises(DriverError, match="taskFinalStatus"):
        tasks(whole, (2, 5))


def test_pipelines_themselves_are_left_as_they_were(full: ClusterSettings) -> None:
    before = pipeline_named("finetune").pipeline_spec.SerializeToString(deterministic=True)
    compiled_for(pipeline_named("finetune"), cluster=full)
    assert pipeline_named("finetune").pipeline_spec.SerializeToString(deterministic=True) == before


def test_retries_of_none_take_the_pipeline_s_own_away(tmp_path: Path) -> None:
    settings = ClusterSettings(steps={"train": Step(retries=Retries(count=0))})
    assert tasks(compiled("finetune", settings, tmp_path))["train"].retry is None


def test_steps_are_found_by_their_components() -> None:
    assert step_of("comp-convert-files-2") == "convert_files"
    assert {"preflight", "train", "publish"} <= steps_of(pipeline_named("finetune"))
