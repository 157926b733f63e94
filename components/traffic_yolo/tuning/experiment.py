"""Builds the Katib Experiment (v1beta1) whose trials are `traffic-yolo trial` in a Kubernetes Job.

The document is checked against Katib's own API models; the cluster is left to whoever submits it.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from kubeflow_katib_api.models import V1beta1Experiment

from traffic_yolo.container_images import image
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.options import FINE_TUNE_WORDS, PIPELINE_FIELDS, TrainingOptions
from traffic_yolo.tuning.metrics import METRICS

API_VERSION = "kubeflow.org/v1beta1"
CONTAINER_NAME = "trial"
NAS_MOUNT_PATH = "/nas"
WORK_FOLDER = "/tmp/trial"
# Katib accepts up to 40 characters, and trial names are this, '-', and 8 more.
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
# Katib's webhook joins the command with spaces and hands it to `sh -c` unquoted.
SAFE_ARGUMENT = re.compile(r"[A-Za-z0-9_./:=,@%+-]*(\$\{trialParameters\.\w+\})?")
# Line by line: only a line that is nothing but `name=value` counts, never a progress bar or a sentence of the log.
METRIC_FORMAT = rf"^({'|'.join(METRICS)})=([0-9]+\.[0-9]+)$"


@dataclass(frozen=True)
class ExperimentOptions:
    """One experiment. Paths are those inside the trial's pod, where the NAS claim lies at /nas.

    `training` is what all trials share; its `fine_tune_layers` is a parameter of the experiment. Ranges are
    (least, most) in the unit of the parameter. `gpus` for each trial; 0 trains on CPUs. Raises `OptionsError` for what
    Katib would refuse, or would accept and then fail on.
    """

    dataset: str
    store: str
    training: TrainingOptions
    name: str = "fine-tuning"
    namespace: str = ""  # empty: the one it is submitted to
    confidence_range: tuple[float, float] = (0.05, 0.75)
    iou_range: tuple[float, float] = (0.3, 0.75)
    fine_tune_layers: tuple[str, ...] = FINE_TUNE_WORDS
    random_state: int = 42
    max_trials: int = 30
    parallel_trials: int = 2
    max_failed_trials: int = 3
    gpus: int = 1
    nas_claim: str = "nas-data"
    resources: Mapping[str, str] = field(default_factory=lambda: {"cpu": "2", "memory": "8Gi"})

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise OptionsError(f"experiment name {self.name!r}: expected up to 40 of a-z, 0-9 and '-', a letter first")
        for name, (least, most) in (("confidence_range", self.confidence_range), ("iou_range", self.iou_range)):
            if not 0 < least < most < 1:
                raise OptionsError(f"{name}: expected 0 < least < most < 1, found {least:g} to {most:g}")
        if not self.fine_tune_layers or len(set(self.fine_tune_layers)) != len(self.fine_tune_layers):
            raise OptionsError(f"fine_tune_layers: expected different words, found {self.fine_tune_layers}")
        for words in self.fine_tune_layers:
            dataclasses.replace(self.training, fine_tune_layers=words)
        if not 1 <= self.parallel_trials <= self.max_trials or not 0 <= self.max_failed_trials <= self.max_trials:
            raise OptionsError(
                f"parallel_trials {self.parallel_trials} and max_failed_trials {self.max_failed_trials} cannot exceed "
                f"max_trials {self.max_trials}"
            )
        for argument in self.command():
            if not SAFE_ARGUMENT.fullmatch(argument):
                raise OptionsError(
                    f"trial argument {argument!r}: Katib passes it through a shell unquoted; use letters, digits and "
                    f"_ . / : = , @ % + - only"
                )

    def command(self) -> list[str]:
        """The trial's command with Katib's placeholders."""
        fixed = {
            name: getattr(self.training, name)
            for name in PIPELINE_FIELDS
            if name != "fine_tune_layers" and getattr(self.training, name) != getattr(TrainingOptions(), name)
        }
        flags = {"dataset": self.dataset, "store": self.store, "work": WORK_FOLDER, **fixed}
        swept = {parameter["name"]: f"${{trialParameters.{parameter['name']}}}" for parameter in self.parameters()}
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in (flags | swept).items()]
        return ["traffic-yolo", "trial", *arguments]

    def parameters(self) -> list[dict[str, Any]]:
        """What Katib varies, under the names of our options."""
        return [
            _double("confidence_threshold", self.confidence_range),
            _double("iou_threshold", self.iou_range),
            {
                "name": "fine_tune_layers",
                "parameterType": "categorical",
                "feasibleSpace": {"list": list(self.fine_tune_layers)},
            },
        ]


def experiment_document(options: ExperimentOptions) -> dict[str, Any]:
    """The Experiment as a plain document, ready for YAML or for the API server; checked by `check_round_trip`."""
    objective, *additional = METRICS
    parameters = options.parameters()
    metadata = {"name": options.name} | ({"namespace": options.namespace} if options.namespace else {})
    document = {
        "apiVersion": API_VERSION,
        "kind": "Experiment",
        "metadata": metadata,
        "spec": {
            "objective": {
                "type": "maximize",
                "objectiveMetricName": objective,
                "additionalMetricNames": additional,
            },
            "algorithm": {
                "algorithmName": "tpe",
                "algorithmSettings": [{"name": "random_state", "value": str(options.random_state)}],
            },
            "maxTrialCount": options.max_trials,
            "parallelTrialCount": options.parallel_trials,
            "maxFailedTrialCount": options.max_failed_trials,
            "resumePolicy": "Never",
            "parameters": parameters,
            "metricsCollectorSpec": {
                "collector": {"kind": "StdOut"},
                "source": {"filter": {"metricsFormat": [METRIC_FORMAT]}},
            },
            "trialTemplate": {
                "retain": True,  # a failed trial's log is the only account of it
                "primaryContainerName": CONTAINER_NAME,
                "successCondition": 'status.conditions.#(type=="Complete")#|#(status=="True")#',
                "failureCondition": 'status.conditions.#(type=="Failed")#|#(status=="True")#',
                "trialParameters": [
                    {"name": p["name"], "description": DESCRIPTIONS[p["name"]], "reference": p["name"]}
                    for p in parameters
                ],
                "trialSpec": _job(options),
            },
        },
    }
    check_round_trip(document)
    return document


DESCRIPTIONS = {
    "confidence_threshold": "Detections with a score not above this do not count",
    "iou_threshold": "NMS: overlap above which the weaker box of a class goes",
    "fine_tune_layers": "Layers that the training may change",
}


def experiment_yaml(options: ExperimentOptions, *, comment: str = "") -> str:
    """The Experiment as YAML text; `comment` stands above it, each line behind a '#'."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + yaml.safe_dump(experiment_document(options), sort_keys=False, width=120)


def check_round_trip(document: Mapping[str, Any]) -> V1beta1Experiment:
    """Katib's model of the document.

    The models drop an unknown key without a word, and a cluster accepts it as silently. Raises `OptionsError` naming
    every key that did not come back, or the model's own complaint.
    """
    try:
        experiment = V1beta1Experiment.from_dict(dict(document))
    except ValueError as error:
        raise OptionsError(f"not a Katib Experiment: {error}") from error
    lost = sorted(_differences(document, experiment.to_dict() if experiment else {}, ""))
    if lost:
        raise OptionsError(f"Katib's API does not know, or changes: {', '.join(lost)}")
    return experiment


def _differences(before: Any, after: Any, where: str) -> list[str]:
    """Paths of everything in `before` that `after` lacks or has otherwise."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = []
        for key, value in before.items():
            path = f"{where}.{key}" if where else str(key)
            found.extend(_differences(value, after[key], path) if key in after else [path])
        return found
    if isinstance(before, Sequence) and not isinstance(before, str) and isinstance(after, Sequence):
        if len(before) != len(after):
            return [where]
        pairs = zip(before, after, strict=True)
        return [path for index, (b, a) in enumerate(pairs) for path in _differences(b, a, f"{where}[{index}]")]
    return [] if before == after else [where]


def _job(options: ExperimentOptions) -> dict[str, Any]:
    """The Job of one trial. Katib sets name and namespace."""
    resources: dict[str, Any] = {"requests": dict(options.resources)}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # a trial that failed is Katib's to count, not the kubelet's to repeat
        "containers": [
            {
                "name": CONTAINER_NAME,
                "image": image("train"),
                "command": options.command(),
                "env": [
                    {"name": "TRAFFIC_YOLO_NAS_ROOT", "value": NAS_MOUNT_PATH},
                    {"name": "TRAFFIC_YOLO_PROGRESS", "value": "0"},
                ],
                "resources": resources,
                "volumeMounts": [{"name": "nas", "mountPath": NAS_MOUNT_PATH}],
            }
        ],
        "volumes": [{"name": "nas", "persistentVolumeClaim": {"claimName": options.nas_claim}}],
    }
    if options.gpus:
        resources["limits"] = {"nvidia.com/gpu": options.gpus}
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,
            "template": {
                # With Istio's proxy beside it the pod would never end.
                "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                "spec": pod,
            },
        },
    }


def _double(name: str, limits: tuple[float, float]) -> dict[str, Any]:
    least, most = (f"{value:g}" for value in limits)
    return {"name": name, "parameterType": "double", "feasibleSpace": {"min": least, "max": most}}
