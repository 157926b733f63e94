"""What Katib's mutating webhook fills in before it checks: experiments/v1beta1/experiment_defaults.go, 0.19."""

import copy
from typing import Any

from traffic_yolo.cluster.access import at, mapping_at, mappings_at, text_at, texts_at
from traffic_yolo.katib.spec.constants import (
    DEFAULT_PARALLEL_TRIALS,
    DEFAULT_RESUME_POLICY,
    JOB_FAILURE,
    JOB_SUCCESS,
    KUBEFLOW_JOB_KINDS,
    KUBEFLOW_SUCCESS,
    METRICS_FILE,
    PROMETHEUS_PATH,
    PROMETHEUS_PORT,
    TENSORFLOW_FOLDER,
    TRAIN_JOB_KIND,
)


def with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of an Experiment with Katib's defaults; parts of a wrong type are left as they are."""
    filled = copy.deepcopy(document)
    spec = filled.get("spec")
    if not isinstance(spec, dict):
        return filled
    for part in (spec, *(value for value in spec.values() if isinstance(value, dict))):
        for key in [key for key, value in part.items() if value is None]:
            del part[key]  # a null in YAML is a field that is not set
    spec.setdefault("parallelTrialCount", DEFAULT_PARALLEL_TRIALS)
    if not spec.get("resumePolicy"):
        spec["resumePolicy"] = DEFAULT_RESUME_POLICY
    _objective(spec)
    _template(spec)
    _collector(spec)
    return filled


def _objective(spec: dict[str, Any]) -> None:
    objective = spec.get("objective")
    if not isinstance(objective, dict):
        return
    given = objective.get("metricStrategies")
    strategies = list(given) if isinstance(given, list) else []
    named = {text_at(strategy, "name") for _, strategy in mappings_at(strategies)}
    default = {"maximize": "max", "minimize": "min"}.get(text_at(objective, "type"), "latest")
    for name in [text_at(objective, "objectiveMetricName"), *texts_at(objective, "additionalMetricNames")]:
        if name not in named:
            strategies.append({"name": name, "value": default})
    objective["metricStrategies"] = strategies


def _template(spec: dict[str, Any]) -> None:
    template = spec.get("trialTemplate")
    if not isinstance(template, dict) or not isinstance(template.get("trialSpec"), dict):
        return
    kind = text_at(template, "trialSpec", "kind")
    if kind in ("Job", TRAIN_JOB_KIND):
        success = JOB_SUCCESS
    elif kind in KUBEFLOW_JOB_KINDS:
        success = KUBEFLOW_SUCCESS
    else:
        return
    template["successCondition"] = template.get("successCondition") or success
    template["failureCondition"] = template.get("failureCondition") or JOB_FAILURE


def _collector(spec: dict[str, Any]) -> None:
    collector = spec.setdefault("metricsCollectorSpec", {})
    if not isinstance(collector, dict):
        return
    if collector.get("collector") is None:
        collector["collector"] = {"kind": "StdOut"}
    kind = text_at(collector, "collector", "kind")
    if kind not in ("PrometheusMetric", "File", "TensorFlowEvent"):
        return
    if collector.get("source") is None:
        collector["source"] = {}
    if not isinstance(collector["source"], dict):
        return
    part = "httpGet" if kind == "PrometheusMetric" else "fileSystemPath"
    source = collector["source"]
    if source.get(part) is None:
        source[part] = {}
    for key, value in _SOURCE_DEFAULTS[kind].items():
        if isinstance(source[part], dict) and not at(source, part, key):
            source[part][key] = value


_SOURCE_DEFAULTS: dict[str, dict[str, Any]] = {
    "PrometheusMetric": {"path": PROMETHEUS_PATH, "port": PROMETHEUS_PORT},
    "File": {"kind": "File", "path": METRICS_FILE, "format": "TEXT"},
    "TensorFlowEvent": {"kind": "Directory", "path": TENSORFLOW_FOLDER},
}


def strategies(spec: dict[str, Any]) -> dict[str, str]:
    """Metric -> strategy of a spec that has its defaults, in order."""
    found = mappings_at(mapping_at(spec, "objective"), "metricStrategies")
    return {text_at(strategy, "name"): text_at(strategy, "value") for _, strategy in found}
