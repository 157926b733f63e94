"""Pictures that state more pixels than the limit: refused by every place that decodes them, before it does."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.atm.jpeg import check_jpeg_complete
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.pictures import decode as picture_decode
from traffic_yolo.dataset.pictures.decode import decode_file, decode_picture, decode_rgb, stated_size
from traffic_yolo.dataset.pictures.look import look_at, look_once
from traffic_yolo.dataset.pictures.picture_file import picture_size
from traffic_yolo.dataset.report.samples import draw_boxes
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.errors import DatasetError, RecordingError
from traffic_yolo.evaluation.darknet_map import read_picture as darknet_picture
from traffic_yolo.evaluation.slices import measure_light
from traffic_yolo.limits import Limits, in_force


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return picture_decode.PNG_SIGNATURE + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", 0xAE426082)


def jpeg_stating(width: int, height: int) -> bytes:
    """A JPEG of 8 x 8 pixels whose header says another size."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def places_that_decode(path: Path, data: bytes) -> list[Callable[[], object]]:
    no_boxes, none = np.zeros((0, 4), np.float32), np.zeros(0, np.bool_)
    image = LabelledImage(
        1, path, path.name, 30_000, 30_000, "", "", no_boxes, np.zeros(0, np.int64), ignore=none, is_crowd=none
    )
    return [
        lambda: picture_size(data, what="p"),
        lambda: decode_picture(data, what="p"),
        lambda: look_at(data, what="p"),
        lambda: decode_file(path),
        lambda: read_rgb(image),
        lambda: measure_light([path]),
        lambda: darknet_picture(path),
    ]


def test_every_place_that_decodes_refuses_by_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cv2, "imdecode", never)
    monkeypatch.setattr(cv2, "imread", never)
    for name, data in (("a.jpg", jpeg_stating(30_000, 30_000)), ("a.png", png_header(30_000, 30_000))):
        (tmp_path / name).write_bytes(data)
        for decode in places_that_decode(tmp_path / name, data):
            with pytest.raises(
                DatasetError, match=r"states 30000 x 30000: more than 100,000,000 pixels; raise .*limit"
            ):
                decode()
        assert look_once(data) is None
        assert draw_boxes(data, (), name) is None
    with pytest.raises(RecordingError, match="more than 100,000,000 pixels"):
        check_jpeg_complete(jpeg_stating(30_000, 30_000), decode=True)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_picture_of_exactly_the_limit_is_decoded_and_one_of_more_is_not(suffix: str) -> None:
    picture = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    data = cv2.imencode(suffix, picture)[1].tobytes()
    assert stated_size(data) == (12, 10)
    with in_force(replace(Limits(), picture_pixels=120)):
        decoded = decode_picture(data, what="p")
        assert decoded is not None
        assert decoded.shape == picture.shape
        assert suffix == ".jpg" or (decoded == picture).all()
    with in_force(replace(Limits(), picture_pixels=119)), pytest.raises(DatasetError, match="p: states 12 x 10: more"):
        decode_picture(data, what="p")


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"BM" + bytes(40), b"GIF89a" + bytes(40), png_header(5, 5)[:20], b"\xff\xd8"]
)
def test_what_is_no_picture_or_cut_off_does_not_decode(data: bytes) -> None:
    assert decode_picture(data, what="p") is None


def test_a_bitmap_whose_rows_run_from_the_top_has_its_size() -> None:
    data = bytearray(cv2.imencode(".bmp", np.zeros((10, 12, 3), np.uint8))[1].tobytes())
    data[22:26] = (-10).to_bytes(4, "little", signed=True)
    assert stated_size(bytes(data)) == (12, 10)
    core = b"BM" + bytes(12) + (12).to_bytes(4, "little") + struct.pack("<HH", 7, 9) + bytes(8)
    assert stated_size(core) == (7, 9)


@pytest.mark.parametrize(
    ("at_least_wh", "found_wh"),
    [
        ((321, 100), (321, 241)),  # 7/8 would do, and takes longer than the whole
        ((161, 121), (161, 121)),
        ((150, 122), (321, 241)),
        ((60, 60), (81, 61)),
        ((1, 1), (41, 31)),
        (None, (321, 241)),
    ],
)
def test_a_jpeg_comes_at_halves_no_smaller_than_asked(
    at_least_wh: tuple[int, int] | None, found_wh: tuple[int, int]
) -> None:
    slope = np.linspace(0, 255, 321)[None, :, None] * np.linspace(0.2, 1, 241)[:, None, None]
    whole = np.repeat(slope, 3, axis=2).astype(np.uint8)
    data = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    found = decode_rgb(data, what="p", at_least_wh=at_least_wh)
    assert found.shape[1::-1] == found_wh
    small = cv2.resize(whole, found_wh, interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - small).mean() < 4
