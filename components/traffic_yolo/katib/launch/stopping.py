"""Ends the work of an Experiment that stands on a cluster: deletes it, or keeps it and suspends its trials.

Katib cannot suspend an Experiment: of its spec only three counts may be edited, and the lowest parallelTrialCount is 1.
So the trials that run are suspended one by one, by their own objects (a Job's `suspend`), and parallelTrialCount is
lowered to their number: they hold every place, and Katib makes no further trial. Nothing runs, and all can go on.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from traffic_yolo.cluster.access import mapping_at, mappings_at, text_at, whole_at
from traffic_yolo.errors import ClusterError
from traffic_yolo.katib.launch.cluster import Experiments
from traffic_yolo.katib.spec.constants import DEFAULT_PARALLEL_TRIALS, SUSPENDABLE

SUSPENDED_ANNOTATION = "traffic-yolo/suspended"
ENDED_CONDITIONS = ("Succeeded", "Failed", "Killed", "EarlyStopped", "MetricsUnavailable")


@dataclass(frozen=True)
class Patience:
    """How long trials are waited for that Katib is still making: `passes` looks with a pause of `pause_s` between."""

    passes: int = 15
    pause_s: float = 1.0


def end_work(experiments: Experiments, name: str, *, keep: bool, patience: Patience | None = None) -> str:
    """Deletes the Experiment, or suspends its trials where it is to be kept; what came of it, for a message.

    Never raises `ClusterError`: the caller is on its way out, and what went on is in the text.
    """
    by_hand = f"`kubectl -n {experiments.namespace} delete experiment {name}` ends it"
    try:
        if keep:
            return _suspend(experiments, name, patience or Patience(), by_hand)
        experiments.delete(name)
    except ClusterError as error:
        return f"IT GOES ON ({error}); {by_hand}"
    return "it was deleted"


def is_suspended(found: Mapping[str, Any]) -> bool:
    """Whether `end_work` has suspended this Experiment's trials."""
    return mapping_at(found, "metadata", "annotations").get(SUSPENDED_ANNOTATION) == "true"


def resume(experiments: Experiments, found: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """Lets the trials of a suspended Experiment go on, as many at once as its `document` says."""
    name, kind = text_at(found, "metadata", "name"), _trial_kind(found)
    for trial in active_trials(experiments, name):
        experiments.set_suspended(kind, trial, suspended=False)
    experiments.mark(name, SUSPENDED_ANNOTATION, "false", parallel=_editable(found, _parallel(document)))


def active_trials(experiments: Experiments, name: str) -> list[str]:
    """The names of an Experiment's trials that have not ended."""
    return [
        text_at(trial, "metadata", "name")
        for trial in experiments.trials(name)
        if not any(
            text_at(condition, "type") in ENDED_CONDITIONS and text_at(condition, "status") == "True"
            for _, condition in mappings_at(trial, "status", "conditions")
        )
    ]


def _suspend(experiments: Experiments, name: str, patience: Patience, by_hand: str) -> str:
    before: list[str] = []
    for attempt in range(patience.passes):
        if attempt:
            time.sleep(patience.pause_s)
        found = experiments.get(name)
        if found is None:
            return "it was removed by somebody"
        kind = _trial_kind(found)
        if kind not in SUSPENDABLE:
            return f"IT GOES ON: trials of kind {kind or 'unknown'} cannot be suspended; {by_hand}"
        active = active_trials(experiments, name)
        wanted = _editable(found, max(1, len(active)))
        if wanted is not None or not is_suspended(found):
            experiments.mark(name, SUSPENDED_ANNOTATION, "true", parallel=wanted)
        held = [trial for trial in active if experiments.set_suspended(kind, trial, suspended=True)]
        if active and held == active == before:  # no trial came after the places were taken
            return f"it is kept, and its trials are suspended ({len(held)}): this task, run again, lets them go on"
        before = active
    what = f"its trials that run are suspended ({len(before)})" if before else "no trial runs"
    return f"it is kept, {what}, BUT KATIB MAY START ANOTHER TRIAL; {by_hand}"


def _trial_kind(found: Mapping[str, Any]) -> str:
    return text_at(found, "spec", "trialTemplate", "trialSpec", "kind")


def _parallel(document: Mapping[str, Any]) -> int:
    return whole_at(document, "spec", "parallelTrialCount") or DEFAULT_PARALLEL_TRIALS


def _editable(found: Mapping[str, Any], parallel: int) -> int | None:
    """`parallel` where it differs and may be written: Katib refuses an edit when all trials have been made."""
    most, made = whole_at(found, "spec", "maxTrialCount"), whole_at(found, "status", "trials") or 0
    if _parallel(found) == parallel or (most is not None and most <= made):
        return None
    return parallel
