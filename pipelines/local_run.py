"""Runs a pipeline function on this machine under kfp.local, each task in a process of its own.

Everything that Kubernetes would add (claims, resources, GPUs) is ignored here; the components, their parameters and the
artifacts between them are those of the cluster.
"""

import builtins
import contextlib
import copy
import io
import json
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from kfp import local

from traffic_yolo.errors import ERROR_PREFIX, GATE_PREFIX, GateError, TrafficYoloError
from traffic_yolo.page_origin import RUNS_VARIABLE, environment_variable
from traffic_yolo.process_identity import identity
from traffic_yolo.progress import INTERVAL_VARIABLE, stage
from traffic_yolo.run_id import OWNER_VARIABLE
from traffic_yolo.storage import NAS_ROOT_VARIABLE, AnyPath, output_path

_BAR = re.compile(r"\d+%\|")
# What kfp's executor says of itself in every task: where its module lies, its input and output as JSON
_EXECUTOR_TALK = ("Looking for component", "Loading KFP component", "Got executor_input:", "Wrote executor output")
_EXECUTOR_PREFIX = re.compile(r"\[KFP Executor [^]]*\]: ")
# How kfp tells of an artifact that a task wrote, in three records: class and name, address, metadata
_ARTIFACT_NAME = re.compile(r"^(?P<key>\s*[\w-]+: )[A-Za-z]+\( name='[^']*',$")
_ARTIFACT_URI = re.compile(r"^\s+uri='(?P<uri>.*)',$")
_ARTIFACT_METADATA = re.compile(r"^\s+metadata=(?P<metadata>.*) \)$", re.DOTALL)


@dataclass(frozen=True)
class LocalRun:
    """A finished run: `<folder>/<task>/<artifact>` holds what each task wrote."""

    folder: Path

    def artifact(self, task: str, name: str) -> Path:
        """The path of one artifact of one task."""
        return self.folder / task / name


class StoppedByGates(GateError):
    """A run whose last step ended as failed because of its gates; `folder` is the run's, with all that it left."""

    def __init__(self, message: str, folder: Path) -> None:
        """`folder` as `LocalRun` has it."""
        super().__init__(message)
        self.folder = folder


def run_locally(pipeline: Any, parameters: Mapping[str, Any], out: AnyPath) -> LocalRun:
    """Runs `pipeline` with `parameters`; its artifacts go below `out`, in a new folder named after pipeline and time.

    Raises `TrafficYoloError` with the failed task's own one-line message where it left one, `StoppedByGates` where
    gates made it fail; a fault of ours has printed its traceback already and raises kfp's `RuntimeError`.
    """
    root = output_path(out)
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root),
        raise_on_error=True,
    )
    with (
        warnings.catch_warnings(),
        _print_and_log_as_before(),
        _short_artifacts(),
        _as_owner(),
        environment_variable(RUNS_VARIABLE, str(root.resolve())),
        _task_output() as output,
        stage("running tasks"),
    ):
        # The tasks run in this interpreter whatever the image is called; kfp doubts names without "python".
        warnings.filterwarnings("ignore", message="You may be attemping to run a task that uses custom")
        # Resources and GPUs are the cluster's; that this machine ignores them is what local means
        warnings.filterwarnings("ignore", message="Task '.*': settings")
        try:
            without_cluster_roots(pipeline)(**_as_the_form_has_them(pipeline, parameters))
        except RuntimeError as error:
            if output.gates_failed is not None:
                (folder,) = set(root.iterdir()) - before
                raise StoppedByGates(output.gates_failed, folder) from error
            if output.last_error is None:
                raise
            raise TrafficYoloError(output.last_error) from error
    (folder,) = set(root.iterdir()) - before
    return LocalRun(folder)


def _as_the_form_has_them(pipeline: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers become text where a form takes them as text, because they may be left empty there."""
    inputs = pipeline.component_spec.inputs or {}
    return {
        name: str(value) if type(value) in (int, float) and name in inputs and inputs[name].type == "String" else value
        for name, value in parameters.items()
    }


def without_cluster_roots(pipeline: Any) -> Any:
    """A copy of a pipeline whose tasks do not say where the NAS is: here that is what this machine's environment says.

    A pod has the claim mounted at a path of the pipeline's choice; kfp.local would set that path here too.
    """
    local_pipeline = copy.deepcopy(pipeline)
    for executor in local_pipeline.pipeline_spec.deployment_spec["executors"].values():
        if "container" in executor and "env" in executor["container"]:
            variables = executor["container"]["env"]
            for index in reversed(range(len(variables))):
                if variables[index]["name"] == NAS_ROOT_VARIABLE:
                    del variables[index]
    return local_pipeline


class _TaskOutput(io.TextIOBase):
    """Passes on what the tasks print; remembers the last error line and redraws progress bars in place."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._terminal = target.isatty()
        self._open_bar = False
        self._in_executor_input = False
        self._rest = ""
        self.last_error: str | None = None
        self.gates_failed: str | None = None

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)
        return len(text)

    def flush(self) -> None:
        self._target.flush()

    def _line(self, line: str) -> None:
        text = line.strip()
        if text.startswith(ERROR_PREFIX):
            self.last_error = text.removeprefix(ERROR_PREFIX)
        if text.startswith(GATE_PREFIX):
            self.gates_failed = text.removeprefix(GATE_PREFIX)
        if self._is_executor_talk(line) or not text:  # kfp also pads every task with blank lines
            return
        line = _EXECUTOR_PREFIX.sub("", line)
        if self._terminal and _BAR.search(line):
            self._target.write(f"\r\x1b[2K{line}")
            self._open_bar = True
        else:
            self._target.write(("\n" if self._open_bar else "") + line + "\n")
            self._open_bar = False
        self._target.flush()

    def _is_executor_talk(self, line: str) -> bool:
        """Whether a line is the executor's own; its JSON ends with a brace of the indent that kfp gives a task."""
        if self._in_executor_input:
            self._in_executor_input = line.rstrip() != "    }"
            return True
        self._in_executor_input = "Got executor_input:" in line
        return any(words in line for words in _EXECUTOR_TALK)


@contextlib.contextmanager
def _print_and_log_as_before() -> Iterator[None]:
    """Puts `print` and the root logger back as they were.

    kfp.local exchanges both for each task and puts back what it found. Tasks of a loop run at once: one finds what
    another has put there, and leaves it behind when it ends last.
    """
    root = logging.getLogger()
    kept, level, handlers = builtins.print, root.level, root.handlers[:]
    try:
        yield
    finally:
        builtins.print = kept
        root.setLevel(level)
        root.handlers[:] = handlers


class _ShortArtifacts(logging.Filter):
    """One line for each artifact of a task, its key and its address, and one for metadata where it has some."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()  # tasks of a loop run at once

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told; changes its text."""
        text = str(record.msg)
        if found := _ARTIFACT_NAME.match(text):
            self._of_thread.key = found["key"]
            return False
        key = getattr(self._of_thread, "key", "")
        if not key:
            return True
        if found := _ARTIFACT_URI.match(text):
            record.msg = f"{key}{found['uri']}"
        elif found := _ARTIFACT_METADATA.match(text):
            self._of_thread.key = ""
            record.msg = f"{' ' * len(key)}{found['metadata']}"
            return found["metadata"] != "{}"
        return True


@contextlib.contextmanager
def _short_artifacts() -> Iterator[None]:
    """Kfp logs with the root logger, whose filter sees what is logged with it alone."""
    root, short = logging.getLogger(), _ShortArtifacts()
    root.addFilter(short)
    try:
        yield
    finally:
        root.removeFilter(short)


@contextlib.contextmanager
def _as_owner() -> Iterator[None]:
    """Tells the tasks which process drives them: where that is gone, nobody goes on with the run."""
    before = os.environ.get(OWNER_VARIABLE)
    os.environ[OWNER_VARIABLE] = json.dumps(identity())
    try:
        yield
    finally:
        if before is None:
            del os.environ[OWNER_VARIABLE]
        else:
            os.environ[OWNER_VARIABLE] = before


@contextlib.contextmanager
def _task_output() -> Iterator[_TaskOutput]:
    output = _TaskOutput(sys.stdout)
    interval_before = os.environ.get(INTERVAL_VARIABLE)
    if sys.stdout.isatty():
        os.environ[INTERVAL_VARIABLE] = "0.5"
    try:
        with contextlib.redirect_stdout(output):
            yield output
    finally:
        if interval_before is None:
            os.environ.pop(INTERVAL_VARIABLE, None)
        else:
            os.environ[INTERVAL_VARIABLE] = interval_before
