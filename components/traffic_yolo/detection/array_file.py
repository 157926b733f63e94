"""Arrays in one file that is an ordinary uncompressed `.npz`, laid out so that reading it is mapping it into memory.

Each array starts at a multiple of 64 bytes. Equal arrays give equal bytes: no dates, no compression whose output may
change. `numpy.load` reads such a file as well.
"""

import io
import math
import mmap
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from traffic_yolo.messages import shown

ALIGNMENT = 64  # a cache line; numpy pads its own headers to it too
LOCAL_HEADER = 30  # bytes of a zip file's local header before name and extra field
PADDING_ID = b"yt"  # of our extra field: two bytes that name its owner, by the zip format


def write_arrays(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes the arrays under their names, in order. `file` must be seekable and empty."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            npy.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.extra = _padding(file.tell() + LOCAL_HEADER + len(entry.filename))
            archive.writestr(entry, content.getbuffer())


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file that `write_arrays` wrote, mapped: pages are read when they are touched.

    Every byte is held against its checksum first. The arrays may be written to; the file does not change. Raises
    `ValueError` for a file that is no such one or is damaged, `OSError` for one that cannot be read.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise ValueError(f"not an archive of arrays: {error}") from error
        names = [entry.filename for entry in entries]
        if len(set(names)) < len(names):
            raise ValueError("an array stands there twice")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {entry.filename.removesuffix(".npy"): _array(mapped, entry) for entry in entries}


def _padding(position: int) -> bytes:
    """An extra field of a zip entry after which the content, which would start at `position`, is aligned."""
    length = -position % ALIGNMENT
    if 0 < length < 4:  # a field has four bytes of its own
        length += ALIGNMENT
    return b"" if not length else PADDING_ID + (length - 4).to_bytes(2, "little") + bytes(length - 4)


def _array(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> NDArray[Any]:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    header = entry.header_offset
    lengths = (int.from_bytes(mapped[at : at + 2], "little") for at in (header + 26, header + 28))
    start = header + LOCAL_HEADER + sum(lengths)
    content = memoryview(mapped)[start : start + entry.file_size]
    if zlib.crc32(content) != entry.CRC:
        raise ValueError(f"{entry.filename} does not have its checksum")
    prefix = io.BytesIO(bytes(content[:4096]))
    if npy.read_magic(prefix) != (1, 0):
        raise ValueError(f"{entry.filename} is no array of ours")
    shape, fortran_order, dtype = npy.read_array_header_1_0(prefix)
    if fortran_order or dtype.hasobject:
        raise ValueError(f"{entry.filename} is no array of ours")
    count, held = math.prod(shape), entry.file_size - prefix.tell()
    if count * dtype.itemsize != held:  # more would be read out of the entry behind it
        stated = f"{shown(shape)} of {dtype}"
        raise ValueError(f"{entry.filename} states {stated}, {count * dtype.itemsize} bytes; it holds {held}")
    values = np.frombuffer(mapped, dtype, count=count, offset=start + prefix.tell())
    return values.reshape(shape)
