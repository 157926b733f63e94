"""Waits for a run on a Kubeflow Pipelines server, tells what its tasks do, and says how it ended and why."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.errors import ClusterError
from traffic_yolo.messages import one_line
from traffic_yolo.run_report.tasks import TaskState, tasks_of
from traffic_yolo_pipelines.run_logs import RunLogs, telling_line
from traffic_yolo_pipelines.run_pods import pods_of
from traffic_yolo_pipelines.server_connection import Connection, pause

POLL_S = 5.0
WAIT_ATTEMPTS = 30  # of one look at the run: a server that is away for about twelve minutes
ENDS = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
UNSPECIFIED = "RUNTIME_STATE_UNSPECIFIED"
MOST_FAILURES = 5  # of which a log is read
MOST_LOOKS = 3  # for the log of a task that is over: a pod that was found in the cache, or is gone, has none
ALL_TOLD = -1
MOST_PODS = 8  # of one task that failed, where it has several


@dataclass(frozen=True)
class Failure:
    """A task that failed, and the line of its log, or the server's own words, that say why."""

    task: str
    line: str


@dataclass(frozen=True)
class RunEnd:
    """How a run ended. `state`: as the API has it, such as SUCCEEDED."""

    state: str
    failures: tuple[Failure, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether everything that was asked for was done."""
        return self.state == "SUCCEEDED"


@dataclass
class RunWatch:
    """A look at one run, again and again. `tell` is given each line; `follow`: also those that the tasks print."""

    connection: Connection
    run_id: str
    tell: Callable[[str], None]
    follow: bool = False
    _told: dict[str, str] = field(default_factory=dict)  # task -> its states in words
    _printed: dict[str, int] = field(default_factory=dict)  # attempt -> lines that were told
    _looks: Counter[str] = field(default_factory=Counter)  # attempt that is over -> looks for its log
    _names: frozenset[str] | None = None

    def to_the_end(self) -> RunEnd:
        """Returns when the run has ended. Raises `ClusterError` where the server refuses or stays away."""
        logs = RunLogs(self.connection, self.run_id)
        state = ""
        while True:
            run = self._look()
            if self._names is None:
                self._names = self._task_names(run)
            tasks = self._tasks(run)
            self._tell_states(tasks)
            is_over = str(run.get("state") or "") in ENDS
            if self.follow:
                self._tell_lines(run, logs, is_over=is_over)
            if str(run.get("state") or UNSPECIFIED) != state:
                state = str(run.get("state") or UNSPECIFIED)
                self.tell(f"run: {_in_words(state)}")
            if is_over:
                return RunEnd(state, () if state == "SUCCEEDED" else tuple(self._failures(run, tasks, logs)))
            pause(POLL_S)

    def _look(self) -> Mapping[str, Any]:
        asked = f"asked for the run {self.run_id}"
        self.connection.ask(asked, lambda: self.connection.client.get_run(self.run_id), attempts=WAIT_ATTEMPTS)
        run = self.connection.raw_json()
        if not run.get("run_id"):
            raise ClusterError(f"the server at {self.connection.host}, {asked}, answered with no run")
        assert isinstance(run, Mapping)
        return run

    def _tasks(self, run: Mapping[str, Any]) -> list[TaskState]:
        return [task for task in tasks_of(run) if not self._names or task.name in self._names]

    def _task_names(self, run: Mapping[str, Any]) -> frozenset[str]:
        """The names of the pipeline's tasks, none where its definition is gone: then they are told by their looks."""
        spec = run.get("pipeline_spec")
        reference = run.get("pipeline_version_reference")
        if not spec and isinstance(reference, Mapping):
            ids = reference.get("pipeline_id"), reference.get("pipeline_version_id")
            try:
                asked = f"asked for the pipeline of the run {self.run_id}"
                self.connection.ask(asked, lambda: self.connection.client.get_pipeline_version(*ids))
                spec = self.connection.raw_json().get("pipeline_spec")
            except ClusterError:
                return frozenset()
        return frozenset(_names_in(spec))

    def _tell_states(self, tasks: list[TaskState]) -> None:
        states: dict[str, Counter[str]] = {}
        for task in tasks:
            if task.state not in (UNSPECIFIED, "UNKNOWN"):
                states.setdefault(task.name, Counter())[_in_words(task.state)] += 1
        for name, found in states.items():
            several = found.total() > 1
            words = ", ".join(f"{count} {state}" if several else state for state, count in sorted(found.items()))
            if self._told.get(name) != words:
                self._told[name] = words
                self.tell(f"{name}: {words}")

    def _tell_lines(self, run: Mapping[str, Any], logs: RunLogs, *, is_over: bool) -> None:
        """What was printed since the last look."""
        names = self._names or frozenset(task.name for task in tasks_of(run))
        running = {task.name for task in tasks_of(run) if task.state == "RUNNING"}
        for task in () if logs.absent else pods_of(run, names):
            for number, pods in enumerate(task.attempts, start=1):
                key, name = f"{task.label}#{number}", task.label.rpartition("/")[2]
                is_ended = is_over or name not in running
                if self._printed.get(key) == ALL_TOLD:
                    continue
                lines = logs.lines(pods, ended=is_ended)
                told = self._printed.get(key, 0)
                for line in lines[told:] if lines else ():
                    self.tell(f"{task.label} | {line}")
                self._looks[key] += is_ended
                is_all = is_ended and (lines is not None or self._looks[key] == MOST_LOOKS)
                self._printed[key] = ALL_TOLD if is_all else max(told, len(lines or ()))
        if logs.absent and "" not in self._printed:
            self._printed[""] = ALL_TOLD
            self.tell(f"the server gives no logs ({logs.absent}); states alone are told")

    def _failures(self, run: Mapping[str, Any], tasks: list[TaskState], logs: RunLogs) -> Iterator[Failure]:
        """The tasks that failed, each once, with the reason as far as the server gives one."""
        reasons: dict[str, str] = {}
        for task in tasks:
            if task.is_failed:
                reasons[task.name] = reasons.get(task.name, "") or task.reason
        pods = pods_of(run, frozenset(list(reasons)[:MOST_FAILURES]))
        for name, reason in reasons.items():
            mine = [task.attempts[-1] for task in pods if task.label.rpartition("/")[2] == name and task.attempts]
            lines = (telling_line(logs.lines(names, ended=True) or []) for names in mine[:MOST_PODS])
            found = sorted(filter(None, lines), key=lambda line: not line.startswith(("error: ", "gates failed: ")))
            yield Failure(name, found[0] if found else reason or "no reason given")
        if not reasons:
            error = run.get("error")
            words = str(error.get("message") or "") if isinstance(error, Mapping) else ""
            yield Failure("run", one_line(words)[:400] or _in_words(str(run.get("state"))))


def _in_words(state: str) -> str:
    return "not begun" if state == UNSPECIFIED else one_line(state.lower())[:40]


def _names_in(spec: Any) -> Iterator[str]:
    """The names of the tasks that a compiled pipeline runs: not of the groups that they are in."""
    if not isinstance(spec, Mapping):
        return
    if "root" not in spec:  # with its platform's settings beside it
        yield from _names_in(spec.get("pipeline_spec"))
        return
    components = spec.get("components") or {}
    for component in (spec["root"], *components.values()):
        for name, task in ((component.get("dag") or {}).get("tasks") or {}).items():
            own = components.get((task.get("componentRef") or {}).get("name")) or {}
            if own.get("executorLabel"):
                yield name
