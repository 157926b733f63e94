"""One check of COCO entries: what a truth and a data set of ours refuse, and what a reader names as broken."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from written_data_set import state_again, write_manifest

from traffic_yolo.dataset.coco_entries import CocoEntries, flag_column, id_column
from traffic_yolo.dataset.data_set import NO_CLASS, DataSet
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.coco import CocoReader
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.errors import DatasetError, LabelError
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes

BOX = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}
CONTENT: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "CAR"}],
    "annotations": [BOX, BOX | {"id": 8, "bbox": [5, 2, 30, 40]}],
}
HUGE = 10**400


def changed(section: str, **values: Any) -> dict[str, Any]:
    """The content with other values in the first entry of a section; a value of `...` takes the key out."""
    content = copy.deepcopy(CONTENT)
    entry = content[section][0]
    entry.update(values)
    content[section][0] = {key: value for key, value in entry.items() if value is not ...}
    return content


BOXES = "bbox: expected four numbers x, y, width, height; found "
FLAG = "expected 0, 1, true or false; found "
# What is refused before its entry is looked at: it is no JSON, or beyond a limit
NO_JSON = r"(NaN|Infinity|nan|inf)"
# id -> content, and what the message says; both what a reader names and what a truth refuses
EVERYWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "crowd-text": (changed("annotations", iscrowd="0"), f"iscrowd: {FLAG}'0'"),
    "ignore-text": (changed("annotations", ignore="false"), f"ignore: {FLAG}'false'"),
    "crowd-two": (changed("annotations", iscrowd=2), f"iscrowd: {FLAG}2"),
    "crowd-list": (changed("annotations", iscrowd=[0]), f"iscrowd: {FLAG}\\[0\\]"),
    "crowd-nan": (changed("annotations", iscrowd=math.nan), f"iscrowd: {FLAG}nan|{NO_JSON}"),
    "box-of-three": (changed("annotations", bbox=[1, 2, 3]), f"{BOXES}\\[1, 2, 3\\]"),
    "box-of-five": (changed("annotations", bbox=[1, 2, 3, 4, 5]), BOXES),
    "box-empty": (changed("annotations", bbox=[]), f"{BOXES}\\[\\]"),
    "box-null": (changed("annotations", bbox=None), f"{BOXES}None"),
    "box-of-texts": (changed("annotations", bbox=["1", "2", "3", "4"]), f"{BOXES}\\['1', '2', '3', '4'\\]"),
    "box-of-flags": (changed("annotations", bbox=[1, 2, True, 4]), BOXES),
    "box-in-a-list": (changed("annotations", bbox=[[1, 2, 3, 4]]), BOXES),
    "box-nan": (
        changed("annotations", bbox=[1, 2, math.nan, 4]),
        rf"bbox must be finite; found \[1, 2, nan, 4\]|{NO_JSON}",
    ),
    "box-infinite": (changed("annotations", bbox=[1, math.inf, 3, 4]), f"bbox must be finite|{NO_JSON}"),
    "box-huge": (changed("annotations", bbox=[1, 2, HUGE, 4]), "more than 100 digits in a number"),
    "box-missing": (changed("annotations", bbox=...), "bbox is missing"),
    "area-text": (changed("annotations", area="big"), "area: expected a number from 0; found 'big'"),
    "area-number-text": (changed("annotations", area="12"), "area: expected a number from 0; found '12'"),
    "area-negative": (changed("annotations", area=-1), "area: expected a number from 0; found -1"),
    "area-nan": (changed("annotations", area=math.nan), f"area: expected a number from 0; found nan|{NO_JSON}"),
    "area-huge": (changed("annotations", area=HUGE), "more than 100 digits in a number"),
    "attributes-list": (changed("annotations", attributes=[1]), r"attributes: expected an object; found \[1\]"),
    "attributes-text": (changed("annotations", attributes={"a": "\ud800"}), "half a character"),
    "id-null": (changed("annotations", id=None), "id: expected a whole number.*; found None"),
    "id-true": (changed("annotations", id=True), "id: expected a whole number.*; found True"),
    "id-nan": (changed("annotations", id=math.nan), f"id: expected a whole number.*; found nan|{NO_JSON}"),
    "id-half": (changed("annotations", id=0.5), "id: expected a whole number.*; found 0.5"),
    "image-true": (changed("annotations", image_id=True), "image_id: expected a whole number.*; found True"),
    "category-true": (changed("annotations", category_id=True), "category_id: expected a whole number.*; found True"),
    "category-missing": (changed("annotations", category_id=...), "category_id is missing"),
    "width-text": (changed("images", width="64"), "image 1: width: expected a whole number above 0; found '64'"),
    "width-true": (changed("images", width=True), "image 1: width: expected a whole number above 0; found True"),
    "height-zero": (changed("images", height=0), "image 1: height: expected a whole number above 0; found 0"),
    "height-nan": (changed("images", height=math.nan), f"height: expected a whole number above 0; found nan|{NO_JSON}"),
    "name-half-a-pair": (changed("images", file_name="a\ud800"), "half a character"),
    "name-number": (changed("images", file_name=5), "image 1: file_name: expected a text; found 5"),
    "class-number": (changed("categories", name=5), "a category needs a number as id, and a text as name"),
    "class-null": (changed("categories", name=None), "a category needs a number as id, and a text as name"),
    "class-id-true": (changed("categories", id=True), "found True"),
}
TRUTH_ONLY: dict[str, tuple[dict[str, Any], str]] = {
    "negative": (
        changed("annotations", bbox=[30, 40, -20, -30]),
        r"t.json: annotations\[0\] \(id 7\): bbox: expected width and height from 0; found \[30, 40, -20, -30\]",
    ),
    "text-id": (changed("annotations", id="7"), r"annotations\[0\] \(id '7'\): id: expected a whole number; found '7'"),
    "text-image": (changed("annotations", image_id="1"), "image_id: expected a whole number; found '1'"),
    "foreign-image": (changed("annotations", image_id=2), "image_id: expected the id of an image in the file; found 2"),
    "foreign-category": (changed("annotations", category_id=2), "category_id: expected the id of a category in the"),
    "annotation-twice": (changed("annotations", id=8), "annotation 8: the id occurs twice"),
    "image-twice": (CONTENT | {"images": CONTENT["images"] * 2}, "image 1: the id occurs twice"),
    "category-twice": (CONTENT | {"categories": CONTENT["categories"] * 2}, "category 1: the id occurs twice"),
    "image-text-id": (changed("images", id="1"), "image: id: expected a whole number; found '1'"),
    "no-list": (CONTENT | {"annotations": {}}, "expected a list under 'annotations'"),
    "no-object": (CONTENT | {"annotations": [5]}, r"annotations\[0\]: expected an object; found 5"),
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "t.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("content", "message"), (EVERYWHERE | TRUTH_ONLY).values(), ids=EVERYWHERE | TRUTH_ONLY)
def test_a_truth_with_a_bad_entry_is_refused_in_one_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_ground_truth(written(tmp_path, content), ["CAR"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("content", "message"), EVERYWHERE.values(), ids=EVERYWHERE)
def test_a_reader_names_what_a_truth_refuses(content: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(LabelError, match=message) as caught:
        list(CocoReader(path, ReadOptions()).pictures())
    assert "\n" not in str(caught.value)


def test_a_reader_goes_on_behind_a_bad_entry_where_problems_are_collected(tmp_path: Path) -> None:
    problems: list[Problem] = []
    path = written(tmp_path, changed("annotations", iscrowd="0"))
    (picture,) = CocoReader(path, ReadOptions()).pictures(problems.append)
    assert [(box.number, box.is_crowd) for box in picture.annotations] == [(8, False)]
    assert [problem.kind for problem in problems] == ["label-broken"]


@pytest.mark.parametrize("first", [7, "a0", -3])
def test_a_reader_keeps_the_first_of_two_annotations_with_one_id(first: Any, tmp_path: Path) -> None:
    content = changed("annotations", id=first)
    content["annotations"][1]["id"] = first
    path = written(tmp_path, content)
    with pytest.raises(LabelError, match=f"annotation {first}: an earlier annotation has this id; number them anew"):
        list(CocoReader(path, ReadOptions()).pictures())
    (picture,) = CocoReader(path, ReadOptions()).pictures(lambda _: None)
    assert [box.xywh for box in picture.annotations] == [(1, 2, 30, 40)]


def test_a_reader_takes_text_ids_and_tells_them_from_negative_ones(tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    content["images"] = [CONTENT["images"][0] | {"id": name, "file_name": f"{name}.png"} for name in ("a", -1, "1", 1)]
    for number, name in enumerate(("a", -1, "1", 1)):
        content["annotations"].append(BOX | {"id": f"b{number}", "image_id": name, "bbox": [number, 0, 9, 9]})
    pictures = list(CocoReader(written(tmp_path, content), ReadOptions()).pictures())
    assert [[box.xywh[0] for box in picture.annotations] for picture in pictures] == [[0], [1], [2], [1, 5, 3]]


@pytest.mark.parametrize("flag", [0, 1, True, False, None, 1.0, 0.0])
def test_flags_are_numbers_or_booleans(flag: Any, tmp_path: Path) -> None:
    path = written(tmp_path, changed("annotations", iscrowd=flag))
    truth = read_ground_truth(path, ["CAR"])
    assert truth.ignore.tolist() == [bool(flag), False]
    (picture,) = CocoReader(path, ReadOptions()).pictures()
    assert [box.is_crowd for box in picture.annotations] == [bool(flag), False]


def test_columns_are_whole_or_not_at_all() -> None:
    assert flag_column([]) is not None
    ids = id_column([1.0, 2, -5])
    assert ids is not None
    assert ids.tolist() == [1, 2, -5]
    assert id_column([2**63]) is None
    assert id_column([1, 1e300]) is None


def test_categories_of_one_name_are_one_class(tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    content["categories"] = [{"id": 0, "name": "CAR"}, {"id": 1, "name": "CAR"}]
    content["annotations"][1]["category_id"] = 0
    assert read_ground_truth(written(tmp_path, content), ["CAR"]).class_ids.tolist() == [0, 0]


def test_attributes_stand_beside_the_boxes_of_the_truth(tmp_path: Path) -> None:
    content = copy.deepcopy(CONTENT)
    content["images"].insert(0, CONTENT["images"][0] | {"id": 5, "file_name": "b.png", "site": "A"})
    content["annotations"][1] |= {"image_id": 5, "attributes": {"lane": 2}}
    path = written(tmp_path, content)
    labels = read_label_attributes(path, read_ground_truth(path, ["CAR"]))
    assert [box.lane for box in labels.boxes] == ["2", ""]
    assert labels.sites == ["A", ""]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a data set folder whose training split has the given content."""

    def data_set(content: dict[str, Any]) -> Path:
        root = tmp_path / "dataset"
        (root / "annotations").mkdir(parents=True)
        (root / "images").mkdir()
        assert cv2.imwrite(str(root / "images" / "a.png"), np.zeros((48, 64, 3), np.uint8))
        (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
        (root / "classes.yaml").write_text("classes: [CAR]\n")
        write_manifest(root)
        return root

    return data_set


DATA_SET_ONLY = {
    "leaves-the-folder": (changed("images", file_name="../images/a.png"), "picture not found"),
    "absolute": (changed("images", file_name="/etc/hostname"), "picture not found"),
    "without-size": (changed("images", width=...), "image 1: width is missing"),
    "other-class": (
        changed("categories", name="BUS"),
        "category 1: expected 'CAR', as classes.yaml has it; found 'BUS'",
    ),
    "counted-box-of-no-class": (
        CONTENT
        | {"categories": [*CONTENT["categories"], {"id": 2, "name": "DRONE"}]}
        | {"annotations": [BOX | {"category_id": 2}]},
        "annotation 7: category_id: expected 1 to 1 of a box that is not ignored; found 2",
    ),
}
NAMED_SO = EVERYWHERE | TRUTH_ONLY | DATA_SET_ONLY


@pytest.mark.parametrize("case", NAMED_SO)
def test_a_data_set_with_a_bad_entry_is_refused(case: str, write: Callable[[dict[str, Any]], Path]) -> None:
    content, message = NAMED_SO[case]
    with pytest.raises(DatasetError, match=message.replace("t.json: ", "")):
        DataSet.open(write(content)).split("train")


def test_a_data_set_is_read_picture_by_picture(write: Callable[[dict[str, Any]], Path]) -> None:
    content = copy.deepcopy(CONTENT)
    content["categories"].append({"id": 2, "name": "DRONE", "supercategory": "ignored"})
    content["images"] = [CONTENT["images"][0] | {"id": number} for number in (5, 1, 9)]
    content["annotations"].append(BOX | {"id": 9, "image_id": 9, "category_id": 2, "ignore": 1, "bbox": [0, 0, 0, 3]})
    first, second, third = DataSet.open(write(content)).split("train")
    assert (first.image_id, len(first.boxes_xyxy)) == (5, 0)
    assert second.boxes_xyxy.tolist() == [[1, 2, 31, 42], [5, 2, 35, 42]]
    assert (second.class_ids.tolist(), second.ignore.tolist()) == ([0, 0], [False, False])
    assert (third.class_ids.tolist(), third.ignore.tolist()) == ([NO_CLASS], [True])


def test_labels_that_were_changed_behind_the_manifest_are_refused(write: Callable[[dict[str, Any]], Path]) -> None:
    root = write(CONTENT)
    path = root / "annotations" / "instances_train.json"
    path.write_text(json.dumps(changed("annotations", bbox=[1, 2, 31, 40])))
    for read in (lambda data: data.split("train"), lambda data: data.coco_path("train")):
        with pytest.raises(DatasetError, match=r"train.json is not the file that convert wrote: .* convert --source "):
            read(DataSet.open(root))
    state_again(root)
    assert len(DataSet.open(root).split("train")) == 1


def test_changed_classes_and_a_manifest_without_checksums_are_refused(write: Callable[[dict[str, Any]], Path]) -> None:
    root = write(CONTENT)
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "files": []}))
    with pytest.raises(DatasetError, match=r"manifest.json: states no SHA-256 of classes.yaml; convert again"):
        DataSet.open(root)
    (root / "manifest.json").write_text(json.dumps(manifest))
    (root / "classes.yaml").write_text("classes: [CAR, BUS]\n")
    with pytest.raises(DatasetError, match=r"classes.yaml is not the file that convert wrote"):
        DataSet.open(root)


def test_an_empty_file_has_no_entries(tmp_path: Path) -> None:
    nothing = CocoEntries.of({"images": [], "annotations": [], "categories": []}, tmp_path)
    assert nothing.boxes_xywh.shape == (0, 4)
    assert len(nothing.pictures) == len(nothing.image_ids) == 0
