"""The local run of an Experiment: asks for suggestions, runs trials in parallel, reads their metrics, knows the end.

One loop, no threads. Everything that happens is in the journal before the next thing does, so a run that was killed at
any moment goes on where it was: trials that were running are ended and run again under their names.
"""

import contextlib
import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_yolo.cluster.access import mapping_at, mappings_at, text_at
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.katib.check.check import check_file
from traffic_yolo.katib.run.collector import LogFormat
from traffic_yolo.katib.run.early_stopping import MedianStop
from traffic_yolo.katib.run.experiment_state import Ending, Limits, ending
from traffic_yolo.katib.run.journal import UNFINISHED, Journal, State, Trial
from traffic_yolo.katib.run.last_words import why_failed, why_without_metrics
from traffic_yolo.katib.run.pod import (
    PodSetup,
    kill_group,
    pod_setup,
    process_record,
    shared_mounts,
    start,
    stop,
)
from traffic_yolo.katib.run.suggestions import Suggester, make_suggester
from traffic_yolo.katib.spec.defaults import with_defaults
from traffic_yolo.katib.spec.document import parse_object, read_text
from traffic_yolo.katib.spec.space import read_space
from traffic_yolo.katib.spec.template import containers, fill, trial_values
from traffic_yolo.storage import AnyPath, input_path, output_path
from traffic_yolo.terminations import interrupts_put_off, terminations_raised

JOURNAL_NAME, TRIALS_FOLDER = "journal.jsonl", "trials"
POLL_S = 0.05
# What Katib lets an experiment change while it stands there
CHANGEABLE = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")

Listener = Callable[[str], None]


@dataclass
class _Running:
    trial: Trial
    process: "subprocess.Popen[bytes]"
    setup: PodSetup
    limit: float | None


@dataclass
class LocalRun:
    """A run of the experiment `document` in the folder `out`; see `open_run`. `tell` is given lines for people."""

    document: dict[str, Any]
    out: Path
    mounts: Mapping[str, Path]
    tell: Listener
    journal: Journal
    _running: list[_Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.filled = with_defaults(self.document)
        self.spec = mapping_at(self.filled, "spec")
        self.name = text_at(self.filled, "metadata", "name")
        self.log_format = LogFormat.of_spec(self.spec)
        self.limits = Limits.of_spec(self.spec)
        self.suggester = self._suggester()
        self.median_stop = self._median_stop()

    def _suggester(self) -> Suggester:
        algorithm = mapping_at(self.spec, "algorithm")
        settings = {text_at(s, "name"): text_at(s, "value") for _, s in mappings_at(algorithm, "algorithmSettings")}
        space = read_space(self.spec)
        name = text_at(algorithm, "algorithmName")
        try:
            return make_suggester(name, settings, space, maximise=self.limits.maximise)
        except OptionsError:
            raise
        except (ValueError, ArithmeticError, LookupError) as error:  # of an Experiment whose errors were ignored
            raise OptionsError(f"algorithm {name!r} cannot run here with this space and settings: {error}") from error

    def _median_stop(self) -> MedianStop | None:
        stopping = mapping_at(self.spec, "earlyStopping")
        if not stopping:
            return None
        settings = {text_at(s, "name"): text_at(s, "value") for _, s in mappings_at(stopping, "algorithmSettings")}
        return MedianStop.of_settings(settings, maximise=self.limits.maximise)

    def run(self) -> Ending:
        """Runs to the experiment's end.

        A `KeyboardInterrupt`, or SIGTERM, which is raised as `Terminated`, ends the running trials; a later run repeats
        them.
        """
        self._replay()
        again = list(self.journal.in_state(*UNFINISHED))
        with terminations_raised(), self._trials_ended():
            while True:
                over = ending(self.journal, self.log_format, self.limits, exhausted=self.suggester.is_exhausted)
                if (over is not None and not (self._running or again)) or (over and over.reason in _AT_ONCE):
                    return over
                progressed = self._start_what_can_start(again, is_over=over is not None)
                progressed |= self._collect()
                if not progressed:
                    time.sleep(POLL_S)

    @contextlib.contextmanager
    def _trials_ended(self) -> Iterator[None]:
        """Ends what still runs when the block ends: the goal was reached, too many failed, or someone interrupted."""
        try:
            yield
        except BaseException as error:
            why = "an interrupt" if isinstance(error, KeyboardInterrupt) else "a fault of the run"
            with contextlib.suppress(StorageError):  # what ended the run says more; the next one finds them as running
                self._cut_off(why)
            raise
        self._cut_off("the experiment's end")

    def _cut_off(self, why: str) -> None:
        """Ends the running trials, all of them before the first word about it is written."""
        stopped = list(self._running)
        with interrupts_put_off():
            for running in stopped:
                stop(running.process)
            self._running.clear()
            for running in stopped:
                self.journal.cut_off(running.trial.name, f"cut off by {why}")

    def _replay(self) -> None:
        """Tells the algorithm what was tried before this run, and ends processes that a killed run left."""
        for trial in self.journal.trials.values():
            if trial.state == "Running":
                kill_group(trial.process)
                self.journal.cut_off(trial.name, "cut off: the run was killed")
            if trial.state not in UNFINISHED:
                self._learn(trial)

    def _learn(self, trial: Trial) -> None:
        value = self.log_format.objective_of(trial.observation) if trial.state in _WITH_VALUE else None
        self.suggester.tell(trial.assignments, value)
        if self.median_stop is not None and trial.state == "Succeeded":
            self.median_stop.add_finished(trial.reports)

    def _start_what_can_start(self, again: list[Trial], *, is_over: bool) -> bool:
        started = False
        while len(self._running) < self.limits.parallel:
            if again:
                trial = again.pop(0)
            elif is_over or not self._may_make_more() or (assignments := self.suggester.ask()) is None:
                break
            else:
                trial = self.journal.add(f"{self.name}-{secrets.token_hex(4)}", assignments)
            self._start(trial)
            started = True
        return started

    def _may_make_more(self) -> bool:
        return self.limits.max_trials is None or len(self.journal.trials) < self.limits.max_trials

    def _start(self, trial: Trial) -> None:
        folder = self.out / TRIALS_FOLDER / trial.name
        shutil.rmtree(folder, ignore_errors=True)  # of the run that was killed
        template = mapping_at(self.spec, "trialTemplate")
        namespace = text_at(self.filled, "metadata", "namespace") or "default"
        values = trial_values(template, trial.assignments, name=trial.name, namespace=namespace)
        filled = fill(mapping_at(template, "trialSpec"), values)
        setup = pod_setup(filled, self.spec, folder.resolve(), trial=trial.name, mounts=self.mounts)
        limit = self.median_stop.limit() if self.median_stop is not None else None
        with interrupts_put_off():  # between the two nobody would know of the process, and it would outlive the run
            process = start(setup)
            # Listed before the journal is written: where the disk is full, the process must not outlive the run
            self._running.append(_Running(trial, process, setup, limit))
        self.journal.note_process(trial.name, process_record(process.pid))

    def _collect(self) -> bool:
        """Takes note of every trial that has ended or is to be stopped; whether there was one."""
        ended = False
        for running in list(self._running):
            code = running.process.poll()
            stopped = code is None and self._is_to_be_stopped(running)
            if code is None and not stopped:
                continue
            if stopped:
                stop(running.process)
            self._running.remove(running)
            self._note_end(running, "EarlyStopped" if stopped else ("Succeeded" if code == 0 else "Failed"), code)
            ended = True
        return ended

    def _is_to_be_stopped(self, running: _Running) -> bool:
        if self.median_stop is None or running.limit is None:
            return False
        log = running.setup.log_text()
        whole = log[: log.rfind("\n") + 1]  # the last line may still be being written
        return self.median_stop.stops(running.limit, self._reports(whole))

    def _reports(self, log: str) -> tuple[float, ...]:
        readings = self.log_format.read(log)
        values = []
        for reading in readings:
            if reading.name == self.log_format.metrics[0]:
                with contextlib.suppress(ValueError):
                    values.append(float(reading.value))
        return tuple(values)

    def _note_end(self, running: _Running, state: State, code: int | None) -> None:
        log, message = running.setup.log_text(), ""
        observation = None
        reports: tuple[float, ...] = ()
        if state == "Failed":
            assert code is not None  # it has ended by itself
            message = why_failed(code, running.setup.output_text())
        else:
            try:
                observation = self.log_format.observe(self.log_format.read(log))
                reports = self._reports(log)
            except OptionsError as error:
                message = str(error)
            if observation is None and state == "Succeeded":
                state = "MetricsUnavailable"
                objective, output = self.log_format.metrics[0], running.setup.output_text()
                message = message or why_without_metrics(objective, output)
        trial = self.journal.end(running.trial.name, state, message=message, observation=observation, reports=reports)
        self._learn(trial)
        value = self.log_format.objective_of(observation)
        told = f"{self.log_format.metrics[0]}={value:g}" if value is not None else message
        self.tell(f"{trial.name} {state}: {_shown(trial.assignments)}; {told}")


_AT_ONCE = ("ExperimentGoalReached", "ExperimentMaxFailedTrialsExceeded")
_WITH_VALUE = ("Succeeded", "EarlyStopped")


def open_run(
    file: AnyPath,
    out: AnyPath,
    *,
    nas_root: AnyPath | None = None,
    mounts: Sequence[str] = (),
    ignore: Sequence[str] = (),
    tell: Listener = print,
) -> LocalRun:
    """The run of the Experiment in `file`, new or to be continued, in the folder `out`.

    `nas_root`: the folder here that stands for every volume of the trial's container; `mounts`: PATH=FOLDER for single
    ones; `ignore`: rules of the checker that do not count. Raises `OptionsError` for an Experiment with errors (the
    checker's first), one that cannot run on one machine, or another one than `out` belongs to, `StorageError` for files
    that cannot be read or written.
    """
    file, out = input_path(file, what="experiment"), output_path(out)
    root = output_path(nas_root) if nas_root else None
    report = check_file(file, ignore=ignore)
    if report.first_error:
        advice = "`traffic-yolo katib check` lists them, --ignore RULE passes over one"
        raise OptionsError(f"{report.file}: {report.first_error}; {advice}")
    document, _ = parse_object(read_text(file))
    assert document is not None  # the checker has read it
    trial_spec = mapping_at(document, "spec", "trialTemplate", "trialSpec")
    if not trial_spec:
        raise OptionsError(f"{file}: the trial template lies in a ConfigMap, which only a cluster has; write trialSpec")
    places = shared_mounts(trial_spec, root, mounts)
    journal = Journal(out / JOURNAL_NAME)
    if journal.experiment and _unchangeable(journal.experiment) != _unchangeable(document):
        raise OptionsError(f"{out} holds the run of another experiment; take another --out, or remove it")
    run = LocalRun(document, out, places, tell, journal)
    for note in _notes(run):
        tell(f"note: {note}")
    if journal.experiment != document:
        journal.begin(document)
    return run


def _unchangeable(document: dict[str, Any]) -> str:
    spec = {key: value for key, value in mapping_at(document, "spec").items() if key not in CHANGEABLE}
    return json.dumps({"name": text_at(document, "metadata", "name"), "spec": spec}, sort_keys=True)


def _notes(run: LocalRun) -> tuple[str, ...]:
    """What is not as on a cluster, said once: of a template filled with texts that stand for any."""
    template = mapping_at(run.spec, "trialTemplate")
    values = {text_at(parameter, "name"): "1" for _, parameter in mappings_at(template, "trialParameters")}
    filled = fill(mapping_at(template, "trialSpec"), values)
    notes = pod_setup(filled, run.spec, run.out, trial="trial", mounts=run.mounts).notes
    mounted = {
        text_at(mount, "mountPath").rstrip("/")
        for _, container in containers(filled)
        for _, mount in mappings_at(container, "volumeMounts")
    }
    advice = "is this machine's own path: no --nas-root or --mount says which folder stands for the volume"
    return (*notes, *(f"{path} {advice}" for path in sorted(mounted - set(run.mounts))))


def _shown(assignments: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in assignments.items())
