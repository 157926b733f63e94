"""Calibration files: the round trip, what is refused, and which camera gets which file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from traffic_yolo.atm.calibration import (
    Calibration,
    calibration_for,
    calibration_of,
    calibration_text,
    calibration_value,
    find_calibrations,
    read_calibration,
)
from traffic_yolo.atm.camera import Camera
from traffic_yolo.errors import RecordingError

CAMERA = Camera((1920, 1080), 2119, 2120, 925, 564, -0.3, 0.1, 9.0, 10, 4, 1.0, 3.0, 0.001, -0.001, 0.02)


def test_a_calibration_file_describes_the_camera_completely(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(calibration_text(CAMERA, site="A", name="10.0.0.11"))
    read = read_calibration(tmp_path / "c.yaml")
    assert read.camera_model == CAMERA
    assert (read.site, read.camera) == ("A", "10.0.0.11")


def test_optional_keys_may_be_left_out() -> None:
    value = calibration_value(CAMERA)
    for key in ("skew", "roll_deg", "schema_version", "axes"):
        del value[key]
    value["distortion"] = value["distortion"][:4]
    camera = calibration_of(value, where="x").camera_model
    assert (camera.skew, camera.roll_deg, camera.k3) == (0, 0, 0)
    assert camera.p2 == CAMERA.p2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fx": None}, "fx: expected a number, found None"),
        ({"fy": -1.0}, "fy: expected a number above 0, found -1.0"),
        ({"height_m": 0}, "height_m: expected a number above 0"),
        ({"pitch_deg": 95}, "pitch_deg: expected -90 to 90 degrees, found 95"),
        ({"image_wh": [1920]}, "image_wh: expected [width, height] in whole pixels"),
        ({"image_wh": [1920.5, 1080]}, "image_wh: expected [width, height] in whole pixels"),
        ({"distortion": [0.1]}, "distortion: expected [k1, k2, p1, p2] or"),
        ({"distortion": [0, 0, 0, float("nan")]}, "is not finite; expected a number"),
        ({"focal": 3}, "unknown key 'focal'; known: schema_version"),
        ({"schema_version": 7}, "schema_version: expected 1, found 7"),
    ],
    ids=str,
)
def test_what_is_no_calibration_is_refused_by_its_key(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(calibration_value(CAMERA) | change))
    with pytest.raises(RecordingError, match=r"c\.yaml(: | line \d+: )") as caught:
        read_calibration(tmp_path / "c.yaml")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2", "3", ""])
def test_a_file_that_is_no_mapping_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(RecordingError) as caught:
        read_calibration(tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


def test_a_smaller_picture_scales_the_intrinsics_and_another_shape_is_refused() -> None:
    calibration = Calibration(CAMERA, path="c.yaml")
    points = np.array([[2.0, 40.0, 0.0], [-5.0, 60.0, 2.0]])
    half = calibration.scaled_to((960, 540))
    np.testing.assert_allclose(half.project(points)[0] * 2, CAMERA.project(points)[0], atol=1e-9)
    with pytest.raises(RecordingError, match=r"c\.yaml: made for 1920x1080 pictures; found 640x480"):
        calibration.scaled_to((640, 480))


def test_a_camera_takes_its_own_file_before_its_sites_and_that_before_the_nameless_one(tmp_path: Path) -> None:
    for index, (site, name) in enumerate((("", ""), ("A", ""), ("A", "10.0.0.1"), ("B", "10.0.0.2"))):
        (tmp_path / f"{index}.yaml").write_text(calibration_text(CAMERA, site=site, name=name))
    assert find_calibrations(tmp_path) == []
    known = find_calibrations(tmp_path, every_yaml=True)
    assert len(known) == 4

    def chosen(camera: str, site: str) -> str:
        found = calibration_for(known, camera=camera, site=site)
        assert found is not None
        return Path(found.path).stem

    assert chosen("10.0.0.1", "A") == "2"
    assert chosen("10.0.0.9", "A") == "1"
    assert chosen("", "B") == "3"  # recordings whose names tell no camera
    assert chosen("10.0.0.9", "C") == "0"
    assert calibration_for(known[3:], camera="10.0.0.1", site="A") is None
