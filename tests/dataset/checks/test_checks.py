"""Every check of the table: one set of frames that it passes, one that it objects to, and what it says then."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from traffic_yolo.atm.calibration import Calibration, calibration_of
from traffic_yolo.atm.camera import Camera
from traffic_yolo.dataset.checks.finding import Findings, parse_severities
from traffic_yolo.dataset.checks.observation import Observation, RawBox, time_of
from traffic_yolo.dataset.checks.run import CheckRun
from traffic_yolo.dataset.checks.table import CHECKS, CheckContext
from traffic_yolo.dataset.policy import DataPolicy, policy_values
from traffic_yolo.errors import OptionsError

WIDTH, HEIGHT = 320, 180
CAMERA = Camera((WIDTH, HEIGHT), 353, 353, 160, 90, 0, 0, 9.0, 10.0, 0.0)
NOMINAL = {"CAR": (3.5, 1.6)}


def jpeg(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A picture of broad patches; another seed gives another scene."""
    cells = np.random.default_rng(seed).integers(20, 235, (5, 8, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(cells, (width, height)))[1].tobytes())


def png() -> bytes:
    return bytes(cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 99, np.uint8))[1].tobytes())


def box(*xywh: float, name: str | None = "CAR", number: int = 7, **options: Any) -> RawBox:
    x, y, width, height = xywh
    return RawBox(name, (x, y, width, height), number, **options)


GOOD = Observation(
    file="nas/r.h5",
    frame="SCAN_00001",
    picture=jpeg(),
    boxes=(box(100, 60, 40, 30), box(200, 60, 40, 30, number=8)),
    label_file="labels.json",
    stated_wh=(WIDTH, HEIGHT),
    site="A",
    recording="r",
    scan_number=1,
    time_s=10.0,
)
NAN, INFINITY = float("nan"), float("inf")


def frame(**changes: Any) -> Observation:
    return dataclasses.replace(GOOD, **changes)


def boxes(*changed: RawBox) -> list[Observation]:
    return [frame(boxes=changed)]


def following(*changes: dict[str, Any]) -> list[Observation]:
    """Frames of one recording after another; pictures differ unless they are given."""
    return [frame(**{"picture": jpeg(index), "scan_number": index, **change}) for index, change in enumerate(changes)]


def crowd_of_cars(*odd: RawBox) -> list[Observation]:
    """Forty cars that grow with the row, and what is odd among them."""
    rng = np.random.default_rng(1)
    frames = []
    for index in range(40):
        row = float(rng.uniform(60, 170))
        side = float((row - 40) * 0.3 * rng.uniform(0.9, 1.1))
        frames.append(frame(frame=f"SCAN_{index:05d}", boxes=(box(100, row - side, side, side),)))
    return [*frames, *(frame(frame="SCAN_00099", boxes=(one,)) for one in odd)]


# check -> (passes, fails, how many findings, words of the first, box of the first)
EXAMPLES: dict[str, tuple[Sequence[Observation], Sequence[Observation], int, str, str]] = {
    "unreadable-picture": (
        [GOOD, frame(picture=png())],
        [frame(picture=b"GIF89a not a picture"), frame(picture=jpeg()[:150] + b"\xff\xd9")],
        2, "20 bytes that begin with 47 49 46 38", "",
    ),
    "truncated-picture": (
        [GOOD, frame(picture=jpeg() + bytes(7)), frame(picture=png())],
        [frame(picture=jpeg()[:-200]), frame(picture=png()[:-30])],
        2, "no end marker in", "",
    ),
    "size-mismatch": (
        [GOOD, frame(stated_wh=None), frame(picture=None)],
        [frame(stated_wh=(1920, 1080))],
        1, "320x180", "",
    ),
    "label-without-picture": (
        [GOOD, frame(label_file="", picture=None)],
        [frame(picture=None, picture_trouble="no scan 99 in the recording")],
        1, "no scan 99 in the recording", "",
    ),
    "picture-without-label": ([GOOD], [frame(label_file="", boxes=())], 1, "none", ""),
    "scan-without-picture": ([GOOD, frame(picture=None)], [frame(picture=None, label_file="", boxes=())], 1, "none", ""),
    "unknown-class": ([GOOD], boxes(box(1, 1, 9, 9, name=None, class_text="class id 9")), 1, "class id 9", "box 7 class id 9"),
    "not-a-number": (
        [GOOD], boxes(box(1, NAN, 9, 9), box(1, 1, INFINITY, 9)), 2, "x, y, w, h = 1, nan, 9, 9", "box 7 CAR",
    ),
    "no-area": ([GOOD, *boxes(box(1, NAN, 0, 9))], boxes(box(1, 1, 0, 9), box(1, 1, 9, -2)), 2, "1, 1, 0, 9", "box 7 CAR"),
    "emptied-picture": (
        boxes(box(310, 170, 20, 20), box(320, 1, 9, 9)),
        boxes(box(-9, 1, 9, 9), box(320, 1, 9, 9)),
        1, "2 wholly outside the picture", "",
    ),
    "outside-picture": (
        boxes(box(-5, 1, 9, 9), box(310, 170, 20, 20)),
        boxes(box(-9, 1, 9, 9), box(320, 1, 9, 9), box(1, 180, 9, 9), box(1, -9.5, 9, 9)),
        4, "-9, 1, 9, 9", "box 7 CAR",
    ),
    "sticks-out": (
        boxes(box(-0.4, 0, 9, 9), box(311, 0, 9, 180.3), box(400, 1, 9, 9)),
        boxes(box(-5, 1, 9, 9), box(310, 170, 20, 13.5)),
        2, "clamped by 5.0 px", "box 7 CAR",
    ),
    "duplicate-box": (
        boxes(box(10, 10, 40, 40), box(12, 10, 40, 40, number=8), box(10, 10, 40, 40, is_crowd=True)),
        boxes(box(10, 10, 40, 40), box(10.5, 10, 40, 40, number=8)),
        1, "box 7 CAR at IoU 0.975", "box 8 CAR",
    ),
    "two-classes": (
        boxes(box(10, 10, 40, 40), box(10, 10, 40, 40)),
        boxes(box(10, 10, 40, 40), box(10, 10, 40, 40, name="BUS", number=8)),
        1, "box 7 CAR at IoU 1.000", "box 8 BUS",
    ),
    "empty-frame": ([GOOD, frame(boxes=(), label_file="")], [frame(boxes=())], 1, "none", ""),
    "missing-scan": (
        [*following({}, {}, {}), frame(recording="other", scan_number=9), frame(scan_number=None)],
        following({"scan_number": 3}, {"scan_number": 4}, {"scan_number": 8}),
        1, "scans 5 to 7 missing", "",
    ),
    "time-backwards": (
        [*following({"time_s": 1.0}, {"time_s": 1.0}, {"time_s": 2.5}), frame(recording="other", time_s=0.0)],
        following({"time_s": 5.0}, {"time_s": 4.5}, {"time_s": 6.0}),
        1, "4.500 s, 0.500 s back", "",
    ),
    "frozen-picture": (
        [*following({}, {}), frame(recording="other", picture=jpeg(1))],
        following({"picture": jpeg(3)}, {"picture": jpeg(3)}, {"picture": jpeg(4)}),
        1, "the same bytes as SCAN_00001", "",
    ),
    "near-duplicate": (
        [*following({}, {}, {}), frame(recording="other", picture=jpeg(2))],
        following({"picture": jpeg(3)}, {"picture": jpeg(3, 640, 360)}, {"picture": jpeg(4)}),
        1, "from SCAN_00001", "",
    ),
    "size-outlier": (
        crowd_of_cars(box(100, 100, 20, 20, name="BUS")),
        crowd_of_cars(box(100, 20, 120, 140), box(100, 150, 4, 4, number=9)),
        2, "130 px (square root of the area)", "box 7 CAR",
    ),
}  # fmt: skip


def run(name: str, observations: Sequence[Observation], context: CheckContext | None = None) -> Findings:
    """Only the check of this name."""
    checks = CheckRun({other: "off" for other in CHECKS if other != name}, context)
    for observation in observations:
        checks.show(observation)
    return checks.end()


# What readers, leak check and cross-check find; test_check_source.py has the examples
ELSEWHERE = {
    "empty-split", "unreadable-file", "unfinished-recording", "broken-label", "labelled-twice", "split-leak", "implausible-calibration",
    "track-without-box", "box-without-track", "reversed-corners", "shape-left-out",
    "mixed-origins", "alike-classes", "picture-left-out", "turned-picture", "few-labels",
}  # fmt: skip


def test_every_check_has_its_examples() -> None:
    assert set(EXAMPLES) | ELSEWHERE == set(CHECKS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_is_silent_where_all_is_well(name: str) -> None:
    assert [finding.to_line() for finding in run(name, EXAMPLES[name][0])] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_names_file_frame_box_expected_and_found(name: str) -> None:
    _, observations, number, words, box_name = EXAMPLES[name]
    findings = list(run(name, observations))
    assert len(findings) == number, [finding.to_line() for finding in findings]
    first = findings[0]
    assert words in first.found
    assert (first.rule, first.severity, first.box) == (name, CHECKS[name].severity, box_name)
    assert first.file == "nas/r.h5"
    assert first.frame.startswith("SCAN_000")
    assert first.expected
    assert first.expected != first.found
    assert "\n" not in str(first)


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_says_what_it_is_for(name: str) -> None:
    assert CHECKS[name].summary.endswith(".")
    assert CHECKS[name].severity in ("error", "warning", "info")


@pytest.mark.parametrize(
    ("odd", "number", "words"),
    [
        (box(150, 60, 18, 14), 0, ""),  # some 30 m away, where a car is 19 to 41 pixels wide, and a little less
        (box(100, 60, 90, 14), 1, "px wide at"),
        (box(150, 60, 3, 14), 1, "px wide at"),
        (box(150, 5, 18, 14), 1, "the foot of the box below the horizon"),
    ],
)
def test_a_calibrated_camera_tells_the_size_that_a_class_has_at_its_distance(
    odd: RawBox, number: int, words: str
) -> None:
    context = CheckContext(calibrations=[Calibration(CAMERA, site="A")], nominal_sizes_m=NOMINAL)
    findings = list(run("size-outlier", boxes(odd), context))
    assert len(findings) == number, findings
    assert all(words in finding.expected for finding in findings)


def test_a_sound_frame_passes_every_check_at_once() -> None:
    checks = CheckRun()
    assert checks.show(GOOD) == []
    assert not checks.end().fails("info")
    assert (checks.frames, checks.boxes) == (1, 2)


def test_severities_are_the_users_and_decide_the_failure() -> None:
    checks = CheckRun(parse_severities("empty-frame=error, sticks-out=off", CHECKS))
    checks.show(frame(boxes=()))
    checks.show(frame(boxes=(box(-5, 1, 9, 9),)))
    findings = checks.end()
    assert findings.of_severity("error") == 1
    assert findings.fails("error")
    assert not findings.fails("never")
    assert checks.as_dict()["checks"]["sticks-out"]["severity"] == "off"


@pytest.mark.parametrize(("fail_on", "fails"), [("error", False), ("warning", True), ("info", True), ("never", False)])
def test_failure_begins_at_the_severity_asked_for(fail_on: str, fails: bool) -> None:
    checks = CheckRun()
    checks.show(frame(boxes=(box(-5, 1, 9, 9),)))
    assert checks.end().fails(fail_on) is fails


@pytest.mark.parametrize(
    ("text", "words"),
    [("empty-frame", "expected check=severity"), ("empty-frame=bad", "error, warning"), ("odd=error", "no such check")],
)
def test_senseless_severities_are_refused(text: str, words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        parse_severities(text, CHECKS)


def test_all_findings_are_counted_and_the_first_two_hundred_of_a_check_kept() -> None:
    checks = CheckRun()
    for _ in range(500):
        checks.show(frame(boxes=(), recording="", scan_number=None, picture=None))
    described = checks.end().as_dict()
    assert described["by_check"]["label-without-picture"] == {"severity": "error", "count": 500}
    assert len([f for f in described["findings"] if f["check"] == "label-without-picture"]) == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3, 3.0),
        ("1970-01-01T00:00:10", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("noon", None),
        (True, None),
        (NAN, None),
    ],
)
def test_times_are_numbers_or_iso_text(value: object, seconds: float | None) -> None:
    assert time_of(value) == seconds


def mangle(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, or the end cut off."""
    if rng.random() < 0.3:
        return data[: rng.integers(0, len(data))]
    changed = bytearray(data)
    for place in rng.integers(0, len(data), 6):
        changed[place] = rng.integers(0, 256)
    return bytes(changed)


def test_mangled_pictures_and_boxes_raise_nothing() -> None:
    rng = np.random.default_rng(5)
    checks = CheckRun()
    odd: list[Callable[[], float]] = [lambda: NAN, lambda: INFINITY, lambda: float(rng.normal(0, 1e6)), lambda: 0.0]
    for _ in range(300):
        numbers = [odd[rng.integers(4)]() for _ in range(4)]
        changed = (box(*numbers), box(*numbers, name=None), box(*numbers, name="BUS"))
        checks.show(frame(picture=mangle(GOOD.picture or b"", rng), boxes=changed))
    checks.end()
    assert checks.findings.of_severity("error") > 300


def test_the_page_lists_every_check_with_its_severity(repository: Path) -> None:
    page = (repository / "docs" / "data-checks.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (error|warning|info) \|", page, re.MULTILINE))
    assert rows == {name: entry.severity for name, entry in CHECKS.items()}


def test_the_page_s_policy_and_calibration_are_what_the_readers_take(repository: Path) -> None:
    page = (repository / "docs" / "data-checks.md").read_text()
    calibration, policy, _ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)  # the last: test_regions
    assert calibration_of(yaml.safe_load(calibration), where="page").camera == "10.0.0.11"
    values = policy_values("{" + ", ".join(line.split(" #")[0].strip() for line in policy.splitlines() if line) + "}")
    assert set(values) == {option.name for option in dataclasses.fields(DataPolicy)}
    DataPolicy(**values)


def plane(count: int, *, horizon: float = 60.0) -> list[Observation]:
    """One frame of cars a picture, whose sizes grow with the row below the horizon, give or take 15 %."""
    generator = np.random.default_rng(0)
    rows = generator.uniform(horizon + 8, 470, count)
    sizes = 0.4 * (rows - horizon) * generator.uniform(0.85, 1.15, count)
    return [
        Observation(
            "nas/r.h5", f"SCAN_{number:05}", None, (RawBox("CAR", (300, row - size, size, size), 1),), "l.json",
            stated_wh=(960, 540), site="A",
        )
        for number, (row, size) in enumerate(zip(rows.tolist(), sizes.tolist(), strict=True))
    ]  # fmt: skip


def grown(observation: Observation, factor: float) -> Observation:
    """The frame with its box made larger about its foot."""
    ((x, y, width, height),) = (box.xywh for box in observation.boxes)
    box = RawBox("CAR", (x, y + height - factor * height, factor * width, factor * height), 1)
    return replace(observation, boxes=(box,))


def test_sizes_that_grow_with_the_row_are_no_outliers_and_one_that_does_not_is() -> None:
    observations = plane(400)
    assert list(run("size-outlier", observations)) == []
    middle = min(range(400), key=lambda number: abs(observations[number].boxes[0].xyxy[3] - 250))
    for factor in (3.0, 1 / 3):
        changed = [*observations]
        changed[middle] = grown(observations[middle], factor)
        (finding,) = run("size-outlier", changed)
        assert finding.frame == observations[middle].frame


def test_a_box_that_ends_a_few_pixels_before_the_edge_may_be_cut() -> None:
    low = Observation(
        "nas/r.h5",
        "SCAN_09999",
        None,
        (RawBox("CAR", (400, 487, 110, 47), 1),),
        "l.json",
        stated_wh=(960, 540),
        site="A",
    )
    roof = replace(low, boxes=(RawBox("CAR", (400, 515, 40, 13), 1),))  # all of a car that is in the picture
    assert list(run("size-outlier", [*plane(400), low, roof])) == []
