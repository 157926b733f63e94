"""What lies on a share: every file with size and SHA-256, one fingerprint, and what changed since an earlier look.

Opens no file to learn what it means: the site of a recording is read from the names of file and folder.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.atm.recording import RECORDING_SUFFIX
from traffic_yolo.errors import StorageError
from traffic_yolo.progress import progress
from traffic_yolo.storage import existing_path, read_json, sha256_of_file, write_json

SCHEMA_VERSION = 1
LABELS_PREFIX = "labels:"  # no file below the source can be called so together with one of the labels


@dataclass(frozen=True)
class SnapshotFile:
    """One file. `path` is relative to the source, with '/'; those of the label location begin with `labels:`."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """A share at one moment. `fingerprint` depends on the files' relative paths and contents alone.

    `new_files`, `changed_files`, `removed_files` and `new_sites` compare with the snapshot given as `previous`; without
    one, every file and site is new. `summary` says it in one line.
    """

    schema_version: int
    source: str
    labels: str
    fingerprint: str
    files: tuple[SnapshotFile, ...]
    new_files: tuple[str, ...]
    changed_files: tuple[str, ...]
    removed_files: tuple[str, ...]
    new_sites: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line: how much there is, how much is new."""
        mebibytes = sum(file.size for file in self.files) / 2**20
        changes = ", ".join(
            f"{len(names)} {word}"
            for word, names in (
                ("new", self.new_files),
                ("changed", self.changed_files),
                ("removed", self.removed_files),
            )
            if names
        )
        sites = f"; {len(self.new_sites)} new sites: {', '.join(self.new_sites)}" if self.new_sites else ""
        return f"{len(self.files)} files, {mebibytes:.1f} MiB: {changes or 'no new data'}{sites}"


def take_snapshot(source: str, *, labels: str = "", previous: Path | None = None) -> Snapshot:
    """Reads every file below `source` and `labels` once.

    Names that begin with a dot are left out. Raises `StorageError` for a location that is missing, empty or unreadable,
    and for a `previous` that is no snapshot.
    """
    places = [("", existing_path(source, what="source"))]
    if labels:
        places.append((LABELS_PREFIX, existing_path(labels, what="label file")))
    found = [(prefix + name, path) for prefix, place in places for name, path in _files_below(place)]
    if not any(not name.startswith(LABELS_PREFIX) for name, _ in found):
        raise StorageError(f"source is empty: {places[0][1]}; check that the share is mounted")
    earlier = {file.path: file.sha256 for file in read_snapshot(previous).files} if previous else {}
    files = tuple(
        SnapshotFile(name, path.stat().st_size, sha256_of_file(path))
        for name, path in progress(sorted(found), description="snapshot", unit="file")
    )
    now = {file.path: file.sha256 for file in files}
    return Snapshot(
        schema_version=SCHEMA_VERSION,
        source=source,
        labels=labels,
        fingerprint=_fingerprint(files),
        files=files,
        new_files=tuple(name for name in now if name not in earlier),
        changed_files=tuple(name for name, digest in now.items() if earlier.get(name, digest) != digest),
        removed_files=tuple(name for name in earlier if name not in now),
        new_sites=tuple(sorted(_sites(now) - _sites(earlier))),
    )


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Writes a snapshot as JSON, atomically."""
    write_json(path, asdict(snapshot))


def read_snapshot(path: Path) -> Snapshot:
    """Reads what `write_snapshot` wrote; `StorageError` for a missing file or one that is no snapshot of ours."""
    value: Any = read_json(path, what="snapshot")
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        raise StorageError(f"{path}: not a snapshot of schema version {SCHEMA_VERSION}; take it again")
    try:
        files = tuple(SnapshotFile(**file) for file in value["files"])
        lists = {name: tuple(value[name]) for name in ("new_files", "changed_files", "removed_files", "new_sites")}
        snapshot = Snapshot(**{**value, **lists, "files": files})
    except (KeyError, TypeError) as error:
        raise StorageError(f"{path}: not a snapshot: {error}") from error
    if snapshot.fingerprint != _fingerprint(files):
        raise StorageError(f"{path}: fingerprint and files disagree; take the snapshot again")
    return snapshot


def _sites(names: Iterable[str]) -> set[str]:
    """Sites of the recordings among these paths; a recording at the top of the source has none that a name tells."""
    sites = set()
    for path in (Path("/", name) for name in names if name.endswith(RECORDING_SUFFIX) and "/" in name):
        layouts = builtin_layouts().values()
        layout = next((known for known in layouts if known.file_name.fullmatch(path.stem)), next(iter(layouts)))
        sites.add(layout.describe_name(path).site)
    return sites


def _files_below(place: Path) -> list[tuple[str, Path]]:
    if place.is_file():
        return [(place.name, place)]
    paths = ((path.relative_to(place), path) for path in place.rglob("*") if path.is_file())
    return [(name.as_posix(), path) for name, path in paths if not any(part.startswith(".") for part in name.parts)]


def _fingerprint(files: tuple[SnapshotFile, ...]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        digest.update(f"{file.path}\0{file.sha256}\n".encode())
    return digest.hexdigest()
