"""What the driver of Kubeflow Pipelines makes of a compiled pipeline: each task's inputs, pod, retries and cache hit.

A compiled YAML says what was asked for; this says what a server does with it. Written after the driver's rules in
kubeflow/pipelines: backend/src/v2/driver (driver.go, container.go, dag.go, k8s.go, resolve.go), the defaults of a run in
backend/src/v2/compiler/argocompiler/argo.go and its types in backend/src/apiserver/template/v2_template.go, from tag
2.4.0 to commit 7b70c7b95f. `driver_pod` has the pod, `driver_cache` the cache's keys.

Every condition is taken to be met. Importers, expressions and artifact iterators are refused: no pipeline here has them.
"""

import graphlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from driver_cache import Memory, Outputs, cache_key
from driver_pod import DriverError, ResolvedNullError, driver_pod, text_of
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2
from quick_yaml import load_documents

OLD, HEAD = (2, 4), (2, 99)  # the oldest server that is spoken of, and the newest sources that were read
RUN_PLACEHOLDERS_SINCE = NULLS_SINCE = RETRIES_SINCE = (2, 5)
FINAL_STATUS_SINCE = (2, 14)
LITERALS_SINCE = (2, 16)
RUN_ID = "{{$.pipeline_job_uuid}}"
KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
    "TASK_FINAL_STATUS": (dict,),
}
SAMPLES: dict[str, Any] = {"NUMBER_INTEGER": 1, "NUMBER_DOUBLE": 1.0, "BOOLEAN": True, "LIST": ["one"], "STRUCT": {}}


@dataclass(frozen=True)
class Compiled:
    """The two documents of a compiled pipeline; `platform`: executor label -> Kubernetes settings."""

    spec: Mapping[str, Any]
    platform: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Compiled":
        """Reads a YAML file, and has KFP's own message types refuse what is no spec."""
        return cls.of(load_documents(path.read_text(encoding="utf-8")))

    @classmethod
    def of(cls, documents: list[Any]) -> "Compiled":
        """The same of documents that were loaded."""
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        kubernetes = documents[1]["platforms"]["kubernetes"] if len(documents) > 1 else {}
        platform = kubernetes.get("deploymentSpec", {}).get("executors", {})
        for settings in platform.values():
            json_format.ParseDict(settings, KubernetesExecutorConfig())
        return cls(documents[0], platform)

    def component(self, name: str) -> Mapping[str, Any]:
        """A component by its name in the spec."""
        found: Mapping[str, Any] = self.spec["components"][name]
        return found

    def container(self, component: Mapping[str, Any]) -> Mapping[str, Any]:
        """The container of a component that is no graph."""
        executor = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "container" not in executor:
            raise NotImplementedError(f"{component['executorLabel']}: only containers are replayed")
        found: Mapping[str, Any] = executor["container"]
        return found

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The form's parameters, each with type and default."""
        return parameters_of(self.spec["root"])


@dataclass(frozen=True)
class Task:
    """A container task as its driver leaves it. `name` has the loops around it: `for-loop-1/0/convert-shard`.

    `pod`: the patch of the pod's spec, as JSON; None for a task that has none (a claim is made by the driver itself).
    `key`: that of the cache, "" where caching is off; `cached`: whether its outputs were found under it.
    """

    name: str
    component: Mapping[str, Any]
    parameters: Mapping[str, Any]
    artifacts: Mapping[str, tuple[str, ...]]
    pod: Mapping[str, Any] | None
    retry: Mapping[str, Any] | None
    key: str
    cached: bool
    outputs: Outputs

    @property
    def main(self) -> Mapping[str, Any]:
        """The user's container."""
        assert self.pod is not None
        found: Mapping[str, Any] = self.pod["containers"][0]
        return found

    @property
    def resources(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """(requests, limits)."""
        return self.main["resources"]["requests"], self.main["resources"]["limits"]

    @property
    def environment(self) -> dict[str, Any]:
        """Name -> value, or where Kubernetes takes it from."""
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.main["env"]}

    @property
    def claims(self) -> dict[str, str]:
        """Where in the container -> name of the claim that is mounted there."""
        assert self.pod is not None
        claims = {v["name"]: v["persistentVolumeClaim"] for v in self.pod["volumes"] if "persistentVolumeClaim" in v}
        mounts = self.main["volumeMounts"]
        return {mount["mountPath"]: claims[mount["name"]]["claimName"] for mount in mounts if mount["name"] in claims}


class Scope(NamedTuple):
    """What a graph's tasks can refer to: its inputs, and what its tasks have left."""

    parameters: Mapping[str, Any]
    artifacts: Mapping[str, tuple[str, ...]]
    results: dict[str, Outputs]


@dataclass
class Server:
    """A server with a `memory` of what has run: the cache, and numbers for artifacts.

    `outputs`: what a task that really runs returns, of its name without loops, its component and its parameters; what is
    left out gets a value of the right type.
    """

    version: tuple[int, int] = HEAD
    memory: Memory = field(default_factory=Memory)
    outputs: Callable[[str, Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]] = lambda *_: {}
    run_id: str = ""

    def run(self, pipeline: Compiled, parameters: Mapping[str, Any]) -> dict[str, Task]:
        """Every container task of a run, by name, in the order of the graph. Raises `DriverError`."""
        self.run_id = f"run-{next(self.memory.runs)}"
        self.pipeline, self.tasks = pipeline, dict[str, Task]()
        given = self._of_the_form(parameters)
        self._graph(pipeline.spec["root"], Scope(given, {}, {}), "")
        return self.tasks

    def _of_the_form(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A run's parameters as the API server takes them: of the right type, and with the defaults of the rest."""
        known = self.pipeline.parameters
        if unknown := set(given) - set(known):
            raise DriverError(f"unknown parameters: {', '.join(sorted(unknown))}")
        filled = dict(given)
        for name, spec in known.items():
            if name in filled:
                check_type(name, spec, filled[name])
            elif "defaultValue" in spec:
                filled[name] = spec["defaultValue"]
            elif not spec.get("isOptional"):
                raise DriverError(f"parameter {name} is not optional, yet has neither default value nor user value")
            elif self.version >= NULLS_SINCE:
                filled[name] = None
        return filled

    def _graph(self, component: Mapping[str, Any], scope: Scope, prefix: str) -> Outputs:
        tasks = component["dag"]["tasks"]
        order = graphlib.TopologicalSorter({name: task.get("dependentTasks", []) for name, task in tasks.items()})
        for name in order.static_order():
            scope.results[name] = self._task(name, tasks[name], scope, prefix)
        return self._graph_outputs(component["dag"].get("outputs", {}), scope.results)

    def _graph_outputs(self, stated: Mapping[str, Any], results: Mapping[str, Outputs]) -> Outputs:
        parameters, artifacts = {}, {}
        for name, source in stated.get("parameters", {}).items():
            one = source.get("valueFromParameter") or source["valueFromOneof"]["parameterSelectors"][0]
            parameters[name] = results[one["producerSubtask"]].parameters[one["outputParameterKey"]]
        for name, source in stated.get("artifacts", {}).items():
            one = source["artifactSelectors"][0]
            artifacts[name] = results[one["producerSubtask"]].artifacts[one["outputArtifactKey"]]
        return Outputs(parameters, artifacts)

    def _task(self, name: str, task: Mapping[str, Any], scope: Scope, prefix: str) -> Outputs:
        component = self.pipeline.component(task["componentRef"]["name"])
        if "artifactIterator" in task:
            raise NotImplementedError(f"{name}: artifact iterators are not replayed")
        parameters = self._inputs(name, task, component, scope)
        artifacts = {
            key: scope.artifacts[source["componentInputArtifact"]]
            if "componentInputArtifact" in source
            else scope.results[source["taskOutputArtifact"]["producerTask"]].artifacts[
                source["taskOutputArtifact"]["outputArtifactKey"]
            ]
            for key, source in task.get("inputs", {}).get("artifacts", {}).items()
        }
        if "executorLabel" in component:
            return self._container(f"{prefix}{name}", task, component, scope, parameters, artifacts)
        if "parameterIterator" not in task:
            return self._graph(component, Scope(parameters, artifacts, {}), f"{prefix}{name}/")
        return self._loop(name, task, component, Scope(parameters, artifacts, {}), prefix)

    def _loop(
        self, name: str, task: Mapping[str, Any], component: Mapping[str, Any], scope: Scope, prefix: str
    ) -> Outputs:
        iterator = task["parameterIterator"]
        source = iterator["items"]
        items = json.loads(source["raw"]) if "raw" in source else scope.parameters[source["inputParameter"]]
        kept = {key: value for key, value in scope.parameters.items() if key != source.get("inputParameter")}
        rounds = []
        for index, item in enumerate(items):
            inside = {**kept, iterator["itemInput"]: item}
            rounds.append(self._graph(component, Scope(inside, scope.artifacts, {}), f"{prefix}{name}/{index}/"))
        names = rounds[0] if rounds else Outputs({}, {})
        return Outputs(
            {key: [one.parameters[key] for one in rounds] for key in names.parameters},
            {key: tuple(itertools.chain(*(one.artifacts[key] for one in rounds))) for key in names.artifacts},
        )

    def _inputs(self, name: str, task: Mapping[str, Any], component: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
        """The parameters of a task: resolved, held to its component's literals and types, numbers made texts for it."""
        declared = parameters_of(component)
        found: dict[str, Any] = {}
        for key, source in task.get("inputs", {}).get("parameters", {}).items():
            try:
                value = self.resolve(source, scope, name)
            except ResolvedNullError:
                if not declared.get(key, {}).get("isOptional"):
                    raise
                continue
            literals = declared.get(key, {}).get("literals", [])
            if literals and self.version >= LITERALS_SINCE and value not in literals:
                raise DriverError(f"input parameter {key!r} value {value!r} does not match any of {literals}")
            found[key] = value
        iterator = task.get("parameterIterator", {})
        of_iterations = {iterator.get("itemInput")}
        for key, spec in declared.items():
            if key in of_iterations:
                continue
            if key in found:
                found[key] = text_of(found[key]) if spec["parameterType"] == "STRING" else found[key]
                check_type(key, spec, found[key])
            elif not spec.get("isOptional") and "defaultValue" not in spec:
                raise DriverError(f"neither value nor default value provided for non-optional parameter {key!r}")
        return found

    def resolve(self, source: Mapping[str, Any], scope: Scope, task: str) -> Any:
        """The value that a reference has in a graph; `ResolvedNullError` for a parameter of the form without one."""
        if source.get("parameterExpressionSelector"):
            raise NotImplementedError(f"{task}: expressions are not replayed")
        if "componentInputParameter" in source:
            name = source["componentInputParameter"]
            if name not in scope.parameters:
                raise DriverError(f"parent DAG does not have input parameter {name}")
            if scope.parameters[name] is None and self.version >= NULLS_SINCE:
                raise ResolvedNullError(f"the resolved input parameter is null: {name}")
            return scope.parameters[name]
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return scope.results[output["producerTask"]].parameters[output["outputParameterKey"]]
        if "taskFinalStatus" in source:
            if self.version < FINAL_STATUS_SINCE:
                raise DriverError(f"{task}: parameter spec of type taskFinalStatus not implemented yet")
            return {"state": "COMPLETE", "pipelineTaskName": source["taskFinalStatus"]["producerTask"]}
        constant = source["runtimeValue"]["constant"]
        if constant == RUN_ID and self.version >= RUN_PLACEHOLDERS_SINCE:
            return self.run_id
        return constant

    def _container(
        self, name: str, task: Mapping[str, Any], component: Mapping[str, Any], scope: Scope,
        parameters: Mapping[str, Any], artifacts: Mapping[str, tuple[str, ...]],
    ) -> Outputs:  # fmt: skip
        container = self.pipeline.container(component)
        pod = None
        if not container["image"].startswith("argostub/"):
            settings = self.pipeline.platform.get(component["executorLabel"], {})
            pod = driver_pod(
                container, settings, parameters, lambda source: self.resolve(source, scope, name), self.version
            )
        key = ""
        if task.get("cachingOptions", {}).get("enableCache"):
            key = cache_key(component, container, parameters, artifacts, pod, self.version)
        cached = self.memory.entries.get(key) if key else None
        outputs = cached or self._ran(name, component, parameters)
        if key:
            self.memory.entries[key] = outputs
        retry = task.get("retryPolicy") if self.version >= RETRIES_SINCE else None
        self.tasks[name] = Task(
            name, component, parameters, artifacts, pod, retry, key, cached is not None, outputs
        )  # fmt: skip
        return outputs

    def _ran(self, name: str, component: Mapping[str, Any], parameters: Mapping[str, Any]) -> Outputs:
        """What a task leaves that runs: its parameters, and artifacts of new numbers."""
        stated = component.get("outputDefinitions", {})
        told = self.outputs(name.rpartition("/")[2], component, parameters)
        values = {
            key: told.get(key, SAMPLES.get(spec["parameterType"], f"{name}-{key}".lower()))
            for key, spec in stated.get("parameters", {}).items()
        }
        numbers = {key: (str(next(self.memory.artifacts)),) for key in stated.get("artifacts", {})}
        return Outputs(values, numbers)


def parameters_of(component: Mapping[str, Any]) -> Mapping[str, Any]:
    """The input parameters of a component, or of a pipeline's root."""
    found: Mapping[str, Any] = component.get("inputDefinitions", {}).get("parameters", {})
    return found


def check_type(name: str, spec: Mapping[str, Any], value: Any) -> None:
    """Raises `DriverError` for a value that has not the type of its parameter."""
    kind = spec["parameterType"]
    fits = isinstance(value, KINDS[kind]) and isinstance(value, bool) == (kind == "BOOLEAN")
    if not fits:
        raise DriverError(f"input parameter {name} requires type {kind}, found {value!r}")


@dataclass(frozen=True)
class Reference:
    """A parameter that a pod's settings name: whose, where, and the type of the value that arrives there."""

    executor: str
    where: str
    parameter: str
    kind: str

    @property
    def is_dropped(self) -> bool:
        """Whether the driver reads nothing of a value of this type: text in names and amounts, structures in JSON."""
        if self.where.endswith("Json"):
            return self.kind not in (("STRUCT", "LIST") if "toleration" in self.where else ("STRUCT",))
        return self.kind != "STRING"


def references(pipeline: Compiled) -> list[Reference]:
    """Every parameter that the image, the resources or the platform's settings of any task refer to."""
    return [reference for component in _graphs(pipeline) for reference in _references_of_graph(pipeline, component)]


def _graphs(pipeline: Compiled) -> Iterator[Mapping[str, Any]]:
    yield from (c for c in (pipeline.spec["root"], *pipeline.spec["components"].values()) if "dag" in c)


def _references_of_graph(pipeline: Compiled, graph: Mapping[str, Any]) -> Iterator[Reference]:
    for task in graph["dag"]["tasks"].values():
        component = pipeline.component(task["componentRef"]["name"])
        if "executorLabel" not in component:
            continue
        label = component["executorLabel"]
        container = pipeline.container(component)
        inputs = task.get("inputs", {}).get("parameters", {})
        for where, text in _texts({"image": container["image"], "resources": container.get("resources", {})}):
            for name in [part.partition("'")[0] for part in text.split("{{$.inputs.parameters['")[1:]]:
                declared = parameters_of(component).get(name)
                kind = declared["parameterType"] if declared else _kind(pipeline, graph, inputs[name])
                yield Reference(label, where, name, kind)
        for where, source in _sources(pipeline.platform.get(label, {})):
            name = source.get("componentInputParameter") or source["taskOutputParameter"]["outputParameterKey"]
            yield Reference(label, where, name, _kind(pipeline, graph, source))


def _kind(pipeline: Compiled, graph: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    if "componentInputParameter" in source:
        return str(parameters_of(graph)[source["componentInputParameter"]]["parameterType"])
    if "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        producer = graph["dag"]["tasks"][output["producerTask"]]["componentRef"]["name"]
        outputs = pipeline.component(producer)["outputDefinitions"]["parameters"]
        return str(outputs[output["outputParameterKey"]]["parameterType"])
    constant = source["runtimeValue"]["constant"]
    return next(kind for kind, types in KINDS.items() if type(constant) in types)


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, str):
        yield where, value


def _sources(value: Any, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every reference within platform settings, with the path to it; old and new spelling of one count twice."""
    if isinstance(value, list):
        for inner in value:
            yield from _sources(inner, where)
    elif isinstance(value, Mapping):
        if isinstance(value.get("componentInputParameter"), str) or "taskOutputParameter" in value:
            yield where, value
        for key, inner in value.items():
            if key != "taskOutputParameter":
                yield from _sources(inner, f"{where}.{key}".lstrip("."))
