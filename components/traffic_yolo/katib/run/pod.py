"""One trial's pod on this machine: its command as Katib wraps it, in a process group of its own.

From webhook/v1beta1/pod/inject_webhook.go: the words are joined by spaces and given to `sh -c`, with the output in the
metrics file for the StdOut collector. Paths that a pod has to itself (/tmp, the metrics file's folder) become folders
of the trial; shared mounts become the folders that the caller names.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_yolo.cluster.access import at, list_at, mapping_at, mappings_at, text_at, texts_at
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.katib.spec.constants import METRICS_FILE
from traffic_yolo.katib.spec.template import containers
from traffic_yolo.storage import output_path

COLLECTORS = ("StdOut", "File")
SHELLS = ("sh", "bash")
OUTPUT_NAME = "output.txt"


@dataclass(frozen=True)
class PodSetup:
    """What a filled trial template runs here. `log`: the file with the metrics; `notes`: what is not done as on a
    cluster.
    """

    shell: str
    script: str
    environment: Mapping[str, str]
    folder: Path
    log: Path
    redirects: bool
    notes: tuple[str, ...]

    @property
    def output(self) -> Path:
        """The file of the script's output: the log itself with StdOut."""
        return self.log if self.redirects else self.folder / OUTPUT_NAME

    def log_text(self) -> str:
        """What stands in the file with the metrics, "" as long as there is none."""
        return _text(self.log)

    def output_text(self) -> str:
        """What the script has written, "" as long as there is nothing."""
        return _text(self.output)


def pod_setup(
    filled: Mapping[str, Any], spec: Mapping[str, Any], folder: Path, *, trial: str, mounts: Mapping[str, Path]
) -> PodSetup:
    """What the primary container of a filled template runs. `mounts`: path in the pod -> folder here.

    Raises `OptionsError` for a kind, a collector or a container that cannot be run here.
    """
    kind = text_at(spec, "metricsCollectorSpec", "collector", "kind")
    if kind not in COLLECTORS:
        raise OptionsError(f"metrics collector {kind}: only {' and '.join(COLLECTORS)} can be read on one machine")
    container = _primary(filled, text_at(spec, "trialTemplate", "primaryContainerName"))
    log_path = text_at(spec, "metricsCollectorSpec", "source", "fileSystemPath", "path") if kind == "File" else ""
    log_path = log_path or METRICS_FILE
    log_folder = str(PurePosixPath(log_path).parent)
    own = {"/tmp": folder / "tmp", log_folder: folder / "log"}
    places = {**own, **mounts}
    words = [*texts_at(container, "command"), *texts_at(container, "args")]
    if not words:
        raise OptionsError("the primary container has no command: only its image knows what to run")
    environment, notes = _environment(container, places)
    if at(container, "resources") is not None:
        notes.append("requests and limits of the container count for nothing here")
    shell = "sh"
    if words[1:2] == ["-c"] and PurePosixPath(words[0]).name in SHELLS:  # Katib keeps such a shell, and joins the rest
        shell, words = words[0], words[2:]
    script = _placed(" ".join(_expanded(word, environment) for word in words), places)
    return PodSetup(
        shell=shell,
        script=script,
        environment={**environment, "KATIB_TRIAL_NAME": trial, "TMPDIR": str(folder / "tmp")},
        folder=folder,
        log=folder / "log" / PurePosixPath(log_path).name,
        redirects=kind == "StdOut",
        notes=tuple(notes),
    )


def start(setup: PodSetup) -> "subprocess.Popen[bytes]":
    """Starts the script in a process group of its own; its output is in the log, or in `output.txt` beside it.

    Raises `StorageError` where the trial's folder cannot be written.
    """
    try:
        return _start(setup)
    except OSError as error:
        raise StorageError(f"trial cannot be started: {setup.folder}: {error.strerror}") from error


def _start(setup: PodSetup) -> "subprocess.Popen[bytes]":
    for name in ("tmp", "log"):
        (setup.folder / name).mkdir(parents=True, exist_ok=True)
    script = f"{setup.script} && echo completed > {shlex.quote(str(setup.folder / 'completed'))}"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with setup.output.open("wb") as file:
        return subprocess.Popen(
            [setup.shell, "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=setup.folder,
            env={**os.environ, **setup.environment, "PATH": path},
            start_new_session=True,
        )


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def process_record(pid: int) -> dict[str, Any]:
    """What tells a process from one that gets its number later."""
    return {"pid": pid, "started": _started(pid)}


def kill_group(record: Mapping[str, Any]) -> None:
    """Ends the process group of a trial, where its leader still is the process that was recorded."""
    pid = record.get("pid")
    if isinstance(pid, int) and record.get("started") and _started(pid) == record["started"]:
        _signal_group(pid, signal.SIGKILL)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a trial: SIGTERM, as a deleted pod gets it, and SIGKILL soon after."""
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _started(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _primary(filled: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = containers(filled)
    if not found:
        raise OptionsError(f"trial of kind {text_at(filled, 'kind')!r}: only a Job or a Pod can be run on one machine")
    for _, container in found:
        if text_at(container, "name") == name:
            return container
    raise OptionsError(f"the trial template has no container {name!r}")


def _environment(container: Mapping[str, Any], places: Mapping[str, Path]) -> tuple[dict[str, str], list[str]]:
    values, notes = {}, []
    for _, entry in mappings_at(container, "env"):
        name = text_at(entry, "name")
        if mapping_at(entry, "valueFrom"):
            notes.append(f"the variable {name} comes from the cluster and is not set here")
        else:
            values[name] = _placed(text_at(entry, "value"), places, quote=False)
    if list_at(container, "envFrom"):
        notes.append("envFrom comes from the cluster and sets nothing here")
    return values, notes


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    """$(NAME) as Kubernetes replaces it: a variable of the container, or left as it stands."""
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), word)


def _placed(text: str, places: Mapping[str, Path], *, quote: bool = True) -> str:
    """The text with paths of the pod replaced by folders here, the longest that fits at each place."""
    shown = {path: shlex.quote(str(folder)) if quote else str(folder) for path, folder in places.items()}
    paths = "|".join(re.escape(path) for path in sorted(shown, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({paths})(?=/|$|[\s;&|)\"'])", lambda found: shown[found[1]], text)


def shared_mounts(filled: Mapping[str, Any], nas_root: Path | None, given: Sequence[str]) -> dict[str, Path]:
    """Path in the pod -> folder here: `given` as PATH=FOLDER, and `nas_root` for the container's other mounts.

    Raises `OptionsError` for another form, or for a folder that is not there.
    """
    mounts: dict[str, Path] = {}
    for text in given:
        path, _, folder = text.partition("=")
        if not path.startswith("/") or not folder:
            raise OptionsError(f"--mount {text!r}: expected /PATH/IN/POD=FOLDER")
        mounts[path.rstrip("/")] = output_path(folder)
    if nas_root is not None:
        for _, container in containers(filled):
            for _, mount in mappings_at(container, "volumeMounts"):
                mounts.setdefault(text_at(mount, "mountPath").rstrip("/"), nas_root)
    for path, folder_here in mounts.items():
        if not folder_here.is_dir():
            raise OptionsError(f"{path} in the pod: no such folder here: {folder_here}")
    return {path: folder_here.resolve() for path, folder_here in mounts.items()}
