"""Boxes whose corners stand the wrong way round are taken in order, those without area left out, and both are told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.dataset.sources.label_formats import LABEL_FORMATS, open_labels

Corners = tuple[float, float, float, float]
WIDTH, HEIGHT = 100, 80
GOOD = (10.0, 20.0, 40.0, 60.0)
XYWH = (10.0, 20.0, 30.0, 40.0)


def xywh(corners: Corners) -> list[float]:
    left, top, right, bottom = corners
    return [left, top, right - left, bottom - top]


def coco(folder: Path, corners: Corners) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": xywh(corners)}],
        "categories": [{"id": 1, "name": "CAR"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def yolo(folder: Path, corners: Corners) -> Path:
    for place in ("images", "labels"):
        (folder / place).mkdir()
    (folder / "images/a.jpg").touch()
    left, top, width, height = xywh(corners)
    columns = (left + width / 2) / WIDTH, (top + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT
    (folder / "labels/a.txt").write_text("0 " + " ".join(map(str, columns)) + "\n")
    (folder / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    return folder


def cvat_places(corners: Corners) -> str:
    return " ".join(f'{name}="{value}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))


def cvat(folder: Path, corners: Corners) -> Path:
    box = f'<box label="CAR" occluded="0" {cvat_places(corners)}/>'
    (folder / "annotations.xml").write_text(f'<annotations><image id="0" name="a.jpg">{box}</image></annotations>')
    return folder


def cvat_track(folder: Path, corners: Corners) -> Path:
    box = f'<box frame="0" outside="0" occluded="0" keyframe="1" {cvat_places(corners)}/>'
    gone = f'<box frame="1" outside="1" occluded="0" keyframe="1" {cvat_places((9, 9, 1, 1))}/>'
    (folder / "annotations.xml").write_text(f'<annotations><track id="0" label="CAR">{box}{gone}</track></annotations>')
    return folder


def cvat_mask(folder: Path, corners: Corners) -> Path:
    places = " ".join(
        f'{name}="{value}"' for name, value in zip(("left", "top", "width", "height"), xywh(corners), strict=True)
    )
    shape = f'<mask label="CAR" occluded="0" rle="1" {places}/>'
    (folder / "annotations.xml").write_text(f'<annotations><image id="0" name="a.jpg">{shape}</image></annotations>')
    return folder


def voc(folder: Path, corners: Corners, *, first: int = 0) -> Path:
    left, top, right, bottom = corners
    low, high = (min(left, right), min(top, bottom)), (max(left, right), max(top, bottom))
    places = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
    if first:  # VOC's own: the lower corner counts from 1, and the upper one belongs to the box
        places = {name: int(v + (v in low)) for name, v in places.items()}
        assert low != high
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in places.items())
    other = (
        ""
        if first
        else "<object><name>CAR</name><bndbox>{}</bndbox></object>".format(
            "<xmin>0</xmin><ymin>0</ymin><xmax>5</xmax><ymax>5</ymax>"
        )
    )
    (folder / "Annotations").mkdir()
    (folder / "Annotations/a.xml").write_text(
        f"<annotation><object><name>CAR</name><bndbox>{inside}</bndbox></object></annotation>"
    )
    (folder / "Annotations/b.xml").write_text(f"<annotation>{other}</annotation>")
    return folder


def voc_from_one(folder: Path, corners: Corners) -> Path:
    return voc(folder, corners, first=1)


def labelme(folder: Path, corners: Corners) -> Path:
    shape = {"label": "CAR", "points": [corners[:2], corners[2:]], "shape_type": "rectangle"}
    (folder / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.jpg"}))
    return folder


def kitti(folder: Path, corners: Corners) -> Path:
    (folder / "label_2").mkdir()
    places = " ".join(map(str, corners))
    (folder / "label_2/a.txt").write_text(f"CAR 0 0 -10 {places} -1 -1 -1 -1000 -1000 -1000 -10\n")
    return folder


def labelstudio(folder: Path, corners: Corners) -> Path:
    left, top, width, height = xywh(corners)
    value = {"x": left / WIDTH * 100, "y": top / HEIGHT * 100, "width": width / WIDTH * 100,
             "height": height / HEIGHT * 100, "rotation": 0, "rectanglelabels": ["CAR"]}  # fmt: skip
    result = {"type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": value}
    result |= {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    task = {"id": 1, "data": {"image": "/data/local-files/?d=a.jpg"}, "annotations": [{"result": [result]}]}
    (folder / "tasks.json").write_text(json.dumps([task]))
    return folder


def mot(folder: Path, corners: Corners) -> Path:
    for place in ("gt", "img1"):
        (folder / place).mkdir()
    (folder / "gt/labels.txt").write_text("CAR\n")  # as CVAT has it, which counts from 0
    (folder / "gt/gt.txt").write_text(f"1,1,{','.join(map(str, xywh(corners)))},1,1,1.0\n")
    (folder / "img1/000001.jpg").touch()
    return folder


def mapped(folder: Path, corners: Corners, *, order: str = "xyxy", one_based: bool = False) -> Path:
    left, top, width, height = xywh(corners)
    boxes = {
        "xyxy": list(corners), "xywh": [left, top, width, height],
        "cxcywh": [left + width / 2, top + height / 2, width, height],
    }  # fmt: skip
    box = {"order": order, "unit": "pixels", "one_based": one_based}
    fields = {"image": "file", "class": "label", "box": "box"}
    (folder / "mapping.yaml").write_text(yaml.safe_dump({"file": "json", "fields": fields, "box": box}))
    (folder / "a.json").write_text(json.dumps([{"file": "a.jpg", "label": "CAR", "box": boxes[order]}]))
    return folder / "a.json"


def mapped_sizes(folder: Path, corners: Corners) -> Path:
    return mapped(folder, corners, order="xywh")


def mapped_centres(folder: Path, corners: Corners) -> Path:
    return mapped(folder, corners, order="cxcywh")


FORMATS: dict[str, tuple[str, Callable[[Path, Corners], Path]]] = {
    "coco": ("coco", coco),
    "yolo": ("yolo", yolo),
    "cvat": ("cvat", cvat),
    "cvat track": ("cvat", cvat_track),
    "cvat mask": ("cvat", cvat_mask),
    "voc from 0": ("voc", voc),
    "voc from 1": ("voc", voc_from_one),
    "labelme": ("labelme", labelme),
    "kitti": ("kitti", kitti),
    "labelstudio": ("labelstudio", labelstudio),
    "mot": ("mot", mot),
    "mapped corners": ("mapped", mapped),
    "mapped sizes": ("mapped", mapped_sizes),
    "mapped centres": ("mapped", mapped_centres),
}
# LabelMe stores two corners as the mouse went: any order is right there
ANY_ORDER = {"labelme"}
REVERSED = {"both": (40.0, 60.0, 10.0, 20.0), "across": (40.0, 20.0, 10.0, 60.0), "along": (10.0, 60.0, 40.0, 20.0)}
FLAT = {"no width": (10.0, 20.0, 10.0, 60.0), "no height": (10.0, 20.0, 40.0, 20.0)}


def read(folder: Path, name: str, corners: Corners) -> tuple[PictureLabels, list[Problem], list[str]]:
    label_format, write = FORMATS[name]
    path = write(folder, corners)
    mapping = folder / "mapping.yaml" if label_format == "mapped" else None
    reader = open_labels(path, label_format, ReadOptions(mapping=mapping))
    found: list[Problem] = []
    first, *_ = reader.pictures(found.append)
    list(reader.pictures())  # and once more, as a reading that nobody listens to
    return first, found[: len(found)], reader.notes()


def in_pixels(labels: PictureLabels) -> list[Any]:
    return [annotation.xywh for annotation in labels.in_pixels((WIDTH, HEIGHT))]


def test_every_format_has_its_boxes() -> None:
    assert {label_format for label_format, _ in FORMATS.values()} == set(LABEL_FORMATS)


@pytest.mark.parametrize("way", REVERSED)
@pytest.mark.parametrize("name", FORMATS)
def test_reversed_corners_are_taken_in_order_and_told_with_their_place(tmp_path: Path, name: str, way: str) -> None:
    labels, problems, notes = read(tmp_path, name, REVERSED[way])
    assert in_pixels(labels) == [pytest.approx(XYWH)]
    expected = [] if name in ANY_ORDER else ["box-reversed"]
    assert [problem.kind for problem in problems] == expected
    assert all(str(tmp_path) in problem.message for problem in problems)
    assert any("1 boxes with reversed corners taken in order" in note for note in notes) == bool(expected)


@pytest.mark.parametrize("name", FORMATS)
def test_corners_in_order_are_no_problem(tmp_path: Path, name: str) -> None:
    labels, problems, _ = read(tmp_path, name, GOOD)
    assert in_pixels(labels) == [pytest.approx(XYWH)]
    assert problems == []


@pytest.mark.parametrize("way", FLAT)
@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"voc from 1"}))  # equal corners are a pixel there
def test_boxes_without_area_are_left_out_and_their_picture_is_named(tmp_path: Path, name: str, way: str) -> None:
    labels, problems, notes = read(tmp_path, name, FLAT[way])
    assert in_pixels(labels) == []
    assert [problem.kind for problem in problems] == ["box-without-area", "picture-emptied"]
    assert all(str(tmp_path) in problem.message for problem in problems)
    assert any("1 boxes without area left out" in note for note in notes)


def test_yolo_labels_in_another_folder_do_not_make_every_picture_a_negative(tmp_path: Path) -> None:
    yolo(tmp_path, GOOD)
    (tmp_path / "labels").rename(tmp_path / "annots")
    found: list[Problem] = []
    list(open_labels(tmp_path, "yolo", ReadOptions()).pictures(found.append))
    assert [problem.kind for problem in found] == ["label-missing", "label-broken"]
    assert "labels/a.txt, found none for any of 1 pictures" in found[-1].message


def test_an_annotator_s_ignore_attribute_ignores_the_box(tmp_path: Path) -> None:
    cvat(tmp_path, GOOD)
    text = (tmp_path / "annotations.xml").read_text()
    (tmp_path / "annotations.xml").write_text(
        text.replace("/></", '><attribute name="ignore">true</attribute></box></')
    )
    (labels,) = open_labels(tmp_path, "cvat", ReadOptions()).pictures()
    assert [(a.ignore, a.label_source, a.attributes) for a in labels.annotations] == [(True, "human", {})]
