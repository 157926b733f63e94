"""The cache of Kubeflow Pipelines: what the key of a task is made of, and what a server remembers under it.

Written after backend/src/v2/cacheutils/cache.go and backend/src/v2/driver/cache.go of kubeflow/pipelines (see
`driver_replay`). Nothing of an input artifact is in the key but its number in the metadata store, which is a new one each
time that a task runs.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CLAIMS_SINCE = (2, 15)  # in the key


@dataclass(frozen=True)
class Outputs:
    """What a task left: values, and numbers of artifacts."""

    parameters: Mapping[str, Any]
    artifacts: Mapping[str, tuple[str, ...]]


@dataclass
class Memory:
    """What a server keeps from run to run: key -> outputs, and the next numbers of artifacts and runs."""

    entries: dict[str, Outputs] = field(default_factory=dict)
    artifacts: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))


def cache_key(
    component: Mapping[str, Any], container: Mapping[str, Any], parameters: Mapping[str, Any],
    artifacts: Mapping[str, tuple[str, ...]], pod: Mapping[str, Any] | None, version: tuple[int, int],
) -> str:  # fmt: skip
    """The SHA-256 of the key's JSON, as the driver looks it up among the entries of the pipeline and the namespace."""
    outputs = component.get("outputDefinitions", {})
    image = {"image": container["image"], "cmdArgs": [*container.get("command", []), *container.get("args", [])]}
    volumes = (pod or {}).get("volumes", [])
    claims = sorted({v["name"] for v in volumes if "persistentVolumeClaim" in v})
    key = {
        "inputArtifactNames": {name: {"artifactNames": list(numbers)} for name, numbers in artifacts.items()},
        "inputParameterValues": dict(parameters),
        "outputArtifactsSpec": {
            name: {"name": name, "type": spec.get("artifactType"), "metadata": spec.get("metadata")}
            for name, spec in outputs.get("artifacts", {}).items()
        },
        "outputParametersSpec": {name: spec["parameterType"] for name, spec in outputs.get("parameters", {}).items()},
        "containerSpec": image | ({"pvcNames": claims} if claims and version >= CLAIMS_SINCE else {}),
    }
    text = json.dumps(_plain(key), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A value as JSON of a message: without what is empty at its top, and whole numbers without a point."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
