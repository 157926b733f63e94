"""What must be known of a picture before it enters a data set: its size, and that all of it is there and decodes."""

import cv2
import numpy as np

from traffic_yolo.atm.jpeg import check_jpeg_complete, jpeg_size
from traffic_yolo.errors import DatasetError, RecordingError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# An eighth of the size, one channel: every byte is read, at a quarter of the time of a full decode
QUICK_DECODE = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION


def picture_suffix(data: bytes) -> str:
    """`.png` or `.jpg`, by the first bytes."""
    return ".png" if data.startswith(PNG_SIGNATURE) else ".jpg"


def checked_picture_size(data: bytes, *, what: str) -> tuple[int, int]:
    """(width, height) in pixels of a JPEG or PNG that is all there and decodes.

    Raises `DatasetError`, with `what` naming the picture, for one that is cut off or broken, or is of another format.
    """
    if data.startswith(PNG_SIGNATURE):
        # The trailer is the last chunk: its length, its name, its checksum
        if data[-8:-4] != b"IEND":
            raise DatasetError(f"{what}: PNG is cut off; no end marker in {len(data)} bytes; copy it again")
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    else:
        try:
            check_jpeg_complete(data, what=what)
            width, height = jpeg_size(data, what=what)
        except RecordingError as error:
            raise DatasetError(str(error)) from error
    if not _decodes(data):
        raise DatasetError(f"{what}: picture of {width}x{height} pixels does not decode; copy it again or remove it")
    return width, height


def _decodes(data: bytes) -> bool:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), QUICK_DECODE) is not None
    except cv2.error:  # sizes that OpenCV refuses to allocate
        return False
