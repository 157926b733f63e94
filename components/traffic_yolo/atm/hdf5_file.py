"""The one door to HDF5 files: each is taken for a stranger's; what it says of itself is checked, then believed.

Nothing that is read here comes from another file: links to other files are refused like data sets that lie in them
(`hdf5_storage`), object references are never followed, and soft links are walked here, name by name. Whatever h5py
raises inside a file becomes `RecordingError` with the place.
"""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_storage import Storage, check_packed, check_size, storage_of
from traffic_yolo.atm.recording_limits import RecordingLimits, limits_in_force
from traffic_yolo.errors import RecordingError, RecordingInUseError, TrafficYoloError
from traffic_yolo.storage import shown

MOST_HOPS = 16  # of soft links, one to the next: HDF5's own limit (H5L_NUM_LINKS)
SHOWN_CHARACTERS = 80
ATTRIBUTE_BYTES = 65_536
# What h5py raises inside a file: TypeError and ValueError for types that HDF5 has and numpy has not
H5PY_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError, MemoryError)
UNREAD = "(text of variable length)"


class Hdf5DataSet:
    """A data set that lies in its file. `shape` is () for a single value, (0,) for one that is stated to be empty."""

    def __init__(self, file: "Hdf5File", handle: Any, where: str) -> None:
        self._file = file
        self._handle = handle
        self.where = where
        self._storage: Storage = storage_of(handle, where)  # before the shape: a virtual one looks for its sources
        shape = handle.shape
        self.shape: tuple[int, ...] = (0,) if shape is None else tuple(shape)
        self.dtype: np.dtype[Any] = handle.dtype

    @property
    def size(self) -> int:
        """The number of values that it states."""
        return math.prod(self.shape)

    def check(self, *, limit: str = "data_set_bytes") -> None:
        """Raises `RecordingError` where it states more than a limit (of bytes) or its file allow; reads nothing."""
        with hdf5_errors(self.where):
            check_size(
                self._handle, self._storage, self.shape, self.dtype.itemsize, self._file.size, self._file.limits,
                limit=limit, where=self.where,
            )  # fmt: skip

    def read(self, fields: Iterable[str] = (), *, limit: str = "data_set_bytes") -> NDArray[Any]:
        """The values as an array of `shape`; of records, `fields` alone where any are named.

        `limit` names the most bytes that are wanted. Raises `RecordingError` for what is larger or damaged, and for
        values of variable length or references.
        """
        self.check(limit=limit)
        with hdf5_errors(self.where):
            dtype = self.dtype
            if fields:
                dtype = np.dtype([(name, dtype[name]) for name in fields])
            if dtype.hasobject:
                found = "variable length or references"
                raise RecordingError(f"{self.where}: holds values of {found}; expected numbers, text or bytes")
            check_packed(self._handle, self._storage, self.dtype.itemsize, self._file.size, where=self.where)
            if self.size == 0:
                return np.empty(self.shape, dtype)
            if dtype.kind not in "iuf" and not fields:
                return np.asarray(h5py.Dataset(self._handle)[()])  # its types want more than a plain copy
            # A third of the time of the usual way, which small pictures and tables notice
            values = np.empty(self.shape, dtype)
            self._handle.read(h5s.ALL, h5s.ALL, values)
            return values

    def read_bytes(self, *, limit: str = "data_set_bytes") -> bytes:
        """The bytes of values of one byte each, of one opaque value, or of one text or run of bytes of any length.

        Raises `RecordingError` for anything else, and for more bytes than the limit.
        """
        if self.dtype.hasobject:
            return self._read_variable(limit)
        if self._storage.offset is not None and self.dtype.kind in "iu" and self.dtype.itemsize == 1:
            return self._read_run(self._storage.offset, limit)
        values = self.read(limit=limit)
        is_one_value = values.size == 1 and values.dtype.kind in "SV"
        if values.dtype.names or not (values.dtype.itemsize == 1 or is_one_value):
            raise RecordingError(f"{self.where}: expected bytes (uint8), found {self.described}")
        return values.tobytes()

    def _read_run(self, offset: int, limit: str) -> bytes:
        """Bytes that lie in the file in one run, as a picture mostly does: by one call, a third of HDF5's time."""
        self.check(limit=limit)
        with hdf5_errors(self.where):
            data = os.pread(self._file.descriptor, self.size, offset)
            if len(data) != self.size:
                raise OSError(f"{self.size} bytes from byte {offset} on, of which the file has {len(data)}")
        return data

    @property
    def described(self) -> str:
        """Type and shape, for a message."""
        return f"{short(str(self.dtype))} of shape {self.shape}"

    def _read_variable(self, limit: str) -> bytes:
        """One text, or run of bytes, of any length.

        HDF5 makes room for the length that the file states before it looks whether so much is there (4 GiB at most):
        so that is looked at here.
        """
        text = h5py.check_string_dtype(self.dtype) is not None
        if (not text and h5py.check_vlen_dtype(self.dtype) != np.uint8) or self.size != 1:
            raise RecordingError(f"{self.where}: expected bytes (uint8), found {self.described}")
        self.check()
        with hdf5_errors(self.where):
            length = self._stated_length()
            most = min(getattr(self._file.limits, limit), self._file.size)
            if length > most:
                raise RecordingError(f"{self.where}: states {length} bytes; expected {most} at most")
            value = np.asarray(h5py.Dataset(self._handle)[()], dtype=object).reshape(-1)[0] if length else b""
            if isinstance(value, str):
                return value.encode("utf-8", "surrogateescape")
            return value.tobytes() if isinstance(value, np.ndarray) else bytes(value)

    def _stated_length(self) -> int:
        """The length in a value of variable length: the first four bytes of what stands in its place, 0 for nothing."""
        if self._handle.get_storage_size() == 0:
            return 0
        if self._storage.filters:
            raise RecordingError(f"{self.where}: packed text of variable length, which is not read; store it as bytes")
        if self._storage.chunk:
            stated = self._handle.read_direct_chunk((0,) * len(self.shape))[1][:4]
        else:
            offset = self._handle.get_offset()
            if offset is None:  # within its header
                raise RecordingError(f"{self.where}: compact text of variable length, which is not read; store bytes")
            stated = os.pread(self._file.descriptor, 4, offset)
        return int.from_bytes(stated, "little")


class Hdf5Group:
    """A group. Names come as they stand in the file; a part of it is asked for by name, or by a path below it."""

    def __init__(self, file: "Hdf5File", handle: Any, where: str) -> None:
        self._file = file
        self._handle = handle
        self.where = where

    def __contains__(self, path: str) -> bool:
        """Whether something lies at a path; where the last link of it leads is not looked at."""
        parent, _, name = path.rpartition("/")
        with hdf5_errors(self.where):
            group = self.group(parent) if parent else self
            return group is not None and bool(group._handle.links.exists(name.encode("utf-8", "surrogateescape")))

    def names(self) -> list[str]:
        """The names of everything in it, sorted by HDF5."""
        found: list[bytes] = []
        with hdf5_errors(self.where):
            self._handle.links.iterate(found.append)
            return [name.decode("utf-8", "surrogateescape") for name in found]

    def item(self, path: str) -> "Hdf5Group | Hdf5DataSet | None":
        """What lies at a path below the group; None where nothing does.

        Raises `RecordingError` for what lies in another file, soft links that lead nowhere, and named types.
        """
        where = f"{self.where} {short(path)}"
        with hdf5_errors(where):
            handle = self._follow(path, where)
            if handle is None:
                return None
            if isinstance(handle, h5g.GroupID):
                return Hdf5Group(self._file, handle, where)
            if isinstance(handle, h5d.DatasetID):
                return Hdf5DataSet(self._file, handle, where)
        raise RecordingError(f"{where}: is a named type; expected a group or a data set")

    def group(self, path: str) -> "Hdf5Group | None":
        """The group at a path; `RecordingError` where something else is there."""
        found = self.item(path)
        if isinstance(found, Hdf5DataSet):
            raise RecordingError(f"{found.where}: expected a group, found a data set")
        return found

    def listed_group(self, name: str) -> "Hdf5Group":
        """The group of one of `names`; `RecordingError` also for one that damage has left in the list alone."""
        found = self.group(name)
        if found is None:
            raise RecordingError(f"{self.where} {short(name)}: damaged HDF5: listed, and not to be found")
        return found

    def data_set(self, path: str) -> Hdf5DataSet | None:
        """The data set at a path; `RecordingError` where something else is there."""
        found = self.item(path)
        if isinstance(found, Hdf5Group):
            raise RecordingError(f"{found.where}: expected a data set, found a group")
        return found

    def attributes(self) -> dict[str, Any]:
        """The attributes by name: numbers, arrays and text; of those of variable length and large ones, a remark."""
        values: dict[str, Any] = {}
        with hdf5_errors(self.where):
            for index in range(h5a.get_num_attrs(self._handle)):
                attribute = h5a.open(self._handle, index=index)
                name = attribute.name.decode("utf-8", "surrogateescape")
                values[name] = _attribute_value(attribute)
        return values

    def _follow(self, path: str, where: str) -> Any:
        """The handle at a path, or None. Only hard links are opened, so HDF5 itself goes nowhere."""
        handle, hops = self._handle, 0
        rest = path.split("/")[::-1]
        while rest:
            name = rest.pop().encode("utf-8", "surrogateescape")
            if name in (b"", b"."):
                continue
            if not isinstance(handle, h5g.GroupID):
                raise RecordingError(f"{where}: a data set stands where a group is expected")
            if not handle.links.exists(name):
                if hops:
                    raise RecordingError(f"{where}: a soft link that leads to nothing; expected data")
                return None
            kind = handle.links.get_info(name).type
            if kind == h5l.TYPE_SOFT:
                hops += 1
                if hops > MOST_HOPS:
                    raise RecordingError(f"{where}: soft links in a circle, or more than {MOST_HOPS} in a row")
                target = handle.links.get_val(name).decode("utf-8", "surrogateescape")
                handle = self._file.root if target.startswith("/") else handle
                rest += target.split("/")[::-1]
            elif kind == h5l.TYPE_HARD:
                handle = h5o.open(handle, name)
            else:
                raise RecordingError(f"{where}: a link to another file; expected data of this file alone")
        return handle


class Hdf5File(Hdf5Group):
    """An open file; a context manager, and its own top group.

    Raises `RecordingError` that says what is wrong with one that is missing, cut off or no HDF5, and
    `RecordingInUseError` for one that its writer has open.
    """

    def __init__(self, path: Path, limits: RecordingLimits | None = None) -> None:
        self.path = path
        self.limits = limits or limits_in_force()
        self._opened = _open(path)
        try:
            with hdf5_errors(str(path)):
                self.root = h5g.open(self._opened.id, b"/")
                self.descriptor: int = self._opened.id.get_vfd_handle()
                self.size = os.fstat(self.descriptor).st_size
        except BaseException:
            self._opened.close()
            raise
        super().__init__(self, self.root, str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        self._opened.close()


def create_hdf5(path: Path) -> "h5py.File":
    """A new file to write, in a format that every HDF5 since 1.8 reads; the same content gives the same bytes."""
    return h5py.File(path, "w", libver=("earliest", "v108"))


@contextlib.contextmanager
def hdf5_errors(where: str) -> Iterator[None]:
    """Turns what h5py raises inside a file into `RecordingError`; put nothing else into the block."""
    try:
        yield
    except TrafficYoloError:
        raise
    except MemoryError as error:
        raise RecordingError(f"{where}: needs more memory than there is; read it where there is more") from error
    except H5PY_ERRORS as error:
        reason = short(" ".join(str(error).split()), 200)
        raise RecordingError(f"{where}: damaged HDF5 ({reason}); copy the recording again from the device") from error


def short(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """A text of a file for a message: one line, printable, cut to `most` characters."""
    return shown(text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)")


def _open(path: Path) -> "h5py.File":
    if not os.path.isfile(path):  # a pipe would be waited for
        raise RecordingError(f"recording not found: {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = str(error)
        if "unable to lock file" in reason or "already open for write" in reason:
            raise RecordingInUseError(
                f"{path}: still being written: its writer has it open; run again later"
            ) from error
        if "truncated" in reason:
            advice = f"recording is cut off at {path.stat().st_size} bytes; copy it again from the device"
        elif "signature" in reason:
            advice = "not an HDF5 file; expected an ATM recording; remove it or copy it again"
        else:
            advice = f"cannot be opened as HDF5 ({short(reason, 200)}); copy it again from the device"
        raise RecordingError(f"{path}: {advice}") from error
    except H5PY_ERRORS as error:
        raise RecordingError(f"{path}: cannot be opened as HDF5 ({short(str(error), 200)}); copy it again") from error


def _attribute_value(attribute: Any) -> Any:
    shape, dtype = attribute.shape, attribute.dtype
    if shape is None:
        return ""
    if dtype.hasobject:  # HDF5 makes room for any length that the file states
        return UNREAD
    if math.prod(shape) * dtype.itemsize > ATTRIBUTE_BYTES:
        return f"({short(str(dtype))} of shape {shape})"
    values = np.empty(shape, dtype)
    attribute.read(values)
    return values if shape else values[()]
