"""Rules about what the object is called, its counts, and edits of an experiment that exists."""

import re
from collections.abc import Iterator

from traffic_yolo.cluster.access import at, mapping_at, mappings_at, text_at, whole_at
from traffic_yolo.katib.check.findings import Subject, Violation, rule, shown
from traffic_yolo.katib.spec.constants import (
    API_VERSION,
    KIND,
    MAX_LABEL_LENGTH,
    MAX_NAME_LENGTH,
    RESUME_POLICIES,
)

RFC_1123 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
EDITABLE = ("parallelTrialCount", "maxTrialCount", "maxFailedTrialCount")


@rule("api-version", "error", "admission")
def api_version(subject: Subject) -> Iterator[Violation]:
    """`apiVersion` is kubeflow.org/v1beta1."""
    found = at(subject.document, "apiVersion")
    if found != API_VERSION:
        yield Violation("apiVersion", "not Katib's API", API_VERSION, shown(found), f"write {API_VERSION}")


@rule("kind", "error", "admission")
def kind(subject: Subject) -> Iterator[Violation]:
    """`kind` is Experiment."""
    found = at(subject.document, "kind")
    if found != KIND:
        yield Violation("kind", "not an Experiment", KIND, shown(found), f"write {KIND}")


@rule("spec-missing", "error", "admission")
def spec_missing(subject: Subject) -> Iterator[Violation]:
    """There is a spec."""
    if not mapping_at(subject.document, "spec"):
        found = shown(at(subject.document, "spec"))
        yield Violation(
            "spec", "nothing to run", "the experiment", found, "write objective, algorithm, trialTemplate, …"
        )


@rule("name-start", "error", "admission")
def name_start(subject: Subject) -> Iterator[Violation]:
    """The name is there and starts with a lower-case letter."""
    name = text_at(subject.document, "metadata", "name")
    if not re.match(r"[a-z]", name):
        message = "the name must be written, and start with a lower-case letter (generateName will not do)"
        yield Violation("metadata.name", message, "a-z, 0-9 and '-', a letter first", shown(name), "rename it")


@rule("name-label", "error", "later")
def name_label(subject: Subject) -> Iterator[Violation]:
    """The whole name is an RFC 1123 label: Katib's own expression does not look at its end."""
    name = text_at(subject.document, "metadata", "name")
    if re.match(r"[a-z]", name) and not RFC_1123.fullmatch(name):
        message = "Katib lets the name through, and Kubernetes refuses the trials and the suggestion service"
        yield Violation("metadata.name", message, "a-z, 0-9 and '-', no '-' at the end", shown(name), "rename it")


@rule("name-length", "error", "admission")
def name_length(subject: Subject) -> Iterator[Violation]:
    """The name has at most 40 characters: trials, pods and services add their suffixes to it."""
    name = text_at(subject.document, "metadata", "name")
    if len(name) > MAX_NAME_LENGTH:
        expected = f"at most {MAX_NAME_LENGTH} characters"
        yield Violation("metadata.name", "too long", expected, f"{len(name)} characters", "shorten it")


@rule("name-derived", "error", "later")
def name_derived(subject: Subject) -> Iterator[Violation]:
    """The suggestion service, <name>-<algorithm>, has a name that Kubernetes takes."""
    name = text_at(subject.document, "metadata", "name")
    algorithm = text_at(subject.spec, "algorithm", "algorithmName")
    derived = f"{name}-{algorithm}"
    if len(derived) > MAX_LABEL_LENGTH:
        message = f"the suggestion service {shown(derived)} would have {len(derived)} characters"
        expected = f"at most {MAX_LABEL_LENGTH}"
        yield Violation("metadata.name", message, expected, f"{len(derived)} characters", "shorten the name")


@rule("max-failed-negative", "error", "admission")
def max_failed_negative(subject: Subject) -> Iterator[Violation]:
    """MaxFailedTrialCount is not below 0."""
    yield from _least(subject, "maxFailedTrialCount", 0)


@rule("max-trials-positive", "error", "admission")
def max_trials_positive(subject: Subject) -> Iterator[Violation]:
    """MaxTrialCount is at least 1."""
    yield from _least(subject, "maxTrialCount", 1)


@rule("parallel-positive", "error", "admission")
def parallel_positive(subject: Subject) -> Iterator[Violation]:
    """ParallelTrialCount is at least 1."""
    yield from _least(subject, "parallelTrialCount", 1)


@rule("max-failed-above-max", "error", "admission")
def max_failed_above_max(subject: Subject) -> Iterator[Violation]:
    """MaxFailedTrialCount is not above maxTrialCount."""
    yield from _at_most_max(subject, "maxFailedTrialCount")


@rule("parallel-above-max", "error", "admission")
def parallel_above_max(subject: Subject) -> Iterator[Violation]:
    """ParallelTrialCount (3 where it is not written) is not above maxTrialCount."""
    yield from _at_most_max(subject, "parallelTrialCount")


@rule("max-trials-missing", "warning", "nobody")
def max_trials_missing(subject: Subject) -> Iterator[Violation]:
    """MaxTrialCount is written: without it the experiment never ends unless it reaches its goal."""
    if subject.spec and at(subject.spec, "maxTrialCount") is None:
        yield Violation("spec.maxTrialCount", "trials without end", "a number", "nothing", "write maxTrialCount")


@rule("max-failed-missing", "warning", "nobody")
def max_failed_missing(subject: Subject) -> Iterator[Violation]:
    """MaxFailedTrialCount is written: without it a broken trial command is tried maxTrialCount times."""
    if subject.spec and at(subject.spec, "maxFailedTrialCount") is None:
        yield Violation("spec.maxFailedTrialCount", "failures without limit", "a number", "nothing", "write 3, say")


@rule("resume-policy", "error", "admission")
def resume_policy(subject: Subject) -> Iterator[Violation]:
    """ResumePolicy is one of Katib's."""
    found = text_at(subject.spec, "resumePolicy")
    if subject.spec and found not in ("", *RESUME_POLICIES):
        yield Violation("spec.resumePolicy", "unknown policy", ", ".join(RESUME_POLICIES), shown(found), "take one")


@rule("resume-volume", "info", "nobody")
def resume_volume(subject: Subject) -> Iterator[Violation]:
    """ResumePolicy FromVolume needs a storage class that Katib's claim can use."""
    if text_at(subject.spec, "resumePolicy") == "FromVolume":
        message = "Katib makes a claim for the suggestion service"
        yield Violation("spec.resumePolicy", message, "a default StorageClass", "not visible from here", "ask for one")


@rule("namespace-label", "info", "nobody")
def namespace_label(subject: Subject) -> Iterator[Violation]:
    """The namespace carries the label with which Katib adds its collector to the trials' pods."""
    if text_at(subject.spec, "metricsCollectorSpec", "collector", "kind") == "Push":
        return
    name = text_at(subject.document, "metadata", "namespace") or "the namespace that it is created in"
    label = "katib.kubeflow.org/metrics-collector-injection=enabled"
    fix = f"kubectl label namespace {name} {label}" if " " not in name else f"kubectl label namespace … {label}"
    yield Violation("metadata.namespace", f"no metrics unless {name} is labelled", label, "not visible from here", fix)


@rule("edit-immutable", "error", "admission")
def edit_immutable(subject: Subject) -> Iterator[Violation]:
    """An edit changes the three counts only."""
    if subject.old is None:
        return
    before = {key: value for key, value in mapping_at(subject.old, "spec").items() if key not in EDITABLE}
    after = {key: value for key, value in mapping_at(subject.document, "spec").items() if key not in EDITABLE}
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            message = "cannot be changed in an experiment that exists"
            yield Violation(f"spec.{key}", message, "as before", shown(after.get(key)), "make a new experiment")


@rule("edit-restart", "error", "admission")
def edit_restart(subject: Subject) -> Iterator[Violation]:
    """An experiment that ended is edited only if it ended by maxTrialCount and its resumePolicy lets it go on."""
    if not _changed(subject):
        return
    ended = {
        text_at(condition, "type"): text_at(condition, "reason")
        for _, condition in mappings_at(subject.old, "status", "conditions")
        if text_at(condition, "status") == "True"
    }
    policy = text_at(subject.old, "spec", "resumePolicy")
    if not ended.keys() & {"Succeeded", "Failed"}:
        return
    if ended.get("Succeeded") != "ExperimentMaxTrialsReached" or policy not in ("LongRunning", "FromVolume"):
        found = f"{', '.join(f'{kind} ({reason})' for kind, reason in ended.items())}; policy {policy or 'Never'}"
        expected = "ended by ExperimentMaxTrialsReached, with LongRunning or FromVolume"
        yield Violation(
            "spec.resumePolicy", "the experiment has ended", expected, shown(found), "make a new experiment"
        )


@rule("edit-max-trials", "error", "admission")
def edit_max_trials(subject: Subject) -> Iterator[Violation]:
    """An edited maxTrialCount is above the number of trials that there are."""
    most, trials = whole_at(subject.spec, "maxTrialCount"), whole_at(subject.old, "status", "trials") or 0
    if _changed(subject) and most is not None and most <= trials:
        yield Violation("spec.maxTrialCount", "no trial left", f"more than {trials}", str(most), "raise it")


def _changed(subject: Subject) -> bool:
    return subject.old is not None and mapping_at(subject.old, "spec") != mapping_at(subject.document, "spec")


def _least(subject: Subject, key: str, least: int) -> Iterator[Violation]:
    found = whole_at(subject.spec, key)
    if found is not None and found < least:
        yield Violation(f"spec.{key}", "too small", f"at least {least}", str(found), f"write {least} or more")


def _at_most_max(subject: Subject, key: str) -> Iterator[Violation]:
    found, most = whole_at(subject.spec, key), whole_at(subject.spec, "maxTrialCount")
    if found is not None and most is not None and found > most:
        written = "" if at(subject.document, "spec", key) is not None else " (Katib's default)"
        message = f"above spec.maxTrialCount{written}"
        yield Violation(f"spec.{key}", message, f"at most {most}", str(found), f"write {most} or less")
