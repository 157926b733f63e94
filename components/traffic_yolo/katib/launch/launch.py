"""Runs an Experiment from a pipeline task: on Katib inside a cluster, by the local runner elsewhere.

A task whose pod is restarted finds the Experiment that it made: its name comes from the pipeline run alone.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.cluster.access import mapping_at, mappings_at, text_at, texts_at
from traffic_yolo.cluster.api_server import is_in_cluster, own_namespace
from traffic_yolo.cluster.run_objects import age_s, check_ours, conditions_of, of_run
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.html_report import page, paragraph, table
from traffic_yolo.katib.check.check import check_rule_names, check_text
from traffic_yolo.katib.launch.cluster import Experiments
from traffic_yolo.katib.launch.stopping import Patience, end_work, is_suspended, resume
from traffic_yolo.katib.spec.constants import MAX_NAME_LENGTH
from traffic_yolo.katib.spec.defaults import strategies, with_defaults
from traffic_yolo.katib.spec.document import parse_object
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.storage import NAS_ROOT_VARIABLE, write_text
from traffic_yolo.terminations import Terminated, interrupts_put_off, terminations_raised

TRIAL_LABEL = "katib.kubeflow.org/trial"  # of a trial's pods; controller.v1beta1/consts/const.go


@dataclass(frozen=True)
class LaunchOptions:
    """How an Experiment is run. `timeout_s`: since it was made; `keep`: whether it stays when it is over.

    `run_id`: of the pipeline run; `namespace` empty: the task's own; `ignore`: rules of the checker that do not count.
    Raises `OptionsError` for a time that is none, or an unknown rule.
    """

    run_id: str
    namespace: str = ""
    timeout_s: float = 24 * 3600
    poll_s: float = 15
    keep: bool = True
    ignore: tuple[str, ...] = ()
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        check_rule_names(self.ignore, flag="ignore")
        if not (self.timeout_s > 0 and self.poll_s > 0):
            raise OptionsError(f"launch: expected times above 0, found {self.timeout_s:g} and {self.poll_s:g} s")


@dataclass(frozen=True)
class Best:
    """What an Experiment came to: the best trial's `parameters` as texts, its `metrics`, and the whole `document`."""

    trial: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    objective: str
    document: dict[str, Any]

    def number(self, name: str, default: float) -> float:
        """A parameter as a number, `default` where the experiment does not vary it."""
        return float(self.parameters.get(name, default))


def experiment_of(text: str, options: LaunchOptions) -> dict[str, Any]:
    """The Experiment of a YAML text under the name that the pipeline run gives it.

    Raises `OptionsError` with the checker's first error.
    """
    report = check_text(text, ignore=options.ignore)
    if report.first_error:
        advice = "`traffic-yolo katib check` lists them, ignore: RULE passes over one"
        raise OptionsError(f"experiment: {report.first_error}; {advice}")
    document, _ = parse_object(text)
    assert document is not None  # the checker has read it
    if not (mapping_at(document, "spec") and text_at(document, "metadata", "name")):
        raise OptionsError("experiment: expected metadata.name and a spec: without them there is nothing to run")
    named = of_run(document, options.run_id, most=MAX_NAME_LENGTH)
    named["metadata"].pop("namespace", None)
    return named


def run_experiment(text: str, options: LaunchOptions, work: Path) -> Best:
    """The best of an Experiment, by Katib in a pod of a cluster, by the local runner in `work` elsewhere."""
    if is_in_cluster():
        namespace = options.namespace or own_namespace()
        return launch(experiment_of(text, options), Experiments(namespace), options)
    return _run_here(text, work, options)


def launch(document: Mapping[str, Any], experiments: Experiments, options: LaunchOptions) -> Best:
    """Creates the Experiment, or takes up the one that is there, waits for it, and returns its best trial.

    Raises `ClusterError` where it failed, took longer than allowed, was removed by somebody, or is another
    experiment's, and after SIGTERM. A failed one stays for a look at it; at the time limit and after SIGTERM it is
    deleted, or kept with its trials suspended, as `keep` says. A task that takes it up again lets them go on.
    """
    name = document["metadata"]["name"]
    with terminations_raised():
        try:
            with interrupts_put_off():  # cut in two, it would leave an Experiment that nobody knows of
                is_new = experiments.create(document)
            if is_new:
                print(f"experiment {experiments.namespace}/{name} created", flush=True)
            else:
                _take_up(experiments, document, options)
            best = best_of(_wait(experiments, name, options))
            if not options.keep:
                experiments.delete(name)
        except KeyboardInterrupt as interrupt:
            what = "SIGTERM" if isinstance(interrupt, Terminated) else "an interrupt"
            with interrupts_put_off():
                came = _end_if_ours(experiments, document, options)
            raise ClusterError(f"experiment {name}: {what} ended the task; {came}") from interrupt
    return best


def _take_up(experiments: Experiments, document: Mapping[str, Any], options: LaunchOptions) -> None:
    name = document["metadata"]["name"]
    found = experiments.get(name)
    _check_ours(found, document, name)
    print(f"experiment {experiments.namespace}/{name} stands there already; waiting for it", flush=True)
    if found is not None and is_suspended(found) and age_s(found) < options.timeout_s:
        resume(experiments, found, document)
        print("its trials were suspended; they go on", flush=True)


def _end_if_ours(experiments: Experiments, document: Mapping[str, Any], options: LaunchOptions) -> str:
    """`_end_work`, but not of another's Experiment: the interrupt may have come before anybody looked at it."""
    name = document["metadata"]["name"]
    try:
        _check_ours(experiments.get(name), document, name)
    except ClusterError as error:
        return f"its Experiment was left as it is: {error}"
    return _end_work(experiments, name, options)


def _end_work(experiments: Experiments, name: str, options: LaunchOptions) -> str:
    return end_work(experiments, name, keep=options.keep, patience=options.patience)


def _check_ours(found: Mapping[str, Any] | None, document: Mapping[str, Any], name: str) -> None:
    check_ours(found, document, what=f"experiment {name}")


def _wait(experiments: Experiments, name: str, options: LaunchOptions) -> dict[str, Any]:
    until: float | None = None
    told = ""
    while True:
        found = experiments.get(name)
        if found is None:
            raise ClusterError(f"experiment {name} was removed while it ran")
        if until is None:
            until = time.monotonic() + options.timeout_s - age_s(found)
        ended = conditions_of(found)
        if "Succeeded" in ended:
            return found
        if "Failed" in ended:
            message = text_at(ended["Failed"], "message") or text_at(ended["Failed"], "reason")
            raise ClusterError(f"experiment {name} failed: {message}; {_where_to_look(experiments, found, name)}")
        counts = _counts(found)
        if counts != told:
            print(counts, flush=True)
            told = counts
        if time.monotonic() >= until:
            came = _end_work(experiments, name, options)
            raise ClusterError(f"experiment {name} took longer than {options.timeout_s:g} s ({counts}); {came}")
        time.sleep(min(options.poll_s, max(0.0, until - time.monotonic())))


def _where_to_look(experiments: Experiments, found: Mapping[str, Any], name: str) -> str:
    """How to see why: the log of a trial that failed, or the Experiment's own events."""
    status = mapping_at(found, "status")
    failed = [*texts_at(status, "failedTrialList"), *texts_at(status, "metricsUnavailableTrialList")]
    if not failed:
        return f"see `kubectl -n {experiments.namespace} describe experiment {name}`"
    label = f"{TRIAL_LABEL}={failed[0]}"
    return f"see `kubectl -n {experiments.namespace} logs -l {label} --all-containers --tail=20`"


def _counts(found: Mapping[str, Any]) -> str:
    status = mapping_at(found, "status")
    counted = {
        "trials": "trials",
        "trialsRunning": "running",
        "trialsSucceeded": "succeeded",
        "trialsFailed": "failed",
        "trialMetricsUnavailable": "without metrics",
    }
    return ", ".join(f"{status[key]} {word}" for key, word in counted.items() if status.get(key)) or "no trial yet"


def best_of(finished: dict[str, Any]) -> Best:
    """The best trial in an Experiment's status; `ClusterError` where no trial had the objective."""
    optimal = mapping_at(finished, "status", "currentOptimalTrial")
    objective = text_at(finished, "spec", "objective", "objectiveMetricName")
    by_name = strategies(mapping_at(with_defaults(finished), "spec"))
    metrics = {}
    for _, metric in mappings_at(optimal, "observation", "metrics"):
        name = text_at(metric, "name")
        try:
            metrics[name] = float(text_at(metric, by_name.get(name, "latest")))
        except ValueError:
            continue
    if objective not in metrics:
        name = text_at(finished, "metadata", "name")
        raise ClusterError(f"experiment {name} ended without a trial that has {objective}; see its trials' logs")
    assignments = mappings_at(optimal, "parameterAssignments")
    parameters = {text_at(assignment, "name"): text_at(assignment, "value") for _, assignment in assignments}
    return Best(text_at(optimal, "bestTrialName"), parameters, metrics, objective, finished)


def best_html(best: Best) -> str:
    """A page with the best trial and the counts of all."""
    name = text_at(best.document, "metadata", "name")
    sections = [
        ("", paragraph(f"Best trial: {best.trial}. {_counts(best.document)}.")),
        ("Parameters", table(["parameter", "value"], list(best.parameters.items()))),
        ("Metrics", table(["metric", "value"], list(best.metrics.items()))),
    ]
    return page(f"Katib experiment {name}", sections, about=About((Subject("experiment", name),)))


def write_document(best: Best, path: Path) -> None:
    """The Experiment with its status as YAML."""
    write_text(path, yaml.safe_dump(best.document, sort_keys=False, width=120, allow_unicode=True))


def _run_here(text: str, work: Path, options: LaunchOptions) -> Best:
    """By the local runner; the folder of `TRAFFIC_YOLO_NAS_ROOT` stands for the trial's volumes."""
    from traffic_yolo.katib.run.results import (
        experiment_with_status,
        first_reason,
        summary_text,
        write_results,
    )
    from traffic_yolo.katib.run.runner import open_run

    root = os.environ.get(NAS_ROOT_VARIABLE)
    file = work / "submitted.yaml"
    write_text(file, text)
    run = open_run(
        file,
        work,
        nas_root=Path(root) if root else None,
        ignore=options.ignore,
        tell=lambda line: print(line, flush=True),
    )
    try:
        over = run.run()
    except Terminated as interrupt:
        write_results(run, None)
        raise ClusterError(f"experiment {run.name}: SIGTERM ended the task, and its trials with it") from interrupt
    write_results(run, over)
    print(summary_text(run, over), flush=True)
    if over.condition != "Succeeded":
        raise ClusterError(f"experiment {run.name} failed: {over.message}; {first_reason(run)}")
    return best_of(experiment_with_status(run, over))
