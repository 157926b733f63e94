"""Files and folders on this machine or a mounted share, as a `Place`."""

import contextlib
import errno
import hashlib
import os
import stat as stat_modes
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.errors import AlreadyExistsError, ChangedMeanwhileError, ChecksumError, NotFoundError, StorageError
from traffic_yolo.storage.atomic import CHUNK_BYTES, atomic_file, storage_error, sync_folder, temporary_prefix
from traffic_yolo.storage.locations import shown, unsafe_name
from traffic_yolo.storage.places import Listing, Skipped, StoredFile
from traffic_yolo.storage.retry import Fault, retried, share_fault_of

PACK_IDENTITY = struct.Struct("<QqqQ").pack


def identity_of(status: os.stat_result) -> bytes:
    """Size, mtime, ctime and inode of a file: a write changes one of them, and nothing but the system sets ctime."""
    return PACK_IDENTITY(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class LocalPlace:
    """One path. Faults of a share that pass (its server restarts, its mount is away) are waited for when reading."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stat(self) -> StoredFile | None:
        """See `Place`."""
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise storage_error(error, self.path) from error
        if not stat_modes.S_ISREG(status.st_mode):
            return None
        return StoredFile(self.path.name, status.st_size, status.st_mtime_ns, identity_of(status))

    def exists(self) -> bool:
        """See `Place`; an empty folder exists too."""
        return self.path.exists()

    def copy_path(self) -> None:
        """See `Place`."""
        return

    def list_files(self, *, was_there: bool = False) -> Listing:
        """See `Place`. Links that stay inside are followed when they lead to a file; others are in `skipped`.

        A folder that is away, or in which files vanish while it is listed, is looked at again: what a share shows in
        the moment in which it goes or comes is no listing. Files that still vanish in the last look are named.
        """
        was_folder = self.path.is_dir()
        # A folder that had files and shows none is as suspicious as one that is gone: a lost mount leaves its place
        had_files = False

        def look(*, is_last: bool) -> Listing:
            nonlocal had_files
            try:
                if not self.path.is_dir():
                    single = None if was_folder else self.stat()
                    if single is None and (was_folder or was_there):
                        raise FileNotFoundError(errno.ENOENT, "went away while it was listed", str(self.path))
                    return Listing([single] if single else [], [])
                listing, vanished = _list_folder(self.path)
                if had_files and not listing.files:
                    raise FileNotFoundError(errno.ENOENT, "lost all its files while it was listed", str(self.path))
                had_files = had_files or bool(listing.files or vanished)
                if vanished and not (is_last and self._have_gone(vanished)):
                    raise FileNotFoundError(errno.ENOENT, f"{vanished[0].name} vanished", str(self.path))
                return Listing(listing.files, sorted([*listing.skipped, *vanished]))
            except FileNotFoundError as error:
                ours = error.strerror != os.strerror(errno.ENOENT)
                reason = error.strerror if ours else "went away while it was listed"
                raise _AwayError(f"{shown(str(self.path))}: {reason}") from error
            except OSError as error:
                raise storage_error(error, self.path) from error

        where = shown(str(self.path))
        try:
            return retried(lambda: look(is_last=False), where, _listing_fault)
        except _AwayError:
            return look(is_last=True)

    def _have_gone(self, vanished: list[Skipped]) -> bool:
        """Whether files that could not be found are not there while their folder is: they were removed, one by one.

        Where one of them is back, all of the folder was away for a moment.
        """
        was_there = self.path.is_dir()
        return was_there and not any((self.path / one.name).exists() for one in vanished) and self.path.is_dir()

    def stream(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Place`. Raises `StorageError` when the file becomes shorter meanwhile."""
        try:
            with self.path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                end = size if length is None else min(size, offset + length)
                file.seek(offset)
                while offset < end:
                    chunk = file.read(min(CHUNK_BYTES, end - offset))
                    if not chunk:
                        raise ChangedMeanwhileError(f"{shown(str(self.path))}: became shorter while it was read")
                    offset += len(chunk)
                    yield chunk
        except StorageError:
            raise
        except FileNotFoundError as error:
            raise NotFoundError(f"{shown(str(self.path))}: file not found") from error
        except OSError as error:
            raise storage_error(error, self.path) from error

    def fetch(self, target: Path, sha256: str) -> StoredFile:
        """See `Place`."""

        def copy() -> StoredFile:
            before = self.stat()
            if before is None:
                raise NotFoundError(f"{shown(str(self.path))}: file not found") from FileNotFoundError(2, "not found")
            digest = hashlib.sha256()
            with atomic_file(target) as file:
                for chunk in self.stream():
                    digest.update(chunk)
                    file.write(chunk)
                found = digest.hexdigest()
                after = self.stat()
                if after is None:  # the cause tells a file that is away, perhaps with its share, from one that changed
                    raise ChangedMeanwhileError(
                        f"{shown(str(self.path))}: vanished while it was copied; copy it again"
                    ) from FileNotFoundError(errno.ENOENT, "not found")
                if after.identity != before.identity:
                    raise ChangedMeanwhileError(f"{shown(str(self.path))}: changed while it was copied; copy it again")
                if sha256 and found != sha256:
                    raise ChecksumError(f"{shown(str(self.path))}: expected SHA-256 {sha256}, found {found}")
            return before._replace(sha256=found)

        return retried(copy, shown(str(self.path)), share_fault_of(None))

    def put(self, source: bytes | Path) -> StoredFile:
        """See `Place`."""
        if isinstance(source, Path):
            written = LocalPlace(source).fetch(self.path, "")
            return self._put_answer(written.sha256)
        with atomic_file(self.path) as file:
            file.write(source)
        return self._put_answer(hashlib.sha256(source).hexdigest())

    def remove(self) -> None:
        """See `Place`."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def put_new(self, data: bytes) -> StoredFile:
        """See `Place`. The data is on the disk before the name is, except on file systems without links (below)."""
        temporary: str | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            prefix = temporary_prefix(self.path)
            descriptor, temporary = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=self.path.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            if _link_new(temporary, self.path):
                os.unlink(temporary)
            else:
                os.replace(temporary, self.path)  # the name is ours since it was claimed
            temporary = None
            sync_folder(self.path.parent)
        except FileExistsError as error:
            raise AlreadyExistsError(f"{shown(str(self.path))}: exists already") from error
        except OSError as error:
            raise storage_error(error, self.path) from error
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
        return self._put_answer(hashlib.sha256(data).hexdigest())

    def put_if_unchanged(self, data: bytes, before: StoredFile | None) -> None:
        """See `Place`."""
        now = self.stat()
        if (now and now.identity) != (before and before.identity):
            raise ChangedMeanwhileError(f"{shown(str(self.path))}: was changed by another writer")
        self.put(data)

    def _put_answer(self, sha256: str) -> StoredFile:
        stored = self.stat()
        if stored is None:
            raise StorageError(f"{shown(str(self.path))}: vanished right after it was written")
        return stored._replace(sha256=sha256)


def _link_new(temporary: str, path: Path) -> bool:
    """Gives the file its name unless that is taken (`FileExistsError`); False: only the name could be claimed.

    Where links are not supported (some CIFS and FUSE mounts), an empty file claims the name, and a kill before the
    caller's rename leaves it empty; never with half of the data.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        # NFS may do the work, lose the answer, and find the file there when it asks again: then it is ours
        if os.stat(temporary).st_nlink != 2:
            raise
    except OSError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        return False
    return True


class _AwayError(StorageError):
    """A folder that is away or in motion: it is looked at again."""


def _listing_fault(error: Exception) -> Fault | None:
    if isinstance(error, _AwayError):
        return Fault("files went away while they were listed; check that the share is mounted", passes=True)
    return share_fault_of(None)(error)


def _list_folder(root: Path) -> tuple[Listing, list[Skipped]]:
    """The listing, and what vanished meanwhile. Raises `FileNotFoundError` for a folder that did.

    The loop decides how fast an unchanged share is checked: one scandir a folder, one stat a file.
    """
    files: list[StoredFile] = []
    skipped: list[Skipped] = []
    vanished: list[Skipped] = []
    real_root = os.path.realpath(root)
    folders = [(str(root), "")]
    add, new, pack = files.append, tuple.__new__, PACK_IDENTITY
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                if not name.isascii() and (reason := unsafe_name(name)):
                    skipped.append(Skipped(shown(prefix + name), reason))
                    continue
                if not entry.is_file(follow_symlinks=False):
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{prefix}{name}/"))
                        continue
                    if reason := _why_not(entry, real_root):
                        skipped.append(Skipped(shown(prefix + name), reason))
                        continue
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    vanished.append(Skipped(shown(prefix + name), "vanished while the folder was listed"))
                    continue
                size, modified_ns = status.st_size, status.st_mtime_ns
                identity = pack(size, modified_ns, status.st_ctime_ns, status.st_ino)
                add(new(StoredFile, (prefix + name, size, modified_ns, identity, "")))
    files.sort()
    skipped.sort()
    return Listing(files, skipped), vanished


def _is_inside(path: str, real_root: str) -> bool:
    return os.path.realpath(path).startswith(real_root.rstrip("/") + "/")


def _why_not(entry: "os.DirEntry[str]", real_root: str) -> str:
    """Why something that is neither a regular file nor a folder is left out; empty for a link to a file inside."""
    if not entry.is_symlink():
        return "not a regular file"
    if not os.path.exists(entry.path):
        return "a link that leads nowhere"
    if not _is_inside(entry.path, real_root):
        return f"a link out of the folder, to {shown(os.path.realpath(entry.path))}"
    if os.path.isfile(entry.path):
        return ""
    return "a link to a folder; its files are listed where they lie" if entry.is_dir() else "a link to no regular file"
