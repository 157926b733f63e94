"""Builds Katib Experiments (v1beta1) from options, with Katib's own API models; the checker has the last word.

Which trials they run is said in `compression_experiment`, `fine_tuning_experiment` and `thresholds_experiment`; the
cluster is left to whoever submits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from kubeflow_katib_api.models import (
    IoK8sApimachineryPkgApisMetaV1ObjectMeta,
    V1beta1AlgorithmSetting,
    V1beta1AlgorithmSpec,
    V1beta1CollectorSpec,
    V1beta1EarlyStoppingSetting,
    V1beta1EarlyStoppingSpec,
    V1beta1Experiment,
    V1beta1ExperimentSpec,
    V1beta1FeasibleSpace,
    V1beta1FilterSpec,
    V1beta1MetricsCollectorSpec,
    V1beta1ObjectiveSpec,
    V1beta1ParameterSpec,
    V1beta1SourceSpec,
    V1beta1TrialParameterSpec,
    V1beta1TrialTemplate,
)

from traffic_yolo.container_images import image, security_context
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.check.check import check_document
from traffic_yolo.katib.spec.constants import API_VERSION, JOB_FAILURE, JOB_SUCCESS, KIND, placeholder
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH
from traffic_yolo.tuning.metrics import METRICS, Metric, metric_format

CONTAINER_NAME = "trial"
PROGRAM = ("traffic-yolo", "trial")


@dataclass(frozen=True)
class SearchOptions:
    """What Katib does: what is optimised, how, and how often. `additional` empty: all other metrics of a trial.

    `metrics`: those that the experiment's trials print.

    `early_stopping`: settings of medianstop, None for none; a trial of ours prints its metrics once, at the end, so
    there is nothing to stop early. `namespace` empty: the one that it is submitted to.
    """

    name: str
    namespace: str = ""
    objective: str = "f1"
    additional: tuple[str, ...] = ()
    goal: float | None = None
    algorithm: str = "tpe"
    algorithm_settings: Mapping[str, str] = field(default_factory=lambda: {"random_state": "42"})
    early_stopping: Mapping[str, str] | None = None
    max_trials: int = 30
    parallel_trials: int = 2
    max_failed_trials: int = 3
    resume_policy: str = "Never"
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)

    def __post_init__(self) -> None:
        for name in (self.objective, *self.additional):
            if name not in self.metrics:
                raise OptionsError(f"metric {name!r}: a trial has {', '.join(self.metrics)}")


@dataclass(frozen=True)
class PodOptions:
    """Where a trial runs. `gpus` 0: on CPUs. `nas_claim` lies at /nas; `node_selector`: labels of the nodes."""

    gpus: int = 0
    nas_claim: str = "nas-data"
    requests: Mapping[str, str] = field(default_factory=lambda: {"cpu": "2", "memory": "8Gi"})
    node_selector: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchParameter:
    """A parameter of the experiment under the name of our option: a range (`step` "" for none), or a list of texts."""

    name: str
    text: str
    least: str = ""
    most: str = ""
    step: str = ""
    distribution: str = ""
    choices: tuple[str, ...] = ()

    def model(self) -> V1beta1ParameterSpec:
        """Katib's model of it."""
        space = {"min": self.least, "max": self.most, "step": self.step, "distribution": self.distribution}
        given = {key: value for key, value in space.items() if value}
        kind = "categorical" if self.choices else "double"
        listed = {"list": list(self.choices)} if self.choices else {}
        return V1beta1ParameterSpec(
            name=self.name, parameterType=kind, feasibleSpace=V1beta1FeasibleSpace(**given, **listed)
        )


def real_parameter(
    name: str, text: str, limits: tuple[float, float], *, step: float = 0, logarithmic: bool = False
) -> SearchParameter:
    """A double between two limits; `step` 0: none."""
    least, most = (f"{value:g}" for value in limits)
    return SearchParameter(
        name, text, least, most, f"{step:g}" if step else "", distribution="logUniform" if logarithmic else ""
    )


def experiment_document(
    search: SearchOptions,
    pod: PodOptions,
    parameters: Sequence[SearchParameter],
    step: str,
    arguments: Mapping[str, str | int | float],
) -> dict[str, Any]:
    """The Experiment as a plain document, ready for YAML or for the API server.

    A trial runs `traffic-yolo trial <step>` with the fixed `arguments` and one for each parameter. Raises
    `OptionsError` with the checker's first error.
    """
    swept = {parameter.name: placeholder(parameter.name) for parameter in parameters}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in (dict(arguments) | swept).items()]
    template = V1beta1TrialTemplate(
        retain=True,  # a failed trial's log is the only account of it
        primaryContainerName=CONTAINER_NAME,
        successCondition=JOB_SUCCESS,
        failureCondition=JOB_FAILURE,
        trialParameters=[
            V1beta1TrialParameterSpec(name=p.name, description=p.text, reference=p.name) for p in parameters
        ],
        trialSpec=_job(pod, [*PROGRAM, step, *flags]),
    )
    experiment = V1beta1Experiment(
        apiVersion=API_VERSION,
        kind=KIND,
        metadata=IoK8sApimachineryPkgApisMetaV1ObjectMeta(name=search.name, namespace=search.namespace or None),
        spec=_spec(search, parameters, template),
    )
    document: dict[str, Any] = experiment.model_dump(by_alias=True, exclude_none=True, mode="json")
    for finding in check_document(document):
        if finding.severity == "error":
            details = f"expected {finding.expected}, found {finding.found}"
            raise OptionsError(f"experiment {search.name}: {finding.path}: {finding.message}; {details}")
    return document


def experiment_yaml(document: Mapping[str, Any], *, comment: str = "") -> str:
    """The Experiment as YAML text; `comment` stands above it, each line behind a '#'."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    ordered = {key: document[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    return head + yaml.safe_dump(ordered, sort_keys=False, width=120)


def _spec(
    search: SearchOptions, parameters: Sequence[SearchParameter], template: V1beta1TrialTemplate
) -> V1beta1ExperimentSpec:
    additional = search.additional or tuple(name for name in search.metrics if name != search.objective)
    stopping = None
    if search.early_stopping is not None:
        settings = [V1beta1EarlyStoppingSetting(name=n, value=v) for n, v in search.early_stopping.items()]
        stopping = V1beta1EarlyStoppingSpec(algorithmName="medianstop", algorithmSettings=settings)
    return V1beta1ExperimentSpec(
        objective=V1beta1ObjectiveSpec(
            type=search.metrics[search.objective].direction,
            goal=search.goal,
            objectiveMetricName=search.objective,
            additionalMetricNames=list(additional),
        ),
        algorithm=V1beta1AlgorithmSpec(
            algorithmName=search.algorithm,
            algorithmSettings=[V1beta1AlgorithmSetting(name=n, value=v) for n, v in search.algorithm_settings.items()],
        ),
        earlyStopping=stopping,
        maxTrialCount=search.max_trials,
        parallelTrialCount=search.parallel_trials,
        maxFailedTrialCount=search.max_failed_trials,
        resumePolicy=search.resume_policy,
        parameters=[parameter.model() for parameter in parameters],
        metricsCollectorSpec=V1beta1MetricsCollectorSpec(
            collector=V1beta1CollectorSpec(kind="StdOut"),
            source=V1beta1SourceSpec(filter=V1beta1FilterSpec(metricsFormat=[metric_format(search.metrics)])),
        ),
        trialTemplate=template,
    )


def _job(pod: PodOptions, command: Sequence[str]) -> dict[str, Any]:
    """The Job of one trial. Katib sets name and namespace."""
    resources: dict[str, Any] = {"requests": dict(pod.requests)}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",  # a trial that failed is Katib's to count, not the kubelet's to repeat
        "containers": [
            {
                "name": CONTAINER_NAME,
                "image": image("train", "cuda" if pod.gpus else "cpu"),
                "command": list(command),
                "env": [
                    {"name": "TRAFFIC_YOLO_NAS_ROOT", "value": NAS_MOUNT_PATH},
                    {"name": "TRAFFIC_YOLO_PROGRESS", "value": "0"},
                ],
                "resources": resources,
                "securityContext": security_context(),
                "volumeMounts": [{"name": "nas", "mountPath": NAS_MOUNT_PATH}],
            }
        ],
        "volumes": [{"name": "nas", "persistentVolumeClaim": {"claimName": pod.nas_claim}}],
    }
    if pod.node_selector:
        spec["nodeSelector"] = dict(pod.node_selector)
    if pod.gpus:
        resources["limits"] = {"nvidia.com/gpu": pod.gpus}
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    # With Istio's proxy beside it the pod would never end.
    labels = {"sidecar.istio.io/inject": "false"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": template}}
