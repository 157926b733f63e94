"""Rules about the object that runs a trial's pod: whether it starts one, how many, and how long it stays."""

from collections.abc import Iterator
from typing import Any

from traffic_yolo.cluster.access import at, mapping_at, text_at, whole_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.spec.constants import SUSPENDABLE

TEMPLATE = "spec.trialTemplate.trialSpec"
# Katib looks at a finished Job, and one that is gone by then it makes again; its controllers need seconds under load
SHORTEST_STAY_S = 60


@rule("trial-suspended", "error", "nobody")
def trial_suspended(subject: Subject) -> Iterator[Violation]:
    """The trial's object starts its pod: suspend is not true, and a Job's parallelism and completions are not 0."""
    trial = _trial(subject)
    kind = text_at(trial, "kind")
    keys = SUSPENDABLE[kind][3] if kind in SUSPENDABLE else ()
    if keys and at(trial, *keys) is True:
        path, message = ".".join((TEMPLATE, *keys)), "the trial waits for ever"
        yield Violation(path, message, "false", "true", "remove it")
    for key in ("parallelism", "completions"):
        if kind == "Job" and whole_at(trial, "spec", key) == 0:
            yield Violation(f"{TEMPLATE}.spec.{key}", "no pod is started", "1", "0", "remove it")


@rule("job-pods", "warning", "nobody")
def job_pods(subject: Subject) -> Iterator[Violation]:
    """A Job runs one pod: each further one reports its metrics as the same trial's."""
    trial = _trial(subject)
    for key in ("parallelism", "completions"):
        count = whole_at(trial, "spec", key)
        if text_at(trial, "kind") == "Job" and count is not None and count > 1:
            message = "several pods report as one trial"
            yield Violation(
                f"{TEMPLATE}.spec.{key}", message, "1", str(count), "remove it, or make trials of a TrainJob"
            )


@rule("job-stay", "warning", "nobody")
def job_stay(subject: Subject) -> Iterator[Violation]:
    """A finished Job stays for a minute or more: one that is gone before Katib looked at it is made again."""
    found = whole_at(_trial(subject), "spec", "ttlSecondsAfterFinished")
    if text_at(_trial(subject), "kind") == "Job" and found is not None and found < SHORTEST_STAY_S:
        path, message = f"{TEMPLATE}.spec.ttlSecondsAfterFinished", "the trial may be run again and again"
        fix = "remove it: trialTemplate.retain says whether Jobs stay"
        yield Violation(path, message, f"at least {SHORTEST_STAY_S}", shown(found), fix)


def _trial(subject: Subject) -> dict[str, Any]:
    return mapping_at(subject.template, "trialSpec")
