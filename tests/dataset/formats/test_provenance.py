"""Who drew a box, by the same rule in every format: no score and no machine's mark becomes human truth by itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.provenance import as_human, drawn_by
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
from traffic_yolo.dataset.records import Annotation
from traffic_yolo.dataset.sources.label_formats import LABEL_FORMATS, open_labels
from traffic_yolo.errors import LabelError

Fields = dict[str, Any]


def coco(folder: Path, **fields: Any) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], **fields}],
        "categories": [{"id": 1, "name": "CAR"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def yolo(folder: Path, **fields: Any) -> Path:
    for place in ("images", "labels"):
        (folder / place).mkdir()
    (folder / "images/a.jpg").touch()
    columns = " ".join(map(str, fields.values()))
    (folder / "labels/a.txt").write_text(f"0 0.5 0.5 0.25 0.5 {columns}\n")
    (folder / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    return folder


def cvat(folder: Path, source: str = "manual", **fields: Any) -> Path:
    inner = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in fields.items())
    head = '<annotations><image id="0" name="a.jpg" width="96" height="72">'
    box = f'<box label="CAR" source="{source}" occluded="0" xtl="10" ytl="20" xbr="40" ybr="60">{inner}</box>'
    (folder / "annotations.xml").write_text(f"{head}{box}</image></annotations>")
    return folder


def cvat_track(folder: Path, source: str = "manual", **fields: Any) -> Path:
    inner = "".join(f'<attribute name="{name}">{value}</attribute>' for name, value in fields.items())
    box = f'<box frame="0" outside="0" occluded="0" keyframe="1" xtl="10" ytl="20" xbr="40" ybr="60">{inner}</box>'
    (folder / "annotations.xml").write_text(
        f'<annotations><track id="0" label="CAR" source="{source}">{box}</track></annotations>'
    )
    return folder


def voc(folder: Path, **fields: Any) -> Path:
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    corners = "<xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax>"
    (folder / "Annotations").mkdir()
    (folder / "Annotations/a.xml").write_text(
        f"<annotation><object><name>CAR</name>{inner}<bndbox>{corners}</bndbox></object></annotation>"
    )
    return folder


def labelme(folder: Path, **fields: Any) -> Path:
    shape = {"label": "CAR", "points": [[10, 20], [40, 60]], "shape_type": "rectangle", **fields}
    (folder / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.jpg"}))
    return folder


def kitti(folder: Path, **fields: Any) -> Path:
    (folder / "label_2").mkdir()
    columns = " ".join(map(str, fields.values()))
    (folder / "label_2/a.txt").write_text(f"CAR 0 0 -10 10 20 40 60 -1 -1 -1 -1000 -1000 -1000 -10 {columns}\n")
    return folder


def mapped(folder: Path, **fields: Any) -> Path:
    described = {"image": "file", "class": "label", "box": "box"}
    described |= {name: name for name in fields if name in ("confidence", "label_source")}
    others = [name for name in fields if name not in described]
    mapping = {"file": "json", "fields": {**described, "attributes": others}}
    (folder / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    record = {"file": "a.jpg", "label": "CAR", "box": [10, 20, 40, 60], **fields}
    (folder / "a.json").write_text(json.dumps([record]))
    return folder / "a.json"


def labelstudio(folder: Path, origin: str = "manual", predicted: bool = False, **fields: Any) -> Path:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["CAR"]}
    meta = {key: fields.pop(key) for key in list(fields) if key != "score"}
    result = {"id": "r", "type": "rectanglelabels", "to_name": "image", "value": value, "origin": origin, **fields}
    entries = [{"result": [{**result, "meta": meta} if meta else result]}]
    task = {"data": {"image": "a.jpg"}, "predictions" if predicted else "annotations": entries}
    (folder / "a.json").write_text(json.dumps([task]))
    return folder


def mot(folder: Path, file: str = "gt/gt.txt", **fields: Any) -> Path:
    (folder / file).parent.mkdir()
    columns = ",".join(map(str, fields.values())) or "1"
    (folder / file).write_text(f"1,1,10,20,30,40,{columns},3\n")
    return folder


WRITERS: dict[str, tuple[str, Callable[..., Path]]] = {
    "coco": ("coco", coco),
    "yolo": ("yolo", yolo),
    "cvat": ("cvat", cvat),
    "cvat-track": ("cvat", cvat_track),
    "voc": ("voc", voc),
    "labelme": ("labelme", labelme),
    "kitti": ("kitti", kitti),
    "labelstudio": ("labelstudio", labelstudio),
    "mot": ("mot", mot),
    "mapped": ("mapped", mapped),
}
# id -> (writer, marks, label source, confidence, attributes that stay)
MARKED: dict[str, tuple[str, Fields, str, float | None, Fields]] = {
    "COCO results' score": ("coco", {"score": 0.25}, "model", 0.25, {}),
    "COCO confidence": ("coco", {"confidence": 0.25}, "model", 0.25, {}),
    "COCO called human, with a score": ("coco", {"label_source": "human", "score": 0.25}, "model", 0.25, {}),
    "COCO of a device": ("coco", {"label_source": "device", "confidence": 0.25}, "device", 0.25, {}),
    "COCO of a model that is not sure how sure": ("coco", {"label_source": "model"}, "model", None, {}),
    "COCO logit": ("coco", {"score": 8.5}, "model", None, {"score": 8.5}),
    "COCO attribute score": ("coco", {"attributes": {"score": 0.25, "lane": 2}}, "model", 0.25, {"lane": 2}),
    "COCO attribute source": ("coco", {"attributes": {"source": "auto"}}, "model", None, {"source": "auto"}),
    "YOLO sixth column": ("yolo", {"confidence": 0.25}, "model", 0.25, {}),
    "CVAT source auto": ("cvat", {"source": "auto"}, "model", None, {"source": "auto"}),
    "CVAT source semi-auto": ("cvat", {"source": "semi-auto"}, "model", None, {"source": "semi-auto"}),
    "CVAT attribute confidence": ("cvat", {"confidence": 0.25}, "model", 0.25, {}),
    "CVAT attribute of a device": ("cvat", {"label_source": "device", "confidence": 0.25}, "device", 0.25, {}),
    "CVAT attribute set to human": ("cvat", {"label_source": "human", "confidence": 0.25}, "model", 0.25, {}),
    "CVAT track source auto": ("cvat-track", {"source": "auto"}, "model", None, {"source": "auto", "track_id": 0}),
    "CVAT track confidence": ("cvat-track", {"confidence": 0.25}, "model", 0.25, {"track_id": 0}),
    "VOC confidence": ("voc", {"confidence": 0.25}, "model", 0.25, {}),
    "VOC score": ("voc", {"score": -1.5}, "model", None, {"score": -1.5}),
    "LabelMe flag confidence": ("labelme", {"flags": {"confidence": 0.25}}, "model", 0.25, {}),
    "LabelMe score": ("labelme", {"score": 0.25}, "model", 0.25, {}),
    "LabelMe attribute score": ("labelme", {"attributes": {"score": 0.25}}, "model", 0.25, {}),
    "LabelMe's own detector": (
        "labelme", {"description": '{"score": 0.25, "text": "car"}'}, "model", 0.25,
        {"description": '{"score": 0.25, "text": "car"}'},
    ),
    "KITTI score": ("kitti", {"score": 0.25}, "model", 0.25, {}),
    "KITTI logit": ("kitti", {"score": 8.2981}, "model", None, {"score": 8.2981}),
    "Label Studio score": ("labelstudio", {"score": 0.25}, "model", 0.25, {}),
    "Label Studio logit": ("labelstudio", {"score": 8.5}, "model", None, {"score": 8.5}),
    "Label Studio prediction": ("labelstudio", {"predicted": True}, "model", None, {}),
    "Label Studio prediction that was accepted": ("labelstudio", {"origin": "prediction"}, "model", None, {}),
    "Label Studio of a device": ("labelstudio", {"label_source": "device", "score": 0.25}, "device", 0.25, {}),
    "MOT detection": ("mot", {"file": "det/det.txt", "score": 0.25}, "model", 0.25, {"track_id": 1}),
    "MOT logit": ("mot", {"file": "det/det.txt", "score": 31.5}, "model", None, {"track_id": 1, "score": 31.5}),
    "mapped confidence": ("mapped", {"confidence": 0.25}, "model", 0.25, {}),
    "mapped confidence called human": ("mapped", {"confidence": 0.25, "label_source": "human"}, "model", 0.25, {}),
    "mapped attribute score": ("mapped", {"score": 0.25}, "model", 0.25, {}),
    "mapped model": ("mapped", {"label_source": "model"}, "model", None, {}),
}  # fmt: skip
# Somebody's own words: they say nothing of a machine
UNMARKED: dict[str, tuple[str, Fields, Fields]] = {
    "COCO": ("coco", {}, {}),
    "COCO nulls": ("coco", {"score": None, "confidence": None}, {}),
    "COCO attribute in words": ("coco", {"attributes": {"confidence": "high"}}, {"confidence": "high"}),
    "YOLO": ("yolo", {}, {}),
    "CVAT": ("cvat", {}, {}),
    "CVAT file": ("cvat", {"source": "file"}, {"source": "file"}),
    "CVAT attributes in words": (
        "cvat", {"confidence": "high", "ignore": "maybe"}, {"confidence": "high", "ignore": "maybe"}
    ),
    "CVAT defaults": ("cvat", {"label_source": "human", "confidence": "", "ignore": "false", "iscrowd": "false"}, {}),
    "CVAT track": ("cvat-track", {}, {"track_id": 0}),
    "VOC": ("voc", {}, {}),
    "LabelMe": ("labelme", {"score": None, "description": "{half hidden"}, {"description": "{half hidden"}),
    "KITTI": ("kitti", {}, {}),
    "Label Studio": ("labelstudio", {}, {}),
    "Label Studio prediction that was changed": ("labelstudio", {"origin": "prediction-changed"}, {}),
    "MOT": ("mot", {}, {"track_id": 1}),
    "mapped": ("mapped", {"confidence": ""}, {}),
}  # fmt: skip


def read(folder: Path, writer: str, fields: Fields, *, reviewed: bool) -> Annotation:
    name, write = WRITERS[writer]
    path = write(folder, **fields)
    mapping = folder / "mapping.yaml" if name == "mapped" else None
    (labels,) = open_labels(path, name, ReadOptions(mapping=mapping, reviewed=reviewed)).pictures()
    (annotation,) = labels.annotations
    assert labels.labelled == (annotation.label_source == "human")
    return annotation


def test_every_format_is_looked_at_with_marks_and_without() -> None:
    for cases in (MARKED, UNMARKED):
        assert {WRITERS[case[0]][0] for case in cases.values()} == set(LABEL_FORMATS)


@pytest.mark.parametrize("name", MARKED)
def test_a_box_with_a_score_or_a_mark_is_no_human_s(tmp_path: Path, name: str) -> None:
    writer, fields, label_source, confidence, attributes = MARKED[name]
    found = read(tmp_path, writer, fields, reviewed=False)
    assert (found.label_source, found.confidence, found.attributes) == (label_source, confidence, attributes)


@pytest.mark.parametrize("name", MARKED)
def test_a_human_has_corrected_it_when_the_user_says_so(tmp_path: Path, name: str) -> None:
    writer, fields, *_, attributes = MARKED[name]
    found = read(tmp_path, writer, fields, reviewed=True)
    assert (found.label_source, found.confidence) == ("human", None)
    assert found.attributes == {key: value for key, value in attributes.items() if key not in ("score", "source")}


@pytest.mark.parametrize("reviewed", [False, True], ids=["stated", "human"])
@pytest.mark.parametrize("name", UNMARKED)
def test_a_box_without_marks_is_a_human_s(tmp_path: Path, name: str, reviewed: bool) -> None:
    writer, fields, attributes = UNMARKED[name]
    found = read(tmp_path, writer, fields, reviewed=reviewed)
    assert (found.label_source, found.confidence, found.attributes) == ("human", None, attributes)
    assert not found.ignore


@pytest.mark.parametrize(
    ("writer", "fields", "words"),
    [
        ("coco", {"score": "0.5"}, "annotation 1: score must be a finite number; found '0.5'"),
        ("coco", {"score": True}, "annotation 1: score must be a finite number; found True"),
        ("coco", {"confidence": 1.5}, r"confidence: expected a number in \[0, 1\], found 1.5"),
        ("coco", {"attributes": {"score": "nan"}}, "score must be a finite number; found 'nan'"),
        ("coco", {"label_source": "robot"}, "label_source: expected one of human, device, model, found 'robot'"),
        ("yolo", {"confidence": 1.5}, r"line 1: confidence: expected a number in \[0, 1\], found 1.5"),
        ("cvat", {"confidence": "inf"}, "line 1: confidence must be a finite number; found 'inf'"),
        ("cvat", {"label_source": "robot"}, "line 1: label_source: expected one of"),
        ("mapped", {"confidence": 7}, r"record 1: confidence: expected a number in \[0, 1\], found 7"),
    ],
)
def test_marks_without_sense_are_refused_with_their_place(
    tmp_path: Path, writer: str, fields: Fields, words: str
) -> None:
    with pytest.raises(LabelError, match=words):
        read(tmp_path, writer, fields, reviewed=False)


@pytest.mark.parametrize("name", MARKED)
def test_what_was_decided_is_decided_the_same_again(tmp_path: Path, name: str) -> None:
    """So that our own files, read again, say who drew a box as they did before."""
    writer, fields, *_ = MARKED[name]
    found = read(tmp_path, writer, fields, reviewed=False)
    again = drawn_by(found.label_source, found.attributes, confidence=found.confidence)
    assert again == (found.label_source, found.confidence, found.attributes)
    human = as_human(found)
    assert drawn_by("human", human.attributes, confidence=human.confidence) == ("human", None, human.attributes)


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Four pictures of a detector's boxes, two of a human's, as a COCO file."""
    content: dict[str, list[Fields]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "CAR"}]}
    folder = tmp_path / "scored"
    (folder / "images").mkdir(parents=True)
    for number in range(6):
        (folder / f"images/{number}.jpg").write_bytes(jpeg(number))
        content["images"].append({"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT})
        score = {"score": 0.75} if number < 2 else {"score": 8.2981} if number < 4 else {}
        box = {"id": number + 1, "image_id": number, "category_id": 1, "bbox": [10, 20, 30, 40], **score}
        content["annotations"].append(box)
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def boxes_of(folder: Path, split: str) -> list[Fields]:
    found: list[Fields] = json.loads((folder / f"annotations/instances_{split}.json").read_text())["annotations"]
    return found


def test_scored_boxes_never_enter_the_test_split_unless_a_human_corrected_them(scored: Path, tmp_path: Path) -> None:
    few = convert(ConvertOptions(source=str(scored)), tmp_path / "few")  # two pictures are left, of six
    assert sum(value for key, value in few.counts.items() if key.endswith("_images")) == 2
    assert few.counts["test_images"] == 0
    summary = convert(ConvertOptions(source=str(scored), label_source="human"), tmp_path / "human")
    assert sum(value for key, value in summary.counts.items() if key.endswith("_images")) == 6
    assert summary.counts["test_images"] > 0
    for split in ("train", "val", "test"):
        marks = {
            (box["label_source"], box["confidence"], *box["attributes"]) for box in boxes_of(tmp_path / "human", split)
        }
        assert marks == {("human", None)}


@pytest.mark.long
def test_scored_boxes_train_above_their_confidence_and_keep_it(scored: Path, tmp_path: Path) -> None:
    (scored / "images/6.jpg").write_bytes(jpeg(6))
    content = json.loads((scored / "instances.json").read_text())
    content["images"].append({"id": 6, "file_name": "6.jpg", "width": WIDTH, "height": HEIGHT})
    content["annotations"].append({"id": 7, "image_id": 6, "category_id": 1, "bbox": [10, 20, 30, 40]})
    (scored / "instances.json").write_text(json.dumps(content))
    for floor, expected in ((0.5, [0.75, 0.75]), (0.0, [0.75, 0.75, None, None])):
        out = tmp_path / f"out-{floor}"
        convert(ConvertOptions(source=str(scored), device_labels="train", min_confidence=floor), out)
        model = [box for box in boxes_of(out, "train") if box["label_source"] == "model"]
        assert [box["confidence"] for box in model] == expected
        assert [box["attributes"].get("score") for box in model if box["confidence"] is None] == [
            8.2981 for value in expected if value is None
        ]
        for split in ("val", "test"):
            assert {box["label_source"] for box in boxes_of(out, split)} == {"human"}


@pytest.mark.parametrize("to", ["coco", "cvat", "kitti", "yolo"])
def test_scores_of_any_kind_survive_an_export(scored: Path, tmp_path: Path, to: str) -> None:
    export_labels(ExportOptions(source=str(scored), to=to), tmp_path / "out")
    reader = open_labels(tmp_path / "out", to, ReadOptions())
    found = [(a.label_source, a.confidence, a.attributes) for labels in reader.pictures() for a in labels.annotations]
    assert found == [("model", 0.75, {})] * 2 + [("model", None, {"score": 8.2981})] * 2 + [("human", None, {})] * 2


def test_a_score_that_came_to_a_label_file_later_counts_before_the_side_car(scored: Path, tmp_path: Path) -> None:
    export_labels(ExportOptions(source=str(scored), to="yolo", label_source="human"), tmp_path / "out")
    (label,) = (tmp_path / "out").rglob("5.txt")
    label.write_text(label.read_text().strip() + " 0.875\n")
    line = (
        '{"picture":"pictures/5","image_wh":[96,72],"frame":{"attributes":{}},"boxes":[[0,"CAR",[10,20,30,40],'
        '["CAR",[10,20,30,40],"human",null,false,false,null,1,{"lane":3}]]]}\n'
    )
    (tmp_path / "out/sidecar.jsonl").write_text(line)
    *_, last = open_labels(tmp_path / "out", "yolo", ReadOptions()).pictures()
    assert [(a.label_source, a.confidence) for a in last.annotations] == [("model", 0.875)]
