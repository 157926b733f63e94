"""An HTTP proxy between a client and a server that breaks what it is told to break, request by request."""

import contextlib
import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Faults: before the server sees the request; after it has done the work; in the answer's body
FAULTS = (
    "status_500",
    "slow_down",
    "gateway_page",
    "reset",
    "hang",
    "lost_answer",
    "short_body",
    "wrong_body",
    "wrong_request",
)
HANG_S = 10.0

Chooser = Callable[[str, str], str]  # method and path -> a fault, or "" to pass the request on


class FaultProxy:
    """A running proxy. `choose` may be replaced at any time; `counts`: how often each fault was used."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.choose: Chooser = lambda _method, _path: ""
        self.counts: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.host = ""

    def fail_next(self, *faults: str, only: str = "") -> None:
        """Uses up these faults on the next requests (of one method, where `only` says so), then passes all on."""
        left, lock = list(faults), threading.Lock()

        def choose(method: str, _path: str) -> str:
            with lock:
                return left.pop(0) if left and only in ("", method) else ""

        self.choose = choose

    def fail_at_random(self, *, seed: int, share: float, faults: tuple[str, ...] = FAULTS) -> None:
        """Breaks a share of all requests."""
        generator, lock = random.Random(seed), threading.Lock()

        def choose(_method: str, _path: str) -> str:
            with lock:
                return generator.choice(faults) if generator.random() < share else ""

        self.choose = choose


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy to the server at `upstream` (host:port), on a port of its own."""
    proxy = FaultProxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.choose(self.command, self.path)
            proxy.requests.append((self.command, self.path))
            if fault:
                proxy.counts[fault] += 1
            _answer(self, proxy, body, fault)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:
            pass  # a client that hangs up is what this is for

    server = Server(("127.0.0.1", 0), Handler)
    proxy.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, proxy: FaultProxy, body: bytes, fault: str) -> None:
    if fault == "reset":
        return _reset(handler)
    if fault == "hang":
        time.sleep(HANG_S)
        return _reset(handler)
    if fault == "status_500":
        return _send(handler, 500, _error("InternalError"), {"Content-Type": "application/xml"})
    if fault == "slow_down":
        return _send(handler, 503, _error("SlowDown"), {"Content-Type": "application/xml"})
    if fault == "gateway_page":
        return _send(handler, 502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
    if fault == "wrong_request" and body:
        body = _flip(body)
    connection = http.client.HTTPConnection(proxy.upstream, timeout=30)
    try:
        connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        headers = {n: v for n, v in answer.getheaders() if n.lower() not in ("transfer-encoding", "connection")}
    finally:
        connection.close()
    if fault == "lost_answer":
        return _reset(handler)
    if fault == "wrong_body" and data and not data.startswith(b"<"):
        data = _flip(data)
    if fault == "short_body" and len(data) > 1:
        return _send(
            handler, answer.status, data[: len(data) // 2], headers | {"Content-Length": str(len(data))}, cut=True
        )
    if handler.command != "HEAD":
        headers = {n: v for n, v in headers.items() if n.lower() != "content-length"} | {
            "Content-Length": str(len(data))
        }
    return _send(handler, answer.status, data, headers)


def _send(
    handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], *, cut: bool = False
) -> None:
    handler.send_response_only(status)
    names = {name.lower() for name in headers}
    for name, value in headers.items():
        handler.send_header(name, value)
    if "content-length" not in names:
        handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)
    if cut:
        handler.wfile.flush()
        handler.close_connection = True


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """Closes with RST, as a server that dies does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
