"""A server of Kubeflow Pipelines whose tasks are containers: the driver is replayed, the launcher's part done here.

The launcher copies what a task reads from object storage to below `/minio`, starts the very command of the compiled YAML
with the executor's input in place of `{{$}}`, and copies back what the task wrote. Here the store is a folder, and its parts
are mounted: what a task reads cannot be written, what it is to write is empty. Written after
backend/src/v2/component/launcher_v2.go of kubeflow/pipelines at 7b70c7b95f.
"""

import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from container_engine import GID, UID, Engine, Mount
from driver_cache import Outputs
from driver_replay import Scope, Server, Task

BUCKET = "minio://mlpipeline/v2/artifacts"
OUTPUT_PARAMETERS = "/tmp/kfp/outputs"
OUTPUT_FILE = "executor_output.json"


class TaskFailedError(Exception):
    """A task's container ended with another code than 0."""


@dataclass
class ContainerServer(Server):
    """Runs every task's container by `engine`, with the claim's folder `share` mounted where the pod has the claim.

    `share` is mounted for reading alone, `writable` (names below it) for writing as well, unless the pod's own mount is
    read-only. `store`: an empty folder for artifacts. `images`: a name in the YAML -> the one to run.
    """

    engine: Engine = field(default_factory=lambda: Engine("podman"))
    store: Path = Path()
    share: Path = Path()
    writable: Sequence[str] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def _container(
        self, name: str, task: Mapping[str, Any], component: Mapping[str, Any], scope: Scope,
        parameters: Mapping[str, Any], artifacts: Mapping[str, tuple[str, ...]],
    ) -> Outputs:  # fmt: skip
        super()._container(name, task, component, scope, parameters, artifacts)
        began = time.monotonic()
        outputs = self._execute(self.tasks[name])
        self.seconds[name] = time.monotonic() - began
        self.tasks[name] = dataclasses.replace(self.tasks[name], outputs=outputs)
        return outputs

    def _execute(self, task: Task) -> Outputs:
        """Runs one container; artifacts are known by their folder below the store."""
        container = self.pipeline.container(task.component)
        stated = task.component.get("outputDefinitions", {})
        folder = self.store / self.run_id / task.name
        folder.mkdir(parents=True)
        given = {name: str((folder / name).relative_to(self.store)) for name in stated.get("artifacts", {})}
        told = {
            "inputs": {
                "parameterValues": dict(task.parameters),
                "artifacts": {
                    name: {"artifacts": [self._artifact(task.component, name, key) for key in keys]}
                    for name, keys in task.artifacts.items()
                },
            },
            "outputs": {
                "parameters": {
                    name: {"outputFile": f"{OUTPUT_PARAMETERS}/{name}"} for name in stated.get("parameters", {})
                },
                "artifacts": {
                    name: {"artifacts": [_described(stated["artifacts"][name], name, key)]}
                    for name, key in given.items()
                },
                "outputFile": _local(str((folder / OUTPUT_FILE).relative_to(self.store))),
            },
        }
        _give(folder)
        text = json.dumps(told)
        command = [part.replace("{{$}}", text) for part in (*container["command"], *container["args"])]
        mounts = [Mount(folder, _local(str(folder.relative_to(self.store))), is_writable=True)]
        mounts += [Mount(self.store / key, _local(key)) for keys in task.artifacts.values() for key in keys]
        mounts += self._share_mounts(task)
        image = task.main["image"]
        finished = self.engine.run(
            self.images.get(image, image), command, mounts=mounts, environment=_plain_environment(task),
            memory_backed={"/tmp": "4g"} | _empty_folders(task),
        )  # fmt: skip
        self.logs[task.name] = finished.stdout + finished.stderr
        if finished.returncode:
            raise TaskFailedError(f"{task.name}: exit code {finished.returncode}\n{self.logs[task.name][-6000:]}")
        # kfp's own runner for containers takes a lost one for a good one: what must be there is looked for
        left = json.loads((folder / OUTPUT_FILE).read_text()) if (folder / OUTPUT_FILE).is_file() else {}
        for name, key in given.items():
            (one,) = left.get("artifacts", {}).get(name, {}).get("artifacts", [{}])
            self.metadata[key] = one.get("metadata", {})
        values = left.get("parameterValues", {})
        if missing := set(stated.get("parameters", {})) - set(values):
            raise TaskFailedError(f"{task.name}: no value of {', '.join(sorted(missing))}")
        return Outputs(values, {name: (key,) for name, key in given.items()})

    def _artifact(self, component: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
        described = _described(component["inputDefinitions"]["artifacts"][name], name, key)
        return described | {"metadata": dict(self.metadata.get(key, {}))}

    def _share_mounts(self, task: Task) -> list[Mount]:
        """The claim: all of the share to read, and what may be written."""
        assert task.pod is not None
        claims = task.claims
        read_only = {mount["mountPath"] for mount in task.main["volumeMounts"] if mount.get("readOnly")}
        mounts = [Mount(self.share, target) for target in claims]
        for target in set(claims) - read_only:
            mounts += [Mount(self.share / name, f"{target}/{name}", is_writable=True) for name in self.writable]
        return mounts

    def again(self, name: str, *, writable: Sequence[str]) -> Outputs:
        """Runs a task of the run once more, with other folders of the share to write to."""
        kept = self.writable, self.run_id
        self.writable, self.run_id = writable, f"{self.run_id}-again"
        try:
            return self._execute(self.tasks[name])
        finally:
            self.writable, self.run_id = kept

    def path(self, task: str, artifact: str) -> Path:
        """Where in the store an artifact of a task lies."""
        (key,) = self.tasks[task].outputs.artifacts[artifact]
        return self.store / key


def _described(spec: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
    return {"name": name, "type": spec["artifactType"], "uri": f"{BUCKET}/{key}"}


def _local(key: str) -> str:
    """The path that the launcher copies a key of the bucket to: kfp's own rule for `minio://`."""
    return f"/{BUCKET.replace('://', '/')}/{key}"


def _give(folder: Path) -> None:
    """Makes the task's user the owner, as a launcher that made the folder itself would be."""
    os.chown(folder, UID, GID)


def _plain_environment(task: Task) -> dict[str, str]:
    """What the pod sets; keys of a secret that is not there, which are optional, are left out."""
    return {name: value for name, value in task.environment.items() if isinstance(value, str)}


def _empty_folders(task: Task) -> dict[str, str]:
    """Where the pod has an emptyDir -> its size, in the engine's words."""
    assert task.pod is not None
    sizes = {v["name"]: v["emptyDir"].get("sizeLimit", "1Gi") for v in task.pod["volumes"] if "emptyDir" in v}
    mounts = task.main["volumeMounts"]
    return {
        mount["mountPath"]: sizes[mount["name"]].lower().removesuffix("i") for mount in mounts if mount["name"] in sizes
    }
