"""One container at a time, locked up as a strict cluster does: any user, a read-only root, no capability, no network."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UID, GID = 12345, 0  # a user whom no image knows, in root's group: what OpenShift gives a pod
ENGINES = ("podman", "docker")


@dataclass(frozen=True)
class Mount:
    """A folder of this machine in a container."""

    source: Path
    target: str
    is_writable: bool = False


@dataclass(frozen=True)
class Engine:
    """podman or docker, by its command line. `program` may be a path."""

    program: str

    @property
    def is_podman(self) -> bool:
        """Whether it knows podman's own switches."""
        return Path(self.program).name == "podman"

    def run(
        self, image: str, command: Sequence[str], *, mounts: Sequence[Mount] = (), environment: Mapping[str, str] = {},
        memory_backed: Mapping[str, str] = {"/tmp": "2g"},
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Runs a command and returns how it ended. `memory_backed`: folder -> size, what a pod has as emptyDir.

        Of the root nothing can be written; of `mounts` what says so.
        """
        options = [
            "--rm", "--network=none", "--read-only", f"--user={UID}:{GID}", "--cap-drop=ALL",
            "--security-opt=no-new-privileges", *(["--read-only-tmpfs=false"] if self.is_podman else []),
        ]  # fmt: skip
        options += [f"--tmpfs={path}:rw,exec,mode=1777,size={size}" for path, size in memory_backed.items()]
        for mount in mounts:
            options.append(f"--volume={mount.source}:{mount.target}:{'rw' if mount.is_writable else 'ro'}")
        options += [f"--env={name}={value}" for name, value in environment.items()]
        return subprocess.run(
            [self.program, "run", *options, image, *command], capture_output=True, text=True, check=False
        )

    def history(self, image: str) -> str:
        """Every command and variable that the image's layers record."""
        layers = subprocess.run(
            [self.program, "history", "--no-trunc", "--format", "{{.CreatedBy}}", image],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.dumps(self._inspected(image)) + layers.stdout

    def size_of(self, image: str) -> int:
        """Bytes of an image, unpacked."""
        return int(self._inspected(image)["Size"])

    def user_of(self, image: str) -> str:
        """Whom an image runs as where nobody says."""
        return str(self._inspected(image)["Config"]["User"])

    def _inspected(self, image: str) -> dict[str, Any]:
        finished = subprocess.run([self.program, "inspect", image], capture_output=True, text=True, check=True)
        (found,) = json.loads(finished.stdout)
        return dict(found)


def found_engine(wanted: str = "") -> str:
    """The engine named, or the first that is installed; raises `FileNotFoundError`."""
    for name in [wanted] if wanted else ENGINES:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(f"no container engine: expected {wanted or ' or '.join(ENGINES)} on the PATH")
