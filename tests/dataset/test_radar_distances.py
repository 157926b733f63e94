"""Distances of human boxes from the radar: hand-made tracks through a level camera, and what is nobody's stays unsaid."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from radar_share import CAMERA, DISTANCES, LAYOUT, radar_share, tracks
from small_shares import Share

from traffic_yolo.atm.calibration import Calibration, calibration_text
from traffic_yolo.atm.recording import Scan
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.radar_distances import RadarDistances, tracks_of
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.errors import DatasetError, OptionsError

# Ten metres high and level: a point on the ground y metres away is seen 10 fy / y pixels below the middle
LEVEL = dataclasses.replace(CAMERA, image_wh=(1000, 1000), fx=1000.0, fy=1000.0, cx=500.0, cy=500.0, height_m=10.0)
# A car of 4 x 2 x 1.5 m that drives along the road at (9, 40): near face at 38 m from 8 to 10 m across, far one at 42 m
AT_9_40 = (8 / 42 * 1000 + 500, 8.5 / 42 * 1000 + 500, 10 / 38 * 1000 + 500, 10 / 38 * 1000 + 500)


def frame(*boxes: Annotation, seen: np.ndarray | None, **fields: Any) -> Frame:
    scan = Scan(0, "SCAN_00000", b"", (1000, 1000), (), seen, None, LAYOUT)
    return Frame("r", "SCAN_00000", 1000, 1000, boxes, lambda: b"", site="A", recorded=scan, **fields)


def box(xyxy: tuple[float, float, float, float], **fields: Any) -> Annotation:
    left, top, right, bottom = xyxy
    return Annotation("CAR", (left, top, right - left, bottom - top), **fields)


@pytest.fixture(scope="module")
def distances() -> RadarDistances:
    return RadarDistances((Calibration(LEVEL, site="A", path="c.yaml"),))


def stated(distances: RadarDistances, before: Frame) -> list[Any]:
    return [one.attributes.get("distance_m") for one in distances.change(before).annotations]


def test_a_box_has_the_distance_of_its_track_along_the_ground(distances: RadarDistances) -> None:
    left, top, right, bottom = AT_9_40
    mirrored = (1000 - right, top, 1000 - left, bottom)
    before = frame(box(mirrored, attributes={"lane": 2}), box(AT_9_40), seen=tracks((9, 40), (-9, 39.5)))
    # hypot(-9, 39.5) = 40.512, hypot(9, 40) = 41
    assert stated(distances, before) == [40.5, 41.0]
    changed = distances.change(before)
    assert changed.annotations[0].attributes == {"lane": 2, "distance_m": 40.5}
    assert [one.xywh for one in changed.annotations] == [one.xywh for one in before.annotations]


def test_a_box_that_no_track_matches_says_nothing(distances: RadarDistances) -> None:
    sky = box((200, 200, 250, 250))
    assert stated(distances, frame(sky, box(AT_9_40), seen=tracks((9, 40), (0, 200)))) == [None, 41.0]


def test_what_a_box_states_itself_stays(distances: RadarDistances) -> None:
    own = box(AT_9_40, attributes={"distance_m": 12.5})
    place = box(AT_9_40, attributes={"posx": 3.0, "posy": 4.0})
    for one, found in ((own, 12.5), (place, None)):
        assert stated(distances, frame(one, seen=tracks((9, 40)))) == [found]


def test_a_crowd_takes_no_track_and_an_ignored_box_does(distances: RadarDistances) -> None:
    crowd, ignored = box(AT_9_40, is_crowd=True), box(AT_9_40, ignore=True)
    assert stated(distances, frame(crowd, box(AT_9_40), seen=tracks((9, 40)))) == [None, 41.0]
    assert stated(distances, frame(ignored, seen=tracks((9, 40)))) == [41.0]


@pytest.mark.parametrize(
    "before",
    [
        frame(box(AT_9_40), seen=tracks((9, 40)), labelled=False),
        frame(box(AT_9_40), seen=None),
        frame(box(AT_9_40), seen=tracks()),
        frame(seen=tracks((9, 40))),
        dataclasses.replace(frame(box(AT_9_40), seen=tracks((9, 40))), site="B"),
        dataclasses.replace(frame(box(AT_9_40), seen=tracks((9, 40))), recorded=None),
    ],
    ids=["of the device", "no radar", "no track", "no box", "no calibration", "no recording"],
)
def test_other_frames_stay_as_they_are(distances: RadarDistances, before: Frame) -> None:
    assert distances.change(before) is before


def test_a_picture_of_another_shape_than_the_calibration_s_is_refused(distances: RadarDistances) -> None:
    wide = dataclasses.replace(frame(box(AT_9_40), seen=tracks((9, 40))), width=2000)
    with pytest.raises(OptionsError, match=r"c.yaml: made for 1000x1000 pictures; found 2000x1000.*r/SCAN_00000.jpg"):
        distances.change(wide)


def test_tracks_without_a_place_are_none() -> None:
    assert LAYOUT.tracks is not None
    placeless = dataclasses.replace(LAYOUT, tracks=dataclasses.replace(LAYOUT.tracks, columns=("idx",)))
    scan = Scan(0, "SCAN_00000", b"", (1000, 1000), (), np.ones((1, 1)), None, placeless)
    assert tracks_of(dataclasses.replace(frame(seen=None), recorded=scan)) is None


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return radar_share(tmp_path / "nas")


def asked(share: Share, calibration: Path, **more: Any) -> ConvertOptions:
    policy = f"{{calibration: {calibration}, leak_check: report}}"
    return ConvertOptions(str(share.recordings), labels=str(share.label_file), splits="none", policy=policy, **more)


def test_a_conversion_says_how_many_boxes_have_a_distance(share: Share, tmp_path: Path) -> None:
    (tmp_path / "cameras").mkdir()
    (tmp_path / "cameras" / "north.yaml").write_text(calibration_text(CAMERA, site="A"))
    summary = convert(asked(share, tmp_path / "cameras"), tmp_path / "out", processes=1)
    assert "distance from the radar: 24 of 24 boxes of A have one" in summary.notes
    assert "2 pictures of a camera without a calibration: no distances from the radar" in summary.notes
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    found = [one["attributes"].get("distance_m") for one in content["annotations"]]
    assert found == [*DISTANCES] * 8 + [None] * 6
    report = json.loads((tmp_path / "out/report.json").read_text())["findings"]["distances"]["A"]
    assert (report["frames"], report["boxes"], report["with_distance"]) == (8, 24, 24)
    assert report["calibration"]["plausible"]
    assert report["calibration"]["pairs"] == 24
    again = convert(asked(share, tmp_path / "cameras"), tmp_path / "again", processes=2)
    assert again.fingerprint == summary.fingerprint


def test_a_calibration_that_does_not_fit_fails_the_conversion(share: Share, tmp_path: Path) -> None:
    # 3 degrees are 5.2 of a car's 9 to 11 pixels
    turned = dataclasses.replace(CAMERA, pitch_deg=3.0)
    (tmp_path / "turned.yaml").write_text(calibration_text(turned, site="A"))
    with pytest.raises(DatasetError, match="calibration: that of A does not fit its radar tracks") as caught:
        convert(asked(share, tmp_path / "turned.yaml"), tmp_path / "out", processes=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_calibrations_is_refused(share: Share, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"no file of one in .*expected camera_calibration.yaml beside recordings"):
        convert(asked(share, share.recordings), tmp_path / "out")


def test_a_calibration_that_no_picture_is_of_is_said(share: Share, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(calibration_text(CAMERA, site="X"))
    summary = convert(asked(share, tmp_path / "x.yaml"), tmp_path / "out", processes=1)
    assert "distance from the radar: NO picture has radar tracks and a calibrated camera" in summary.notes
