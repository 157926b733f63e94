"""What a location says (a plain path, `file:///path`, `nas://share/path`, `s3://bucket/key`), and which names are safe.

Touches no file. A name is relative, with '/' between its parts; one that could lead out of its folder is refused. A
location is text or a path object; only text can carry a scheme.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.messages import one_line

NAS_ROOT_VARIABLE = "TRAFFIC_YOLO_NAS_ROOT"
AnyPath = str | os.PathLike[str]
SCHEMES = ("file", "nas", "s3")
# What `Path("nas://x")` leaves of its scheme: it would name a folder `nas:` here, which nobody means
SQUASHED = re.compile(rf"(?P<scheme>{'|'.join(SCHEMES)}):(?:/(?!/)(?P<rest>.*))?", re.DOTALL)
S3_PREFIX = "s3://"
MAX_PART_BYTES = 255  # NAME_MAX of Linux
MAX_KEY_BYTES = 1024  # of S3
shown = one_line  # a location in a message is never cut, as a value is
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key in it; the empty key stands for the whole bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return shown(f"{S3_PREFIX}{self.bucket}/{self.key}")


def location_text(location: AnyPath) -> str:
    """A location as text. Raises `StorageError` for an empty one, and for a path object that swallowed a scheme."""
    text = os.fspath(location)
    if not text:
        raise StorageError("the location is empty; expected a path, file://, nas:// or s3://")
    if squashed := SQUASHED.fullmatch(text):
        scheme, rest = squashed["scheme"], squashed["rest"] or ""
        expected = f"expected text with two slashes, {shown(f'{scheme}://{rest}')}"
        raise StorageError(f"{shown(text)}: {expected}; a path object cannot hold a location with a scheme")
    return text


def check_location(location: AnyPath) -> None:
    """Raises `StorageError` for what can be no location, as far as text and environment say: nothing is looked for.

    That is an unknown scheme, `nas://` without a root that is there, `s3://` without a bucket, a NUL byte, nothing.
    """
    text = location_text(location)
    if is_s3(text):
        parse_s3(text)
    else:
        local_path(text)


def check_scheme(location: AnyPath) -> None:
    """`check_location` for a location of another machine: the root of `nas://` is that machine's matter."""
    text = location_text(location)
    if not text.startswith("nas://") or "\0" in text:
        check_location(text)


def output_path(location: AnyPath) -> Path:
    """`local_path` of something to write; `StorageError` for object storage, where a folder cannot appear whole."""
    text = location_text(location)
    if is_s3(text):
        parse_s3(text)
        advice = "write to a path or nas://, then `traffic-yolo storage sync` the folder or `storage put` the file"
        raise StorageError(f"{shown(text)}: no output can be written into object storage; {advice}")
    return local_path(text)


def is_s3(location: AnyPath) -> bool:
    """Whether a location lies in object storage."""
    return os.fspath(location).startswith(S3_PREFIX)


def parse_s3(location: str) -> S3Location:
    """Bucket and key of `s3://bucket/key`, taken literally: '%20' stays three characters, a trailing '/' goes.

    Raises `StorageError` for a location without a bucket, or a key that would not be safe as a path.
    """
    bucket, _, key = location.removeprefix(S3_PREFIX).partition("/")
    if not is_s3(location) or not bucket:
        raise StorageError(f"{shown(location)}: expected s3://bucket/key")
    if not BUCKET.fullmatch(bucket) or ".." in bucket:
        raise StorageError(f"{shown(location)}: {bucket!r} is no name of a bucket; expected s3://bucket/key")
    key = key.removesuffix("/")
    if key and (reason := unsafe_name(key)):
        raise StorageError(f"{shown(location)}: {reason}")
    if len(key.encode(errors="surrogateescape")) > MAX_KEY_BYTES:
        raise StorageError(f"{shown(location)}: the key is longer than the {MAX_KEY_BYTES} bytes of S3")
    return S3Location(bucket, key)


def local_path(location: AnyPath) -> Path:
    """The path on this machine of a plain path, `file:///path`, or `nas://share/path`.

    `nas://` is resolved below the folder named by `TRAFFIC_YOLO_NAS_ROOT` (on a cluster, the mounted claim). Raises
    `StorageError` for another scheme, a missing root, or a path that leaves the root by `..` or by a link.
    """
    location = location_text(location)
    if "\0" in location:
        raise StorageError(f"{shown(location)}: the path has a NUL byte")
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Path(location)
    if scheme == "file":
        if not rest.startswith("/"):
            raise StorageError(f"{shown(location)}: expected an absolute path, file:///folder/file")
        return Path(rest)
    if scheme == "nas":
        return _nas_path(location, rest)
    if scheme == "s3":
        raise StorageError(f"{shown(location)}: this needs a path, not object storage; `traffic-yolo storage fetch` it")
    raise StorageError(f"{shown(location)}: unknown scheme {scheme!r}; expected a path, file://, nas:// or s3://")


def join(location: AnyPath, *names: str) -> str:
    """The location of `names` below `location`; `StorageError` for a name that is not safe (`unsafe_name`)."""
    location = location_text(location)
    for name in names:
        if reason := unsafe_name(name):
            raise StorageError(f"{shown(name)!r} below {shown(location)}: {reason}")
    return "/".join([location if location.endswith("://") else location.removesuffix("/"), *names])


def lies_below(inner: AnyPath, outer: AnyPath) -> bool:
    """Whether one location is another one, or lies below it."""
    inner, outer = location_text(inner), location_text(outer)
    if is_s3(inner) or is_s3(outer):
        return is_s3(inner) and is_s3(outer) and f"{inner}/".startswith(f"{outer.removesuffix('/')}/")
    return local_path(inner).resolve().is_relative_to(local_path(outer).resolve())


def unsafe_name(name: str) -> str:
    """Why a relative name may not be used below a folder or a prefix; empty for a good one.

    Absolute names, '.' and '..', empty parts, NUL bytes, parts longer than 255 bytes and names that are not UTF-8 are
    refused. Blanks, percent signs, line feeds and all alphabets are fine, and taken literally.
    """
    try:
        parts = name.encode().split(b"/")
    except UnicodeEncodeError:
        return "the name is not UTF-8; rename it"
    if name.startswith("/"):
        return "an absolute name; expected one relative to its folder"
    for part in parts:
        if part in (b"", b".", b".."):
            return f"the name has a part {part.decode()!r}; expected one without '.', '..' and empty parts"
        if b"\0" in part:
            return "the name has a NUL byte"
        if len(part) > MAX_PART_BYTES:
            return f"the name has a part of {len(part)} bytes; expected {MAX_PART_BYTES} at most"
    return ""


def _nas_path(location: str, rest: str) -> Path:
    root = os.environ.get(NAS_ROOT_VARIABLE)
    if not root:
        raise StorageError(f"{shown(location)}: set {NAS_ROOT_VARIABLE} to the folder where the NAS is mounted")
    if not Path(root).is_dir():
        raise StorageError(
            f"{shown(location)}: {root} ({NAS_ROOT_VARIABLE}) is not there; check that the share is mounted"
        )
    path = (Path(root) / rest).resolve()
    if not path.is_relative_to(Path(root).resolve()):
        raise StorageError(f"{shown(location)}: leaves the NAS root; remove '..' or the link that leads out")
    return path
