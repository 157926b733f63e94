"""Whether a data set may be read: where its bytes lie, and how many they are by its header, held against its file.

HDF5 can take a data set from other files (external storage, virtual data sets), run plug-ins to unpack it (filters),
and state sizes that no file holds: it fills what is not stored, and unpacks a stream to its end whatever the chunk's
size. All of it is refused here before a byte of it is asked for.
"""

import math
import zlib
from typing import Any, NamedTuple

from h5py import h5d, h5z

from traffic_yolo.atm.recording_limits import RecordingLimits
from traffic_yolo.errors import RecordingError

UNSTORED_BYTES = 1 << 20  # a data set may come to so much without being stored: an empty table reads as its fill value
MOST_CHUNKS = 65_536  # of a data set: HDF5 looks each of them up
CHECKSUM_BYTES = 4  # of a chunk under fletcher32
# In the order of writing, each at most once. All are part of every HDF5 that h5py comes with; none is a plug-in.
FILTERS = {
    h5z.FILTER_SHUFFLE: "shuffle",
    h5z.FILTER_DEFLATE: "deflate",
    h5z.FILTER_LZF: "lzf",
    h5z.FILTER_FLETCHER32: "fletcher32",
}
PACKERS = (h5z.FILTER_DEFLATE, h5z.FILTER_LZF)
NOT_READ = "shuffle, deflate or lzf, fletcher32 are, in this order; repack the recording (h5repack -f NONE)"


class Storage(NamedTuple):
    """How a data set is stored. `chunk`: the shape of a chunk, () where there are none; `filters` in writing order.

    `offset`: where its bytes begin in the file, where they lie there in one run; else None.
    """

    chunk: tuple[int, ...]
    filters: tuple[int, ...]
    offset: int | None = None


def storage_of(handle: Any, where: str) -> Storage:
    """How the data set of a handle is stored; `RecordingError` for one whose bytes lie in other files."""
    offset = handle.get_offset()
    if offset is not None:  # HDF5 knows none of what is chunked, virtual or in another file
        return Storage((), (), offset)
    properties = handle.get_create_plist()
    layout = properties.get_layout()
    if layout == h5d.VIRTUAL:
        raise RecordingError(f"{where}: is put together from other data sets; expected bytes of this file alone")
    if properties.get_external_count() > 0:
        raise RecordingError(f"{where}: its bytes lie in another file; expected bytes of this file alone")
    if layout != h5d.CHUNKED:
        return Storage((), ())
    filters = tuple(properties.get_filter(index)[0] for index in range(properties.get_nfilters()))
    return Storage(tuple(properties.get_chunk()), filters)


def check_size(
    handle: Any, stored: Storage, shape: tuple[int, ...], item_bytes: int, file_bytes: int, limits: RecordingLimits,
    *, limit: str, where: str,
) -> None:  # fmt: skip
    """Raises `RecordingError` for a data set that states more than its file or the limits allow, or is packed oddly.

    `limit` names the most bytes that it may come to, one of `limits`.
    """
    stated, most = math.prod(shape) * item_bytes, getattr(limits, limit)
    if stated > most:
        raise RecordingError(f"{where}: states {stated} bytes; expected {most} at most (limit recording_{limit})")
    if stored.chunk:
        _check_chunks(stored, shape, item_bytes, limits, where)
    if stated > UNSTORED_BYTES:
        # What the file says of its own storage may be as wrong as the rest
        held = min(handle.get_storage_size(), file_bytes)
        expansion = limits.expansion if _packer(stored) is not None else 1
        if stated > held * expansion + UNSTORED_BYTES:
            raise RecordingError(
                f"{where}: states {stated} bytes and stores {held}; expected {expansion} for each stored one at most "
                f"(limit recording_expansion); copy the recording again from the device"
            )


def _check_chunks(
    stored: Storage, shape: tuple[int, ...], item_bytes: int, limits: RecordingLimits, where: str
) -> None:
    unknown = [code for code in stored.filters if code not in FILTERS]
    order = list(FILTERS)
    places = [order.index(code) for code in stored.filters if code in FILTERS]
    if unknown or places != sorted(set(places)) or len(set(stored.filters).intersection(PACKERS)) > 1:
        names = ", ".join(FILTERS.get(code, f"filter {code}") for code in stored.filters)
        raise RecordingError(f"{where}: packed by {names}, which is not read; {NOT_READ}")
    chunk_bytes = math.prod(stored.chunk) * item_bytes
    if chunk_bytes > limits.data_set_bytes:
        most = f"{limits.data_set_bytes} at most (limit recording_data_set_bytes)"
        raise RecordingError(f"{where}: in chunks of {chunk_bytes} bytes; expected {most}")
    chunks = math.prod(-(-side // step) for side, step in zip(shape, stored.chunk, strict=True))
    if chunks > MOST_CHUNKS:
        raise RecordingError(f"{where}: cut into {chunks} chunks; expected {MOST_CHUNKS} at most")


def check_packed(handle: Any, stored: Storage, item_bytes: int, file_bytes: int, *, where: str) -> None:
    """Unpacks each chunk of a packed data set as far as it may go; `RecordingError` for one that goes on behind it.

    HDF5 itself makes room until a stream ends, whatever size the chunk is to have. Call `check_size` first.
    """
    packer = _packer(stored)
    if packer is None:
        return
    most = math.prod(stored.chunk) * item_bytes
    mask = 1 << stored.filters.index(packer)
    chunks: list[Any] = []
    handle.chunk_iter(chunks.append)
    for chunk in chunks:
        if chunk.size > file_bytes:
            raise RecordingError(f"{where}: states a chunk of {chunk.size} bytes in a file of {file_bytes}")
        _, data = handle.read_direct_chunk(chunk.chunk_offset)
        if h5z.FILTER_FLETCHER32 in stored.filters:
            checksum = 1 << stored.filters.index(h5z.FILTER_FLETCHER32)
            data = data if chunk.filter_mask & checksum else data[:-CHECKSUM_BYTES]
        if chunk.filter_mask & mask:  # the writer left it as it is
            length = len(data)
        elif packer == h5z.FILTER_DEFLATE:
            length = _inflated(data, most, where)
        else:
            length = _lzf_length(data, most)
        if length > most:
            raise RecordingError(f"{where}: a chunk unpacks to more than the {most} bytes that it states")


def _packer(stored: Storage) -> int | None:
    return next((code for code in stored.filters if code in PACKERS), None)


def _inflated(data: bytes, most: int, where: str) -> int:
    """The length that a deflate stream unpacks to; most + 1 for any that is longer."""
    try:
        return len(zlib.decompressobj().decompress(data, most + 1))
    except zlib.error as error:
        raise RecordingError(f"{where}: damaged HDF5 ({error}); copy the recording again from the device") from error


def _lzf_length(data: bytes, most: int) -> int:
    """The length that an LZF stream unpacks to, counted without unpacking it (liblzf, lzf_d.c)."""
    position = length = 0
    while position < len(data) and length <= most:
        control = data[position]
        if control < 32:  # a run of literals
            length += control + 1
            position += control + 2
        else:  # a copy of what came before
            long = control >> 5 == 7 and position + 1 < len(data)
            length += (control >> 5) + 2 + (data[position + 1] if long else 0)
            position += 3 if long else 2
    return length
