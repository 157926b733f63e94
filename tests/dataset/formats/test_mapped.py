"""JSON and CSV files of one's own by a YAML mapping: fields, box conventions, and refusals that name the place."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.mapped import MappedReader
from traffic_yolo.dataset.sources.label_formats import open_labels
from traffic_yolo.errors import LabelError, OptionsError

CSV = """file,label,x1,y1,x2,y2,score,lane
a.jpg,CAR,1,2,11,22,0.5,3
b.jpg,,,,,,,
a.jpg,BUS,3,4,5,6,,
"""
CSV_MAPPING: dict[str, Any] = {
    "file": "csv",
    "fields": {
        "image": "file",
        "class": "label",
        "box": ["x1", "y1", "x2", "y2"],
        "confidence": "score",
        "attributes": ["lane"],
    },
}


def reader(tmp_path: Path, text: str, mapping: dict[str, Any], name: str = "labels.csv") -> MappedReader:
    (tmp_path / name).write_text(text)
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    return MappedReader(tmp_path / name, ReadOptions(mapping=tmp_path / "mapping.yaml"))


def test_csv_rows_of_a_picture_come_together_wherever_they_stand(tmp_path: Path) -> None:
    opened = reader(tmp_path, CSV, CSV_MAPPING)
    first, second = opened.pictures()
    assert opened.classes == ("BUS", "CAR")
    assert [(a.class_name, a.xywh, a.confidence) for a in first.annotations] == [
        ("CAR", (1, 2, 10, 20), 0.5),
        ("BUS", (3, 4, 2, 2), None),
    ]
    assert [dict(a.attributes) for a in first.annotations] == [{"lane": "3"}, {}]
    assert (second.name, second.annotations) == ("b.jpg", ())
    assert list(opened.pictures()) == [first, second]


@pytest.mark.parametrize(
    ("box", "numbers", "expected"),
    [
        ({"order": "xyxy"}, (10, 20, 40, 60), (10, 20, 30, 40)),
        ({"order": "xyxy", "one_based": True}, (10, 20, 40, 60), (9, 19, 31, 41)),
        ({"order": "xywh"}, (10, 20, 40, 60), (10, 20, 40, 60)),
        ({"order": "xywh", "one_based": True}, (10, 20, 40, 60), (9, 19, 40, 60)),
        ({"order": "cxcywh"}, (30, 40, 10, 20), (25, 30, 10, 20)),
        ({"order": "cxcywh", "unit": "normalised"}, (0.5, 0.5, 0.5, 0.25), (50, 75, 100, 50)),
        ({"order": "xyxy", "unit": "normalised"}, (0, 0.5, 0.5, 1), (0, 100, 100, 100)),
    ],
)
def test_every_box_convention_becomes_left_top_width_height(
    tmp_path: Path, box: dict[str, Any], numbers: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    text = "file,label,x1,y1,x2,y2,score,lane\na.jpg,CAR," + ",".join(map(str, numbers)) + ",,\n"
    (picture,) = reader(tmp_path, text, {**CSV_MAPPING, "box": box}).pictures()
    (annotation,) = picture.in_pixels((200, 200))
    assert annotation.xywh == pytest.approx(expected)


def test_json_with_boxes_in_records_and_fields_in_fields(tmp_path: Path) -> None:
    content = {
        "vendor": {"version": 3},
        "frames": [
            {
                "source": {"rec": "20210901120000_0", "scan": 7, "site": "A"},
                "size": {"w": 96, "h": 72},
                "objects": [
                    {"type": 2, "geometry": {"box": [1, 2, 3, 4]}, "meta": {"who": "model", "p": 0.25, "skip": True}},
                    {"type": 0, "geometry": {"box": [5, 6, 7, 8]}, "meta": {"who": "human", "crowd": 1}},
                ],
            },
            {"source": {"rec": "20210901120000_0", "scan": 8, "site": "A"}, "size": {"w": 96, "h": 72}, "objects": []},
        ],
    }
    mapping = {
        "file": "json",
        "records": "frames",
        "boxes": "objects",
        "classes": {0: "BUS", 2: "CAR"},
        "box": {"order": "xywh"},
        "fields": {
            "recording": "source.rec", "scan": "source.scan", "site": "source.site", "width": "size.w",
            "height": "size.h", "class": "type", "box": "geometry.box", "confidence": "meta.p",
            "label_source": "meta.who", "ignore": "meta.skip", "iscrowd": "meta.crowd",
        },
    }  # fmt: skip
    opened = reader(tmp_path, json.dumps(content), mapping, "labels.json")
    first, second = opened.pictures()
    assert opened.classes == ("BUS", "CAR")
    assert (first.recording, first.scan, first.site, first.image_wh) == ("20210901120000_0", "7", "A", (96, 72))
    model, human = first.annotations
    assert (model.class_name, model.xywh, model.label_source, model.confidence, model.ignore) == (
        "CAR", (1, 2, 3, 4), "model", 0.25, True
    )  # fmt: skip
    assert (human.class_name, human.label_source, human.is_crowd) == ("BUS", "human", True)
    assert second.annotations == ()


def test_json_lines_and_a_constant_source(tmp_path: Path) -> None:
    lines = (
        '{"im": "a.jpg", "c": "CAR", "b": "1 2 3 4", "p": 0.5}\n\n{"im": "a.jpg", "c": "CAR", "b": "2,2,5,5", "p": 1}\n'
    )
    mapping = {
        "file": "jsonl",
        "fields": {"image": "im", "class": "c", "box": "b", "confidence": "p"},
        "label_source": "model",
    }
    (picture,) = reader(tmp_path, lines, mapping, "a.jsonl").pictures()
    assert [(a.xywh, a.label_source, a.confidence) for a in picture.annotations] == [
        ((1, 2, 2, 2), "model", 0.5),
        ((2, 2, 3, 3), "model", 1),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.jpg,CAR,1,2,x,4,,", "line 2: box must be a number; found 'x'"),
        ("a.jpg,CAR,1,2,3,,,", "line 2: box must be a number; found ''"),
        ("a.jpg,,1,2,3,4,,", "line 2: the box has no class"),
        (",CAR,1,2,3,4,,", "line 2: the record names no picture"),
        ("a.jpg,CAR,1,2,3,4,2,", r"line 2: confidence: expected a number in \[0, 1\]"),
        ('a.jpg,"CAR,1,2,3,4,,', "not CSV"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(LabelError, match=rf"labels\.csv.*{words}"):
        list(reader(tmp_path, CSV.splitlines()[0] + "\n" + row + "\n", CSV_MAPPING).pictures())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": "xml"}, "file: expected one of csv, json, jsonl"),
        ({"fields": {"class": "label", "box": "b"}}, "fields: expected image, or recording and scan"),
        ({"fields": {"image": "file", "class": "label", "box": ["x1", "y1"]}}, "one field, or a list of four"),
        ({"fields": {"image": "file", "box": "b"}}, "fields: expected the key class too, found box, image"),
        ({"box": {"order": "yxyx"}}, "box.order: expected one of xyxy, xywh, cxcywh"),
        ({"box": {"unit": "normalised", "one_based": True}}, "box.one_based: expected false where the unit"),
        (
            {"boxes": "objects"},
            "boxes: expected nothing here unless file is json or jsonl, found 'objects'; leave it out",
        ),
        ({"surplus": 1}, "unknown key 'surplus'"),
        ({"label_source": "cat"}, "label_source: expected one of human, device, model"),
    ],
)
def test_a_mapping_that_makes_no_sense_names_its_key(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(LabelError, match=rf"mapping .*mapping\.yaml: .*{words}"):
        reader(tmp_path, CSV, {**CSV_MAPPING, **change})


def test_missing_columns_and_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"line 1: no column score; found file, label, x1, y1, x2, y2, lane"):
        list(reader(tmp_path, CSV.replace("score,", ""), CSV_MAPPING).pictures())
    mapping = {"file": "json", "records": "frames", "fields": {"image": "i", "class": "c", "box": "b"}}
    with pytest.raises(LabelError, match="no list of records at 'frames'"):
        list(reader(tmp_path, '{"other": []}', mapping, "a.json").pictures())


def test_a_file_without_its_mapping_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises(OptionsError, match="needs a mapping"):
        open_labels(tmp_path / "a.csv", "mapped", ReadOptions())
