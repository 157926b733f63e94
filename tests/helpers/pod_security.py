"""What Kubernetes' Pod Security Standards say of a pod's spec at the level `restricted`, and what KFP adds to a task's pod.

Written after the table of controls in Kubernetes' documentation (Pod Security Standards, v1.30, Linux), and after
backend/src/v2/compiler/argocompiler/security_context.go of kubeflow/pipelines at 7b70c7b95f, which is there since 2.16.0.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

DEFAULTS_SINCE = (2, 16)
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SECCOMP = {"RuntimeDefault", "Localhost"}
SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def breaches(pod: Mapping[str, Any]) -> list[str]:
    """Every control of `restricted` that a pod's spec breaks, each as `where: what`; none: it is admitted."""
    return [*_of_the_pod(pod), *(line for one in _containers(pod) for line in _of_a_container(one, pod))]


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, [])


def _of_the_pod(pod: Mapping[str, Any]) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"pod: {name}"
    for volume in pod.get("volumes", []):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"pod: volume {volume['name']} of kind {kind}"
    for one in pod.get("securityContext", {}).get("sysctls", []):
        if one["name"] not in SYSCTLS:
            yield f"pod: sysctl {one['name']}"
    yield from _of_either("pod", pod.get("securityContext", {}))


def _of_a_container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    where, own, shared = container["name"], container.get("securityContext", {}), pod.get("securityContext", {})
    yield from _of_either(where, own)
    if own.get("privileged"):
        yield f"{where}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield f"{where}: capabilities are not dropped"
    for name in set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{where}: capability {name}"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"{where}: runAsNonRoot is not true"
    if "seccompProfile" not in own and "seccompProfile" not in shared:
        yield f"{where}: no seccompProfile"
    if own.get("procMount", "Default") != "Default":
        yield f"{where}: procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{where}: hostPort"


def _of_either(where: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{where}: runAsUser 0"
    if "seccompProfile" in context and context["seccompProfile"].get("type") not in SECCOMP:
        yield f"{where}: seccompProfile {context['seccompProfile'].get('type')}"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions"


def executor_pod(task_pod: Mapping[str, Any], *, run_as_non_root: bool = False) -> dict[str, Any]:
    """A task's pod as a server since 2.16 makes it: the driver's patch on the executor's template.

    `run_as_non_root`: what the server's `defaultSecurityContextRunAsNonRoot` says ("" or "true").
    """
    pod = copy.deepcopy(dict(task_pod))
    pod["securityContext"] = {"seccompProfile": {"type": "RuntimeDefault"}} | pod.get("securityContext", {})
    template = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    } | ({"runAsNonRoot": True} if run_as_non_root else {})
    pod["containers"][0]["securityContext"] = template | pod["containers"][0].get("securityContext", {})
    return pod


def as_compiled(task_pod: Mapping[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """A task's pod as a server of a release makes it: `executor_pod` since 2.16, and the launcher as init container."""
    made = executor_pod(task_pod) if version >= DEFAULTS_SINCE else copy.deepcopy(dict(task_pod))
    launcher: dict[str, Any] = {"name": "kfp-launcher", "image": "launcher"}
    if version >= DEFAULTS_SINCE:
        defaults = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
        launcher["securityContext"] = defaults | {"seccompProfile": {"type": "RuntimeDefault"}}
    return made | {"initContainers": [launcher]}
