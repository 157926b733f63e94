"""What can be said of a JPEG: its size, from the header alone, and whether all of it is there."""

import re

import cv2
import numpy as np

from traffic_yolo.errors import RecordingError
from traffic_yolo.limits import beyond, limits

START_OF_IMAGE = b"\xff\xd8"
END_OF_IMAGE = b"\xff\xd9"
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 ... SOF15; the three are tables, not frames
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that no length follows
START_OF_SCAN = 0xDA
MOST_SEGMENTS = 10_000  # before the frame header; cameras write about ten
FILL_BYTES = re.compile(b"\xff+")


def jpeg_size(data: bytes, *, what: str = "picture") -> tuple[int, int]:
    """(width, height) in pixels, read from the frame header; nothing is decoded.

    `what` names the picture in the message of `RecordingError`, raised for bytes that are not a JPEG or end before its
    frame header.
    """
    if data[:2] != START_OF_IMAGE:
        raise RecordingError(
            f"{what}: not a JPEG; expected it to begin with ff d8, found {data[:2].hex(' ') or 'nothing'}"
        )
    position = 2
    for _ in range(MOST_SEGMENTS):
        if position + 4 > len(data):
            break
        if data[position] != 0xFF:
            raise RecordingError(
                f"{what}: broken JPEG header at byte {position}; expected ff, found {data[position]:02x}"
            )
        marker = data[position + 1]
        if marker == 0xFF:  # a marker may be preceded by any number of fill bytes
            position += len(FILL_BYTES.match(data, position)[0]) - 1  # type: ignore[index]  # there is one at least
            continue
        if marker in BARE_MARKERS:
            position += 2
            continue
        if marker in FRAME_MARKERS and position + 9 <= len(data):
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            if width == 0 or height == 0:
                raise RecordingError(f"{what}: JPEG header gives a picture of {width}x{height} pixels")
            return width, height
        if marker == START_OF_SCAN:
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    else:
        raise RecordingError(f"{what}: JPEG without a size in its first {MOST_SEGMENTS} segments")
    raise RecordingError(f"{what}: JPEG ends or starts its pixels before it says its size ({len(data)} bytes)")


def check_jpeg_pixels(image_wh: tuple[int, int], most: int, *, what: str = "picture") -> None:
    """Raises `RecordingError` for a picture of more pixels, which its header states before any of them is decoded."""
    width, height = image_wh
    if width * height > most:
        raise RecordingError(
            f"{what}: JPEG header gives a picture of {width}x{height} pixels; expected {most} at most "
            f"(limit picture_pixels)"
        )


def complete_jpeg_size(data: bytes, *, what: str = "picture") -> tuple[int, int]:
    """`jpeg_size` of a JPEG that also has its end marker; some writers pad with zeros after it."""
    size = jpeg_size(data, what=what)
    check_jpeg_end(data, what=what)
    return size


def check_jpeg_end(data: bytes, *, what: str = "picture") -> None:
    """Raises `RecordingError` unless a JPEG has its end marker."""
    if data[-2:] != END_OF_IMAGE and data.rstrip(b"\x00")[-2:] != END_OF_IMAGE:
        raise RecordingError(
            f"{what}: JPEG is cut off; no end marker in {len(data)} bytes; copy the recording again or drop the scan"
        )


def check_jpeg_complete(
    data: bytes, *, what: str = "picture", decode: bool = False, most_pixels: int | None = None
) -> None:
    """Raises `RecordingError` unless the JPEG has a header of at most `most_pixels`, and its end marker.

    `decode=True` also decodes every pixel, which finds damage in the middle at some milliseconds a picture.
    """
    width, height = complete_jpeg_size(data, what=what)
    if most_pixels is not None:
        check_jpeg_pixels((width, height), most_pixels, what=what)
    if decode:
        bounds = limits()
        if width * height > bounds.picture_pixels:
            raise RecordingError(f"{what}: states {width} x {height}: {beyond(bounds, 'picture_pixels', 'pixels')}")
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:  # more pixels than it decodes
            picture = None
        if picture is None or picture.shape[:2] != (height, width):
            raise RecordingError(f"{what}: JPEG does not decode to the {width}x{height} pixels of its header")
