"""The one way from a picture file's bytes to pixels: the header says how many there are before any is made.

A file of 20 kB can state 30,000 x 30,000 pixels, and takes 5.4 GB once it is decoded.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from traffic_yolo.atm.jpeg import jpeg_size
from traffic_yolo.dataset.pictures.headers import (
    JPEG_SIGNATURE,
    PNG_SIGNATURE,
    UPRIGHT,
    is_tiff,
    is_webp,
    orientation_of,
    tiff_size,
    webp_size,
)
from traffic_yolo.errors import DatasetError, PictureError, RecordingError
from traffic_yolo.limits import beyond, limits

BMP_SIGNATURE = b"BM"  # which Darknet reads as well
REDUCTIONS = (8, 4, 2)  # divisors of a JPEG's width and height
BMP_CORE_HEADER = 12  # bytes of the oldest header, with sizes of 16 bits
PNG_CHUNK = 12  # bytes of a chunk beside its content: length, name and checksum
COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # labels count in the stored picture's pixels


def stated_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of a picture of `decode_picture`'s kinds; None for all else and what is cut off."""
    if data.startswith(PNG_SIGNATURE):
        found = data[12:16] == b"IHDR" and len(data) >= 24
        return (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) if found else None
    if data.startswith(BMP_SIGNATURE):
        if len(data) < 26:
            return None
        if int.from_bytes(data[14:18], "little") == BMP_CORE_HEADER:
            return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
        # A height below 0 says that the rows run from the top
        sides = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22))
        width, height = (abs(side) for side in sides)
        return width, height
    if is_webp(data):
        return webp_size(data)
    if is_tiff(data):
        return tiff_size(data)
    try:
        return jpeg_size(data)
    except RecordingError:
        return None


def check_pixels(width: int, height: int, *, what: str) -> None:
    """Raises `DatasetError` for a picture of more pixels than the limit `picture_pixels`."""
    bounds = limits()
    if width * height > bounds.picture_pixels:
        raise DatasetError(f"{what}: states {width} x {height}: {beyond(bounds, 'picture_pixels', 'pixels')}")


def check_upright(data: bytes, *, what: str) -> None:
    """Raises `PictureError` for a picture whose Exif orientation is not 1."""
    turned = orientation_of(data)
    if turned != UPRIGHT:
        raise PictureError(
            f"{what}: expected a picture stored upright, found Exif orientation {turned}; labels may count either way: "
            f"store the pixels turned, or remove the orientation where the labels are those of the stored pixels"
        )


def jpeg_grey_eighth(data: bytes, size_wh: tuple[int, int], *, what: str) -> NDArray[np.uint8]:
    """(h, w) grey pixels of a JPEG at an eighth of its size, the same as OpenCV's: every byte of it is decoded.

    Raises `PictureError` for damage, as `decode_rgb` does; OpenCV would take as long, and return grey or garbage.
    """
    width, height = (-(-side // 8) for side in size_wh)
    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in ("CMYK", "YCCK"):
            return np.asarray(cv2.cvtColor(_decode_jpeg(data, what, size_wh), cv2.COLOR_RGB2GRAY)[::8, ::8], np.uint8)
        grey = simplejpeg.decode_jpeg(data, "GRAY", min_width=width, min_height=height, strict=True)
    except ValueError as error:
        reason = (str(error) or "not a JPEG").splitlines()[0]
        raise PictureError(f"{what}: expected a JPEG without damage, found {reason}; copy it again") from error
    return np.asarray(grey[..., 0], np.uint8)


def decode_picture(data: bytes, flags: int = COLOUR, *, what: str) -> NDArray[np.uint8] | None:
    """The pixels as OpenCV gives them under `flags`, (h, w, 3) BGR or (h, w) grey; None for what does not decode.

    Of pictures, JPEG, PNG, BMP, WebP and TIFF are taken (the first one of several). Raises `DatasetError`, `what`
    naming the picture, for more pixels than the limit `picture_pixels`, before anything is decoded.
    """
    size = stated_size(data)
    if size is None:
        return None
    check_pixels(*size, what=what)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # sizes that OpenCV refuses to allocate
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def decode_file(path: str | Path, flags: int = COLOUR) -> NDArray[np.uint8] | None:
    """`decode_picture` of a file; None also for one that cannot be read."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    return decode_picture(data, flags, what=str(path))


def decode_rgb(data: bytes, *, what: str, at_least_wh: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The picture (h, w, 3) uint8 RGB, whole and undamaged; the values are those of `decode_picture`.

    Raises `PictureError`, `what` naming the picture, for what does not decode and for damage that a decoder would paper
    over: every warning of libjpeg's ("Corrupt JPEG data", "Premature end"), a wrong checksum in a PNG. OpenCV prints
    these on stderr without a name, or swallows them, and returns grey or garbage. So is one that its Exif orientation
    turns: whether its labels count in the stored pixels or in the turned ones, nobody can know. Raises `DatasetError`
    for more pixels than the limit.

    `at_least_wh`: a JPEG may come smaller, by libjpeg's scaled inverse DCT, at a half, a quarter or an eighth, but no
    smaller than this. That costs less time, and its pixels are not those of the whole picture made smaller.
    """
    size = stated_size(data)
    if size is None:
        raise PictureError(f"picture cannot be decoded: {what}; convert the data set again")
    check_pixels(*size, what=what)
    check_upright(data, what=what)
    if data.startswith(PNG_SIGNATURE):
        _check_png(data, what=what)
    elif data.startswith(JPEG_SIGNATURE):
        return _decode_jpeg(data, what, _reduced_wh(size, at_least_wh))
    pixels = decode_picture(data, what=what)
    if pixels is None:
        raise PictureError(f"picture cannot be decoded: {what}; convert the data set again")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _reduced_wh(size_wh: tuple[int, int], at_least_wh: tuple[int, int] | None) -> tuple[int, int]:
    """The smallest size that a JPEG may come in; its own where only other fractions would do.

    libjpeg-turbo has vector code for halves alone: 7/8 of 960 x 540 takes 2.4 times as long as the whole.
    """
    if at_least_wh is None:
        return size_wh
    for divisor in REDUCTIONS:
        width, height = (-(-side // divisor) for side in size_wh)
        if width >= at_least_wh[0] and height >= at_least_wh[1]:
            return width, height
    return size_wh


def _decode_jpeg(data: bytes, what: str, least_wh: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = least_wh
    try:
        *_, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in ("CMYK", "YCCK"):  # libjpeg leaves these to the caller; OpenCV converts them
            simplejpeg.decode_jpeg(data, "CMYK", strict=True)
            pixels = decode_picture(data, what=what)
            if pixels is None:
                raise ValueError("OpenCV does not decode it")
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        return np.asarray(
            simplejpeg.decode_jpeg(data, "RGB", min_width=width, min_height=height, strict=True), np.uint8
        )
    except ValueError as error:
        reason = (str(error) or "not a JPEG").splitlines()[0]
        raise PictureError(f"picture cannot be decoded: {what}; convert the data set again ({reason})") from error


def _check_png(data: bytes, *, what: str) -> None:
    """Raises `PictureError` unless every chunk of a PNG has the checksum that it states, and the last one is IEND."""
    position, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + PNG_CHUNK + length
        name = data[position + 4 : position + 8]
        if end > len(data) or zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise PictureError(
                f"picture cannot be decoded: {what}; convert the data set again (PNG chunk {name!r} at byte {position} "
                f"is cut off or damaged)"
            )
        position = end
