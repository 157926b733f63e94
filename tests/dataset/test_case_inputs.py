"""Small inputs after public bug reports and habits of labelling tools: each has its right value, or is refused by name.

They lie beside the reference material, in `cases/data`; without them these tests are skipped, and the readers' own tests
write the same things themselves.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.errors import TrafficYoloError

DEFAULT = Path(__file__).parents[3] / "shared" / "reference"
CASES = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", DEFAULT)).parent / "cases" / "data"
# What every picture has that a case does not say otherwise of: of formats in pixels, and in shares of 320 x 240
PLAIN = {(10.0, 20.0, 30.0, 40.0), (120.0, 60.0, 80.0, 120.0)}
CAR = ("CAR", 10, 20, 30, 40)
Boxes = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """What is read of a case: so many pictures, all with one plain box but `boxes`; `told` problems by their kinds.

    `words` of one of the problems. `extra` is what each box says beside class and place: its source, and whether it is
    ignored.
    """

    pictures: int = 4
    boxes: dict[str, Boxes] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    words: str = ""
    extra: tuple[Any, ...] = ("human", None)


def _two(name: str, *boxes: tuple[Any, ...]) -> dict[str, Boxes]:
    return {name: list(boxes)}


READ: dict[str, Case] = {
    "coco-bigid": Case(),
    "coco-bmp": Case(),
    "coco-bom": Case(),
    "coco-ctrl": Case(
        boxes={
            f"{n}.jpg": [("a\nb" if n == 3 else "CAR\x1b[31m<script>alert(1)</script>", 10, 20, 30, 40)]
            for n in range(4)
        }
    ),
    "coco-dotdot": Case(3, told=("picture-missing",), words="lies outside the data set's folder"),
    "coco-dupann": Case(boxes={"1.jpg": []}, told=("label-broken",), words="an earlier annotation has this id"),
    "coco-dupcat": Case(),
    "coco-empty": Case(boxes={"1.jpg": [], "2.jpg": [], "3.jpg": []}),
    "coco-exif": Case(2, told=("picture-turned",), words="found Exif orientation 6"),
    "coco-floats": Case(),
    "coco-folders": Case(),
    "coco-gaps": Case(boxes=_two("3.jpg", ("BUS", 10, 20, 30, 40), ("VAN", 10, 20, 30, 40))),
    "coco-neg": Case(
        boxes={
            "0.jpg": [CAR, ("CAR", -5, -5, 30, 30)],
            "1.jpg": [CAR, ("CAR", 20, 50, 30, 20)],
            "2.jpg": [CAR, ("CAR", 400, 300, 10, 10)],
            "3.jpg": [CAR, ("CAR", 300, 200, 100, 100)],
        },
        told=("box-reversed",),
    ),
    "coco-noarea": Case(),
    "coco-nosize": Case(),
    "coco-nullbbox": Case(
        told=("label-broken",) * 3, words="bbox: expected four numbers x, y, width, height; found []"
    ),
    "coco-plain": Case(3),
    "coco-score": Case(extra=("model", 0.3)),
    "coco-strid": Case(),
    "coco-unicode": Case(),
    "cvat-confattr": Case(),
    "cvat-ignattr": Case(boxes={"0.jpg": [(*CAR, "ignored")]}),
    "cvat-names": Case(3, told=("picture-missing",), words="lies outside the data set's folder"),
    "cvat-nolabel": Case(3, told=("label-broken",), words="label 'VAN' is none of the task's: CAR, BUS"),
    "cvat-shapes": Case(
        boxes=_two(
            "0.jpg", CAR, ("CAR", 110, 90, 20, 40), ("CAR", 198.79, 88.79, 42.43, 42.43), CAR, ("CAR", 40, 45, 20, 10)
        ),
        told=("shape-left-out",) * 4,
    ),
    "cvat-subsets": Case(),
    "cvat-swapped": Case(told=("box-reversed",)),
    "cvat-track": Case(
        11,
        boxes={
            f"frame_{n:06d}.jpg": [("CAR", 10 + 10 * n, 20, 30, 40)]
            if n < 6
            else []
            if n < 8
            else [("CAR", 100, 20, 30, 40)]
            for n in range(11)
        },
    ),
    "cvat-track-dup": Case(0, told=("label-broken",), words="track has two boxes in frame 0; keep one"),
    "cvat-track-rot": Case(
        5,
        boxes={
            f"frame_{n:06d}.jpg": [("CAR", 10 - 1.25 * n, 20 + 1.25 * n, 30 + 2.5 * n, 40 - 2.5 * n)] for n in range(5)
        },
    ),
    "cvat-track-step": Case(
        3, boxes={f"frame_{100 + 5 * n:06d}.jpg": [("CAR", 10 + 20 * n, 20, 30, 40)] for n in range(3)}
    ),
    "jpg-cmyk": Case(5, boxes={"cmyk.jpg": []}),
    "jpg-grey": Case(5, boxes={"grey.jpg": []}),
    "jpg-half": Case(5, boxes={"half.jpg": []}),  # checks that decode name it
    "jpg-header": Case(told=("picture-unreadable",), words="states 30000 x 30000: more than 100,000,000 pixels"),
    "kitti-bom": Case(),
    "kitti-mix": Case(
        boxes={"000000.png": [("Car", 10, 20, 30, 40), ("DontCare", 5, 5, 15, 15, "ignored")], "000002.png": []}
    ),
    "kitti-score": Case(extra=("model", None)),
    "labelme-bom": Case(),
    "labelme-imagedata": Case(),
    "labelme-mix": Case(boxes={"2.jpg": [("CAR", 90, 90, 20, 20)]}, told=("shape-left-out",) * 2),
    "labelme-otherstem": Case(),
    "labelme-unordered": Case(3, told=("label-broken",), words="expected a shape with a label"),
    "png-16": Case(5, boxes={"p16.png": []}),
    "png-bomb": Case(told=("picture-unreadable",), words="states 30000 x 30000"),
    "png-rgba": Case(5, boxes={"rgba.png": []}),
    "reconvert-ignored": Case(boxes={f"{n}.jpg": [CAR, ("VAN", 110, 120, 30, 40)] for n in range(4)}),
    "voc-bom": Case(),
    "voc-dtd": Case(3, told=("label-broken",), words="document type declarations are refused"),
    "voc-empty": Case(boxes={"0.jpg": []}),
    "voc-extra": Case(),
    "voc-filename": Case(),
    "voc-int": Case(),
    "voc-nosize": Case(),
    "voc-onefloat": Case(boxes={"3.jpg": [("CAR", 10, 20.7, 30, 39.3)]}, told=("origins-mixed",), words="read from 1"),
    "voc-part": Case(3, boxes={"1.jpg": [(*CAR, "ignored")]}, told=("label-broken",), words="difficult must be 0 or 1"),
    "voc-point0": Case(),
    "voc-robndbox": Case(3, told=("label-broken",), words="an object without name or bndbox"),
    "voc-swapped": Case(told=("box-reversed",)),
    "yolo-backslash": Case(3),
    "yolo-bmp-webp": Case(5, boxes={f"{n}.png": [("CAR", 128, 96, 64, 48)] for n in (8, 9)}),
    "yolo-bom": Case(),
    "yolo-classfloat": Case(),
    "yolo-crlf": Case(boxes=_two("0.jpg", ("CAR", 120, 60, 80, 120), ("BUS", 48, 36, 32, 24))),
    "yolo-darknet-bom": Case(3),
    "yolo-dup": Case(boxes=_two("0.jpg", ("CAR", 128, 96, 64, 48), ("CAR", 128, 96, 64, 48))),
    "yolo-edge": Case(boxes=_two("0.jpg", ("CAR", 0, 0, 320, 240))),
    "yolo-exif": Case(2, told=("picture-turned",), words="found Exif orientation 6"),
    "yolo-list-outside": Case(2, told=("picture-missing",), words="lies outside the data set's folder"),
    "yolo-list-rel": Case(3),
    "yolo-obb": Case(boxes=_two("0.jpg", ("CAR", 32, 24, 96, 120))),
    "yolo-pose": Case(3, told=("label-broken",), words="state kpt_shape in the data.yaml"),
    "yolo-roboflow": Case(6),
    "yolo-sci": Case(),
    "yolo-upper": Case(boxes={f"{n}.jpg": [("CAR", 128, 96, 64, 48)] for n in (5, 6)}),
    "yolo-wrongdir": Case(
        3, {f"{n}.jpg": [] for n in range(3)}, (*["label-missing"] * 3, "label-broken"), "expected label files such as"
    ),
}
REFUSED = {
    "coco-dupimg": "instances.json: image 1: expected an id of its own, found 2 images with it",
    "coco-samefile": "the label files name a picture twice",
    "kitti-tao": "line 1: column 2 must be a number; found 'truck'",
    "kitti-tracking": "line 1: expected 15 columns, or 16 with a score; found 17",
    "yaml-bomb": "data.yaml line 6: more than 1,000,000 values",
    "yolo-dict-gap": "data.yaml: expected 'names': a list of classes, or numbers from 0 to names",
}
# Recordings: pictures that are read, and what is told of the scan that is not
RECORDINGS = {
    "h5-huge": (8, "SCAN_00001 Image: states 40000000000 bytes"),
    "h5-huge-ai": (8, "SCAN_00001 AI: 2000000000 rows; expected 65536 at most"),
    "h5-kinds": (12, ""),
    "h5-softloop": (8, "SCAN_00001 Image: soft links in a circle"),
}


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"small inputs not found at {CASES}; set TRAFFIC_YOLO_REFERENCE to the folder beside them")
    return CASES


def test_every_input_is_looked_at(cases: Path) -> None:
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {*READ, *REFUSED, *RECORDINGS}


@pytest.mark.parametrize("name", READ)
def test_an_input_has_its_right_value(cases: Path, name: str) -> None:
    case, told = READ[name], []

    def tell(problem: Problem) -> None:
        told.append(problem)

    frames = list(open_source(SourceChoice(str(cases / name)), SourceOptions(on_problem=tell)).frames())
    assert len(frames) == case.pictures
    for frame in frames:
        found = [(a.class_name, *a.xywh, *(["ignored"] if a.ignore else [])) for a in frame.annotations]
        expected = case.boxes.get(f"{frame.scan}{frame.suffix}")
        if expected is None:
            assert len(found) == 1, frame.file_name
            assert tuple(round(value, 3) + 0.0 for value in found[0][1:5]) in PLAIN, frame.file_name
        else:
            rounded = [tuple(round(v, 2) + 0.0 if isinstance(v, float) else v for v in box) for box in found]
            assert rounded == expected, frame.file_name
        assert {(a.label_source, a.confidence) for a in frame.annotations} <= {case.extra}
    assert Counter(problem.kind for problem in told) == Counter(case.told)
    assert any(case.words in problem.message for problem in told) or not case.words
    assert all(problem.message.isprintable() and name in problem.message for problem in told)


@pytest.mark.parametrize("name", REFUSED)
def test_an_input_is_refused_in_one_line(cases: Path, name: str) -> None:
    with pytest.raises(TrafficYoloError) as caught:
        list(open_source(SourceChoice(str(cases / name))).frames())
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_read_but_for_the_scan_that_is_odd(cases: Path, name: str) -> None:
    pictures, words = RECORDINGS[name]
    told: list[Problem] = []
    source = open_source(SourceChoice(str(cases / name)), SourceOptions(on_problem=told.append))
    assert len(list(source.frames())) == pictures
    assert [problem.kind for problem in told] == (["scan-unreadable"] if words else [])
    assert not words or words in told[0].message
