"""Which frames are kept to be shown with what was found in them, and what a reader may choose them by."""

import html
import json
import re

import cv2
import numpy as np

from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.dataset.checks.finding_pictures import FRAMES_OF_A_CHECK, FindingPictures, found_pictures
from traffic_yolo.dataset.checks.observation import Observation, RawBox

JPEG = cv2.imencode(".jpg", np.full((60, 80, 3), 120, np.uint8))[1].tobytes()


def seen(frame: str, picture: bytes | None = JPEG) -> Observation:
    boxes = (RawBox("CAR", (5, 5, 20, 20), 1), RawBox("BUS", (40, 5, 30, 20), 2), RawBox("BUS", (1, 1, 0, 5), 3))
    return Observation(file="labels.json", frame=frame, picture=picture, boxes=boxes)


def finding(check: str, severity: str, box: str = "") -> DataFinding:
    return DataFinding(check, severity, "labels.json", "f", box, "this", "that")


def test_few_frames_of_each_check_are_kept_the_worst_first() -> None:
    kept = FindingPictures()
    kept.show(seen("no picture", None), [finding("a", "error")])
    kept.show(seen("nothing"), [])
    for number in range(4):
        kept.show(seen(f"a{number}"), [finding("a", "warning")])
    kept.show(seen("b"), [finding("a", "warning"), finding("b", "error")])
    found = kept.result()
    assert [one.observation.frame for one in found] == ["b", "a0", "a1"]
    assert FRAMES_OF_A_CHECK == 2


def test_a_picture_says_what_was_found_and_can_be_chosen_by_it() -> None:
    kept = FindingPictures()
    kept.show(
        seen("f"), [finding("a", "warning", "box 1 CAR"), finding("b", "error", "box 3 BUS"), finding("a", "warning")]
    )
    shown = found_pictures(kept.result())
    assert "<figcaption>f: 2 a, 1 b</figcaption>" in shown
    marks = re.search(r'data-marks="([^"]*)"', shown)
    assert marks is not None
    assert json.loads(html.unescape(marks[1])) == {"check": ["a", "b"], "severity": ["error", "warning"]}
    assert "<figure" not in found_pictures(kept.result(), "none")
    assert "<figure" not in found_pictures([])
