"""COCO files as tools export them: without sizes, with texts as ids, with outlines and no boxes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as oracle
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.coco import CocoReader
from traffic_yolo.dataset.formats.coco_outlines import outline_box
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import LabelError

Entry = dict[str, Any]


def written(folder: Path, image: Entry, annotation: Entry, category: Entry | None = None) -> Path:
    """A set of one picture with one annotation; what is None is left out."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images/a.jpg").write_bytes(jpeg(1))
    image = {"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT} | image
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]} | annotation
    content = {
        "images": [{key: value for key, value in image.items() if value != "left out"}],
        "annotations": [{key: value for key, value in annotation.items() if value != "left out"}],
        "categories": [category or {"id": 1, "name": "CAR"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def read(folder: Path) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    (labels,) = CocoReader(folder, ReadOptions()).pictures(problems.append)
    return labels, problems


@pytest.mark.parametrize("side", ["left out", None, 0, 0.0])
def test_pictures_without_a_stated_size_have_their_own(tmp_path: Path, side: Any) -> None:
    source = open_source(SourceChoice(str(written(tmp_path, {"width": side, "height": side}, {}))))
    (frame,) = source.frames()
    assert (frame.width, frame.height) == (WIDTH, HEIGHT)
    assert frame.annotations[0].xywh == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ({"width": "left out"}, "width is missing"),
        ({"height": None}, "height: expected a whole number above 0; found None"),
        ({"width": 0}, "width: expected a whole number above 0; found 0"),
        ({"width": -1, "height": -1}, "width: expected a whole number above 0; found -1"),
        ({"width": "96", "height": "72"}, "width: expected a whole number above 0; found '96'"),
        ({"width": False, "height": False}, "width: expected a whole number above 0; found False"),
    ],
)
def test_a_size_that_is_half_there_or_none_is_refused(tmp_path: Path, sides: Entry, words: str) -> None:
    with pytest.raises(LabelError, match=f"image 1: {words}"):
        list(CocoReader(written(tmp_path, sides, {}), ReadOptions()).pictures())


def test_labels_alone_need_sizes(tmp_path: Path) -> None:
    folder = written(tmp_path, {"width": None, "height": None}, {})
    with pytest.raises(LabelError, match=r"image 1 \(a\.jpg\): labels_only takes the size of a picture from its label"):
        convert(ConvertOptions(str(folder), labels_only=True), tmp_path / "out")


@pytest.mark.parametrize("image_id", [7, "7", 7.0, "img_7", "007"])
@pytest.mark.parametrize("category_id", [3, "3", "car"])
def test_ids_may_be_texts(tmp_path: Path, image_id: Any, category_id: Any) -> None:
    folder = written(
        tmp_path,
        {"id": image_id},
        {"id": "first", "image_id": image_id, "category_id": category_id},
        {"id": category_id, "name": "CAR"},
    )
    labels, problems = read(folder)
    assert [a.class_name for a in labels.annotations] == ["CAR"]
    assert problems == []


@pytest.mark.parametrize(("key", "words"), [("image_id", "no image 1 in the file"), ("category_id", "no category 1")])
def test_a_text_of_a_number_is_not_the_number(tmp_path: Path, key: str, words: str) -> None:
    labels, problems = read(written(tmp_path, {}, {key: "1"}))
    assert labels.annotations == ()
    assert words in problems[0].message


def test_categories_with_texts_as_ids_keep_the_order_of_numbers_then_of_texts(tmp_path: Path) -> None:
    folder = written(tmp_path, {}, {})
    content = json.loads((folder / "instances.json").read_text())
    content["categories"] = [{"id": key, "name": f"name {key}"} for key in ("b", "10", 9, 1, "a")]
    (folder / "instances.json").write_text(json.dumps(content))
    names = ("name 1", "name 9", "name 10", "name a", "name b")
    assert CocoReader(folder, ReadOptions()).classes == names
    content["categories"].append({"id": "10", "name": "again"})
    (folder / "instances.json").write_text(json.dumps(content))
    with pytest.raises(LabelError, match="a category id occurs twice"):
        CocoReader(folder, ReadOptions())


@pytest.mark.parametrize("bbox", ["left out", None, []])
@pytest.mark.parametrize(
    ("segmentation", "box", "area"),
    [
        ([[10, 20, 40, 20, 40, 60, 10, 60]], (10, 20, 30, 40), None),  # its area is the box's: nothing new
        ([[10, 20, 40, 20, 10, 60]], (10, 20, 30, 40), 600.0),
        ([[0, 0, 2, 0, 0, 2], [10, 10, 14, 10, 14, 12, 10, 12]], (0, 0, 14, 12), 10.0),
        # 4 x 3: columns of 4; the run from pixel 5 to 7 is column 1, rows 1 to 2; that at 10 column 2, row 2
        ({"size": [4, 3], "counts": [5, 2, 3, 1, 1]}, (1, 1, 2, 2), 3.0),
        ({"size": [4, 3], "counts": [3, 2, 7]}, (0, 0, 2, 4), 2.0),  # from the foot of a column to the next one's top
    ],
)
def test_an_annotation_without_a_box_has_its_outline_s(
    tmp_path: Path, segmentation: Any, box: Any, area: float | None, bbox: Any
) -> None:
    labels, problems = read(written(tmp_path, {}, {"bbox": bbox, "segmentation": segmentation}))
    (annotation,) = labels.annotations
    assert (annotation.xywh, annotation.area, problems) == (box, area, [])
    reader = CocoReader(tmp_path, ReadOptions())
    assert reader.notes() == ["instances.json: 1 outlines became the boxes around them"]


def test_a_box_that_is_there_counts_before_the_outline(tmp_path: Path) -> None:
    outline = {"segmentation": [[10, 20, 40, 20, 40, 60]], "area": 7}
    assert read(written(tmp_path, {}, outline))[0].annotations[0].xywh == (1, 2, 3, 4)
    (annotation,) = read(written(tmp_path, {}, {**outline, "bbox": None}))[0].annotations
    assert (annotation.xywh, annotation.area) == ((10, 20, 30, 40), 7)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ("left out", "bbox: expected four numbers"),
        ([], "bbox: expected four numbers"),
        ("text", "expected lists of x, y, or a mask's counts"),
        ([[1, 2, 3, 4]], "expected x, y of three points or more"),
        ([[1, 2, 3, 4, 5, 6, 7]], "expected x, y of three points or more"),
        ([[1, 2, 3, 4, 5, "6"]], "expected x, y of three points or more"),
        ([[1, 2, 3, 4, 5, None]], "expected x, y of three points or more"),
        ([[1, 2, 3, 4, 5, float("nan")]], "expected x, y of three points or more"),
        ({"size": [4, 3], "counts": [12]}, "found an empty one"),
        ({"size": [4, 3], "counts": [5, 2, 6]}, "expected counts of 4 x 3 pixels"),
        ({"size": [4, 3], "counts": [5, -2, 9]}, "expected counts of 4 x 3 pixels"),
        ({"size": [4, 3], "counts": [True, 11]}, "expected counts of 4 x 3 pixels"),
        ({"size": [4, 3], "counts": "5" * 40}, "expected"),
        ({"size": [4, 3], "counts": "\u00e9"}, "expected a mask's compressed counts"),
        ({"size": [4, 3], "counts": "o"}, "expected a mask's compressed counts"),  # more is to follow
        ({"size": [4, 3], "counts": "o" * 1000}, "expected a mask's compressed counts"),
        ({"size": [4], "counts": [12]}, r"expected size \[height, width\]"),
        ({"size": [0, 3], "counts": []}, r"expected size \[height, width\]"),
        ({"counts": [12]}, r"expected size \[height, width\]"),
        ({"size": [4, 3]}, "expected counts of 4 x 3 pixels"),
    ],
)
def test_an_outline_that_is_none_is_refused_with_its_annotation(tmp_path: Path, segmentation: Any, words: str) -> None:
    with pytest.raises(LabelError, match=rf"instances\.json: annotation 1: .*{words}"):
        list(CocoReader(written(tmp_path, {}, {"bbox": None, "segmentation": segmentation}), ReadOptions()).pictures())


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
@examples(100)
def test_boxes_and_areas_of_masks_are_pycocotools_own(mask: Any) -> None:
    encoded = oracle.encode(np.asfortranarray(mask))
    text = {"size": [int(side) for side in mask.shape], "counts": encoded["counts"].decode()}
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    plain = {"size": text["size"], "counts": runs if flat[0] == 0 else [0, *runs]}
    if not mask.any():
        for counts in (text, plain):
            with pytest.raises(LabelError, match="empty"):
                outline_box(counts)
        return
    expected = tuple(oracle.toBbox(encoded).tolist()), float(oracle.area(encoded))
    assert outline_box(text) == outline_box(plain) == expected


def test_a_large_mask_takes_no_memory_of_its_pixels() -> None:
    side = 2**31 - 1
    box, area = outline_box({"size": [side, side], "counts": [side, 5, side * side - side - 5]})
    assert (box, area) == ((1, 0, 1, 5), 5)
