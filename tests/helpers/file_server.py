"""A real HTTP server for the files of a folder that answers ranges, and misbehaves as it is told."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class FileServer:
    """`faults`: one for each coming request for a file of that name, "" for none.

    "cut:N" sends N bytes and closes, "whole-cut:N" does so from the beginning, whatever was asked for, "503", "404" answer so, "whole" ignores the range, "other" sends another range
    than asked for, "to:ADDRESS" leads elsewhere. `asked`: (file, range) of every request. `version`: the files' ETag.
    """

    folder: Path
    address: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    version: str = "1"

    def bytes_sent_for(self, name: str) -> list[str]:
        """The ranges of the requests for one file."""
        return [wanted for file, wanted in self.asked if file == name]


@contextlib.contextmanager
def file_server(folder: Path) -> Iterator[FileServer]:
    """Serves `folder` on this machine for the length of the block."""
    served = FileServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            wanted = self.headers.get("Range", "")
            served.asked.append((name, wanted))
            waiting = served.faults.get(name, [])
            fault = waiting.pop(0) if waiting else ""
            path = served.folder / name
            if fault.startswith("to:"):
                self.send_response(302)
                self.send_header("Location", fault.removeprefix("to:"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault in ("503", "404") or not path.is_file():
                self.send_response(int(fault or 404))
                self.send_header("Content-Length", "0")
                self.send_header("Retry-After", "0")
                self.end_headers()
                return
            data = path.read_bytes()
            begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not fault.startswith("whole") else 0
            stated = begin + 1 if fault == "other" else begin
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(data) - begin))
            self.send_header("ETag", served.version)
            if begin:
                self.send_header("Content-Range", f"bytes {stated}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            body = data[begin:]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                if "cut:" in fault:
                    self.wfile.write(body[: int(fault.rpartition(":")[2])])
                    self.wfile.flush()
                    self.close_connection = True
                else:
                    self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
