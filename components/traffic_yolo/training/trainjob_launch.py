"""Trains as a TrainJob of the cluster: creates it, waits, passes on what it prints, and leaves nothing running.

A task whose pod is begun anew finds the TrainJob that it made: its name comes from the pipeline run alone. What it
trains lies on a claim that its pods and the task share.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.cluster.access import mapping_at, text_at
from traffic_yolo.cluster.api_server import ApiServer, Resource
from traffic_yolo.cluster.run_objects import age_s, check_ours, conditions_of
from traffic_yolo.errors import ClusterError, OptionsError
from traffic_yolo.terminations import Terminated, interrupts_put_off, terminations_raised
from traffic_yolo.training.trainjob import NODE

TRAINJOBS = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
SUSPENDED_ANNOTATION = "traffic-yolo/suspended"
# Of the pod that torchrun's first processes are in (jobset's and Kubernetes' own labels)
FIRST_POD = (
    f"jobset.sigs.k8s.io/jobset-name={{}},jobset.sigs.k8s.io/replicatedjob-name={NODE},"
    "batch.kubernetes.io/job-completion-index=0"
)
RIGHTS = "katib/trainjob_rbac.yaml"
LINES_A_LOOK = 2_000
LAST_LINES = 5  # of a training that failed, in the message


@dataclass(frozen=True)
class TrainJobLaunch:
    """How a TrainJob is followed. `timeout_s`: since it was made; `keep`: see `TrainJobTaskOptions`.

    `tell`: takes each line that the first pod prints, and what happens to the TrainJob.
    """

    timeout_s: float = 72 * 3600
    poll_s: float = 15
    keep: bool = True
    tell: Callable[[str], object] = field(default=print)

    def __post_init__(self) -> None:
        if not (self.timeout_s > 0 and self.poll_s > 0):
            raise OptionsError(f"launch: expected times above 0, found {self.timeout_s:g} and {self.poll_s:g} s")


class TrainJobs:
    """TrainJobs of one namespace, with their first pods' logs."""

    def __init__(self, namespace: str, *, api: Any = None) -> None:
        """`api`: of the pod's own service account where it is not given. Raises `ClusterError` outside a cluster."""
        self._server = ApiServer(
            namespace, rights=RIGHTS, installed="Kubeflow Trainer", instead="train by `traffic-yolo train`", api=api
        )
        self.namespace = namespace

    def create(self, document: Mapping[str, Any]) -> bool:
        """Creates a TrainJob; False where one of this name stands there already."""
        return self._server.create(TRAINJOBS, document)

    def get(self, name: str) -> dict[str, Any] | None:
        """The TrainJob as the server has it, None where there is none."""
        return self._server.get(TRAINJOBS, name)

    def delete(self, name: str) -> None:
        """Removes it with its pods; one that is gone already is no fault."""
        self._server.delete(TRAINJOBS, name)

    def set_suspended(self, name: str, *, suspended: bool) -> bool:
        """Takes its pods away, or lets it go on; False where it is gone. The annotation says that it was our doing."""
        key = SUSPENDED_ANNOTATION.replace("/", "~1")
        changes = [
            {"op": "add", "path": f"/metadata/annotations/{key}", "value": "true" if suspended else "false"},
            {"op": "add", "path": "/spec/suspend", "value": suspended},
        ]
        return self._server.patch(TRAINJOBS, name, changes)

    def log(self, name: str) -> "FirstPodLog":
        """What the first pod prints from now on."""
        return FirstPodLog(self._server, name)


class FirstPodLog:
    """The log of a TrainJob's first pod, a part at each look; a pod that takes its place is read from its beginning."""

    def __init__(self, server: ApiServer, name: str) -> None:
        self._server, self._label = server, FIRST_POD.format(name)
        self._pod, self._moment, self._at_moment = "", "", 0
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self._refused = False

    def new_lines(self) -> list[str]:
        """The lines that came since the last look; a note in their place where the rights to read them are missing."""
        if self._refused:
            return []
        try:
            return self._look()
        except ClusterError as error:
            self._refused = True
            return [f"what the training prints cannot be shown: {error}"]

    def _look(self) -> list[str]:
        pods = self._server.pods(self._label)
        if not pods:
            return []
        if pods[-1] != self._pod:
            self._pod, self._moment, self._at_moment = pods[-1], "", 0
        lines = self._server.log_lines(self._pod, NODE, most=LINES_A_LOOK)
        # Lines of one moment may be cut in two by a look: so many of them were told already
        told = self._at_moment if lines else 0
        fresh = []
        for moment, text in lines:
            if moment < self._moment:
                continue
            if moment == self._moment and told:
                told -= 1
                continue
            fresh.append(text)
        if lines:
            newest = lines[-1].moment
            self._at_moment = sum(line.moment == newest for line in lines)
            self._moment = newest
        self.last.extend(line for line in fresh if line.strip())
        return fresh


def launch(document: Mapping[str, Any], jobs: TrainJobs, options: TrainJobLaunch) -> None:
    """Creates the TrainJob, or takes up the one that is there, and waits until it is complete.

    `document`: under its run's name (`run_objects.of_run`). Raises `ClusterError` where it failed, with the last lines
    that it printed, took longer than allowed, was removed by somebody, or is another's, and after SIGTERM. At the time
    limit and after SIGTERM it is deleted, or kept and suspended, as `keep` says; a task that takes it up again lets it
    go on, and the training by its last checkpoint.
    """
    name = document["metadata"]["name"]
    with terminations_raised():
        try:
            with interrupts_put_off():  # cut in two, it would leave a TrainJob that nobody knows of
                is_new = jobs.create(document)
            if is_new:
                options.tell(f"TrainJob {jobs.namespace}/{name} created")
            else:
                _take_up(jobs, document, options)
            _wait(jobs, document, options)
            if not options.keep:
                jobs.delete(name)
        except KeyboardInterrupt as interrupt:
            what = "SIGTERM" if isinstance(interrupt, Terminated) else "an interrupt"
            with interrupts_put_off():
                came = _end(jobs, document, keep=options.keep)
            raise ClusterError(f"TrainJob {name}: {what} ended the task; {came}") from interrupt


def _take_up(jobs: TrainJobs, document: Mapping[str, Any], options: TrainJobLaunch) -> None:
    name = document["metadata"]["name"]
    found = jobs.get(name)
    check_ours(found, document, what=f"TrainJob {name}")
    options.tell(f"TrainJob {jobs.namespace}/{name} stands there already; waiting for it")
    if found is None or age_s(found) >= options.timeout_s:
        return
    if mapping_at(found, "metadata", "annotations").get(SUSPENDED_ANNOTATION) == "true":
        jobs.set_suspended(name, suspended=False)
        options.tell("it was suspended; it goes on")


def _wait(jobs: TrainJobs, document: Mapping[str, Any], options: TrainJobLaunch) -> None:
    name = document["metadata"]["name"]
    until: float | None = None
    printed, told = jobs.log(name), ""
    while True:
        found = jobs.get(name)
        if found is None:
            raise ClusterError(f"TrainJob {name} was removed while it ran")
        check_ours(found, document, what=f"TrainJob {name}")
        if until is None:
            until = time.monotonic() + options.timeout_s - age_s(found)
        for line in printed.new_lines():
            options.tell(line)
        ended = conditions_of(found)
        if "Complete" in ended:
            return
        if "Failed" in ended:
            reason = text_at(ended["Failed"], "message") or text_at(ended["Failed"], "reason")
            lines = f"; its last lines: {' | '.join(printed.last)}" if printed.last else ""
            raise ClusterError(f"TrainJob {name} failed: {reason}{lines}; {_where_to_look(jobs, name)}")
        state = _state(found)
        if state != told:
            options.tell(f"TrainJob {name}: {state}")
            told = state
        if time.monotonic() >= until:
            came = _end(jobs, document, keep=options.keep)
            raise ClusterError(f"TrainJob {name} took longer than {options.timeout_s:g} s ({state}); {came}")
        time.sleep(min(options.poll_s, max(0.0, until - time.monotonic())))


def _end(jobs: TrainJobs, document: Mapping[str, Any], *, keep: bool) -> str:
    """Deletes the TrainJob, or suspends it; what came of it. Raises no `ClusterError`: the task is on its way out."""
    name = document["metadata"]["name"]
    by_hand = f"`kubectl -n {jobs.namespace} delete trainjob {name}` ends it"
    try:
        found = jobs.get(name)
        if found is None:
            return "it is not there any more"
        check_ours(found, document, what=f"TrainJob {name}")
    except ClusterError as error:
        return f"it was left as it is ({error}); {by_hand}"
    try:
        if not keep:
            jobs.delete(name)
            return "it was deleted"
        if jobs.set_suspended(name, suspended=True):
            return "it is kept, and suspended: this task, run again, lets it go on from its last checkpoint"
        return "it is not there any more"
    except ClusterError as error:
        return f"IT GOES ON ({error}); {by_hand}"


def _state(found: Mapping[str, Any]) -> str:
    """A TrainJob's pods in a few words."""
    jobs = mapping_at(found, "status").get("jobsStatus")
    names = ("active", "ready", "succeeded", "failed", "suspended")
    for one in jobs if isinstance(jobs, list) else []:
        if isinstance(one, dict) and one.get("name") == NODE:
            return ", ".join(f"{one[name]} {name}" for name in names if one.get(name)) or "no pod yet"
    return "suspended" if "Suspended" in conditions_of(found) else "no pod yet"


def _where_to_look(jobs: TrainJobs, name: str) -> str:
    label = FIRST_POD.format(name).split(",")[0]
    return f"see `kubectl -n {jobs.namespace} logs -l {label} --all-containers --tail=50`"
