"""The patch of a pod's spec that KFP's driver makes of a container, its platform settings and the task's values.

Written after `initPodSpecPatch` and `extendPodSpecPatch` of backend/src/v2/driver in kubeflow/pipelines (see
`driver_replay`). What decides most: amounts, image and accelerator take the value's text, which a number has none of; and
an amount of GPUs without text sets no limit.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

NAMES_SINCE = (2, 5)  # secrets, config maps, selectors and tolerations that a parameter names
AFFINITY_SINCE = (2, 14)
SUB_PATH_SINCE = SECURITY_SINCE = (2, 16)
OPTIONAL_ENV_SINCE = (2, 15)
PULL_POLICIES = ("Always", "Never", "IfNotPresent")
_PLACEHOLDER = re.compile(r"\$.inputs.parameters\['(.+?)'\]")
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
_OLD_AMOUNTS = {"memory": "{:g}G", "cpu": "{:g}"}

Resolve = Callable[[Mapping[str, Any]], Any]


class DriverError(Exception):
    """What ends a driver: the task fails before its pod is made."""


class ResolvedNullError(DriverError):
    """A parameter of the form that was left out and has no default."""


def driver_pod(
    container: Mapping[str, Any], settings: Mapping[str, Any], parameters: Mapping[str, Any], resolve: Resolve,
    version: tuple[int, int],
) -> dict[str, Any]:  # fmt: skip
    """The pod's spec as JSON, with the user's container first.

    `settings`: the platform's for this executor; `parameters`: the task's values; `resolve`: a reference of the settings.
    """
    main = {
        "name": "main",
        "image": _runtime_text(container["image"], parameters),
        "env": [{"name": one["name"], "value": one.get("value", "")} for one in container.get("env", [])],
        "resources": _resources(container.get("resources", {}), parameters),
        "volumeMounts": [],
    }
    pod: dict[str, Any] = {"containers": [main], "volumes": []}
    _mount_claims(pod, settings, resolve, version)
    policy = settings.get("imagePullPolicy")
    if policy:
        if policy not in PULL_POLICIES:
            raise DriverError(f"unsupported value: {policy}. ImagePullPolicy should be one of {PULL_POLICIES}")
        main["imagePullPolicy"] = policy
    _place(pod, settings, resolve, version)
    for kind, reference in (("secret", "secretName"), ("configMap", "name")):
        _mount_named(pod, settings, resolve, version, kind, reference)
    _take_named(pod, settings, resolve, version)
    for one in settings.get("imagePullSecret", []):
        if (name := _name(one, "secretName", resolve, version)) is not None:
            pod.setdefault("imagePullSecrets", []).append({"name": name})
    for one in settings.get("fieldPathAsEnv", []):
        main["env"].append({"name": one["name"], "valueFrom": {"fieldRef": {"fieldPath": one["fieldPath"]}}})
    if int(settings.get("activeDeadlineSeconds", 0)) > 0:  # a 64-bit number is a text in JSON of messages
        pod["activeDeadlineSeconds"] = int(settings["activeDeadlineSeconds"])
    _mount_scratch(pod, settings)
    if version >= SECURITY_SINCE and "securityContext" in settings:
        numbers = {key: value if isinstance(value, bool) else int(value)
                   for key, value in settings["securityContext"].items()}  # fmt: skip
        main["securityContext"] = numbers | {"capabilities": {"drop": ["ALL"]}}
    return pod


def _runtime_text(text: str, parameters: Mapping[str, Any]) -> str:
    """`resolvePodSpecInputRuntimeParameter`: a placeholder's value where it is a text, else ""; other text as it is."""
    found = _PLACEHOLDER.search(text)
    if not found:
        return text
    if found[1] not in parameters:
        raise DriverError("executorInput did not contain container Image input parameter")
    value = parameters[found[1]]
    return value if isinstance(value, str) else ""


def _resources(stated: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for resource in ("memory", "cpu"):
        for kind, where in (("Limit", "limits"), ("Request", "requests")):
            new, old = stated.get(f"resource{resource.capitalize()}{kind}"), stated.get(f"{resource}{kind}")
            if new:
                found[where][resource] = quantity(_runtime_text(new, parameters))
            elif old:
                found[where][resource] = quantity(_OLD_AMOUNTS[resource].format(old))
    accelerator = stated.get("accelerator", {})
    kind = _runtime_text(accelerator["resourceType"], parameters) if accelerator.get("resourceType") else ""
    kind = kind if accelerator.get("resourceType") else accelerator.get("type", "")
    if accelerator.get("resourceCount"):
        count = _runtime_text(accelerator["resourceCount"], parameters)
    else:
        count = str(int(accelerator.get("count", 0)) or "")
    if kind and count:
        found["limits"][kind] = quantity(count)
    return found


def quantity(text: str) -> str:
    """An amount that Kubernetes can read; `DriverError` for another text."""
    if not _QUANTITY.fullmatch(text):
        raise DriverError(f"quantities must match the regular expression of Kubernetes, found {text!r}")
    return text


def _mount_claims(pod: dict[str, Any], settings: Mapping[str, Any], resolve: Resolve, version: tuple[int, int]) -> None:
    for one in settings.get("pvcMount", []):
        if "pvcNameParameter" in one and version >= NAMES_SINCE:
            value = _text(one["pvcNameParameter"], resolve)
        elif one.get("constant"):
            value = one["constant"]
        else:  # as the settings said it before: what is no text is no name, and nobody says so
            old = {key: one[key] for key in ("taskOutputParameter", "componentInputParameter") if key in one}
            if not old:
                raise DriverError("failed to make podSpecPatch: volume mount: volume name not provided")
            found = resolve(old)
            value = found if isinstance(found, str) else ""
            if version >= NAMES_SINCE and not value:
                raise DriverError("failed to mount volume, missing mountpath or pvc name")
        sub_path = {"subPath": one["subPath"]} if one.get("subPath") and version >= SUB_PATH_SINCE else {}
        _mount(pod, value, one["mountPath"], {"persistentVolumeClaim": {"claimName": value}}, sub_path)


def _place(pod: dict[str, Any], settings: Mapping[str, Any], resolve: Resolve, version: tuple[int, int]) -> None:
    """Node selector, tolerations and affinity: where the pod may run."""
    selector = settings.get("nodeSelector")
    if selector is not None:
        if "nodeSelectorJson" in selector and version >= NAMES_SINCE:
            for value in _unless_null(selector["nodeSelectorJson"], resolve):
                pod["nodeSelector"] = value if isinstance(value, dict) else {}
        else:
            pod["nodeSelector"] = selector.get("labels", {})
    if "tolerations" in settings:
        pod["tolerations"] = [t for one in settings["tolerations"] for t in _tolerations(one, resolve, version)]
    if version >= AFFINITY_SINCE and settings.get("nodeAffinity"):
        pod["affinity"] = {"nodeAffinity": _node_affinity(settings["nodeAffinity"], resolve)}


def _tolerations(one: Mapping[str, Any], resolve: Resolve, version: tuple[int, int]) -> Iterator[dict[str, Any]]:
    if "tolerationJson" not in one or version < NAMES_SINCE:
        keys = ("key", "operator", "value", "effect")
        found: dict[str, Any] = {key: one[key] for key in keys if one.get(key)}
        seconds = one.get("tolerationSeconds")
        yield found | ({} if seconds is None else {"tolerationSeconds": int(seconds)})
        return
    for value in _unless_null(one["tolerationJson"], resolve):
        if not isinstance(value, dict | list):
            raise DriverError("encountered unexpected toleration proto value, must be either struct or list type")
        yield from ([value] if isinstance(value, dict) and value else value or [])


def _node_affinity(terms: list[Mapping[str, Any]], resolve: Resolve) -> dict[str, Any]:
    required: list[Any] = []
    preferred: list[Any] = []
    for one in terms:
        if "nodeAffinityJson" in one:
            for value in _unless_null(one["nodeAffinityJson"], resolve):
                stated = value if isinstance(value, dict) else {}
                always = stated.get("requiredDuringSchedulingIgnoredDuringExecution", {})
                required += always.get("nodeSelectorTerms", [])
                preferred += stated.get("preferredDuringSchedulingIgnoredDuringExecution", [])
            continue
        term = {key: one[key] for key in ("matchExpressions", "matchFields") if one.get(key)}
        if not term:
            continue
        if "weight" in one:
            preferred.append({"weight": one["weight"], "preference": term})
        else:
            required.append(term)
    return ({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": required}} if required else {}) | (
        {"preferredDuringSchedulingIgnoredDuringExecution": preferred} if preferred else {}
    )


def _mount_named(
    pod: dict[str, Any], settings: Mapping[str, Any], resolve: Resolve, version: tuple[int, int], kind: str, key: str
) -> None:
    """Secrets or config maps as files."""
    for one in settings.get(f"{kind}AsVolume", []):
        name = _name(one, f"{kind}Name", resolve, version)
        if name is not None:
            _mount(pod, name, one["mountPath"], {kind: {key: name, "optional": bool(one.get("optional"))}})


def _take_named(pod: dict[str, Any], settings: Mapping[str, Any], resolve: Resolve, version: tuple[int, int]) -> None:
    """Secrets, then config maps, as environment variables."""
    for kind, key_field in (("secret", "secretKey"), ("configMap", "configMapKey")):
        for one in settings.get(f"{kind}AsEnv", []):
            name = _name(one, f"{kind}Name", resolve, version)
            if name is None:
                continue
            stated = one.get("optional") if version >= OPTIONAL_ENV_SINCE else None
            optional = {} if stated is None else {"optional": stated}
            for pair in one["keyToEnv"]:
                key = {"name": name, "key": pair[key_field]} | optional
                pod["containers"][0]["env"].append({"name": pair["envVar"], "valueFrom": {f"{kind}KeyRef": key}})


def _mount_scratch(pod: dict[str, Any], settings: Mapping[str, Any]) -> None:
    for one in settings.get("genericEphemeralVolume", []):
        storage = {} if one.get("defaultStorageClass") else {"storageClassName": one.get("storageClassName", "")}
        claim = {
            "metadata": dict(one.get("metadata", {})),
            "spec": {
                "accessModes": list(one.get("accessModes", [])),
                "resources": {"requests": {"storage": quantity(one["size"])}},
            } | storage,
        }  # fmt: skip
        _mount(pod, one["volumeName"], one["mountPath"], {"ephemeral": {"volumeClaimTemplate": claim}})
    for one in settings.get("emptyDirMounts", []):
        limit = {"sizeLimit": quantity(one["sizeLimit"])} if one.get("sizeLimit") else {}
        medium = {"medium": one["medium"]} if one.get("medium") else {}
        _mount(pod, one["volumeName"], one["mountPath"], {"emptyDir": medium | limit})


def _mount(
    pod: dict[str, Any], name: str, path: str, source: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> None:
    pod["volumes"].append({"name": name, **source})
    pod["containers"][0]["volumeMounts"].append({"name": name, "mountPath": path, **(more or {})})


def _name(one: Mapping[str, Any], field: str, resolve: Resolve, version: tuple[int, int]) -> str | None:
    """The name of a secret or config map; None where a parameter was left out, so that nothing is mounted.

    Before parameters could name them, the server read the plain field alone: "" where there is none.
    """
    if version < NAMES_SINCE:
        return str(one.get(field, ""))
    parameter = one.get(f"{field}Parameter")
    if parameter is not None:
        return next((_checked_text(value, parameter) for value in _unless_null(parameter, resolve)), None)
    if not one.get(field):
        raise DriverError(f"missing either {field} or its parameter in executor config")
    return str(one[field])


def _unless_null(source: Mapping[str, Any], resolve: Resolve) -> Iterator[Any]:
    try:
        yield resolve(source)
    except ResolvedNullError:
        return


def _text(source: Mapping[str, Any], resolve: Resolve) -> str:
    return _checked_text(resolve(source), source)


def _checked_text(value: Any, source: Mapping[str, Any]) -> str:
    """`resolveInputParameterStr`: only a text that is not empty is a name."""
    if not isinstance(value, str) or not value:
        expected = "a string" if not isinstance(value, str) else "a non-empty string"
        raise DriverError(f"resolving input parameter with spec {source}. Expected {expected} but got: {value!r}")
    return value


def text_of(value: Any) -> str:
    """`PbValueToText`: any value as the text of a parameter of type STRING."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:.17g}" if isinstance(value, float) and not value.is_integer() else str(int(value))
    return json.dumps(value, separators=(",", ":")) if value is not None else ""
