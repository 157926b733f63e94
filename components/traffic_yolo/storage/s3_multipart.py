"""Uploads in parts: each part is tried again by itself, and an upload that a kill interrupted goes on.

What a later process needs for that (the upload's id) is kept in a small file of the local cache. minio's public call
cannot resume, so its requests are used one by one; setup.cfg bounds minio's version, and tests/storage runs them all.
"""

import concurrent.futures
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from minio import Minio
from minio.datatypes import Part

from traffic_yolo.errors import ChangedMeanwhileError, StorageError
from traffic_yolo.storage.atomic import storage_error, write_json
from traffic_yolo.storage.cache_folder import cache_folder
from traffic_yolo.storage.documents import json_value
from traffic_yolo.storage.locations import S3Location
from traffic_yolo.storage.retry import retried
from traffic_yolo.storage.s3_faults import CutShortError, fault_of, is_code
from traffic_yolo.storage.s3_settings import S3Settings

MEBIBYTE = 1 << 20
SINGLE_PUT_BYTES = 16 * MEBIBYTE  # below, one request; AWS advises parts of 8 to 16 MiB
MAX_PARTS = 10_000  # of S3
PARALLEL_PARTS = 4  # 64 MiB in memory

Result = TypeVar("Result")


@dataclass(frozen=True)
class UploadState:
    """What an interrupted upload needs to go on; valid for one content alone."""

    upload_id: str
    sha256: str
    size: int
    part_bytes: int


def part_bytes_of(size: int) -> int:
    """Bytes of a part: 16 MiB, or as many whole MiB as keep the number of parts within 10,000."""
    needed = -(-size // MAX_PARTS)
    return max(SINGLE_PUT_BYTES, -(-needed // MEBIBYTE) * MEBIBYTE)


def multipart_upload(
    client: Minio, settings: S3Settings, location: S3Location, source: Path, sha256: str, metadata: Mapping[str, str]
) -> None:
    """Uploads `source`, whose checksum is `sha256`. Raises `StorageError` where the file is another one by now.

    An upload that fails is kept on the server for the next attempt (a lifecycle rule of the bucket should abort old
    ones); parts that are there are compared by their MD5 and not sent again.
    """
    size = source.stat().st_size
    state_path = _state_path(settings, location)
    state = _old_state(client, location, state_path, UploadState("", sha256, size, part_bytes_of(size)))
    if state is None:
        headers = {**metadata, "Content-Type": "application/octet-stream"}
        upload_id = _retried(
            location, lambda: client._create_multipart_upload(location.bucket, location.key, dict(headers))
        )
        state = UploadState(upload_id, sha256, size, part_bytes_of(size))
        write_json(state_path, asdict(state))
    there = _retried(location, lambda: _parts_there(client, location, state.upload_id))
    parts = _send_parts(client, location, source, state, there)

    def complete() -> None:
        try:
            answer = client._complete_multipart_upload(location.bucket, location.key, state.upload_id, parts)
        except Exception as error:
            if is_code(error, "NoSuchUpload") and _is_there(client, location, sha256):
                return  # an earlier attempt came through although its answer did not
            raise
        if (
            not answer.bucket_name
        ):  # S3 may answer 200 and say in the body that it failed (Ceph 16 leaves the ETag empty)
            raise CutShortError("the server did not put the parts together")

    _retried(location, complete)
    state_path.unlink(missing_ok=True)


def _send_parts(
    client: Minio, location: S3Location, source: Path, state: UploadState, there: Mapping[int, str]
) -> list[Part]:
    """Sends what is not there yet, a few parts at once, and checks that the file is still the one that was hashed."""

    def send(number: int, data: bytes) -> str:
        if there.get(number) == hashlib.md5(data, usedforsecurity=False).hexdigest():
            return there[number]
        return str(
            _retried(
                location,
                lambda: client._upload_part(location.bucket, location.key, data, None, state.upload_id, number),
            )
        )

    digest = hashlib.sha256()
    etags: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(PARALLEL_PARTS) as pool:
        pending: list[concurrent.futures.Future[str]] = []
        for number, data in enumerate(_blocks(source, state.part_bytes), start=1):
            digest.update(data)
            pending.append(pool.submit(send, number, data))
            if len(pending) == PARALLEL_PARTS:
                etags.append(pending.pop(0).result())
        etags += [future.result() for future in pending]
    if digest.hexdigest() != state.sha256:
        _abort(client, location, state.upload_id)
        raise ChangedMeanwhileError(f"{source}: changed while it was uploaded to {location}; upload it again")
    return [Part(number, etag) for number, etag in enumerate(etags, start=1)]


def _blocks(source: Path, size: int) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            while data := file.read(size):
                yield data
    except OSError as error:
        raise storage_error(error, source) from error


def _old_state(client: Minio, location: S3Location, path: Path, wanted: UploadState) -> UploadState | None:
    """The interrupted upload of the same content; one of another content is aborted (it is ours)."""
    try:
        state = UploadState(**json_value(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    if (state.sha256, state.size, state.part_bytes) == (wanted.sha256, wanted.size, wanted.part_bytes):
        try:
            _retried(location, lambda: _parts_there(client, location, state.upload_id))
        except StorageError:
            return None  # the server has forgotten it
        return state
    _abort(client, location, state.upload_id)
    return None


def _parts_there(client: Minio, location: S3Location, upload_id: str) -> dict[int, str]:
    """Part number -> ETag of what the server has of an upload."""
    found: dict[int, str] = {}
    marker: str | None = None
    while True:
        answer = client._list_parts(location.bucket, location.key, upload_id, part_number_marker=marker)
        found.update({int(part.part_number): str(part.etag).strip('"') for part in answer.parts})
        if not answer.is_truncated:
            return found
        marker = str(answer.next_part_number_marker)


def _is_there(client: Minio, location: S3Location, sha256: str) -> bool:
    found = client.stat_object(location.bucket, location.key)
    return sha256 in (found.metadata or {}).values()


def _abort(client: Minio, location: S3Location, upload_id: str) -> None:
    with contextlib.suppress(Exception):  # it may be gone already; a lifecycle rule does the rest
        client._abort_multipart_upload(location.bucket, location.key, upload_id)


def _state_path(settings: S3Settings, location: S3Location) -> Path:
    name = hashlib.sha256(f"{settings.url}\0{location.bucket}\0{location.key}\0{os.getuid()}".encode()).hexdigest()
    return cache_folder() / "uploads" / f"{name}.json"


def _retried(location: S3Location, operation: Callable[[], Result]) -> Result:
    return retried(operation, str(location), fault_of)
