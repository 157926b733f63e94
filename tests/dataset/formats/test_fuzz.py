"""Whatever stands in a label file, a reader gives labels or one line that names the file; it never falls over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.label_formats import LABEL_FORMATS, detect_label_format, open_labels
from traffic_yolo.dataset.problems import NOTED, Problem
from traffic_yolo.errors import TrafficYoloError

COCO = json.dumps(
    {
        "categories": [{"id": 1, "name": "CAR"}, {"id": 2, "name": "BUS", "supercategory": "ignored"}],
        "images": [{"id": 7, "file_name": "a.jpg", "width": 96, "height": 72, "scan": 3, "attributes": {"x": 1}}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1.5, 2, 3, 4], "iscrowd": 0, "area": 12, "ignore": 1},
            {
                "id": 2,
                "image_id": 7,
                "category_id": 2,
                "bbox": [1, 2, 3, 4],
                "label_source": "model",
                "confidence": 0.5,
            },
        ],
    }
)
CVAT = """<?xml version="1.0"?><annotations><meta><task><start_frame>0</start_frame><stop_frame>3</stop_frame>
<frame_filter>step=1</frame_filter><labels><label><name>CAR</name></label></labels></task></meta>
<image id="0" name="a.jpg" width="96" height="72"><box label="CAR" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4">
<attribute name="confidence">0.5</attribute></box><polygon label="CAR" points="1,2;3,4;5,6"/></image>
<track id="1" label="CAR"><box frame="0" outside="0" xtl="1" ytl="2" xbr="3" ybr="4"/>
<box frame="2" outside="1" xtl="1" ytl="2" xbr="3" ybr="4"/></track></annotations>"""
VOC = """<annotation><filename>a.jpg</filename><size><width>96</width><height>72</height></size><object><name>CAR</name>
<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"""
KITTI = "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56 0.5\n"
LABELME = json.dumps(
    {
        "shapes": [{"label": "CAR", "points": [[1, 2], [3, 4]], "shape_type": "rectangle", "flags": {"a": True}}],
        "imagePath": "a.jpg", "imageHeight": 72, "imageWidth": 96, "flags": {},
    }
)  # fmt: skip
YOLO = "0 0.5 0.5 0.1 0.2\n1 0.25 0.5 0.1 0.2\n"
LABELSTUDIO = json.dumps(
    [
        {
            "id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "predictions": [],
            "annotations": [
                {
                    "was_cancelled": False,
                    "result": [
                        {
                            "id": "r", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
                            "original_width": 96, "original_height": 72, "image_rotation": 0, "meta": {"lane": 2},
                            "value": {"x": 1.5, "y": 2, "width": 3, "height": 4, "rotation": 5, "rectanglelabels": ["CAR"]},
                        },
                        {"id": "r", "type": "choices", "from_name": "colour", "value": {"choices": ["red"]}},
                    ],
                }
            ],
        },
        {
            "data": {"image": "b.jpg"}, "annotations": [],
            "predictions": [
                {"result": [{"type": "polygonlabels", "score": 0.5, "value": {"points": [[1, 2], [3, 4], [5, 9]], "polygonlabels": ["BUS"]}}]}
            ],
        },
    ]
)  # fmt: skip
MOT = "1,7,11,21,30,40,1,3,0.75\n3,8,1,1,9,9,0,8,0\n"
CSV = "file,label,x1,y1,x2,y2\na.jpg,CAR,1,2,3,4\n"
MAPPING = {"file": "csv", "fields": {"image": "file", "class": "label", "box": ["x1", "y1", "x2", "y2"]}}
SIDECAR = json.dumps(
    {
        "picture": "a", "image_wh": [96, 72], "frame": {"site": "A", "attributes": {}},
        "boxes": [[0, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]]],
    }
)  # fmt: skip

# format -> (the file that is broken, its good content)
SAMPLES = {
    "coco": ("instances.json", COCO),
    "cvat": ("annotations.xml", CVAT),
    "voc": ("Annotations/a.xml", VOC),
    "kitti": ("label_2/a.txt", KITTI),
    "labelme": ("a.json", LABELME),
    "yolo": ("labels/a.txt", YOLO),
    "labelstudio": ("a.json", LABELSTUDIO),
    "mot": ("gt/gt.txt", MOT),
    "mapped": ("a.csv", CSV),
}


def lay_out(folder: Path, name: str) -> Path:
    """A folder with a good sample of a format; returns what a reader opens."""
    file, content = SAMPLES[name]
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    if name == "yolo":
        (folder / "train.txt").write_text("images/a.jpg\n")
        (folder / "data.yaml").write_text(yaml.safe_dump({"train": "train.txt", "names": ["CAR", "BUS"]}))
    if name == "mapped":
        (folder / "mapping.yaml").write_text(yaml.safe_dump(MAPPING))
    return path if name == "mapped" else folder


def read(opened: Path, name: str, folder: Path) -> str:
    """Reads everything, strictly and as a check does; the refusal of the strict reading, "" for none."""
    options = ReadOptions(mapping=folder / "mapping.yaml" if name == "mapped" else None)
    problems: list[Problem] = []
    try:
        list(open_labels(opened, name, options).pictures(problems.append))
        list(open_labels(opened, name, options).pictures())
    except TrafficYoloError as error:
        return str(error)
    assert {problem.kind for problem in problems} <= NOTED
    return ""


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cuts, doubles, replaces and exchanges pieces of a file."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "insert", "replace", "double", "number"]),
                st.floats(0, 1),
                st.integers(1, 12),
                st.binary(min_size=1, max_size=6) | st.sampled_from(
                    [b"nan", b"-1", b"1e999", b"null", b"[]", b"{}", b'"', b"<a>", b"&x;", b"\xff\xfe", b"9" * 40, b"\0", b"\n"]
                ),
            ),
            min_size=1,
            max_size=3,
        )
    )  # fmt: skip

    def mutate(data: bytes) -> bytes:
        for kind, place, length, piece in changes:
            at = int(place * len(data))
            if kind == "cut":
                data = data[:at] + data[at + length :]
            elif kind == "insert":
                data = data[:at] + piece + data[at:]
            elif kind == "replace":
                data = data[:at] + piece + data[at + len(piece) :]
            elif kind == "double":
                data = data[:at] + data[at : at + length] * 2 + data[at + length :]
            else:  # the next number becomes the piece
                digits = next((i for i in range(at, len(data)) if data[i : i + 1].isdigit()), at)
                data = data[:digits] + piece + data[digits + 1 :]
        return data

    return mutate


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_good_and_known_by_their_looks(tmp_path: Path, name: str) -> None:
    opened = lay_out(tmp_path, name)
    assert read(opened, name, tmp_path) == ""
    assert detect_label_format(opened, mapped=name == "mapped") == name


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(LABEL_FORMATS)


@pytest.mark.parametrize("name", SAMPLES)
@given(mutate=mutations())
@examples(120)
def test_damaged_files_are_read_or_refused_by_name(scratch: Path, name: str, mutate: Callable[[bytes], bytes]) -> None:
    folder = scratch / name
    opened = lay_out(folder, name)
    file, content = SAMPLES[name]
    (folder / file).write_bytes(mutate(content.encode()))
    refusal = read(opened, name, folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.binary(max_size=200))
@examples(40)
def test_bytes_of_any_kind_are_refused_by_name(scratch: Path, name: str, data: bytes) -> None:
    folder = scratch / f"{name}-bytes"
    opened = lay_out(folder, name)
    (folder / SAMPLES[name][0]).write_bytes(data)
    refusal = read(opened, name, folder)
    assert not refusal or str(folder) in refusal


@given(mutate=mutations())
@examples(120)
def test_damaged_side_cars_are_read_or_refused_by_name(scratch: Path, mutate: Callable[[bytes], bytes]) -> None:
    folder = scratch / "sidecar"
    opened = lay_out(folder, "kitti")
    (folder / "sidecar.jsonl").write_bytes(mutate(SIDECAR.encode()))
    refusal = read(opened, "kitti", folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal


VALUES: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([]) | st.just({})


@given(
    section=st.sampled_from(["images", "annotations", "categories"]),
    key=st.sampled_from(["id", "image_id", "category_id", "bbox", "file_name", "width", "name", "confidence", "area",
                         "label_source", "attributes", "scan", "supercategory", "iscrowd"]),
    value=VALUES | st.lists(VALUES, min_size=4, max_size=4),
)  # fmt: skip
@examples(200)
def test_coco_entries_with_any_value_are_read_or_refused(scratch: Path, section: str, key: str, value: Any) -> None:
    folder = scratch / "coco-values"
    folder.mkdir(exist_ok=True)
    content = json.loads(COCO)
    content[section][0][key] = value
    try:
        text = json.dumps(content).encode()
    except UnicodeEncodeError:
        return
    (folder / "instances.json").write_bytes(text)
    refusal = read(folder, "coco", folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal
