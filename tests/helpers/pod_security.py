"""Kubernetes' Pod Security Standards, level `restricted`, for a pod's spec; and the pod as KFP's compiler makes it.

The rules are those of kubernetes.io/docs/concepts/security/pod-security-standards. What the compiler adds around the
driver's patch is backend/src/v2/compiler/argocompiler/security_context.go of kubeflow/pipelines, since 2.16.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

DEFAULTS_SINCE = (2, 16)
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
PROFILE = {"type": "RuntimeDefault"}
OF_CONTAINERS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": PROFILE}


def as_compiled(pod: Mapping[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """The driver's patch on the template of a task: the launcher as init container, and the compiler's defaults."""
    made = copy.deepcopy(dict(pod))
    launcher: dict[str, Any] = {"name": "kfp-launcher", "image": "launcher"}
    if version >= DEFAULTS_SINCE:
        made["securityContext"] = {"seccompProfile": PROFILE}
        for container in made["containers"]:
            container["securityContext"] = OF_CONTAINERS | container.get("securityContext", {})
        launcher["securityContext"] = OF_CONTAINERS | {"runAsNonRoot": True}
    return made | {"initContainers": [launcher]}


def restricted_faults(pod: Mapping[str, Any]) -> list[str]:
    """What an admission at level `restricted` would say against a pod; empty where it takes it."""
    return list(_faults(pod))


def _faults(pod: Mapping[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    whole = pod.get("securityContext", {})
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        stated = {**whole, **own}
        name = container["name"]
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield f"{name}: capabilities"
        if own.get("capabilities", {}).get("add"):
            yield f"{name}: capabilities added"
        if stated.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if stated.get("runAsUser") == 0:
            yield f"{name}: runAsUser"
        if stated.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
