"""Recordings of layout atm220-2021 in which one thing is odd, each made by one function; made for readers of a share.

Each has three scans; what is odd lies in the second, unless it concerns the whole file.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np

SCANS = 3
ROW = [3, 0.9, 48, 64, 64, 48]  # class, confidence, height, width, x, y in 640 x 480


def jpeg(seed: int, width: int = 96, height: int = 72) -> bytes:
    """A JPEG of noise; another seed gives other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(pixels, (width, height)))[1].tobytes()


def write_good(path: Path, seed: int = 0) -> Path:
    """A recording of three scans that has nothing odd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number in range(SCANS):
            group = file.create_group(f"SCAN_{number:05d}")
            group["Image"] = np.frombuffer(jpeg(100 * seed + number), np.uint8)
            group["AI"] = np.array([ROW, [0] * 6], np.float32)
    return path


@dataclass(frozen=True)
class Odd:
    """`change` makes a good file odd. `words` of the reason; `scans` that can be read all the same.

    `counted`: whether a snapshot, which reads no pictures, sees it too.
    """

    change: Callable[[Path], None]
    words: str
    scans: int = SCANS - 1
    counted: bool = True


def _inside(change: Callable[[Any], None]) -> Callable[[Path], None]:
    """`change` is given the group of the second scan, for writing."""

    def changed(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file["SCAN_00001"])

    return changed


def _instead(name: str, make: Callable[[Any], None]) -> Callable[[Path], None]:
    """`make` puts something else in the place of a data set of the second scan."""

    def changed(group: Any) -> None:
        del group[name]
        make(group)

    return _inside(changed)


def _image(make: Callable[[Any], None]) -> Callable[[Path], None]:
    return _instead("Image", make)


def _table(make: Callable[[Any], None]) -> Callable[[Path], None]:
    return _instead("AI", make)


def _link(name: str, link: Any) -> Callable[[Path], None]:
    return _instead(name, lambda group: group.__setitem__(name, link))


def _external_storage(group: Any) -> None:
    group.create_dataset("Image", shape=(64,), dtype="u1", external=[("/etc/passwd", 0, 64)])


def _virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((64,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(64,))
    group.create_virtual_dataset("Image", layout)


def _soft_through_external(group: Any) -> None:
    group["door"] = h5py.ExternalLink("/etc/passwd", "/")
    group["Image"] = h5py.SoftLink("/SCAN_00001/door/Image")


def _soft_circle(group: Any) -> None:
    group["a"], group["b"] = h5py.SoftLink("b"), h5py.SoftLink("/SCAN_00001/a")
    group["Image"] = h5py.SoftLink("a")


def _scan_elsewhere(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["SCAN_00001"]
        file["SCAN_00001"] = h5py.ExternalLink("/etc/passwd", "/")


def _scan_is_data_set(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["SCAN_00001"]
        file["SCAN_00001"] = np.zeros(3)


@lru_cache
def _deflated(num_zeros: int) -> bytes:
    return zlib.compress(bytes(num_zeros), 9)


def _packed(
    name: str, shape: tuple[int, ...], dtype: str, chunk: tuple[int, ...], num_zeros: int
) -> Callable[[Any], None]:
    """A deflated data set whose first chunk holds so many zeros, whatever the shape of a chunk says."""

    def make(group: Any) -> None:
        data_set = group.create_dataset(name, shape, dtype, chunks=chunk, compression="gzip")
        data_set.id.write_direct_chunk((0,) * len(shape), _deflated(num_zeros))

    return make


def _with_filter(code: int) -> Callable[[Any], None]:
    def make(group: Any) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((64,))
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((64,))
        data_set = h5py.h5d.create(group.id, b"Image", h5py.h5t.STD_U8LE, space, properties)
        data_set.write_direct_chunk((0,), bytes(64))

    return make


def _text_of_stated_length(path: Path) -> None:
    """Text of which the file states 4 GiB and holds 5 bytes: HDF5 makes room first."""
    with h5py.File(path, "r+") as file:
        del file["SCAN_00001"]["Image"]
        data_set = file["SCAN_00001"].create_dataset("Image", data="hello")
        file.flush()
        offset = data_set.id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset : offset + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(data)


def _twice(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["SCAN_000001"] = h5py.SoftLink("/SCAN_00001")


def _scan_called(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.move("SCAN_00001", name)

    return change


def _without_tables(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for scan in file.values():
            scan.id.links.move(b"AI", scan.id, b"\x1b[31m\nnot\xffhere")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-900])


def _bytes(data: bytes) -> Callable[[Any], None]:
    return lambda group: group.__setitem__("Image", np.frombuffer(data, np.uint8))


def _stating(width: int, height: int) -> bytes:
    """A JPEG whose header states another size than it has."""
    data = jpeg(1)
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def _references(group: Any) -> None:
    group.create_dataset("AI", data=np.array([group.ref] * 6, h5py.ref_dtype).reshape(1, 6), dtype=h5py.ref_dtype)


def _records(**formats: Any) -> Callable[[Any], None]:
    names = ("class_id", "confidence", "height", "width", "x", "y")
    dtype = np.dtype([(name, formats.get(name, "<f4")) for name in names if formats.get(name) != ""])
    return lambda group: group.create_dataset("AI", shape=(2,), dtype=dtype)


OUTSIDE = "another file"
TOO_MUCH = "expected 67108864 at most"
MANY = 200 << 20  # bytes, deflated to 200 kB

ODD = {
    # Out of the file
    "external storage": Odd(_image(_external_storage), "lie in another file"),
    "virtual data set": Odd(_image(_virtual), "put together from other data sets"),
    "external link for a picture": Odd(_link("Image", h5py.ExternalLink("/etc/passwd", "/x")), OUTSIDE),
    "external link for a table": Odd(_link("AI", h5py.ExternalLink("/etc/passwd", "/x")), OUTSIDE),
    "external link for a scan": Odd(_scan_elsewhere, OUTSIDE),
    "soft link through an external one": Odd(_image(_soft_through_external), OUTSIDE),
    "soft link to itself": Odd(_link("Image", h5py.SoftLink("/SCAN_00001/Image")), "in a circle"),
    "soft links in a circle": Odd(_image(_soft_circle), "in a circle"),
    "soft link to nothing": Odd(_link("Image", h5py.SoftLink("/nothing")), "leads to nothing"),
    "table of references": Odd(_table(_references), "expected a table of numbers"),
    # Something else in its place
    "group for a picture": Odd(_image(lambda group: group.create_group("Image")), "expected a data set, found a group"),
    "group for a table": Odd(_table(lambda group: group.create_group("AI")), "expected a data set, found a group"),
    "data set for a scan": Odd(_scan_is_data_set, "expected a group, found a data set"),
    "type for a picture": Odd(_image(lambda group: group.__setitem__("Image", np.dtype("f8"))), "is a named type"),
    "text columns": Odd(_table(_records(class_id="S4")), "expected numbers in column class_id, found text"),
    "text columns of any length": Odd(_table(_records(x=h5py.string_dtype())), "expected numbers in column x"),
    "columns of vectors": Odd(_table(_records(y=("<f4", (3,)))), "expected numbers in column y"),
    "a column too few": Odd(_table(_records(width="")), "no column width"),
    "table of three dimensions": Odd(_table(lambda g: g.create_dataset("AI", data=np.ones((2, 6, 2)))), "6 columns"),
    "table of complex numbers": Odd(_table(lambda g: g.create_dataset("AI", data=np.ones((2, 6), "c8"))), "complex64"),
    "picture of floats": Odd(_image(lambda g: g.create_dataset("Image", data=np.ones(9))), "expected bytes", 2, False),
    "picture of text": Odd(_image(lambda g: g.create_dataset("Image", data="a picture")), "begin with ff d8", 2, False),
    # More than there is
    "picture of 1 TiB": Odd(_image(lambda g: g.create_dataset("Image", (1 << 40,), "u1", chunks=(1 << 20,))), TOO_MUCH),
    "picture of 3 GiB": Odd(_image(lambda g: g.create_dataset("Image", (3 << 30,), "u1")), TOO_MUCH),
    "table of 2e9 rows": Odd(_table(lambda g: g.create_dataset("AI", (2 * 10**9, 6), "f4")), "2000000000 rows"),
    "more bytes than are stored": Odd(_image(lambda g: g.create_dataset("Image", (40 << 20,), "u1")), "and stores 0"),
    "more bytes than deflate gives": Odd(
        _image(_packed("Image", (60 << 20,), "u1", (1 << 20,), 1 << 20)), "and stores"
    ),
    "chunk that goes on behind its end": Odd(
        _image(_packed("Image", (64,), "u1", (64,), MANY)), "unpacks to more than the 64 bytes", 2, False
    ),
    "table chunk that goes on behind its end": Odd(
        _table(_packed("AI", (2, 6), "f4", (2, 6), MANY)), "unpacks to more than the 48 bytes"
    ),
    "chunk of 2 GiB": Odd(
        _image(lambda g: g.create_dataset("Image", (9,), "u1", maxshape=(None,), chunks=(2 << 30,))), TOO_MUCH
    ),
    "a chunk for each byte": Odd(_image(lambda g: g.create_dataset("Image", (1 << 20,), "u1", chunks=(1,))), "chunks"),
    "text of stated length": Odd(_text_of_stated_length, "states 4294967280 bytes", 2, False),
    "filter of a plug-in": Odd(_image(_with_filter(32004)), "packed by filter 32004, which is not read"),
    "filter that is not read": Odd(_image(lambda g: g.create_dataset("Image", data=np.ones(9, "u1"), scaleoffset=0)), "packed by"),
    # Pictures
    "no picture": Odd(_image(_bytes(b"no picture at all")), "begin with ff d8", 2, False),
    "picture of 900 megapixels": Odd(_image(_bytes(_stating(30_000, 30_000))), "30000x30000", 2, False),
    "picture cut off": Odd(_image(_bytes(jpeg(1)[:-40])), "cut off", 2, False),
    "picture of fill bytes": Odd(_image(_bytes(b"\xff\xd8" + b"\xff" * (1 << 20))), "JPEG", 2, False),
    # The whole file
    "scan number of 4,400 digits": Odd(_scan_called("SCAN_" + "9" * 4400), "255 characters at most", 0),
    "scan number of 19 digits": Odd(_scan_called("SCAN_" + "9" * 19), "1 to 18 digits", 0),
    "scan that is there twice": Odd(_twice, "is there twice", 0),
    "unknown tables with odd names": Odd(_without_tables, "scans with one of the data sets", 0),
    "no scans": Odd(lambda path: h5py.File(path, "w").close(), "found no scans", 0),
    "no HDF5": Odd(lambda path: path.write_text("no recording\n" * 99) and None, "not an HDF5 file", 0),
}  # fmt: skip
