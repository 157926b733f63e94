"""Writes the settings of a cluster into a compiled pipeline: images, claims, nodes, amounts, times, retries.

Works on the spec that kfp made, executor by executor, so a pipeline's source knows nothing of clusters: what it wires
(a claim at /nas, a secret, an accelerator, shared memory, a retry) is what gets the cluster's value. What the file
names once and for all, the claim and the secret, leaves the form; the number of GPUs stays there, with the file's
default.
"""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as platform_pb
from kfp.pipeline_spec import pipeline_spec_pb2

from traffic_yolo.cluster.kubernetes_rules import SCRATCH_VOLUME, seconds
from traffic_yolo.cluster.settings import Amounts, ClusterSettings, Retries, Step, Toleration, check_request
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH

SCRATCH_PATH = "/scratch"
SHARED_MEMORY_PATH = "/dev/shm"
CLAIM_PARAMETER, SECRET_PARAMETER, GPUS_PARAMETER = "nas_claim", "s3_secret", "gpus"
IMAGE_PARAMETER = "image_name"
REPORT_STEP = "report_run"
# Steps whose tasks write nothing on the share, whatever their options say. A step that is not named here gets the claim
# that can be written: one that wrongly read only would fail hours later. Steps that read a data set are not among them:
# in a data store they hold a lease on it, a file there.
READ_ONLY_STEPS = frozenset(
    {
        "convert_files",
        "convert_shard",
        "search",
        "plan_shards",
        REPORT_STEP,
    }
)
# Not begun again unless the file says so of the step itself: a mistake in the form would be told after minutes, and the
# webhook twice
ONCE_STEPS = ("preflight", REPORT_STEP)
_REQUEST, _LIMIT = "Request", "Limit"


def apply_settings(pipeline: Any, settings: ClusterSettings) -> None:
    """Writes `settings` into `pipeline`, a copy of a compiled one (in place).

    Raises `OptionsError` for amounts that do not fit the pipeline's own.
    """
    spec = pipeline.pipeline_spec
    containers = spec.deployment_spec["executors"]
    retries: dict[str, Retries] = {}
    for name, component in spec.components.items():
        label = component.executor_label
        if not label or "container" not in containers[label] or _is_of_kubeflow(containers[label]["container"]):
            continue
        step = step_of(name)
        stated = settings.step(step)
        container = containers[label]["container"]
        _set_image(container, settings.images.prefix)
        try:
            asks_for_gpus = _set_resources(container, stated.requests, stated.limits, settings.gpu.resource)
        except OptionsError as error:
            raise OptionsError(f"steps.{step}, with what the pipeline gives it: {error}") from error
        _set_scratch_variable(container, settings)
        with pod_settings(pipeline, label) as message:
            _set_storage(message, settings, reads_only=step in READ_ONLY_STEPS)
            _set_place(message, settings, has_gpus=asks_for_gpus)
            if stated.timeout:
                message.active_deadline_seconds = seconds("timeout", stated.timeout)
            _set_user(message, settings)
        wanted = settings.steps.get(step, Step()).retries if step in ONCE_STEPS else stated.retries
        if wanted is not None:
            retries[name] = wanted
    for task in _tasks(spec):
        if settings.images.prefix and IMAGE_PARAMETER in task.inputs.parameters:  # of pods that a task makes itself
            constant = task.inputs.parameters[IMAGE_PARAMETER].runtime_value.constant
            constant.string_value = _with_prefix(constant.string_value, settings.images.prefix)
        if task.component_ref.name in retries:
            _set_retry(task, retries[task.component_ref.name])
    fix_parameter(spec, CLAIM_PARAMETER, settings.nas.claim)
    fix_parameter(spec, SECRET_PARAMETER, settings.s3_secret)
    gpus = spec.root.input_definitions.parameters.get(GPUS_PARAMETER)
    if gpus is not None:
        gpus.default_value.string_value = str(settings.gpu.count)


@contextlib.contextmanager
def pod_settings(pipeline: Any, executor: str) -> "Iterator[platform_pb.KubernetesExecutorConfig]":
    """What Kubernetes is told of an executor's pods in a compiled pipeline, to be changed inside the block."""
    platform = pipeline.platform_spec.platforms["kubernetes"].deployment_spec.executors
    message = platform_pb.KubernetesExecutorConfig()
    if executor in platform:
        json_format.ParseDict(json_format.MessageToDict(platform[executor]), message)
    yield message
    platform[executor].Clear()
    platform[executor].update(json_format.MessageToDict(message))


def step_of(component: str) -> str:
    """The step of a component in a spec: of `comp-convert-files` and of `comp-convert-files-2`, convert_files."""
    return re.sub(r"-\d+$", "", component.removeprefix("comp-")).replace("-", "_")


def steps_of(pipeline: Any) -> frozenset[str]:
    """The steps that a pipeline has."""
    return frozenset(step_of(name) for name, one in pipeline.pipeline_spec.components.items() if one.executor_label)


def check_steps(settings: ClusterSettings, known: Iterable[str]) -> None:
    """Raises `OptionsError` for a step in the settings that no pipeline has."""
    names = sorted(known)
    for step in settings.steps:
        if step not in names:
            near = difflib.get_close_matches(step[:80], names, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
            raise OptionsError(f"cluster file: steps.{shown(step)}: no pipeline has this step; {advice}")


def fix_parameter(spec: "pipeline_spec_pb2.PipelineSpec", name: str, value: str) -> None:
    """Takes a parameter out of the form; tasks that take it get `value` (in place)."""
    if name not in spec.root.input_definitions.parameters:
        return
    for task in spec.root.dag.tasks.values():
        for source in task.inputs.parameters.values():
            if source.component_input_parameter == name:
                source.runtime_value.constant.string_value = value
    del spec.root.input_definitions.parameters[name]


def _tasks(spec: "pipeline_spec_pb2.PipelineSpec") -> Iterator[Any]:
    for component in (spec.root, *spec.components.values()):
        yield from component.dag.tasks.values()


def _is_of_kubeflow(container: Any) -> bool:
    """Whether the driver itself does the task's work, such as making a claim."""
    return str(container["image"]).startswith("argostub/")


def _set_image(container: Any, prefix: str) -> None:
    if prefix:
        container["image"] = _with_prefix(str(container["image"]), prefix)


def _with_prefix(image: str, prefix: str) -> str:
    return f"{prefix}/{image.rpartition('/')[2]}"


def _set_resources(container: Any, requests: Amounts, limits: Amounts, accelerator: str) -> bool:
    """Writes amounts and the accelerator's name; returns whether the container asks for accelerators.

    The numbers beside the texts are for servers before `OLDEST`; they would contradict the new amounts.
    """
    for kind, amounts in ((_REQUEST, requests), (_LIMIT, limits)):
        for resource in ("cpu", "memory"):
            text = getattr(amounts, resource)
            if text:
                place = container.get_or_create_struct("resources")
                place[f"resource{resource.capitalize()}{kind}"] = text
                if f"{resource}{kind}" in place:
                    del place[f"{resource}{kind}"]
    if "resources" not in container:
        return False
    place = container["resources"]
    for resource in ("Cpu", "Memory"):
        request, limit = (_stated(place, f"resource{resource}{kind}") for kind in (_REQUEST, _LIMIT))
        check_request(resource.lower(), request, limit)
    if "accelerator" not in place:
        return False
    place["accelerator"]["resourceType"] = place["accelerator"]["type"] = accelerator
    return True


def _stated(place: Any, name: str) -> str:
    text = str(place[name]) if name in place else ""
    return "" if "{{" in text else text


def _set_scratch_variable(container: Any, settings: ClusterSettings) -> None:
    """Python's temporary files go where the room is."""
    if settings.scratch is not None:
        variables = container.get_or_create_list("env")
        variables.add_struct().update({"name": "TMPDIR", "value": SCRATCH_PATH})


def _set_storage(message: Any, settings: ClusterSettings, *, reads_only: bool) -> None:
    claim = settings.nas.read_only_claim if reads_only and settings.nas.read_only_claim else settings.nas.claim
    for mount in message.pvc_mount:
        if mount.mount_path == NAS_MOUNT_PATH:
            mount.constant = claim
            mount.pvc_name_parameter.runtime_value.constant.string_value = claim
    secrets = [one for one in message.secret_as_env if _is_of_the_form(one)]
    for secret in secrets:
        if settings.s3_secret:
            _name_secret(secret, settings.s3_secret)
        else:
            message.secret_as_env.remove(secret)
    for mount in message.empty_dir_mounts:
        if mount.mount_path == SHARED_MEMORY_PATH:
            mount.size_limit = settings.shared_memory
    scratch = settings.scratch
    if scratch is None:
        return
    if scratch.claim:
        mounted = message.pvc_mount.add(mount_path=SCRATCH_PATH, constant=scratch.claim)
        mounted.pvc_name_parameter.runtime_value.constant.string_value = scratch.claim
        return
    if scratch.place == "node":
        message.empty_dir_mounts.add(volume_name=SCRATCH_VOLUME, mount_path=SCRATCH_PATH, size_limit=scratch.size)
        return
    message.generic_ephemeral_volume.add(
        volume_name=SCRATCH_VOLUME, mount_path=SCRATCH_PATH, access_modes=[scratch.access_mode], size=scratch.size,
        default_storage_class=not scratch.storage_class, storage_class_name=scratch.storage_class,
    )  # fmt: skip


def _is_of_the_form(secret: Any) -> bool:
    """Whether a secret is the one that the form names, in a loop by kfp's longer name."""
    return bool(re.fullmatch(f"(pipelinechannel--)?{SECRET_PARAMETER}", _parameter_of(secret)))


def _parameter_of(secret: Any) -> str:
    return str(secret.secret_name_parameter.component_input_parameter)


def _name_secret(secret: Any, name: str) -> None:
    secret.secret_name = name
    secret.secret_name_parameter.runtime_value.constant.string_value = name


def _set_place(message: Any, settings: ClusterSettings, *, has_gpus: bool) -> None:
    """Which nodes take the pod, and how its image gets there."""
    selector = settings.node_selector | (settings.gpu.node_selector if has_gpus else {})
    if selector:
        message.node_selector.labels.update(selector)
    for toleration in (*settings.tolerations, *(settings.gpu.tolerations if has_gpus else ())):
        message.tolerations.append(_toleration(toleration))
    for name in settings.images.pull_secrets:
        _name_secret(message.image_pull_secret.add(), name)
    if settings.images.pull_policy:
        message.image_pull_policy = settings.images.pull_policy


def _toleration(stated: Toleration) -> Any:
    made = platform_pb.Toleration(
        key=stated.key, operator=stated.operator, value=stated.value, effect=stated.effect
    )  # fmt: skip
    if stated.seconds is not None:
        made.toleration_seconds = stated.seconds
    return made


def _set_user(message: Any, settings: ClusterSettings) -> None:
    if settings.run_as is None:
        return
    message.security_context.run_as_non_root = settings.run_as.non_root
    if settings.run_as.user is not None:
        message.security_context.run_as_user = settings.run_as.user
    if settings.run_as.group is not None:
        message.security_context.run_as_group = settings.run_as.group


def _set_retry(task: Any, retries: Retries) -> None:
    task.ClearField("retry_policy")
    if retries.count:
        policy = task.retry_policy
        policy.max_retry_count = retries.count
        policy.backoff_duration.seconds = seconds("backoff", retries.backoff)
        policy.backoff_factor = retries.factor
        policy.backoff_max_duration.seconds = seconds("most", retries.most)
