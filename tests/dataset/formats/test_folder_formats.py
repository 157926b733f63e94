"""VOC, KITTI and LabelMe: one label file a picture."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import jpeg

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.kitti import KittiReader
from traffic_yolo.dataset.formats.labelme import LabelmeReader
from traffic_yolo.dataset.formats.voc import VocReader
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.label_formats import detect_label_format
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.errors import LabelError, StorageError

NO_OPTIONS = ReadOptions()


def voc(folder: Path, name: str, objects: str, *, size: str = "<width>96</width><height>72</height>") -> Path:
    path = folder / "Annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><filename>desk.jpg</filename><size>{size}</size>{objects}</annotation>")
    return path


def voc_object(corners: tuple[float, float, float, float], *, name: str = "CAR", more: str = "") -> str:
    tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
    return f"<object><name>{name}</name>{more}<bndbox>{inside}</bndbox></object>"


def test_voc_counts_pixels_from_one_with_both_corners_inside(tmp_path: Path) -> None:
    more = "<difficult>1</difficult><truncated>1</truncated><occluded>0</occluded><pose>Left</pose>"
    voc(tmp_path, "a.xml", voc_object((1, 1, 96, 72)) + voc_object((10, 20, 10, 20), name="BUS", more=more))
    reader = VocReader(tmp_path, NO_OPTIONS)
    (picture,) = reader.pictures()
    assert [a.xywh for a in picture.annotations] == [(0, 0, 96, 72), (9, 19, 1, 1)]
    assert picture.annotations[1].ignore
    assert picture.annotations[1].attributes == {"truncated": 1, "pose": "Left"}
    assert (reader.classes, picture.name, picture.image_wh) == (("BUS", "CAR"), "a", (96, 72))
    assert "counted from 1" in reader.notes()[0]


@pytest.mark.parametrize("corners", [(0, 5, 20, 25), (5, 0, 20, 25), (5.5, 5, 20, 25)])
def test_voc_corners_that_cannot_count_from_one_count_from_zero(tmp_path: Path, corners: Any) -> None:
    voc(tmp_path, "a.xml", voc_object((10, 10, 30, 30)))
    voc(tmp_path, "b.xml", voc_object(corners))
    reader = VocReader(tmp_path, NO_OPTIONS)
    assert [picture.annotations[0].xywh for picture in reader.pictures()][0] == (10, 10, 20, 20)
    assert "counted from 0" in reader.notes()[0]


def voc_with(folder: Path, odd: dict[str, tuple[float, float, float, float]], *, others: int = 9) -> Path:
    """Files that show nothing of where they count from, and odd ones beside them."""
    for number in range(others):
        voc(folder, f"{number}.xml", voc_object((11, 21, 40, 60)))
    for name, corners in odd.items():
        voc(folder, name, voc_object(corners))
    return folder


@pytest.mark.parametrize(
    ("corners", "xywh"),
    [((11, 21.75, 40, 60), (10, 20.75, 30, 39.25)), ((0, 5, 20, 25), (0, 5, 20, 20))],
    ids=["a fraction, as VOC2012 has two", "a corner at 0"],
)
def test_one_odd_corner_shifts_no_other_file_and_is_a_problem(tmp_path: Path, corners: Any, xywh: Any) -> None:
    told: list[Problem] = []
    reader = VocReader(voc_with(tmp_path, {"x.xml": corners}), NO_OPTIONS)
    *others, odd = (picture.annotations[0].xywh for picture in reader.pictures(told.append))
    assert set(others) == {(10, 20, 30, 40)}
    assert odd == xywh
    ((kind, message),) = [(problem.kind, problem.message) for problem in told]
    assert kind == "origins-mixed"
    assert message.startswith(
        f"{tmp_path}/Annotations/x.xml: expected corners from 1 as in most of 10 files, found a corner"
    )
    assert reader.notes()[1:] == ["VOC: 1 of 10 files disagree with that"]


@pytest.mark.parametrize(
    ("odd", "from_one"),
    [
        ({"x.xml": (0, 5, 20, 25), "y.xml": (5, 0, 20, 25)}, False),  # two, and none at 1
        ({"x.xml": (0, 5, 20, 25), "y.xml": (5, 0, 20, 25), "z.xml": (1, 5, 9, 9)}, False),
        ({"x.xml": (0, 5, 20, 25), "y.xml": (1, 2, 20, 25)}, True),
        ({f"x{number}.xml": (5.5, 5, 20, 25) for number in range(9)}, False),
        ({f"x{number}.xml": (5.5, 5, 20, 25) for number in range(8)}, True),
    ],
)
def test_the_origin_is_what_most_files_show(tmp_path: Path, odd: Any, from_one: bool) -> None:
    reader = VocReader(voc_with(tmp_path, odd), NO_OPTIONS)
    assert next(iter(reader.pictures())).annotations[0].xywh == ((10, 20, 30, 40) if from_one else (11, 21, 29, 39))


@pytest.mark.parametrize(("origin", "xywh"), [("0", (5.5, 0, 14.5, 25)), ("1", (4.5, -1, 15.5, 26))])
def test_an_option_forces_the_origin_for_all_files(tmp_path: Path, origin: str, xywh: Any) -> None:
    told: list[Problem] = []
    folder = voc_with(tmp_path, {"x.xml": (5.5, 0, 20, 25)})
    *_, odd = VocReader(folder, ReadOptions(voc_origin=origin)).pictures(told.append)
    assert (odd.annotations[0].xywh, told) == (xywh, [])
    for name in [*map(str, range(9)), "x"]:
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(len(name)))
    chosen = SourceChoice(str(tmp_path), source_format="voc", voc_origin=origin)
    *_, frame = open_source(chosen).keys()
    assert frame.scan == "x"


def test_a_folder_of_two_minds_is_a_problem(tmp_path: Path) -> None:
    told: list[Problem] = []
    odd = {"a.xml": (0, 5, 9, 9), "b.xml": (0, 5, 9, 9), "c.xml": (1, 5, 9, 9)}
    list(VocReader(voc_with(tmp_path, odd), NO_OPTIONS).pictures(told.append))
    assert [problem.kind for problem in told] == ["origins-mixed"]
    assert "--voc-origin 1" in told[0].message


def test_voc_lists_give_the_splits(tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml", "c.xml"):
        voc(tmp_path, name, "")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (tmp_path / "ImageSets" / "Main" / "val.txt").write_text("b  1\n")
    splits = [picture.own_split for picture in VocReader(tmp_path, NO_OPTIONS).pictures()]
    assert splits == ["train", "val", ""]


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        (voc_object((1, 1, 5, 5)).replace("<xmin>1", "<xmin>one"), "xmin must be a number"),
        ("<object><name>CAR</name></object>", "without name or bndbox"),
        (voc_object((1, 1, 5, 5), more="<difficult>maybe</difficult>"), "difficult must be 0 or 1"),
        ("<object>", "not well-formed XML"),
    ],
)
def test_voc_faults_name_file_and_line(tmp_path: Path, objects: str, words: str) -> None:
    voc(tmp_path, "a.xml", objects)
    with pytest.raises(LabelError, match=rf"a\.xml line 1: .*{words}"):
        list(VocReader(tmp_path, NO_OPTIONS).pictures())


def kitti(folder: Path, *lines: str) -> Path:
    path = folder / "label_2" / "000001.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_kitti_lines_become_boxes_with_their_third_dimension_as_attributes(tmp_path: Path) -> None:
    kitti(
        tmp_path,
        "Car 0.25 1 -1.57 10.5 20 40.25 60 1.5 1.6 3.9 -16.5 2.4 58.5 1.57",
        "DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10",
        "Van 0.00 0 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10 0.75",
        "Van 0 0 -10 5 5 5 9 -1 -1 -1 -1000 -1000 -1000 -10",
    )
    reader = KittiReader(tmp_path, NO_OPTIONS)
    (picture,) = reader.pictures()
    car, region, van = picture.annotations
    assert car.xywh == (10.5, 20, 29.75, 40)
    assert car.attributes == {
        "truncated": 0.25, "occluded": 1, "alpha": -1.57, "height_m": 1.5, "width_m": 1.6, "length_m": 3.9,
        "x_m": -16.5, "y_m": 2.4, "z_m": 58.5, "rotation_y": 1.57,
    }  # fmt: skip
    assert (region.ignore, region.attributes) == (True, {})
    assert (van.label_source, van.confidence, van.attributes) == ("model", 0.75, {})
    assert (reader.classes, reader.default_classes) == (("Car", "Van", "DontCare"), frozenset({"Car", "Van"}))
    assert reader.notes() == ["KITTI: 1 boxes without area left out"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Car 0 0 0 1 2 3 4", "expected 15 columns, or 16 with a score; found 8"),
        ("Car 0 0 0 1 2 x 4 0 0 0 0 0 0 0", "column 7 must be a number; found 'x'"),
        ("Car 0 0 0 1 2 inf 4 0 0 0 0 0 0 0", "column 7 must be a number"),
        ("Car 0 0 0 1 2 3_0 4 0 0 0 0 0 0 0", "column 7 must be a number; found '3_0'"),
        ("Car 0 0 0 1 2 \u0663 4 0 0 0 0 0 0 0", "column 7 must be a number"),
        ("Car 0 0 0 1 2 3 4 0 0 0 0 0 0 0 nan", "column 16 must be a number; found 'nan'"),
    ],
)
def test_kitti_faults_name_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    kitti(tmp_path, "Car 0 0 0 1 2 3 4 0 0 0 0 0 0 0", line)
    with pytest.raises(LabelError, match=rf"000001\.txt line 2: {words}"):
        list(KittiReader(tmp_path, NO_OPTIONS).pictures())


def test_kitti_sample_reads_with_its_pictures(reference: Path) -> None:
    folder = reference / "label-samples/kitti"
    assert detect_label_format(folder) == "kitti"
    frames = list(open_source(SourceChoice(str(folder))).frames())
    assert [frame.scan for frame in frames] == ["000000", "000001", "000002"]
    assert [len(frame.annotations) for frame in frames] == [1, 7, 2]
    assert [a.class_name for a in frames[1].annotations if a.counts] == ["Truck", "Car", "Cyclist"]
    assert (frames[0].width, frames[0].height, frames[0].suffix) == (1224, 370, ".png")


def labelme(folder: Path, shapes: Any, **more: Any) -> Path:
    path = folder / "cam1" / "a.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5.2", "flags": {"night": True, "rain": False}, "shapes": shapes, "imagePath": "C:\\x\\a.JPG"}
    path.write_text(json.dumps({**content, "imageHeight": 72, "imageWidth": 96, "imageData": None, **more}))
    return path


def shape(kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"label": "CAR", "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def test_labelme_shapes_become_boxes(tmp_path: Path) -> None:
    labelme(
        tmp_path,
        [
            shape("rectangle", [[30, 40], [10.5, 20]], group_id=4, flags={"parked": True, "moving": False}),
            shape("polygon", [[0, 0], [10, 0], [10, 20]], description="half hidden"),
            shape("circle", [[50, 50], [53, 54]]),
            shape("point", [[1, 1]]),
            shape("mask", [[5, 6], [15, 26]], mask="iVBORw0KGgo="),
            shape("rectangle", [[1, 1], [1, 9]]),
        ],
    )
    reader = LabelmeReader(tmp_path, NO_OPTIONS)
    (picture,) = reader.pictures()
    rectangle, polygon, circle, mask = picture.annotations
    assert mask.xywh == (5, 6, 10, 20)
    assert (rectangle.xywh, rectangle.attributes) == ((10.5, 20, 19.5, 20), {"parked": True, "group_id": 4})
    assert (polygon.xywh, polygon.area) == ((0, 0, 10, 20), 100)
    assert circle.xywh == (45, 45, 10, 10)
    assert (picture.name, picture.image_wh, picture.attributes) == ("cam1/a.JPG", (96, 72), {"night": True})
    notes = " | ".join(reader.notes())
    for words in ("3 outlines", "1 shapes of the kind point", "1 boxes without area"):
        assert words in notes


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ("none", "expected a list under 'shapes'"),
        ([{"points": []}], "expected a shape with a label"),
        ([shape("rectangle", [[1, 1]])], "a rectangle has two corners; found 1"),
        ([shape("rectangle", [[1, "x"], [2, 2]])], "points must be a number; found 'x'"),
        ([shape("rectangle", [[1], [2, 2]])], r"points must be a list of \[x, y\]"),
    ],
)
def test_labelme_faults_name_file_and_shape(tmp_path: Path, shapes: Any, words: str) -> None:
    labelme(tmp_path, shapes)
    with pytest.raises(LabelError, match=rf"a\.json.*{words}"):
        list(LabelmeReader(tmp_path, NO_OPTIONS).pictures())


def test_files_of_another_kind_are_counted_and_damaged_ones_refused(tmp_path: Path) -> None:
    labelme(tmp_path, [])
    (tmp_path / "package.json").write_text('{"name": "x"}')
    voc(tmp_path, "a.xml", "")
    (tmp_path / "Annotations" / "other.xml").write_text("<plist/>")
    for reader in (LabelmeReader(tmp_path, NO_OPTIONS), VocReader(tmp_path, NO_OPTIONS)):
        assert len(list(reader.pictures())) == 1
        assert any("passed over" in note for note in reader.notes())
    (tmp_path / "cut.json").write_text('{"shapes": [')
    (tmp_path / "Annotations" / "cut.xml").write_text("<annotation>")
    for reader in (LabelmeReader(tmp_path, NO_OPTIONS), VocReader(tmp_path, NO_OPTIONS)):
        with pytest.raises(LabelError, match=r"cut\.(json|xml) line 1"):
            list(reader.pictures())


@pytest.mark.parametrize("reader", [VocReader, KittiReader, LabelmeReader])
def test_nothing_to_read_is_said(tmp_path: Path, reader: Any) -> None:
    with pytest.raises(StorageError, match=str(tmp_path)):
        reader(tmp_path / "missing", NO_OPTIONS)


@pytest.mark.parametrize("head", ["", "data:image/jpeg;base64,"])
@pytest.mark.parametrize("path", ["C:\\x\\a.JPG", None])
def test_a_picture_that_labelme_holds_itself_is_read(tmp_path: Path, head: str, path: str | None) -> None:
    file = labelme(tmp_path, [shape("rectangle", [[1, 2], [3, 4]])], imagePath=path,
                   imageData=head + base64.b64encode(jpeg(3)).decode())  # fmt: skip
    file.rename(file.with_name("a.b.json"))
    (frame,) = open_source(SourceChoice(str(tmp_path), source_format="labelme")).frames()
    assert (frame.recording, frame.scan, frame.picture()) == ("cam1", "a.b", jpeg(3))
    (tmp_path / f"cam1/a.b{'.JPG' if path else '.png'}").write_bytes(jpeg(4))
    (frame,) = open_source(SourceChoice(str(tmp_path), source_format="labelme")).frames()
    assert frame.picture() == jpeg(4)  # the file that was drawn on


@pytest.mark.parametrize(
    ("data", "words"),
    [("?", "a.json: expected a picture in base64 under imageData; found '?'"), ("AAAA", "a.JPG: not a JPEG")],
)
def test_a_picture_that_is_none_is_that_picture_s_problem(tmp_path: Path, data: str, words: str) -> None:
    labelme(tmp_path, [], imageData=data)
    problems: list[Problem] = []
    source = open_source(SourceChoice(str(tmp_path)), SourceOptions(on_problem=problems.append))
    assert list(source.frames()) == []
    ((kind, message),) = [(problem.kind, problem.message) for problem in problems]
    assert kind == "picture-unreadable"
    assert words in message


def test_a_labelme_file_may_name_another_picture_beside_it(tmp_path: Path) -> None:
    labelme(tmp_path, [], imagePath="..\\desk\\street_12.jpg", imageHeight=None)
    (tmp_path / "cam1/street_12.jpg").write_bytes(jpeg(1))
    assert [p.name for p in LabelmeReader(tmp_path, NO_OPTIONS).pictures()] == ["cam1/street_12.jpg"]
    (tmp_path / "cam1/a.jpg").write_bytes(jpeg(2))
    assert [p.name for p in LabelmeReader(tmp_path, NO_OPTIONS).pictures()] == ["cam1/a.jpg"]


@pytest.mark.parametrize("kind", ["oriented_rectangle", "rotation"])
def test_turned_boxes_of_labelme_become_the_upright_boxes_around_them(tmp_path: Path, kind: str) -> None:
    labelme(tmp_path, [shape(kind, [[10, 0], [20, 10], [10, 20], [0, 10]])])
    (picture,) = LabelmeReader(tmp_path, NO_OPTIONS).pictures()
    assert (picture.annotations[0].xywh, picture.annotations[0].area) == ((0, 0, 20, 20), 200)
