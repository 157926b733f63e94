"""What must be known of a picture before it enters a data set: its size, and that all of it is there."""

import cv2

from traffic_yolo.atm.jpeg import complete_jpeg_size
from traffic_yolo.dataset.pictures.decode import BMP_SIGNATURE, check_pixels, decode_picture
from traffic_yolo.dataset.pictures.headers import PNG_SIGNATURE, is_tiff, is_webp
from traffic_yolo.errors import DatasetError, RecordingError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
PNG_EFFORT = [cv2.IMWRITE_PNG_COMPRESSION, 3]
# An eighth of the size, one channel: every byte is read, at a quarter of the time of a full decode
QUICK_DECODE = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION


def kept_picture(data: bytes, *, what: str) -> bytes:
    """A picture's bytes as a data set keeps them: a BMP, WebP or TIFF as a PNG of the same pixels, all else as it is.

    Darknet, DeepStream and TensorRT's tools read JPEG and PNG. Of several pictures in one file the first is taken, of
    16 bits the upper 8. Raises `DatasetError`, `what` naming the picture, for one that does not decode.
    """
    if not (data.startswith(BMP_SIGNATURE) or is_webp(data) or is_tiff(data)):
        return data
    pixels = decode_picture(data, what=what)
    if pixels is None:
        raise DatasetError(f"{what}: picture does not decode ({len(data)} bytes); copy it again or remove it")
    return cv2.imencode(".png", pixels, PNG_EFFORT)[1].tobytes()


def picture_suffix(data: bytes) -> str:
    """`.png` or `.jpg`, by the first bytes."""
    return ".png" if data.startswith(PNG_SIGNATURE) else ".jpg"


def picture_size(data: bytes, *, what: str) -> tuple[int, int]:
    """(width, height) in pixels of a JPEG or PNG that is all there; nothing but header and end marker is looked at.

    Raises `DatasetError`, with `what` naming the picture, for one that is cut off, is of another format, or has more
    pixels than the limit `picture_pixels`.
    """
    if data.startswith(PNG_SIGNATURE):
        # The trailer is the last chunk: its length, its name, its checksum
        if data[-8:-4] != b"IEND":
            raise DatasetError(f"{what}: PNG is cut off; no end marker in {len(data)} bytes; copy it again")
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    else:
        try:
            size = complete_jpeg_size(data, what=what)
        except RecordingError as error:
            raise DatasetError(str(error)) from error
    check_pixels(*size, what=what)
    return size
