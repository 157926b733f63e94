"""Whether the bytes of an HDF5 file are all there, by its superblock alone; opens no file and needs no HDF5 library.

Source: "HDF5 File Format Specification Version 3.0", section II.A (superblock versions 0 to 3).
"""

import struct

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD_BYTES = 2048 + 96  # a superblock may begin at 0, 512, 1024, 2048, ...
_STARTS = (0, 512, 1024, 2048)
_OPEN_FOR_WRITING, _OPEN_FOR_SWMR = 0x01, 0x04


def why_unfinished(head: bytes, size: int) -> str:
    """Why a recording cannot be complete yet, from its first `HEAD_BYTES` and its size; empty where nothing says so.

    Found are: an empty file, one shorter than its superblock says (a writer or a copy has not ended, or was cut off),
    and the flags that HDF5 sets in a file of superblock version 3 while it is open for writing. A file without the
    signature is no HDF5 file, which is not for this function to say: empty too.
    """
    if size == 0:
        return "empty"
    start = next((start for start in _STARTS if head[start : start + 8] == SIGNATURE), None)
    if start is None:
        return f"only {size} bytes" if size < len(SIGNATURE) else ""
    superblock = head[start:]
    try:
        version = superblock[8]
        if version in (0, 1):
            offset_bytes = superblock[13]
            addresses = 24 if version == 0 else 28
            flags = 0
        elif version in (2, 3):
            offset_bytes, flags, addresses = superblock[9], superblock[11] if version == 3 else 0, 12
        else:
            return ""
        kind = {2: "H", 4: "I", 8: "Q"}[offset_bytes]
        _, _, end = struct.unpack_from(f"<3{kind}", superblock, addresses)
    except (IndexError, KeyError, struct.error):
        return f"cut off within its first {len(head)} bytes"
    if flags & (_OPEN_FOR_WRITING | _OPEN_FOR_SWMR):
        return "open for writing"
    undefined = end == (1 << 8 * offset_bytes) - 1
    if undefined or end > size:
        return f"{size} bytes, where its own header says {'nothing yet' if undefined else end}"
    return ""
