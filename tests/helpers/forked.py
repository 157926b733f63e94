"""Processes that share one loading of the modules they need: torch takes longer to load than a tiny training to run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE_S = 300

# Loads modules, then forks for each line of its input, or waits for one that it forked. No training has run in it, so
# that a child may run one: torch's autograd does not survive a fork.
SERVER = """
import importlib, json, os, signal, sys, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
print("loaded", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        pid, status = os.waitpid(asked["wait"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if pid else "running", flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    for stream, path in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in its background ignore it
    os.environ.update(asked["env"])
    sys.argv, code = ["forked", *asked["arguments"]], 0
    try:
        exec(compile(asked["code"], "forked", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
"""


class Forked:
    """One process of `Forks`."""

    def __init__(self, forks: "Forks", pid: int, out: Path, err: Path) -> None:
        self._forks, self.pid, self._out, self._err = forks, pid, out, err

    def send_signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit code, or less than 0 where a signal ended it, as `PATIENCE_S` does."""
        until = time.monotonic() + PATIENCE_S
        while (answer := self._forks.ask({"wait": self.pid})) == "running":
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
        return int(answer)

    def output(self) -> tuple[str, str]:
        """What it wrote to stdout and stderr up to now."""
        return self._out.read_text(), self._err.read_text()


class Forks:
    """A process with `modules` loaded, whose forks are processes of their own; their output lies in `folder`.

    Leaving the context ends the process, but no fork of it: wait for those.
    """

    def __init__(self, folder: Path, *modules: str) -> None:
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Forks":
        assert self._answer() == "loaded"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()

    def start(self, code: str, arguments: Sequence[object] = (), env: Mapping[str, str] | None = None) -> Forked:
        """Runs a program with `sys.argv[1:]` and more environment variables."""
        self._count += 1
        out, err = (self._folder / f"forked-{self._count}.{name}" for name in ("out", "err"))
        given = {"code": code, "arguments": [str(each) for each in arguments], "env": dict(env or {})}
        return Forked(self, int(self.ask({**given, "out": str(out), "err": str(err)})), out, err)

    def ask(self, question: Mapping[str, Any]) -> str:
        """The answer of one line."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()
