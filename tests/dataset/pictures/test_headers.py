"""Sizes and orientations by the header, against OpenCV, and what every way to a picture does about them."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_tags import with_orientation
from small_shares import jpeg

from traffic_yolo.dataset.pictures.decode import decode_rgb, stated_size
from traffic_yolo.dataset.pictures.headers import orientation_of
from traffic_yolo.dataset.pictures.look import look_at, look_or_why_not
from traffic_yolo.dataset.pictures.picture_file import kept_picture, picture_size
from traffic_yolo.errors import DatasetError, PictureError

PIXELS = np.random.default_rng(0).integers(0, 255, (37, 53, 3), dtype=np.uint8)
TURNED = np.rot90(PIXELS, -1)


def encoded(suffix: str, *, lossless: bool = True) -> bytes:
    parameters = [cv2.IMWRITE_WEBP_QUALITY, 101 if lossless else 80] if suffix == ".webp" else []
    return cv2.imencode(suffix, PIXELS, parameters)[1].tobytes()


def turned_tiff(order: str) -> bytes:
    """The TIFF of OpenCV with its orientation tag changed, or the smallest directory that has one."""
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, 8, 0, 0)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_the_header_states_the_size_that_is_decoded(suffix: str) -> None:
    assert stated_size(encoded(suffix)) == (53, 37)
    assert stated_size(encoded(suffix, lossless=False)) == (53, 37)
    assert stated_size(encoded(suffix)[:12]) is None


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tif"])
def test_other_kinds_are_kept_as_png_of_the_same_pixels(suffix: str) -> None:
    kept = kept_picture(encoded(suffix), what="p")
    assert kept.startswith(b"\x89PNG")
    assert picture_size(kept, what="p") == (53, 37)
    assert np.array_equal(decode_rgb(kept, what="p")[..., ::-1], PIXELS)
    assert np.array_equal(decode_rgb(encoded(suffix), what="p")[..., ::-1], PIXELS)
    with pytest.raises(DatasetError, match="^a/p: picture does not decode"):
        kept_picture(encoded(suffix)[:-30], what="a/p")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpeg_and_png_are_kept_byte_for_byte(suffix: str) -> None:
    assert kept_picture(encoded(suffix), what="p") == encoded(suffix)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_an_orientation_is_found_and_refused_by_name_where_training_reads(suffix: str, order: str) -> None:
    data = encoded(suffix)
    assert orientation_of(data) == 1
    assert orientation_of(with_orientation(data, 1, order)) == 1
    turned = with_orientation(data, 6, order)
    assert orientation_of(turned) == 6
    with pytest.raises(PictureError, match=r"^a/p: expected a picture stored upright, found Exif orientation 6"):
        decode_rgb(turned, what="a/p")
    decode_rgb(with_orientation(data, 1, order), what="a/p")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_has_its_orientation_among_its_own_tags(order: str) -> None:
    assert orientation_of(turned_tiff(order)) == 8
    assert orientation_of(turned_tiff(order)[:-10]) == 1  # cut off


def test_opencv_turns_what_is_refused_here(tmp_path: Path) -> None:
    """Darknet reads by OpenCV: it trains on the turned picture, with labels that may be those of the stored one."""
    (tmp_path / "a.jpg").write_bytes(with_orientation(encoded(".jpg"), 6))
    assert cv2.imread(str(tmp_path / "a.jpg")).shape[:2] == TURNED.shape[:2]


def test_a_look_names_the_damage_that_opencv_papers_over() -> None:
    data = bytearray(jpeg(0, 320, 240))
    data[len(data) // 2 : len(data) // 2 + 4] = b"\xff\x00\xff\x5e"
    assert cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR) is not None
    with pytest.raises(DatasetError, match=r"^r/1\.jpg: expected a JPEG without damage, found [A-Z].*; copy it again$"):
        look_at(bytes(data), what="r/1.jpg")
    look, why = look_or_why_not(bytes(data))
    assert look is None
    assert why.startswith("expected a JPEG without damage, found ")
    half = jpeg(0, 320, 240)
    cut = half[: len(half) // 2] + b"\xff\xd9"  # the end marker hides what is missing
    with pytest.raises(DatasetError, match="premature end"):
        look_at(cut)


@pytest.mark.parametrize("size_wh", [(96, 72), (101, 77), (9, 8), (960, 540)])
def test_a_look_sees_the_pixels_that_opencv_sees(size_wh: tuple[int, int]) -> None:
    data = jpeg(3, *size_wh) if size_wh != (9, 8) else cv2.imencode(".jpg", PIXELS[:8, :9])[1].tobytes()
    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 if size_wh != (9, 8) else cv2.IMREAD_GRAYSCALE
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert look_at(data).brightness == (pytest.approx(float(grey.mean())))
