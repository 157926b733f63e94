"""A file from an HTTP server: goes on where it was cut, is held to size and checksum, and appears whole or not at all.

Proxies are those of the environment (`https_proxy`, `no_proxy`). An address is no location: nothing else reads one.
"""

import hashlib
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import urllib3
from tqdm import tqdm

from traffic_yolo.errors import ChecksumError, StorageError
from traffic_yolo.progress import progress_bar
from traffic_yolo.storage.atomic import CHUNK_BYTES
from traffic_yolo.storage.locations import AnyPath, output_path, shown
from traffic_yolo.storage.partial_file import partial_file
from traffic_yolo.storage.retry import Attempts, Fault

TIMEOUT_S = urllib3.Timeout(connect=15.0, read=60.0)
PASSING_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Downloaded:
    """`sha256`: of what came, hexadecimal; `size`: in bytes; `resumed_at`: how many of them were there before."""

    sha256: str
    size: int
    resumed_at: int


class _StatusError(Exception):
    """An answer that is no file; `passes`: whether it is worth another attempt."""

    def __init__(self, reason: str, *, passes: bool = False, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.fault = Fault(reason, passes, wait_s)


def download(address: str, target: AnyPath, *, size: int, sha256: str = "") -> Downloaded:
    """Writes the file at `address` (https:// or http://) to the path `target`, which appears when it is whole.

    `size`: its bytes, `sha256`: its checksum where one is known. What a cut connection, a kill or a full disk leaves is
    kept beside the target and continued the next time, where the server still has the same file. Raises
    `ChecksumError` for another size or checksum, and leaves nothing then; `StorageError` for an address that answers
    otherwise, after `TRAFFIC_YOLO_STORAGE_ATTEMPTS` attempts where the fault may pass.
    """
    if not address.startswith(("https://", "http://")):
        raise StorageError(f"{shown(address)}: expected an address that begins with https://")
    path = output_path(target)
    try:
        with _pool(address) as pool:
            return _Download(pool, address, size, sha256).into(path)
    except (urllib3.exceptions.HTTPError, UnicodeError) as error:  # an address that is none
        raise StorageError(f"{shown(address)}: {_reason(error)}") from error


class _Download:
    def __init__(self, pool: Any, address: str, size: int, sha256: str) -> None:
        self._pool, self._address, self._size, self._sha256 = pool, address, size, sha256
        self._attempts = Attempts(shown(address), _fault_of)

    def into(self, path: Path) -> Downloaded:
        # Without a checksum, only what the server calls the same file is continued
        identity = bytes.fromhex(self._sha256) if self._sha256 else self._version()
        with partial_file(path, identity) as file:
            resumed_at = self._fill(file)
            size, found = _content_of(file)
            if resumed_at and self._refusal(size, found):  # what lay there may be at fault, not what came
                file.seek(0)
                file.truncate()
                resumed_at = self._fill(file)
                size, found = _content_of(file)
            if refusal := self._refusal(size, found):
                raise self._wrong(refusal)
        return Downloaded(found, size, resumed_at)

    def _refusal(self, size: int, sha256: str) -> str:
        """What is wrong with a whole file; "" where nothing is."""
        if size != self._size:
            return f"expected {self._size:,} bytes, found {size:,}"
        if self._sha256 and sha256 != self._sha256:
            return f"expected SHA-256 {self._sha256}, found {sha256}"
        return ""

    def _fill(self, file: IO[bytes]) -> int:
        """Writes what is missing; how many bytes were there before."""
        resumed_at = furthest = begin = file.seek(0, 2)
        bar: tqdm[bytes] = progress_bar(description=self._address.rsplit("/", 1)[-1], unit="B", total=self._size)
        with bar:
            bar.update(begin)
            while begin < self._size:
                try:
                    response = self._ask(begin)
                    try:
                        if response.status == 200 and begin:  # the server knows no ranges: from the beginning
                            bar.update(-begin)
                            resumed_at = begin = 0
                        file.seek(begin)
                        file.truncate()
                        for chunk in _chunks(response):
                            if begin + len(chunk) > self._size:
                                raise self._wrong(f"expected {self._size:,} bytes, and more came")
                            file.write(chunk)
                            begin += len(chunk)
                            bar.update(len(chunk))
                            if begin > furthest:  # a server that sends the beginning again and again gets nowhere
                                furthest = begin
                                self._attempts.progressed()
                    finally:
                        response.close()
                    if begin < self._size:
                        raise self._wrong(f"expected {self._size:,} bytes, found {begin:,}")
                except (urllib3.exceptions.HTTPError, _StatusError) as error:
                    file.flush()  # what came is kept, whatever follows
                    self._attempts.failed(error)
        return resumed_at

    def _ask(self, begin: int) -> Any:
        """The answer with the bytes from `begin`, or from 0 where the server says 200."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begin}-"} if begin else {})}
        response = self._pool.request(
            "GET", self._address, headers=headers, preload_content=False, redirect=True, retries=_redirects()
        )
        try:
            self._check(response, begin)
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, response: Any, begin: int) -> None:
        led_to = [each.redirect_location or "" for each in response.retries.history] if response.retries else []
        if self._address.startswith("https://") and any(each.startswith("http://") for each in led_to):
            raise _StatusError("the server leads to an address without encryption")
        if response.status not in (200, 206):
            known = {
                401: "not allowed (401)",
                403: "not allowed (403)",
                404: "nothing there (404)",
                416: "the server has less of it than is here already (416)",
            }
            reason = known.get(response.status, f"the server answered {response.status}")
            wait = response.headers.get("Retry-After", "")
            raise _StatusError(
                reason, passes=response.status in PASSING_STATUSES, wait_s=float(wait) if wait.isdigit() else 0.0
            )
        length = response.headers.get("Content-Length", "")
        if response.status == 200:
            total = length
        else:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != begin:
                raise _StatusError("the server sent another part of the file than was asked for")
            total = match[2]
        if total.isdigit() and int(total) != self._size:
            raise self._wrong(f"expected {self._size:,} bytes, the server has {int(total):,}")

    def _version(self) -> bytes:
        """What tells one file at the address from the next: the server's own words on it."""
        while True:
            try:
                response = self._ask(0)
            except (urllib3.exceptions.HTTPError, _StatusError) as error:
                self._attempts.failed(error)
                continue
            words = [response.headers.get(name, "") for name in ("ETag", "Last-Modified")]
            response.close()
            return hashlib.sha256("\n".join([self._address, str(self._size), *words]).encode()).digest()

    def _wrong(self, reason: str) -> ChecksumError:
        return ChecksumError(f"{shown(self._address)}: {reason}; it is not the published file")


def _content_of(file: IO[bytes]) -> tuple[int, str]:
    """(bytes, SHA-256) of an open file."""
    file.seek(0)
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _chunks(response: Any) -> Iterator[bytes]:
    """The body; `ProtocolError` where the connection ends before what was promised."""
    yield from response.stream(CHUNK_BYTES, decode_content=False)


def _redirects() -> urllib3.Retry:
    return urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)


def _pool(address: str) -> Any:
    parts = urllib3.util.parse_url(address)
    proxy = urllib.request.getproxies().get(parts.scheme or "", "")
    if proxy and not urllib.request.proxy_bypass(parts.host or ""):
        return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", timeout=TIMEOUT_S)
    return urllib3.PoolManager(timeout=TIMEOUT_S)


def _fault_of(error: Exception) -> Fault | None:
    if isinstance(error, _StatusError):
        return error.fault
    if isinstance(error, urllib3.exceptions.HTTPError):
        passes = not isinstance(error, urllib3.exceptions.LocationValueError | urllib3.exceptions.SSLError)
        return Fault(_reason(error), passes)
    return None


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None) or error
    if isinstance(inner, urllib3.exceptions.NameResolutionError):
        return "the name of the server is not known; take the file from elsewhere where the net is closed"
    if isinstance(inner, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
        return "no connection to the server"
    if isinstance(inner, urllib3.exceptions.SSLError):
        return "its certificate is not trusted; name your authority in SSL_CERT_FILE"
    if isinstance(inner, urllib3.exceptions.ReadTimeoutError):
        return "the server went silent"
    if isinstance(inner, urllib3.exceptions.LocationParseError):
        return "this is no address"
    return "the connection was cut" if isinstance(inner, urllib3.exceptions.ProtocolError) else type(inner).__name__
