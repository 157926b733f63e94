"""Which release of Kubeflow Pipelines a compiled pipeline needs, and why: fields that an older one drops or refuses.

Since when a server knows a field was read in its driver's sources (`docs/cluster-settings.md`).
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from traffic_yolo.cluster.server_release import Need

LITERALS = Need((2, 16), "the words of a parameter")  # kubeflow/pipelines#12607; an older server refuses the spec
OPTIONAL_SECRETS = Need((2, 15), "a secret whose keys may be missing")  # an older one's pod waits for it for ever
SECURITY_CONTEXT = Need((2, 16), "run_as")
FINAL_STATUS = Need((2, 14), "a summary at the end of a run")
NAMES_BY_PARAMETER = Need((2, 5), "the name of a secret that a parameter gives")
RETRIES = Need((2, 5), "retries")
SUB_PATH = Need((2, 16), "sub_path of a claim")


def server_needs(pipeline: Any) -> tuple[Need, ...]:
    """What a compiled pipeline asks of a server, each once, oldest first."""
    spec = pipeline.pipeline_spec
    platform = pipeline.platform_spec.platforms["kubernetes"].deployment_spec.executors
    needs = {need for component in (spec.root, *spec.components.values()) for need in _of_component(component)}
    for executor in platform.values():
        needs |= set(_of_executor(json_format.MessageToDict(executor)))
    return tuple(sorted(needs))


def _of_component(component: Any) -> Iterator[Need]:
    if any(parameter.literals for parameter in component.input_definitions.parameters.values()):
        yield LITERALS
    for task in component.dag.tasks.values():
        if task.retry_policy.max_retry_count:
            yield RETRIES
        if any(source.HasField("task_final_status") for source in task.inputs.parameters.values()):
            yield FINAL_STATUS


def _of_executor(settings: dict[str, Any]) -> Iterator[Need]:
    if any(one.get("optional") for one in settings.get("secretAsEnv", [])):
        yield OPTIONAL_SECRETS
    if any("componentInputParameter" in one.get("secretNameParameter", {}) for one in settings.get("secretAsEnv", [])):
        yield NAMES_BY_PARAMETER
    if "securityContext" in settings:
        yield SECURITY_CONTEXT
    if any(one.get("subPath") for one in settings.get("pvcMount", [])):
        yield SUB_PATH
