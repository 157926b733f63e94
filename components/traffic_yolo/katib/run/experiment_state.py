"""Counts of an experiment's trials, when it has ended and why, and its best trial, as Katib's controller decides them.

From controller.v1beta1/experiment/util/status_util.go.
"""

import math
from dataclasses import dataclass
from typing import Any

from traffic_yolo.cluster.access import mapping_at, text_at, whole_at
from traffic_yolo.katib.run.collector import LogFormat
from traffic_yolo.katib.run.journal import UNFINISHED, Journal, Trial
from traffic_yolo.katib.spec.constants import DEFAULT_PARALLEL_TRIALS


@dataclass(frozen=True)
class Limits:
    """When an experiment ends. `goal` None: none; `max_trials`, `max_failed` None: without limit."""

    maximise: bool
    goal: float | None
    max_trials: int | None
    max_failed: int | None
    parallel: int

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> "Limits":
        """Of an experiment's spec with Katib's defaults."""
        goal = mapping_at(spec, "objective").get("goal")
        return cls(
            maximise=text_at(spec, "objective", "type") == "maximize",
            goal=float(goal) if isinstance(goal, int | float) and math.isfinite(goal) else None,
            max_trials=whole_at(spec, "maxTrialCount"),
            max_failed=whole_at(spec, "maxFailedTrialCount"),
            parallel=max(1, whole_at(spec, "parallelTrialCount") or DEFAULT_PARALLEL_TRIALS),
        )


@dataclass(frozen=True)
class Ending:
    """Why an experiment is over: the condition (Succeeded or Failed), Katib's reason, and its message."""

    condition: str
    reason: str
    message: str


def best_trial(journal: Journal, log_format: LogFormat, limits: Limits) -> Trial | None:
    """The trial with the best objective among those that ended with one; of equals the first."""
    best: Trial | None = None
    best_value = 0.0
    for trial in journal.in_state("Succeeded", "EarlyStopped"):
        value = log_format.objective_of(trial.observation)
        if value is None:
            continue
        if best is None or (value > best_value if limits.maximise else value < best_value):
            best, best_value = trial, value
    return best


def ending(journal: Journal, log_format: LogFormat, limits: Limits, *, exhausted: bool) -> Ending | None:
    """Why the experiment is over, or None. `exhausted`: the algorithm has nothing more to suggest."""
    best = best_trial(journal, log_format, limits)
    value = log_format.objective_of(best.observation) if best is not None else None
    if value is not None and limits.goal is not None:
        reached = value >= limits.goal if limits.maximise else value <= limits.goal
        if reached:
            return Ending(
                "Succeeded", "ExperimentGoalReached", "Experiment has succeeded because Objective goal has reached"
            )
    failed = len(list(journal.in_state("Failed", "MetricsUnavailable")))
    if limits.max_failed is not None and failed > limits.max_failed:
        return Ending(
            "Failed", "ExperimentMaxFailedTrialsExceeded", "Experiment has failed because max failed count has reached"
        )
    completed = sum(trial.state not in UNFINISHED for trial in journal.trials.values())
    if limits.max_trials is not None and completed >= limits.max_trials:
        return Ending(
            "Succeeded", "ExperimentMaxTrialsReached", "Experiment has succeeded because max trial count has reached"
        )
    if exhausted and completed == len(journal.trials):
        return Ending(
            "Succeeded",
            "ExperimentSuggestionEndReached",
            "Experiment has succeeded because suggestion service has reached the end",
        )
    return None
