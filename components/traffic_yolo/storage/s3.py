"""Objects and prefixes of an S3 server (MinIO, SeaweedFS, Ceph, AWS), as a `Place`.

Every request that may be done again is (`s3_faults.py`, `retry.py`); minio's own retries are off. Our uploads carry
their SHA-256 as user metadata, since the ETag of a multipart upload is no checksum of the content.
"""

import functools
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from minio import Minio

from traffic_yolo.errors import AlreadyExistsError, ChangedMeanwhileError, ChecksumError, NotFoundError, StorageError
from traffic_yolo.storage.atomic import CHUNK_BYTES, atomic_file, sha256_of_file
from traffic_yolo.storage.cache_folder import cache_folder
from traffic_yolo.storage.local import LocalPlace
from traffic_yolo.storage.locations import S3Location, shown, unsafe_name
from traffic_yolo.storage.partial_file import partial_file
from traffic_yolo.storage.places import Listing, Skipped, StoredFile
from traffic_yolo.storage.retry import Attempts, retried
from traffic_yolo.storage.s3_faults import CutShortError, fault_of, is_code
from traffic_yolo.storage.s3_multipart import SINGLE_PUT_BYTES, multipart_upload
from traffic_yolo.storage.s3_settings import S3Settings

SHA256_KEY = "x-amz-meta-sha256"
WRITER_KEY = "x-amz-meta-writer"
Result = TypeVar("Result")
RESUMABLE_BYTES = 8 << 20  # below, starting again costs less than looking what is there


def connect(settings: S3Settings) -> Minio:
    """The client of this process for these settings; safe to share between threads."""
    return _client(settings, os.getpid())


class S3Place:
    """One key of one bucket: an object, or a prefix with objects below."""

    def __init__(self, location: S3Location, settings: S3Settings | None = None) -> None:
        self.location = location
        self.settings = settings or S3Settings.from_environment()
        self._client = connect(self.settings)
        self._prefix = f"{location.key}/" if location.key else ""

    def stat(self) -> StoredFile | None:
        """See `Place`; one HEAD request."""
        return self._retried(self._stat) if self.location.key else None

    def exists(self) -> bool:
        """See `Place`; one request, or two."""
        return self.stat() is not None or self._retried(lambda: next(self._list(""), None)) is not None

    def copy_path(self) -> Path:
        """See `Place`."""
        return cache_folder() / "s3" / self.settings.host / self.location.bucket / self.location.key

    def list_files(self, *, was_there: bool = False) -> Listing:
        """See `Place`. A page of the listing that fails is asked for again from where it stopped."""
        single = self.stat()
        if single:
            return Listing([single], [])
        files: list[StoredFile] = []
        skipped: list[Skipped] = []
        attempts = Attempts(str(self.location), fault_of)
        last = ""
        while True:
            try:
                for entry in self._list(last):
                    last = str(entry.object_name)
                    _sort_in(entry, last.removeprefix(self._prefix), files, skipped)
                break
            except Exception as error:
                attempts.failed(error)
        if was_there and not last:
            raise StorageError(f"{self.location}: nothing lies there any more; it was removed while it was listed")
        return Listing(sorted(files), sorted(skipped))

    def stream(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Place`. A broken connection is resumed where it stopped, unless the object was replaced meanwhile."""
        attempts = Attempts(str(self.location), fault_of)
        position, same = offset, ""
        end = None if length is None else offset + length
        while end is None or position < end:
            try:
                for etag, chunk in self._chunks(position, end, same):
                    same = etag
                    position += len(chunk)
                    attempts.progressed()
                    yield chunk
                return
            except Exception as error:
                attempts.failed(error)

    def fetch(self, target: Path, sha256: str) -> StoredFile:
        """See `Place`. A large object that was cut off, by a kill too, goes on where it stopped."""
        return self._retried(lambda: self._fetch(target, sha256))

    def put(self, source: bytes | Path) -> StoredFile:
        """See `Place`. Above 16 MiB in parts, which are resumed after a kill."""
        self._require_key()
        if isinstance(source, Path):
            size = _size_of(source)
            if size > SINGLE_PUT_BYTES:
                sha256 = sha256_of_file(source)
                multipart_upload(self._client, self.settings, self.location, source, sha256, {SHA256_KEY: sha256})
                return self._written(size, sha256)
            source = b"".join(LocalPlace(source).stream())
        data, sha256 = source, hashlib.sha256(source).hexdigest()
        headers = _headers({SHA256_KEY: sha256})
        self._retried(lambda: self._client._put_object(self.location.bucket, self.location.key, data, dict(headers)))
        return self._written(len(data), sha256)

    def remove(self) -> None:
        """See `Place`."""
        self._require_key()
        self._retried(lambda: self._client.remove_object(self.location.bucket, self.location.key))

    def put_new(self, data: bytes) -> StoredFile:
        """See `Place`; by `If-None-Match: *`, which the server must know (docs/storage.md)."""
        self._require_key()
        sha256, writer = hashlib.sha256(data).hexdigest(), uuid.uuid4().hex

        def write() -> None:
            headers = _headers({SHA256_KEY: sha256, WRITER_KEY: writer, "If-None-Match": "*"})
            try:
                self._client._put_object(self.location.bucket, self.location.key, data, headers)
            except Exception as error:
                if not is_code(error, "PreconditionFailed"):
                    raise
                # An earlier attempt of ours may have come through although its answer did not
                if self._head().headers.get(WRITER_KEY) != writer:
                    raise AlreadyExistsError("exists already") from error

        self._retried(write)
        return self._written(len(data), sha256)

    def put_if_unchanged(self, data: bytes, before: StoredFile | None) -> None:
        """See `Place`; by `If-Match`, or `If-None-Match: *`, which the server must know (docs/storage.md)."""
        self._require_key()
        head = self._retried(self._find)
        # Ceph 16 compares the ETag with the header as it stands; the standard wants quotation marks
        conditions = [{"If-Match": f'"{head.etag}"'}, {"If-Match": head.etag}] if head else [{"If-None-Match": "*"}]
        same = (head and head.stored.identity) == (before and before.identity)
        if not same or not any(self._put_if(data, condition) for condition in conditions):
            raise ChangedMeanwhileError(f"{self.location}: was changed by another writer")

    def _put_if(self, data: bytes, condition: dict[str, str]) -> bool:
        """Whether a conditional write came through."""
        sha256, writer = hashlib.sha256(data).hexdigest(), uuid.uuid4().hex
        headers = _headers({SHA256_KEY: sha256, WRITER_KEY: writer, **condition})

        def write() -> bool:
            try:
                self._client._put_object(self.location.bucket, self.location.key, data, dict(headers))
            except Exception as error:
                if not is_code(error, "PreconditionFailed", "NoSuchKey"):
                    raise
                now = self._find()  # an earlier attempt of ours may have come through although its answer did not
                return now is not None and now.headers.get(WRITER_KEY) == writer
            return True

        return self._retried(write)

    def _list(self, start_after: str) -> Iterator[Any]:
        found: Iterator[Any] = self._client.list_objects(
            self.location.bucket, prefix=self._prefix, recursive=True, start_after=start_after or None
        )
        return found

    def _require_key(self) -> None:
        if not self.location.key:
            raise StorageError(f"{self.location}: names a bucket; expected s3://bucket/key")

    def _written(self, size: int, sha256: str) -> StoredFile:
        """What lies there now; `StorageError` where another writer was faster, or the server lost it."""
        stored = self.stat()
        if stored is None or stored.size != size or stored.sha256 != sha256:
            found = "nothing" if stored is None else f"{stored.size} bytes with SHA-256 {stored.sha256 or 'unknown'}"
            raise StorageError(
                f"{self.location}: {size} bytes with SHA-256 {sha256} were written, {found} lies there now; "
                "another writer, or a proxy that drops user metadata?"
            )
        return stored

    def _retried(self, operation: Callable[[], Result]) -> Result:
        return retried(operation, str(self.location), fault_of)

    def _head(self) -> "_Head":
        found = self._client.stat_object(self.location.bucket, self.location.key)
        headers = {name.lower(): value for name, value in (found.metadata or {}).items()}
        stored = _stored(found, self.location.key.rpartition("/")[2])._replace(sha256=headers.get(SHA256_KEY, ""))
        return _Head(stored, str(found.etag), headers)

    def _stat(self) -> StoredFile | None:
        head = self._find()
        return head.stored if head else None

    def _find(self) -> "_Head | None":
        try:
            return self._head()
        except Exception as error:
            if is_code(error, "AccessDenied"):
                self._say_why_denied()
            if not is_code(error, "NoSuchKey", "NoSuchObject"):
                raise
        # A HEAD that answers 404 does not say whether object or bucket is missing
        if not self._client.bucket_exists(self.location.bucket):
            raise NotFoundError("no such bucket; check its name, or make it")
        return None

    def _say_why_denied(self) -> None:
        """Raises what a GET is told: the answer to a HEAD has no body, so a wrong secret looks like a missing right."""
        response = self._client.get_object(self.location.bucket, self.location.key, length=1)
        response.close()
        response.release_conn()

    def _fetch(self, target: Path, sha256: str) -> StoredFile:
        head = self._find()
        if head is None:
            raise NotFoundError("object not found")
        size = head.stored.size
        expected = sha256 or head.stored.sha256
        digest = hashlib.sha256()
        # An ETag is the MD5 of the content unless the object came in parts or is encrypted with a key of its own
        md5 = hashlib.md5(usedforsecurity=False) if not expected and head.etag_is_md5 else None
        hashes = [digest, md5] if md5 else [digest]
        opened = partial_file(target, head.stored.identity) if size >= RESUMABLE_BYTES else atomic_file(target, "w+b")
        with opened as file:
            while kept := file.read(CHUNK_BYTES):
                for running in hashes:
                    running.update(kept)
            position = file.tell()
            for _, chunk in self._chunks(position, None, head.etag) if position < size else ():
                file.write(chunk)
                position += len(chunk)
                for running in hashes:
                    running.update(chunk)
            if position != size:
                raise CutShortError(f"{position} of {size} bytes came")
            if expected and digest.hexdigest() != expected:
                raise ChecksumError(f"expected SHA-256 {expected}, found {digest.hexdigest()}")
            if md5 and md5.hexdigest() != head.etag:
                raise ChecksumError(f"expected MD5 {head.etag}, found {md5.hexdigest()}")
        return head.stored._replace(sha256=digest.hexdigest())

    def _chunks(self, position: int, end: int | None, etag: str) -> Iterator[tuple[str, bytes]]:
        """ETag and chunk, from `position` to before `end`, of the object that has this ETag (empty: of any)."""
        try:
            response = self._client.get_object(
                self.location.bucket,
                self.location.key,
                offset=position,
                length=0 if end is None else end - position,
                request_headers={"If-Match": f'"{etag}"'} if etag else None,
            )
        except Exception as error:
            if is_code(error, "PreconditionFailed"):
                raise ChangedMeanwhileError("replaced while it was read") from error
            if is_code(error, "InvalidRange"):
                return
            if is_code(error, "NoSuchKey"):
                raise NotFoundError("object not found") from error
            raise
        try:
            etag = response.headers.get("etag", "").strip('"')
            left = int(response.headers["content-length"])
            for chunk in response.stream(CHUNK_BYTES, decode_content=False):
                left -= len(chunk)
                yield etag, chunk
            if left:
                raise CutShortError(f"the connection ended {left} bytes early")
        finally:
            response.close()
            response.release_conn()


@dataclass(frozen=True)
class _Head:
    stored: StoredFile
    etag: str
    headers: dict[str, str]

    @property
    def etag_is_md5(self) -> bool:
        encrypted = "aws:kms" in self.headers.get("x-amz-server-side-encryption", "")
        own_key = "x-amz-server-side-encryption-customer-algorithm" in self.headers
        return len(self.etag) == 32 and not encrypted and not own_key


def _stored(found: Any, name: str) -> StoredFile:
    """The client's answer about one object, as ours."""
    modified_ns = int(found.last_modified.timestamp() * 1000) * 1_000_000 if found.last_modified else 0
    identity = hashlib.sha256(f"{found.size} {str(found.etag).strip(chr(34))} {modified_ns // 10**9}".encode()).digest()
    return StoredFile(name, int(found.size or 0), modified_ns, identity)


def _sort_in(found: Any, name: str, files: list[StoredFile], skipped: list[Skipped]) -> None:
    """Puts one entry of a listing where it belongs; markers of folders and hidden names are left out."""
    if name.endswith("/") or name == "" or any(part.startswith(".") and part.strip(".") for part in name.split("/")):
        return
    if reason := unsafe_name(name):
        skipped.append(Skipped(shown(name), reason))
    else:
        files.append(_stored(found, name))


def _size_of(source: Path) -> int:
    stored = LocalPlace(source).stat()
    if stored is None:
        raise NotFoundError(f"{shown(str(source))}: file not found")
    return stored.size


def _headers(own: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", **own}


@functools.lru_cache(maxsize=8)
def _client(settings: S3Settings, process: int) -> Minio:  # noqa: ARG001 (a part of the cache's key)
    """One client for each process: a connection must not be shared across a fork."""
    http_client = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=max(1.0, settings.timeout_s / 5), read=settings.timeout_s),
        maxsize=16,
        cert_reqs="CERT_REQUIRED",
        ca_certs=settings.ca_bundle or None,  # None: the system's own
        retries=urllib3.Retry(total=False, redirect=False),
    )
    return Minio(
        settings.host,
        access_key=settings.access_key or None,
        secret_key=settings.secret_key or None,
        session_token=settings.session_token or None,
        secure=settings.secure,
        region=settings.region,
        http_client=http_client,
    )
