"""Every rule of the checker: one change of a sound Experiment that it objects to, and one that it lets pass."""

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from quick_yaml import load_yaml

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.check.check import READING_RULES, check_document, check_text
from traffic_yolo.katib.check.findings import RULES
from traffic_yolo.katib.run.runner import open_run

BASE = Path(__file__).with_name("base_experiment.yaml")
GONE = object()
JOB = "spec.trialTemplate.trialSpec"
POD = f"{JOB}.spec.template.spec"
TRAINER = f"{POD}.containers.0"
PARAMETERS = "spec.parameters"
CONF = f"{PARAMETERS}.0.feasibleSpace"
EPOCHS = f"{PARAMETERS}.1.feasibleSpace"
SETTINGS = "spec.algorithm.algorithmSettings"
COLLECTOR = "spec.metricsCollectorSpec"
FORMAT = f"{COLLECTOR}.source.filter.metricsFormat.0"
TRIAL_PARAMETERS = "spec.trialTemplate.trialParameters"

Change = dict[str, Any]
NOTHING: Change = {}


def settings(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def algorithm(name: str, **values: str) -> Change:
    return {"spec.algorithm": {"algorithmName": name, "algorithmSettings": settings(**values)}}


NUMERIC_SPACE: Change = {
    PARAMETERS: [
        {"name": "conf", "parameterType": "double", "feasibleSpace": {"min": "0.05", "max": "0.6", "step": "0.05"}},
        {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "9"}},
    ],
    TRIAL_PARAMETERS: [{"name": "conf", "reference": "conf"}, {"name": "epochs", "reference": "epochs"}],
    f"{TRAINER}.command": ["train", "--conf=${trialParameters.conf}", "--epochs=${trialParameters.epochs}"],
}
HYPERBAND = algorithm("hyperband", r_l="9", resource_name="epochs") | {"spec.parallelTrialCount": 9}
PBT = algorithm("pbt", suggestion_trial_dir="/opt/data", n_population="8", truncation_threshold="0.2")
NAS: Change = {PARAMETERS: GONE, "spec.nasConfig": {"graphConfig": {"numLayers": 2}}}
NAS_WHOLE: Change = {
    PARAMETERS: GONE,
    "spec.nasConfig": {
        "graphConfig": {"numLayers": 2, "inputSizes": [32, 32, 3], "outputSizes": [10]},
        "operations": [
            {
                "operationType": "convolution",
                "parameters": [
                    {"name": "filter_size", "parameterType": "categorical", "feasibleSpace": {"list": ["3", "5"]}}
                ],
            }
        ],
    },
}
OPERATION = "spec.nasConfig.operations.0.parameters.0"
FILE: Change = {
    f"{COLLECTOR}.collector": {"kind": "File"},
    f"{COLLECTOR}.source": {"fileSystemPath": {"path": "/var/log/metrics.log", "kind": "File", "format": "TEXT"}},
}
JSON = FILE | {f"{COLLECTOR}.source": {"fileSystemPath": {"path": "/m.json", "kind": "File", "format": "JSON"}}}
EVENTS: Change = {
    "spec.earlyStopping": GONE,
    f"{COLLECTOR}.collector": {"kind": "TensorFlowEvent"},
    f"{COLLECTOR}.source": {"fileSystemPath": {"path": "/events", "kind": "Directory"}},
}
PROMETHEUS: Change = {
    "spec.earlyStopping": GONE,
    f"{COLLECTOR}.collector": {"kind": "PrometheusMetric"},
    f"{COLLECTOR}.source": {"httpGet": {"port": 8080, "path": "/metrics"}},
}
CUSTOM: Change = {
    "spec.earlyStopping": GONE,
    f"{COLLECTOR}.collector": {"kind": "Custom", "customCollector": {"name": "mine", "image": "registry.local/c:1"}},
    f"{COLLECTOR}.source": {"fileSystemPath": {"path": "/metrics", "kind": "Directory"}},
}
CONFIG_MAP: Change = {
    "spec.trialTemplate.trialSpec": GONE,
    "spec.trialTemplate.configMap": {
        "configMapName": "t",
        "configMapNamespace": "kubeflow",
        "templatePath": "job.yaml",
    },
    "spec.trialTemplate.successCondition": "status.x",
    "spec.trialTemplate.failureCondition": "status.y",
}
CRONTAB: Change = {
    "spec.trialTemplate.trialSpec": {"apiVersion": "example.org/v1", "kind": "Training", "spec": {}},
    "spec.trialTemplate.successCondition": "status.x",
    "spec.trialTemplate.failureCondition": "status.y",
}

# rule -> (changes that it objects to, a change that stays within it)
CASES: dict[str, tuple[list[Change], Change]] = {
    "api-version": ([{"apiVersion": "kubeflow.org/v1alpha3"}, {"apiVersion": GONE}], NOTHING),
    "kind": ([{"kind": "Experiments"}, {"kind": 3}], NOTHING),
    "spec-missing": ([{"spec": GONE}, {"spec": []}], NOTHING),
    "name-start": ([{"metadata.name": "9-lives"}, {"metadata": {"generateName": "x-"}}], {"metadata.name": "a9"}),
    "name-label": ([{"metadata.name": "my_exp"}, {"metadata.name": "exp-"}], {"metadata.name": "a"}),
    "name-length": ([{"metadata.name": "x" * 41}], {"metadata.name": "x" * 40}),
    "name-derived": ([{"metadata.name": "x" * 60}], {"metadata.name": "x" * 40}),
    "max-failed-negative": ([{"spec.maxFailedTrialCount": -1}], {"spec.maxFailedTrialCount": 0}),
    "max-trials-positive": ([{"spec.maxTrialCount": 0}], {"spec.maxTrialCount": 3}),
    "parallel-positive": ([{"spec.parallelTrialCount": 0}], {"spec.parallelTrialCount": 1}),
    "max-failed-above-max": ([{"spec.maxFailedTrialCount": 25}], {"spec.maxFailedTrialCount": 24}),
    "parallel-above-max": (
        [{"spec.parallelTrialCount": 25}, {"spec.parallelTrialCount": GONE, "spec.maxTrialCount": 2}],
        {"spec.parallelTrialCount": 24},
    ),
    "max-trials-missing": ([{"spec.maxTrialCount": GONE}], NOTHING),
    "max-failed-missing": ([{"spec.maxFailedTrialCount": GONE}], NOTHING),
    "resume-policy": ([{"spec.resumePolicy": "Always"}], {"spec.resumePolicy": "LongRunning"}),
    "resume-volume": ([{"spec.resumePolicy": "FromVolume"}], {"spec.resumePolicy": GONE}),
    "namespace-label": ([NOTHING], {f"{COLLECTOR}.collector.kind": "Push"}),
    "objective-missing": ([{"spec.objective": GONE}], NOTHING),
    "objective-type": (
        [{"spec.objective.type": "max"}, {"spec.objective.type": GONE}],
        {"spec.objective.type": "minimize"},
    ),
    "objective-metric": ([{"spec.objective.objectiveMetricName": ""}], NOTHING),
    "objective-repeated": (
        [{"spec.objective.additionalMetricNames": ["map"]}],
        {"spec.objective.additionalMetricNames": GONE},
    ),
    "metric-repeated": ([{"spec.objective.additionalMetricNames": ["map50", "map50"]}], NOTHING),
    "metric-semicolon": ([{"spec.objective.additionalMetricNames": ["a;b"]}], NOTHING),
    "metric-strategy": (
        [{"spec.objective.metricStrategies.0.value": "mean"}],
        {"spec.objective.metricStrategies.0.value": "latest"},
    ),
    "metric-strategy-name": (
        [{"spec.objective.metricStrategies.0.name": "mAP"}],
        {"spec.objective.metricStrategies.0.name": "recall"},
    ),
    "goal-number": ([{"spec.objective.goal": "0.9"}, {"spec.objective.goal": True}], {"spec.objective.goal": 1}),
    "algorithm-missing": ([{"spec.algorithm": GONE}, {"spec.algorithm": {}}], NOTHING),
    "algorithm-unknown": ([{"spec.algorithm.algorithmName": "tpee"}], algorithm("random")),
    "algorithm-setting-unknown": (
        [
            {f"{SETTINGS}.0.name": "seed"},
            algorithm("tpe", n_ei_candidates="9"),
            NAS | algorithm("enas", num_epochs="1"),
        ],
        algorithm("tpe", gamma="0.25", prior_weight="1", n_EI_candidates="24", random_state="0"),
    ),
    "algorithm-setting-ignored": (
        [
            algorithm("sobol", random_state="1"),
            HYPERBAND | {SETTINGS: settings(r_l="9", resource_name="epochs", etc="3")},
        ],
        algorithm("cmaes", random_state="-1", sigma="0"),
    ),
    "algorithm-setting-value": (
        [
            {f"{SETTINGS}.0.value": "-1"},
            {f"{SETTINGS}.0.value": 42},
            {f"{SETTINGS}.0.value": "4294967296"},
            algorithm("tpe", gamma="1"),
            algorithm("bayesianoptimization", acq_func="UCB"),
            algorithm("bayesianoptimization", n_initial_points="0"),
            algorithm("cmaes", restart_strategy="x"),
            HYPERBAND | {SETTINGS: settings(r_l="0", resource_name="epochs")},
            HYPERBAND | {SETTINGS: settings(r_l="9", resource_name="epochs", eta="1.5")},
            PBT | {SETTINGS: [*PBT["spec.algorithm"]["algorithmSettings"], *settings(resample_probability="0.5")]},
            NAS | algorithm("darts", num_epochs="0"),
            NAS | algorithm("enas", controller_baseline_decay="1.5"),
        ],
        algorithm(
            "bayesianoptimization", base_estimator="GP", n_initial_points="5", acq_func="EI", acq_optimizer="lbfgs"
        ),
    ),
    "algorithm-setting-pair": (
        [algorithm("bayesianoptimization", base_estimator="RF", acq_optimizer="lbfgs")],
        algorithm("bayesianoptimization", acq_optimizer="lbfgs"),
    ),
    "algorithm-setting-missing": ([algorithm("hyperband", r_l="9"), algorithm("pbt", n_population="8")], HYPERBAND),
    "algorithm-setting-repeated": ([{SETTINGS: settings(random_state="1") * 2}], NOTHING),
    "architecture-search": ([algorithm("enas"), NAS], NAS | algorithm("darts")),
    "nas-graph": ([NAS | algorithm("enas")], NAS_WHOLE | algorithm("enas")),
    "nas-operation": (
        [
            NAS_WHOLE | algorithm("darts") | {"spec.nasConfig.operations.0.parameters": []},
            NAS_WHOLE | algorithm("darts") | {"spec.nasConfig.operations.0.operationType": ""},
            NAS_WHOLE | algorithm("enas") | {f"{OPERATION}.feasibleSpace": {}},
            NAS_WHOLE
            | algorithm("enas")
            | {f"{OPERATION}.parameterType": "double", f"{OPERATION}.feasibleSpace": {"min": "1"}},
        ],
        NAS_WHOLE | algorithm("darts"),
    ),
    "cmaes-dimensions": (
        [
            algorithm("cmaes")
            | {f"{PARAMETERS}.1": {"name": "epochs", "parameterType": "discrete", "feasibleSpace": {"list": ["1"]}}}
        ],
        algorithm("cmaes"),
    ),
    "numeric-only": ([algorithm("cmaes"), algorithm("sobol")], algorithm("cmaes") | NUMERIC_SPACE),
    "hyperband-resource": ([HYPERBAND | algorithm("hyperband", r_l="9", resource_name="epoch")], HYPERBAND),
    "hyperband-parallel": ([HYPERBAND | {"spec.parallelTrialCount": 8}], HYPERBAND),
    "pbt-step": ([PBT | {f"{CONF}.step": GONE}], PBT),
    "pbt-claim": ([PBT], NOTHING),
    "early-stopping-name": ([{"spec.earlyStopping.algorithmName": GONE}], {"spec.earlyStopping": GONE}),
    "early-stopping-unknown": ([{"spec.earlyStopping.algorithmName": "median"}], NOTHING),
    "early-stopping-setting": (
        [
            {"spec.earlyStopping.algorithmSettings": settings(start_step="0")},
            {"spec.earlyStopping.algorithmSettings": settings(steps="3")},
        ],
        {"spec.earlyStopping.algorithmSettings": settings(start_step="1", min_trials_required="1")},
    ),
    "early-stopping-collector": (
        [{f"{COLLECTOR}.collector.kind": kind} for kind in ("Push", "TensorFlowEvent", "PrometheusMetric", "Custom")],
        {f"{COLLECTOR}.collector.kind": "File"},
    ),
    "early-stopping-retain": (
        [{"spec.trialTemplate.retain": False}, {"spec.trialTemplate.retain": GONE}],
        {"spec.trialTemplate.retain": GONE, "spec.earlyStopping": GONE},
    ),
    "space-missing": ([{PARAMETERS: GONE}, {PARAMETERS: []}], NAS),
    "space-both": ([{"spec.nasConfig": {"graphConfig": {"numLayers": 2}}}], NAS),
    "parameter-name": ([{f"{PARAMETERS}.0.name": ""}], NOTHING),
    "parameter-repeated": ([{f"{PARAMETERS}.1.name": "conf"}], NOTHING),
    "parameter-type": ([{f"{PARAMETERS}.0.parameterType": "float"}, {f"{PARAMETERS}.0.parameterType": GONE}], NOTHING),
    "parameter-type-unknown": ([{f"{PARAMETERS}.0.parameterType": "unknown"}], NOTHING),
    "distribution": ([{f"{CONF}.distribution": "loguniform"}], {f"{CONF}.distribution": "logUniform"}),
    "distribution-refused": (
        [
            {f"{CONF}.distribution": "normal"} | algorithm("multivariate-tpe"),
            {f"{EPOCHS}.distribution": "logNormal"} | algorithm("grid"),
        ],
        {f"{CONF}.distribution": "logUniform"} | algorithm("multivariate-tpe"),
    ),
    "distribution-ignored": (
        [
            {f"{CONF}.distribution": "normal"} | algorithm("cmaes"),
            {f"{CONF}.distribution": "logUniform"} | algorithm("grid"),
        ],
        {f"{CONF}.distribution": "normal"},
    ),
    "logarithm-range": (
        [
            {f"{CONF}.distribution": "logNormal", f"{CONF}.min": "0"},
            {f"{CONF}.distribution": "logUniform", f"{CONF}.min": "0"} | algorithm("grid"),
            {f"{EPOCHS}.distribution": "logUniform", f"{EPOCHS}.max": "0"} | algorithm("multivariate-tpe"),
            algorithm("bayesianoptimization") | {f"{CONF}.min": "0"},
        ],
        algorithm("cmaes") | {f"{CONF}.distribution": "logUniform", f"{CONF}.min": "0"},
    ),
    "logarithm-cut": (
        [{f"{CONF}.distribution": "logUniform", f"{CONF}.min": "0"} | algorithm("multivariate-tpe")],
        {f"{EPOCHS}.distribution": "logUniform"} | algorithm("multivariate-tpe"),
    ),
    "feasible-space": ([{CONF: GONE}, {CONF: {}}], NOTHING),
    "range-list": ([{f"{CONF}.list": ["1"]}], NOTHING),
    "range-bounds": ([{f"{CONF}.max": GONE}, {f"{CONF}.min": ""}], NOTHING),
    "list-range": ([{f"{PARAMETERS}.2.feasibleSpace.min": "1"}, {f"{PARAMETERS}.3.feasibleSpace.step": "1"}], NOTHING),
    "range-number": (
        [{f"{CONF}.max": "1,5"}, {f"{CONF}.max": "inf"}, {f"{EPOCHS}.max": "9.5"} | algorithm("multivariate-tpe")],
        {f"{CONF}.max": "6e-1"},
    ),
    "range-fraction": ([{f"{EPOCHS}.max": "9.5"}, {f"{EPOCHS}.min": "1.0"}], {f"{EPOCHS}.max": "90"}),
    "range-order": (
        [
            {f"{CONF}.min": "0.7"},
            {f"{CONF}.min": "0.6"},  # as max is
            {f"{EPOCHS}.min": "9"} | algorithm("bayesianoptimization"),
            {f"{EPOCHS}.min": "9"} | algorithm("cmaes"),
            {f"{EPOCHS}.min": "10"} | algorithm("sobol"),
        ],
        {f"{CONF}.min": "0.6"} | algorithm("multivariate-tpe"),
    ),
    "range-reversed": (
        [HYPERBAND | {f"{CONF}.min": "0.7"}, PBT | {f"{CONF}.min": "0.7", f"{CONF}.step": "-0.1"}],
        HYPERBAND | {f"{CONF}.min": "0.6"},
    ),
    "range-step": (
        [{f"{CONF}.step": "0"}, {f"{CONF}.step": "-0.1"} | algorithm("grid")],
        {f"{CONF}.step": "0"} | algorithm("bayesianoptimization"),
    ),
    "step-fit": ([{f"{CONF}.step": "0.6"}, {f"{CONF}.step": "-0.1"}], {f"{CONF}.step": "0.55"}),
    "step-ignored": (
        [algorithm("bayesianoptimization"), {f"{CONF}.distribution": "logUniform"} | algorithm("multivariate-tpe")],
        algorithm("grid"),
    ),
    "list-missing": ([{f"{PARAMETERS}.2.feasibleSpace": {"list": [], "distribution": "uniform"}}], NOTHING),
    "list-repeated": ([{f"{PARAMETERS}.2.feasibleSpace.list": ["a", "a"]}], NOTHING),
    "discrete-number": (
        [{f"{PARAMETERS}.3.feasibleSpace.list": ["8", "many"]}],
        {f"{PARAMETERS}.3.feasibleSpace.list": ["-1e3"]},
    ),
    "hyperband-discrete": (
        [HYPERBAND | {f"{PARAMETERS}.3.feasibleSpace.list": ["0.5", "1"]}],
        {f"{PARAMETERS}.3.feasibleSpace.list": ["0.5", "1"]},
    ),
    "grid-step": ([algorithm("grid") | {f"{CONF}.step": GONE}], algorithm("grid")),
    "grid-size": ([algorithm("grid") | {"spec.maxTrialCount": 397}], algorithm("grid") | {"spec.maxTrialCount": 396}),
    "template-missing": ([{"spec.trialTemplate": GONE}], NOTHING),
    "primary-container": ([{"spec.trialTemplate.primaryContainerName": GONE}], NOTHING),
    "conditions": (
        [{f"{JOB}.kind": "Pod", f"{JOB}.apiVersion": "v1"}],
        {f"{JOB}.kind": "PyTorchJob", f"{JOB}.apiVersion": "kubeflow.org/v1"},
    ),
    "trial-parameters-missing": ([{TRIAL_PARAMETERS: GONE}], NOTHING),
    "template-source-missing": ([{JOB: GONE}], CONFIG_MAP),
    "template-source-both": ([{"spec.trialTemplate.configMap": {"configMapName": "x"}}], CONFIG_MAP),
    "config-map": ([CONFIG_MAP | {"spec.trialTemplate.configMap": {"configMapName": "x"}}], CONFIG_MAP),
    "config-map-unseen": ([CONFIG_MAP], NOTHING),
    "trial-parameter-fields": (
        [{f"{TRIAL_PARAMETERS}.0.reference": ""}, {f"{TRIAL_PARAMETERS}.0.name": "a{b}"}],
        NOTHING,
    ),
    "trial-parameter-repeated": (
        [{f"{TRIAL_PARAMETERS}.1.name": "conf"}, {f"{TRIAL_PARAMETERS}.1.reference": "conf"}],
        NOTHING,
    ),
    "trial-parameter-reference": (
        [{f"{TRIAL_PARAMETERS}.0.reference": "confidence"}],
        {f"{TRIAL_PARAMETERS}.4.reference": "${trialSpec.Kind}"},
    ),
    "meta-reference": (
        [
            {f"{TRIAL_PARAMETERS}.4.reference": "${trialSpec.Labels[owner]}"},
            {f"{TRIAL_PARAMETERS}.4.reference": "${trialSpec.Annotations}"},
        ],
        {f"{TRIAL_PARAMETERS}.4.reference": "${trialSpec.Labels[team]}"},
    ),
    "parameter-unused": ([{f"{TRIAL_PARAMETERS}.0.reference": "${trialSpec.Namespace}"}], NOTHING),
    "placeholder-missing": ([{f"{TRAINER}.command.1": "--conf=0.5"}], NOTHING),
    "placeholder-undeclared": ([{f"{TRAINER}.command.1": "--conf=${trialParameters.confd}"}], NOTHING),
    "placeholder-misspelt": (
        [{f"{TRAINER}.command.0": "$(trialParameters.conf)"}, {f"{TRAINER}.command.0": "${trialParameter.conf}"}],
        NOTHING,
    ),
    "template-name": ([{f"{JOB}.metadata.name": "x"}, {f"{JOB}.metadata.namespace": "x"}], NOTHING),
    "template-kind": ([{f"{JOB}.kind": GONE}, {f"{JOB}.apiVersion": ""}], NOTHING),
    "retain": ([{"spec.trialTemplate.retain": False}, {"spec.trialTemplate.retain": GONE}], NOTHING),
    "container-present": ([{"spec.trialTemplate.primaryContainerName": "trial"}], CRONTAB),
    "container-command": (
        [{f"{TRAINER}.command": GONE}],
        {f"{COLLECTOR}.collector.kind": "Push", f"{TRAINER}.command": GONE},
    ),
    "container-image": ([{f"{TRAINER}.image": GONE}], NOTHING),
    "image-tag": (
        [{f"{TRAINER}.image": "registry:5000/train"}, {f"{TRAINER}.image": "train:latest"}],
        {f"{TRAINER}.image": "train@sha256:12"},
    ),
    "image-shell": ([NOTHING], {f"{COLLECTOR}.collector.kind": "Push"}),
    "shell-words": (
        [
            {f"{TRAINER}.args": ["train model"]},
            {f"{TRAINER}.command.0": "a;b"},
            {f"{TRAINER}.args": ['--map={"a": 1}']},
            {f"{TRAINER}.args": ['--map={"a":1}']},  # the quotes would be gone
            {f"{TRAINER}.args": [""]},
        ],
        {f"{TRAINER}.command.1": '--conf="${trialParameters.conf}"', f"{TRAINER}.args": ["'a b'", '--text="a b"']},
    ),
    "shell-syntax": (
        [
            {f"{TRAINER}.command.0": "train model"},
            {f"{TRAINER}.args": ["--out=$HOME"]},
            {f"{TRAINER}.args": ["&&", "echo", "done"]},
            {f"{TRAINER}.args": ["--files=*.h5"]},
            {f"{PARAMETERS}.2.feasibleSpace.list": ["none", "all*"]},
        ],
        {
            f"{TRAINER}.command": [
                "sh",
                "-c",
                "train '${trialParameters.conf}' ${trialParameters.epochs} ${trialParameters.freeze} ${trialParameters.batch} ${trialParameters.trial}",
            ]
        },
    ),
    "shell-variable": ([{f"{TRAINER}.args": ["--out=$(HOME)"]}], NOTHING),
    "shell-values": (
        [
            {f"{PARAMETERS}.2.feasibleSpace.list": ["none", "all but heads"]},
            {
                f"{PARAMETERS}.2.feasibleSpace.list": ['a"b'],
                f"{TRAINER}.command.3": '--freeze="${trialParameters.freeze}"',
            },
            {f"{PARAMETERS}.2.feasibleSpace.list": [""], f"{TRAINER}.command.3": "${trialParameters.freeze}"},
        ],
        {
            f"{PARAMETERS}.2.feasibleSpace.list": ["from:12", "all but heads", ""],
            f"{TRAINER}.command.3": '--freeze="${trialParameters.freeze}"',
        },
    ),
    "shell-script": (
        [{f"{TRAINER}.command": ["sh", "-c"], f"{TRAINER}.args": ["a", "b"]}],
        {f"{TRAINER}.command": ["bash", "-c"], f"{TRAINER}.args": ["a b"]},
    ),
    "shell-short": ([{f"{TRAINER}.command": ["sh"]}], {f"{TRAINER}.command": ["train"]}),
    "restart-policy": (
        [{f"{POD}.restartPolicy": "Always"}, {f"{POD}.restartPolicy": GONE}],
        {f"{POD}.restartPolicy": "OnFailure"},
    ),
    "restart-repeats": ([{f"{POD}.restartPolicy": "OnFailure"}], NOTHING),
    "backoff-limit": ([{f"{JOB}.spec.backoffLimit": 2}, {f"{JOB}.spec.backoffLimit": GONE}], NOTHING),
    "trial-suspended": (
        [
            {f"{JOB}.spec.suspend": True},
            {f"{JOB}.spec.parallelism": 0},
            {f"{JOB}.spec.completions": 0},
            {JOB: {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "spec": {"runPolicy": {"suspend": True}}}},
        ],
        {f"{JOB}.spec.suspend": False},
    ),
    "job-pods": ([{f"{JOB}.spec.parallelism": 2}, {f"{JOB}.spec.completions": 3}], {f"{JOB}.spec.parallelism": 1}),
    "job-stay": (
        [{f"{JOB}.spec.ttlSecondsAfterFinished": 0}, {f"{JOB}.spec.ttlSecondsAfterFinished": 5}],
        {f"{JOB}.spec.ttlSecondsAfterFinished": 3600},
    ),
    "istio": (
        [
            {f"{JOB}.spec.template.metadata": GONE},
            {f"{JOB}.spec.template.metadata": {"annotations": {"sidecar.istio.io/inject": "false"}}},
        ],
        NOTHING,
    ),
    "sidecars": (
        [{f"{POD}.containers": [{"name": "trainer", "image": "a:1", "command": ["a"]}, {"name": "b", "image": "b:1"}]}],
        NOTHING,
    ),
    "gpus": ([{f"{TRAINER}.resources.limits": {"nvidia.com/gpu": 1}}], NOTHING),
    "gpu-request-only": (
        [{f"{TRAINER}.resources": {"requests": {"nvidia.com/gpu": 1}}}],
        {f"{TRAINER}.resources": {"limits": {"nvidia.com/gpu": 1}}},
    ),
    "claims": ([NOTHING], {f"{POD}.volumes": [{"name": "nas", "emptyDir": {}}]}),
    "volume-mounts": ([{f"{TRAINER}.volumeMounts.0.name": "naz"}], NOTHING),
    "collector-kind": (
        [{f"{COLLECTOR}.collector.kind": "None"}, {f"{COLLECTOR}.collector.kind": "stdout"}],
        {COLLECTOR: GONE},
    ),
    "collector-file-path": (
        [
            FILE | {f"{COLLECTOR}.source.fileSystemPath.path": "metrics.log"},
            FILE | {f"{COLLECTOR}.source.fileSystemPath.kind": "Directory"},
        ],
        FILE,
    ),
    "collector-file-format": ([FILE | {f"{COLLECTOR}.source.fileSystemPath.format": "CSV"}], FILE),
    "collector-json-filter": ([JSON | {f"{COLLECTOR}.source.filter": {"metricsFormat": ["(a)(b)"]}}], JSON),
    "collector-event-folder": (
        [
            EVENTS | {f"{COLLECTOR}.source.fileSystemPath.path": "events"},
            EVENTS | {f"{COLLECTOR}.source.fileSystemPath.kind": "File"},
            EVENTS | {f"{COLLECTOR}.source.fileSystemPath.format": "TEXT"},
        ],
        EVENTS,
    ),
    "collector-prometheus": (
        [
            PROMETHEUS | {f"{COLLECTOR}.source.httpGet.port": "web"},
            PROMETHEUS | {f"{COLLECTOR}.source.httpGet.path": "metrics"},
        ],
        PROMETHEUS,
    ),
    "collector-custom": (
        [
            CUSTOM | {f"{COLLECTOR}.collector.customCollector": GONE},
            CUSTOM | {f"{COLLECTOR}.source.fileSystemPath.path": "metrics"},
        ],
        CUSTOM,
    ),
    "filter-expression": (
        [{FORMAT: r"(?<=a)(b)=(c)"}, {FORMAT: r"(a)=(\1)"}, {FORMAT: "((a)"}],
        {FORMAT: r"(?P<n>\w+)=(\d+\.\d+)"},
    ),
    "filter-brackets": ([{FORMAT: r"(map\w*)=[0-9.]+"}], NOTHING),
    "filter-groups": ([{FORMAT: r"(?:\w+)=(\S+)"}, {FORMAT: r"\(\w+\)=\(\S+\)"}], {FORMAT: r"(\w+)=((?:\d|\.)+)"}),
    "filter-semicolon": ([{FORMAT: r"(\w+)=(\d+);"}], {FORMAT: r"(\w+)=(0\.5|\d+)\x3b?"}),
    "filter-ignored": ([EVENTS | {f"{COLLECTOR}.source.filter": {"metricsFormat": ["(a)(b)"]}}], EVENTS),
    "source-ignored": ([{f"{COLLECTOR}.source.fileSystemPath": {"path": "/x"}}], NOTHING),
    "metric-name": (
        [
            {"spec.objective.objectiveMetricName": "mAP@0.5", f"{COLLECTOR}.source": GONE},
            {"spec.objective.objectiveMetricName": "val/map"},
            {"spec.objective.additionalMetricNames": ["map 50"]},
        ],
        {"spec.objective.objectiveMetricName": "val/map", FORMAT: r"([\w/]+)=([0-9.]+)"},
    ),
    # Fifty times and more is no line that is made up here, and yet nothing speaks against it
    "metric-line": ([{FORMAT: r"(\w+)x{60}=([0-9.]+)"}], {FORMAT: r"(\w+)x{3}=([0-9.]+)"}),
    "unknown-key": (
        [
            {"spec.maxTrialsCount": 3},
            {"spec.objective.objectivemetricname": "x"},
            {f"{CONF}.maximum": "3"},
            {"spec.max_trial_count": 4},
        ],
        {"metadata.annotations": {"any.thing/at-all": "x"}},
    ),
    "wrong-type": (
        [{f"{CONF}.min": 0.05}, {"spec.maxTrialCount": "24"}, {PARAMETERS: {"a": 1}}, {"metadata.labels": {"a": 1}}],
        NOTHING,
    ),
    "trial-schema": (
        [
            {f"{POD}.restartpolicy": "Never"},
            {f"{TRAINER}.volumeMounts.0.mountPath": GONE},
            {f"{JOB}.spec.backoffLimit": "0"},
        ],
        NOTHING,
    ),
    "placeholder-number": (
        [
            {f"{JOB}.spec.backoffLimit": "${trialParameters.epochs}"},
            {f"{TRAINER}.resources.requests.cpu": "${trialParameters.epochs}"},
        ],
        NOTHING,
    ),
    "quantity": ([{f"{TRAINER}.resources.requests.memory": "8 GB"}], {f"{TRAINER}.resources.requests.memory": "500M"}),
    "trial-kind-unseen": ([CRONTAB], NOTHING),
    "edit-immutable": ([NOTHING], NOTHING),
    "edit-restart": ([NOTHING], NOTHING),
    "edit-max-trials": ([NOTHING], NOTHING),
}
OF_EDITS = {"edit-immutable", "edit-restart", "edit-max-trials"}  # below: they take two experiments


@functools.cache
def parsed_base() -> dict[str, Any]:
    document: dict[str, Any] = load_yaml(BASE.read_text())
    return document


def base() -> dict[str, Any]:
    return copy.deepcopy(parsed_base())


def as_yaml(document: dict[str, Any]) -> str:
    """By libyaml, where it is: ten times as fast."""
    text: str = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    return text


def changed(change: Change) -> dict[str, Any]:
    document = base()
    for path, value in change.items():
        place: Any = document
        *above, last = path.split(".") if "sidecar" not in path else [path]
        for key in above:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        key = int(last) if isinstance(place, list) else last
        if value is GONE:
            place.pop(key, None)
        else:
            place[key] = copy.deepcopy(value)
    return document


def found(document: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {finding.rule: finding for finding in check_document(document, **options)}


def test_every_rule_has_its_examples() -> None:
    assert set(CASES) == set(RULES)


def test_the_base_is_sound_but_for_what_nobody_can_see() -> None:
    assert {rule for rule, finding in found(base()).items() if finding.severity != "info"} == set()
    assert set(found(base())) == {"namespace-label", "image-shell", "claims"}


FAILING = [
    pytest.param(rule, change, id=f"{rule}-{number}")
    for rule, (changes, _) in CASES.items()
    if rule not in OF_EDITS
    for number, change in enumerate(changes)
]


@pytest.mark.many(120)
@pytest.mark.parametrize(("rule", "change"), FAILING)
def test_rule_objects_and_text_and_json_say_so(rule: str, change: Change) -> None:
    report = check_text(as_yaml(changed(change)), file="x.yaml")
    findings = {finding.rule: finding for finding in report.findings}
    assert rule in findings
    finding = findings[rule]
    assert finding.severity == RULES[rule].severity
    assert finding.message
    assert finding.path or rule in {"spec-missing"}
    assert finding.severity != "error" or (finding.fix and finding.found)
    assert f"[{rule}]" in report.to_text()
    assert report.to_json()["counts"]["error"] == report.counts["error"]
    assert report.exit_code == int(report.counts["error"] > 0)


@pytest.mark.parametrize("rule", [rule for rule in CASES if rule not in OF_EDITS])
def test_rule_lets_pass(rule: str) -> None:
    assert rule not in found(changed(CASES[rule][1]))


ERRORS = [
    pytest.param(changes[0], id=rule)
    for rule, (changes, _) in CASES.items()
    if rule not in OF_EDITS and RULES[rule].severity == "error"
]


@pytest.mark.many(20)
@pytest.mark.parametrize("change", ERRORS)
def test_a_run_with_every_error_ignored_is_opened_or_refused_in_one_line(change: Change, tmp_path: Path) -> None:
    """Ignoring must not lead to a traceback: what the runner cannot do without it refuses itself."""
    file = tmp_path / "experiment.yaml"
    file.write_text(as_yaml(changed(change)))
    errors = sorted({finding.rule for finding in check_document(changed(change)) if finding.severity == "error"})
    refused = ""
    try:
        open_run(file, tmp_path / "out", nas_root=tmp_path, ignore=errors, tell=lambda _line: None)
    except OptionsError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= 1
    assert "lists them" not in refused  # the checker has nothing more to say


ENDED = {"type": "Succeeded", "status": "True", "reason": "ExperimentMaxTrialsReached"}
GOAL = {"type": "Succeeded", "status": "True", "reason": "ExperimentGoalReached"}


def test_an_edit_changes_counts_only() -> None:
    old = base()
    assert "edit-immutable" not in found(changed({"spec.maxTrialCount": 30}), old=old)
    finding = found(changed({"spec.algorithm.algorithmName": "random"}), old=old)["edit-immutable"]
    assert finding.path == "spec.algorithm"


@pytest.mark.parametrize(
    ("policy", "condition", "objects"),
    [("Never", ENDED, True), ("LongRunning", ENDED, False), ("FromVolume", ENDED, False), ("LongRunning", GOAL, True)],
)
def test_an_ended_experiment_goes_on_only_where_katib_lets_it(
    policy: str, condition: dict[str, str], objects: bool
) -> None:
    old = changed({"spec.resumePolicy": policy}) | {"status": {"trials": 24, "conditions": [condition]}}
    new = changed({"spec.resumePolicy": policy, "spec.maxTrialCount": 30})
    assert ("edit-restart" in found(new, old=old)) is objects
    assert "edit-restart" not in found(changed({"spec.resumePolicy": policy}), old=old)


def test_an_edited_count_leaves_room_for_a_trial() -> None:
    old = base() | {"status": {"trials": 24}}
    assert "edit-max-trials" in found(changed({"spec.maxTrialCount": 20}), old=old)
    assert "edit-max-trials" not in found(changed({"spec.maxTrialCount": 25}), old=old)


@pytest.mark.parametrize(
    ("rule", "text", "message"),
    [
        ("yaml", "a: [1", "line 2 column 1: did not find expected"),
        ("yaml", "a: !!python/object:os.system x", "could not determine a constructor"),
        ("too-large", "[" * 5000, "nested too deeply"),
        ("one-object", "", "found nothing"),
        ("one-object", "- a", "found list"),
        ("one-object", "a: 1\n---\nb: 2", "found 2 documents"),
        ("repeated-key", "a: 1\na: 2", "'a' stands there twice"),
        ("json-value", "1: a", "the key 1 is no text"),
        ("json-value", "a: .nan", "nan is no JSON value"),
        ("json-value", "a: &b [*b]", "an alias that contains itself"),
        ("json-value", "a: !!binary aGk=", "no JSON value"),
        (
            "too-large",
            "a: &a [" + "1," * 99 + "]\nb: &b [" + "*a," * 99 + "]\nc: [" + "*b," * 99 + "]",
            "more than 100000",
        ),
    ],
)
def test_what_is_no_object_is_a_finding(rule: str, text: str, message: str) -> None:
    report = check_text(text)
    finding = next(finding for finding in report.findings if finding.rule == rule)
    assert message in finding.message
    assert report.exit_code == 1


def test_reading_rules_are_described() -> None:
    assert not set(READING_RULES) & set(RULES)


def test_a_misspelt_key_gets_the_nearest_name() -> None:
    finding = found(changed({"spec.maxTrialsCount": 3}))["unknown-key"]
    assert (finding.path, finding.fix) == ("spec.maxTrialsCount", "write maxTrialCount")
    finding = found(changed({"spec.max_trial_count": 3}))["unknown-key"]
    assert finding.fix == "write maxTrialCount"
