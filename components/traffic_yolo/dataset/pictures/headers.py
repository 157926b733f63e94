"""What headers of WebP and TIFF files say of their size, and where pictures of every kind say that they are turned."""

import struct
from collections.abc import Collection

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8"
TIFF_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}  # byte order by the first four bytes
TIFF_WIDTH, TIFF_HEIGHT, TIFF_ORIENTATION = 256, 257, 274
TIFF_NUMBERS = {3: "H", 4: "I"}  # type of an entry: 16 or 32 bits
EXIF_NAME = b"Exif\x00\x00"
EXIF_WITHIN = 1 << 18  # bytes of a JPEG before which an Exif segment is looked for; profiles may come first
UPRIGHT = 1
MOST_SEGMENTS = 1_000


def is_webp(data: bytes) -> bool:
    """Whether it begins as a WebP file."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def is_tiff(data: bytes) -> bool:
    """Whether it begins as a TIFF file of at most 4 GB."""
    return data[:4] in TIFF_ORDERS


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a WebP by its first chunk; None where that is cut off or unknown."""
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")  # 14 bits each, less one
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def tiff_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a TIFF's first picture; None where its directory does not say them."""
    tags = tiff_tags(data, (TIFF_WIDTH, TIFF_HEIGHT))
    return (tags[TIFF_WIDTH], tags[TIFF_HEIGHT]) if len(tags) == 2 else None


def tiff_tags(data: bytes, wanted: Collection[int]) -> dict[int, int]:
    """The whole numbers that the first directory has under the `wanted` tags; those that are not there are left out."""
    order = TIFF_ORDERS.get(data[:4], "")
    found: dict[int, int] = {}
    if not order:
        return found
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for position in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", data, position)
            if tag in wanted and kind in TIFF_NUMBERS and values == 1:
                (found[tag],) = struct.unpack_from(order + TIFF_NUMBERS[kind], data, position + 8)
    except struct.error:  # the directory is cut off
        pass
    return found


def orientation_of(data: bytes) -> int:
    """The Exif orientation, 1 to 8: how the stored pixels are to be turned or mirrored; 1 (not at all) without one."""
    turned = tiff_tags(_exif_of(data), (TIFF_ORIENTATION,)).get(TIFF_ORIENTATION, UPRIGHT)
    return turned if 1 <= turned <= 8 else UPRIGHT


def _exif_of(data: bytes) -> bytes:
    """The Exif block, which is built as a TIFF is; b"" for none."""
    if is_tiff(data):
        return data
    if data.startswith(JPEG_SIGNATURE):
        return _exif_of_jpeg(data) if data.find(EXIF_NAME, 0, EXIF_WITHIN) >= 0 else b""
    if data.startswith(PNG_SIGNATURE):
        return _chunk(data, b"eXIf", len(PNG_SIGNATURE), name_first=False)
    if is_webp(data):
        return _chunk(data, b"EXIF", 12, name_first=True).removeprefix(EXIF_NAME)
    return b""


def _exif_of_jpeg(data: bytes) -> bytes:
    position = 2
    for _ in range(MOST_SEGMENTS):
        if data[position : position + 1] != b"\xff" or position + 4 > len(data):
            break
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA:  # the pixels begin
            break
        if marker == 0xE1 and data.startswith(EXIF_NAME, position + 4):
            return data[position + 4 + len(EXIF_NAME) : position + 2 + length]
        position += 2 + length
    return b""


def _chunk(data: bytes, name: bytes, position: int, *, name_first: bool) -> bytes:
    """The content of the first chunk of this name, of PNG (length, name, content, checksum) or RIFF (name, length)."""
    if data.find(name) < 0:
        return b""
    for _ in range(MOST_SEGMENTS):
        if position + 8 > len(data):
            break
        first, second = data[position : position + 4], data[position + 4 : position + 8]
        found, stated = (first, second) if name_first else (second, first)
        length = int.from_bytes(stated, "little" if name_first else "big")
        if found == name:
            return data[position + 8 : position + 8 + length]
        position += 8 + length + (length % 2 if name_first else 4)
    return b""
