"""A camera that speaks RTSP, for tests: it asks for a password and sends an MPEG transport stream over the connection.

RFC 2326 (RTSP 1.0) with RTP in the same TCP connection (its section 10.12), RFC 2250 for a transport stream in RTP.
"""

import base64
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

PACKET = 188  # bytes of a packet of a transport stream
PACKETS = 7  # in a message
DESCRIPTION = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=street\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\nc=IN IP4 0.0.0.0\r\na=control:track0\r\n"


@contextlib.contextmanager
def rtsp_server(
    script: Callable[[int], bytes], *, user: str = "viewer", password: str = "secret"
) -> Iterator[tuple[str, list[str]]]:
    """(its address without the password, the methods that were asked for).

    Its n-th play (from 0) sends the transport stream `script(n)` and then ends the connection; an empty one is no
    stream: 404.
    """
    plays, asked = iter(range(1000)), []
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def serve(connection: socket.socket) -> None:
        stream = b""
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):  # the reader has gone
            while request := _request(lines):
                method, address, headers = request
                asked.append(method)
                status, more, body = "200 OK", "", ""
                if headers.get("authorization") != expected:
                    status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="street"\r\n'
                elif method == "DESCRIBE":
                    stream = script(next(plays))
                    status, body = ("200 OK", DESCRIPTION) if stream else ("404 Not Found", "")
                    more = f"Content-Type: application/sdp\r\nContent-Base: {address}/\r\n"
                elif method == "SETUP":
                    more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                head = f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
                connection.sendall((head + body).encode())
                if method == "PLAY":
                    for message in _messages(stream):
                        connection.sendall(message)
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):  # the server is closed
                while True:
                    connection, _ = server.accept()
                    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                    threads[-1].start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}/street", asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for each in (thread, *threads):
                each.join(timeout=10)


def _request(lines: BinaryIO) -> tuple[str, str, dict[str, str]] | None:
    """(method, address, headers in small letters); None where the connection ended."""
    head = []
    while (line := lines.readline().strip()) or not head:
        if not line:
            return None
        head.append(line.decode())
    method, address, _ = head[0].split()
    return method, address, {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in head)}


def _messages(stream: bytes) -> Iterator[bytes]:
    """RTP packets of a transport stream (payload type 33), each behind "$", its channel and its length."""
    size = PACKETS * PACKET
    for number, start in enumerate(range(0, len(stream), size)):
        packet = struct.pack("!BBHII", 0x80, 33, number & 0xFFFF, number * 900, 1) + stream[start : start + size]
        yield b"$\0" + struct.pack("!H", len(packet)) + packet
