"""Pictures with an Exif orientation, in every container that has a place for one."""

import struct
import zlib


def with_orientation(data: bytes, orientation: int, order: str = "<") -> bytes:
    """The picture (JPEG, PNG or WebP) with an Exif block that says nothing else; `order` is its byte order."""
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    exif = mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)
    if data.startswith(b"\xff\xd8"):
        content = b"Exif\x00\x00" + exif
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]
    if data.startswith(b"\x89PNG"):
        chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
        return data[:33] + chunk + data[33:]  # after the header
    added = b"EXIF" + struct.pack("<I", len(exif)) + exif
    whole = data[8:] + added
    return b"RIFF" + struct.pack("<I", len(whole)) + whole
