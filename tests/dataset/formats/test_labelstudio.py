"""Label Studio: exports with all that an annotator may draw and say, tasks without a say, names of pictures, our own."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.labelstudio import LabelStudioReader
from traffic_yolo.dataset.options import ExportOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.label_formats import detect_label_format
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import LabelError

NO_OPTIONS = ReadOptions()
Entry = dict[str, Any]
IMAGE = "/data/upload/1/0a1b2c3d-a.jpg"


def region(value: Entry, kind: str = "rectanglelabels", name: str = "CAR", **more: Any) -> Entry:
    """A result on a picture of 200 x 100 pixels."""
    sizes = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    labels = {kind: [name]} if name else {}
    return {"type": kind, "from_name": "label", "to_name": "image", **sizes, "value": {**value, **labels}, **more}


BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}


def task(*results: Entry, **more: Any) -> Entry:
    return {"id": 5, "data": {"image": IMAGE}, "annotations": [{"result": list(results)}], "predictions": [], **more}


def write(folder: Path, *tasks: Any) -> Path:
    (folder / "project-1.json").write_text(json.dumps(list(tasks)))
    return folder


def read(folder: Path, *tasks: Any) -> Any:
    (labels,) = LabelStudioReader(write(folder, *tasks), NO_OPTIONS).pictures()
    return labels


@pytest.mark.parametrize(
    ("value", "kind", "xywh", "area"),
    [
        (BOX, "rectanglelabels", (20, 20, 60, 40), None),
        (BOX, "labels", (20, 20, 60, 40), None),
        # A quarter turn clockwise about the top left corner (20, 20): 60 x 40 pixels hang down to its left
        ({**BOX, "rotation": 90}, "rectanglelabels", (-20, 20, 40, 60), 2400),
        ({**BOX, "rotation": -360}, "rectanglelabels", (20, 20, 60, 40), None),
        ({"points": [[10, 20], [40, 20], [10, 60]]}, "polygonlabels", (20, 20, 60, 40), 1200),
        ({"x": 25, "y": 40, "radiusX": 15, "radiusY": 20, "rotation": 0}, "ellipselabels", (20, 20, 60, 40), 1884.9556),
        (
            {"x": 25, "y": 40, "radiusX": 15, "radiusY": 20, "rotation": 90},
            "ellipselabels",
            (30, 10, 40, 60),
            1884.9556,
        ),
    ],
)
def test_shapes_become_boxes_in_pixels(tmp_path: Path, value: Entry, kind: str, xywh: Any, area: float | None) -> None:
    labels = read(tmp_path, task(region(value, kind)))
    (annotation,) = labels.annotations
    assert annotation.xywh == pytest.approx(xywh)
    assert annotation.area == (None if area is None else pytest.approx(area))
    assert (labels.name, labels.image_wh, annotation.label_source) == ("a.jpg", (200, 100), "human")


def test_json_min_says_the_same(tmp_path: Path) -> None:
    plain = {**BOX, "rectanglelabels": ["CAR"], "original_width": 200, "original_height": 100}
    labels = read(tmp_path, {"image": IMAGE, "id": 1, "label": [plain], "annotation_id": 3})
    assert [(a.class_name, a.xywh) for a in labels.annotations] == [("CAR", (20, 20, 60, 40))]
    assert labels.image_wh == (200, 100)
    assert read(tmp_path, {"image": IMAGE, "id": 1, "annotation_id": 3}).annotations == ()


def test_boxes_without_a_stated_size_are_shares(tmp_path: Path) -> None:
    result = {"type": "rectanglelabels", "value": {**BOX, "rectanglelabels": ["CAR"]}}
    labels = read(tmp_path, task(result))
    assert (labels.relative, labels.image_wh) == (True, None)
    assert labels.in_pixels((200, 100))[0].xywh == pytest.approx((20, 20, 60, 40))
    result["value"]["rotation"] = 10
    with pytest.raises(LabelError, match="turned by 10 degrees, and the picture's size is not stated"):
        read(tmp_path, task(result))


def test_what_is_said_of_a_region_are_its_attributes(tmp_path: Path) -> None:
    said = [
        {"id": "r1", "type": "choices", "from_name": "colour", "value": {"choices": ["red"]}},
        {"id": "r1", "type": "textarea", "from_name": "plate", "value": {"text": ["A", "B"]}},
        {"id": "r1", "type": "number", "from_name": "lane", "value": {"number": 2}},
        {"type": "choices", "from_name": "weather", "value": {"choices": ["rain"]}},  # of the whole picture
        {"type": "relation", "from_id": "r1", "to_id": "r2", "direction": "right"},
    ]
    shape = region(BOX, "rectangle", name="", id="r1", meta={"seen": True})
    name = {"id": "r1", "type": "labels", "from_name": "label", "value": {**BOX, "labels": ["CAR"]}}
    (annotation,) = read(tmp_path, task(shape, name, *said)).annotations
    assert annotation.class_name == "CAR"
    assert annotation.attributes == {"seen": True, "colour": "red", "plate": ["A", "B"], "lane": 2}


def test_tasks_that_nobody_has_looked_at_are_no_pictures_without_objects(tmp_path: Path) -> None:
    skipped = {"result": [], "was_cancelled": True}
    tasks = [
        task(), task(annotations=[]), task(annotations=[skipped]), task(annotations=[], predictions=[{"result": []}]),
        task(annotations=[skipped], predictions=[{"result": [region(BOX, score=0.5)]}]),
    ]  # fmt: skip
    for number, each in enumerate(tasks):
        each["data"] = {"image": f"/data/upload/1/0a1b2c3d-{number}.jpg"}
    reader = LabelStudioReader(write(tmp_path, *tasks), NO_OPTIONS)
    assert [(p.name, p.labelled, len(p.annotations)) for p in reader.pictures()] == [
        ("0.jpg", True, 0),
        ("4.jpg", False, 1),
    ]
    assert reader.notes() == [
        "Label Studio: 1 tasks left out on which a model found nothing",
        "Label Studio: 2 tasks without an annotation left out",
    ]


def test_the_annotation_that_is_marked_as_truth_counts_and_two_without_are_refused(tmp_path: Path) -> None:
    first, second = {"result": [region(BOX)]}, {"result": [region(BOX, name="BUS")]}
    labels = read(tmp_path, task(annotations=[first, {**second, "ground_truth": True}]))
    assert [a.class_name for a in labels.annotations] == ["BUS"]
    for entries in ({"annotations": [first, second]}, {"annotations": [], "predictions": [first, second]}):
        with pytest.raises(
            LabelError, match=r"task 5 \(a\.jpg\): expected one of .*, found 2; mark one as ground truth"
        ):
            read(tmp_path, task(**entries))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/local-files/?d=images/rec%201/a%23.jpg", "rec 1/a#.jpg"),
        ("/data/local-files/?d=mnt/share/rec/a.jpg", "rec/a.jpg"),
        ("s3://bucket/prefix/rec/a.jpg", "rec/a.jpg"),
        ("https://host.example/x/images/rec/a.jpg?X-Amz-Date=1", "rec/a.jpg"),
        ("https://host.example/a.jpg", "a.jpg"),
        ("https://host.example/data/upload/4/deadbeef-deadbeef-a.jpg", "deadbeef-a.jpg"),
        ("/data/upload/1/street-a.jpg", "street-a.jpg"),
        ("C:\\pictures\\rec\\a.jpg", "rec/a.jpg"),
        ("/home/me/rec/a.jpg", "rec/a.jpg"),
        ("x/y/z/a.jpg", "x/y/z/a.jpg"),
        ("a [1.jpg", "a [1.jpg"),
    ],
)
def test_pictures_are_named_as_the_place_says(tmp_path: Path, image: str, name: str) -> None:
    assert read(tmp_path, task(data={"image": image})).name == name
    assert read(tmp_path, task(data={"text": "hello", "picture": image})).name == name


def test_a_picture_that_kept_the_name_of_its_upload_is_found(tmp_path: Path) -> None:
    write(tmp_path, task(region({**BOX}, original_width=WIDTH, original_height=HEIGHT)))
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(jpeg(1))
    (frame,) = open_source(SourceChoice(str(tmp_path))).frames()
    assert frame.picture() == jpeg(1)
    (tmp_path / "images/0a1b2c3d-a.jpg").write_bytes(jpeg(2))
    (frame,) = open_source(SourceChoice(str(tmp_path))).frames()
    assert (frame.scan, frame.picture()) == ("0a1b2c3d-a", jpeg(2))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (7, "expected a task, found 7"),
        (task(data=None), "expected an object under 'data'"),
        (task(data={}), "expected one picture under 'data', as 'image'"),
        (
            task(data={"a": "1.jpg", "b": "2.jpg"}),
            "expected one picture under 'data', as 'image'; found \\['a', 'b'\\]",
        ),
        (task(data={"image": "data:image/png;base64,AAAA"}), "the task holds its picture itself"),
        (task(annotations={}), None),
        (task(annotations=[7]), "expected a list of objects under 'annotations'"),
        (task(annotations=[{"result": None}]), "expected a list under 'result'"),
        (task({"type": "rectanglelabels"}), "expected an object under 'value'"),
        (task(region({**BOX, "x": "left"})), "x must be a number"),
        (task(region({**BOX, "width": None})), "width must be a number"),
        (task(region(BOX, score="high")), "score must be a number"),
        (task(region({**BOX, "rotation": "x"})), "rotation must be a number"),
        (task(region(BOX, image_rotation=90)), "the picture was turned by 90 degrees"),
        (task(region(BOX), region(BOX, original_width=7)), "regions state different sizes"),
        (
            task(region({**BOX, "rectanglelabels": ["CAR", "BUS"]}, name="")),
            "expected one label, found \\['CAR', 'BUS'\\]",
        ),
        (task(region({"points": [[1, 2], [3, 4]]}, "polygonlabels")), "points must be a list of three"),
    ],
)
def test_faults_name_file_and_task(tmp_path: Path, broken: Any, words: str | None) -> None:
    good = {**task(region(BOX)), "id": 6, "data": {"image": "b.jpg"}}
    problems: list[Problem] = []
    reader = LabelStudioReader(write(tmp_path, broken, good), NO_OPTIONS)
    assert [p.name for p in reader.pictures(problems.append)] == ["b.jpg"]
    if words is None:  # nothing there is no list
        assert problems == []
        return
    with pytest.raises(LabelError, match=rf"project-1\.json: task \d.*: {words}"):
        list(reader.pictures())
    assert [problem.kind for problem in problems] == ["label-broken"]


@pytest.mark.parametrize("kind", ["keypointlabels", "brushlabels", "videorectangle"])
def test_regions_that_are_no_boxes_are_findings(tmp_path: Path, kind: str) -> None:
    problems: list[Problem] = []
    (labels,) = LabelStudioReader(write(tmp_path, task(region({"rle": [1]}, kind))), NO_OPTIONS).pictures(
        problems.append
    )
    assert labels.annotations == ()
    assert [problem.kind for problem in problems] == ["shape-left-out"]
    assert f"found a shape of the kind {kind}; left out" in problems[0].message


def test_a_list_of_something_else_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"image_id": 1, "score": 0.5}]')
    assert detect_label_format(tmp_path) == ""
    write(tmp_path, task())
    assert detect_label_format(tmp_path) == "labelstudio"


def test_frames_that_nobody_has_looked_at_are_tasks_to_be_labelled(share: Any, tmp_path: Path) -> None:
    share.site("D", 9, frames=2, detections=[[3, 0.9, 48, 64, 64, 48]])
    share.site("E", 8, frames=1)
    options = {"source": str(share.recordings), "labels": str(share.label_file), "frames": "unlabelled"}
    export_labels(ExportOptions(to="labelstudio", **options), tmp_path / "out")
    tasks = json.loads((tmp_path / "out/labelstudio.json").read_text())
    kinds = sorted(sorted(set(task) - {"data"}) for task in tasks)
    assert kinds == [[], ["predictions"], ["predictions"]]
    scores = [task["predictions"][0]["score"] for task in tasks if "predictions" in task]
    assert scores == pytest.approx([0.9, 0.9])
    (tmp_path / "out/sidecar.jsonl").unlink()
    read = list(LabelStudioReader(tmp_path / "out", NO_OPTIONS).pictures())
    assert [(picture.labelled, picture.annotations[0].label_source) for picture in read] == [(False, "device")] * 2


def test_an_export_for_label_studio_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "in/images/rec 1").mkdir(parents=True)
    (tmp_path / "in/images/rec 1/a#.jpg").write_bytes(jpeg(1))
    image = {"id": 1, "file_name": "rec 1/a#.jpg", "width": WIDTH, "height": HEIGHT}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [9.6, 7.2, 48, 36]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": 'a "CAR"'}]}
    (tmp_path / "in/instances.json").write_text(json.dumps(content))
    export_labels(ExportOptions(str(tmp_path / "in"), to="labelstudio", copy_pictures=True), tmp_path / "out")
    (written,) = json.loads((tmp_path / "out/labelstudio.json").read_text())
    assert written["data"] == {"image": "/data/local-files/?d=images/rec%201/a%23.jpg"}
    (result,) = written["annotations"][0]["result"]
    value = result["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([10, 10, 50, 50])
    assert "<Label value='a \"CAR\"'/>" in (tmp_path / "out/label_config.xml").read_text()
    assert (tmp_path / "out/images/rec 1/a#.jpg").read_bytes() == jpeg(1)
