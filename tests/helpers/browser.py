"""A headless Chromium that opens a page as a reader would: what it logged, what it asked for, what it drew.

It speaks DevTools over two pipes (`--remote-debugging-pipe`), so it needs no driver, no port and no library. Tests that
use it are skipped where no Chromium is installed (`apt-get install chromium`, or TRAFFIC_YOLO_CHROMIUM=/path/to/it).
"""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ANSWER_TIMEOUT_S = 300.0


def find_chromium() -> str | None:
    """The browser's program, or None."""
    named = os.environ.get("TRAFFIC_YOLO_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Seen:
    """What happened while a page was open."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class Browser:
    """One Chromium with one tab."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self._profile}"]
        command += ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        command += ["--disable-features=IsolateSandboxedIframes"]  # of this process, where DevTools sees inside
        command += ["--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "about:blank"]
        self._process = _spawn(command, to_read, to_write)
        self._buffer, self._next_id, self._session = b"", 0, ""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command and its answer; events that come before it are kept."""
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._next_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Seen:
        """Opens a page at a window size and waits until it is loaded."""
        self._events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self.call("Page.navigate", url=url)
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            if time.monotonic() > until:
                raise TimeoutError(f"{url} did not load")
            self._events.append(self._receive())
        self.run("document.fonts.ready.then(() => 1)")
        seen = Seen()
        for event in self._events:
            _note(seen, event)
        return seen

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page (a promise is waited for)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole_page: bool = True) -> None:
        """Writes a PNG of the page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """Ends the browser."""
        with contextlib.suppress(OSError, RuntimeError, EOFError):
            self._session = ""
            self.call("Browser.close")
        os.waitpid(self._process, 0)
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                raise EOFError("Chromium ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


def _spawn(command: list[str], to_read: int, to_write: int) -> int:
    """Starts Chromium, which reads commands from descriptor 3 and answers on 4; returns its process id."""
    # Out of the way of 3 and 4, which one of the pipes may have been given
    source, sink = (fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in (to_read, to_write))
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, source, 3),
        (os.POSIX_SPAWN_DUP2, sink, 4),
    ]
    try:
        return os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    finally:
        for descriptor in (to_read, to_write, source, sink):
            os.close(descriptor)


def _note(seen: Seen, event: dict[str, Any]) -> None:
    method, params = event.get("method"), event.get("params", {})
    if method == "Network.requestWillBeSent":
        url = params["request"]["url"]
        if not url.startswith("data:"):
            seen.requests.append(url)
    elif method == "Network.loadingFailed":
        seen.errors.append(f"not loaded: {params['errorText']}")
    elif method == "Runtime.exceptionThrown":
        seen.errors.append(params["exceptionDetails"]["text"])
    elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
        seen.errors.append(f"console.{params['type']}: {[value.get('value') for value in params['args']]}")
    elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
        seen.errors.append(params["entry"]["text"])


@contextlib.contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A browser for the time of the block."""
    browser = Browser(program)
    try:
        yield browser
    finally:
        browser.close()
