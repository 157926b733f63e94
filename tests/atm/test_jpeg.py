"""JPEG size from the header, and completeness."""

import cv2
import numpy as np
import pytest

from traffic_yolo.atm.jpeg import check_jpeg_complete, jpeg_size
from traffic_yolo.errors import RecordingError


def encoded(width: int, height: int, *options: int) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", picture, list(options))[1].tobytes()


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
def test_size_is_read_from_baseline_and_progressive_headers(options: tuple[int, ...]) -> None:
    assert jpeg_size(encoded(321, 123, *options)) == (321, 123)


def test_size_is_found_behind_fill_bytes_and_application_data() -> None:
    data = encoded(64, 48)
    comment = b"\xff\xff\xff\xfe" + (300).to_bytes(2, "big") + bytes(298)
    assert jpeg_size(data[:2] + comment + data[2:]) == (64, 48)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a JPEG; expected it to begin with ff d8, found nothing"),
        (b"\x89PNG....", "found 89 50"),
        (encoded(64, 48)[:60], "ends or starts its pixels before it says its size"),
        (b"\xff\xd8\x00\x11\x22\x33", "broken JPEG header at byte 2; expected ff, found 00"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x00\x40\x03", "a picture of 64x0 pixels"),
    ],
    ids=["empty", "png", "cut header", "rubbish", "no rows"],
)
def test_what_is_no_jpeg_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        jpeg_size(data, what="SCAN_00001")


def test_a_whole_jpeg_is_complete_with_and_without_padding() -> None:
    check_jpeg_complete(encoded(64, 48), decode=True)
    check_jpeg_complete(encoded(64, 48) + bytes(7), decode=True)


def test_a_cut_jpeg_is_refused() -> None:
    with pytest.raises(RecordingError, match="SCAN_00001: JPEG is cut off; no end marker"):
        check_jpeg_complete(encoded(64, 48)[:-20], what="SCAN_00001")


def test_decoding_finds_what_the_markers_hide() -> None:
    data = encoded(64, 48)
    tables_removed = data[:2] + data[data.index(b"\xff\xc0") :]  # a header and an end, but nothing to decode with
    check_jpeg_complete(tables_removed)
    with pytest.raises(RecordingError, match="does not decode to the 64x48 pixels of its header"):
        check_jpeg_complete(tables_removed, decode=True)
