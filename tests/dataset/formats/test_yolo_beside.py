"""What a YOLO set holds beside what it names, lists that leave it, and lines that are no plain boxes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from small_shares import jpeg

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.yolo import YoloReader
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import LabelError

BOX = "0 0.5 0.5 0.25 0.5\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three labelled pictures in one folder."""
    root = tmp_path / "set"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for number in range(3):
        (root / f"images/{number}.jpg").write_bytes(jpeg(number))
        (root / f"labels/{number}.txt").write_text(BOX)
    (root / "data.yaml").write_text("train: images\nnames: [CAR, BUS]\n")
    return root


def problems_of(folder: Path) -> list[tuple[str, str]]:
    """Kind and message of everything that reading a set tells."""
    told: list[Problem] = []
    list(YoloReader(folder, ReadOptions()).pictures(told.append))
    return [(problem.kind, problem.message) for problem in told]


def test_a_sound_set_has_no_problem(folder: Path) -> None:
    (folder / "labels/classes.txt").write_text("CAR\nBUS\n")  # as LabelImg leaves it there
    (folder / "images/.hidden.gif").write_bytes(b"")
    assert problems_of(folder) == []


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".png", ".tif", ".TIFF"])
def test_pictures_of_every_common_kind_are_read(folder: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"images/x{suffix}"), pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])
    (folder / "labels/x.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    *_, frame = open_source(SourceChoice(str(folder))).frames()
    assert (frame.scan, frame.suffix, frame.width, frame.height) == ("x", ".png", 96, 72)
    assert [(box.class_name, box.xywh) for box in frame.annotations] == [("BUS", (24, 18, 48, 36))]
    assert np.array_equal(cv2.imdecode(np.frombuffer(frame.picture(), np.uint8), cv2.IMREAD_COLOR), pixels)


def test_pictures_of_other_kinds_and_behind_linked_folders_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "images/9.heic").write_bytes(b"x")
    (folder / "labels/9.txt").write_text(BOX)  # belongs to it: no finding of its own
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/5.jpg").write_bytes(jpeg(5))
    (folder / "images/more").symlink_to(tmp_path / "elsewhere")
    (kind, linked), (other_kind, other) = problems_of(folder)
    assert (kind, other_kind) == ("picture-left-out", "picture-left-out")
    assert linked.startswith(f"{folder}/images/more: expected a folder, found a link to one; left out")
    assert other.startswith(f"{folder}/images/9.heic: expected a picture of .bmp, .jpeg, .jpg")
    reader = YoloReader(folder, ReadOptions())
    list(reader.pictures())
    assert "YOLO: 2 pictures of other kinds, or folders behind links, left out" in reader.notes()


def test_labels_without_a_picture_are_named_below_every_folder(folder: Path) -> None:
    (folder / "labels/night").mkdir()
    for name in ("labels/7.txt", "labels/night/8.txt"):
        (folder / name).write_text(BOX)
    (folder / "labels/empty.txt").write_text("")  # nothing is lost with it
    assert problems_of(folder) == [
        (
            "label-unpaired",
            f"{folder}/labels/{name}.txt: expected a picture {folder}/images/{name}.*, found none; add it, or remove the "
            f"labels",
        )
        for name in ("7", "night/8")
    ]


def test_a_list_may_leave_pictures_out_but_no_label_without_a_picture(folder: Path) -> None:
    (folder / "train.txt").write_text("images/0.jpg\nimages/1.jpg\n")
    (folder / "data.yaml").write_text("train: train.txt\nnames: [CAR]\n")
    assert problems_of(folder) == []
    (folder / "images/2.jpg").unlink()
    assert [kind for kind, _ in problems_of(folder)] == ["label-unpaired"]


def test_labels_beside_the_pictures_are_paired_and_lists_are_no_labels(tmp_path: Path) -> None:
    (tmp_path / "obj").mkdir()
    for number in range(2):
        (tmp_path / f"obj/{number}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"obj/{number}.txt").write_text(BOX)
    (tmp_path / "obj/train.txt").write_text("obj/0.jpg\nobj/1.jpg\n")
    (tmp_path / "obj/obj.names").write_text("CAR\n")
    (tmp_path / "a.data").write_text("classes = 1\ntrain = obj/train.txt\nnames = obj/obj.names\n")
    assert problems_of(tmp_path) == []
    (tmp_path / "obj/3.txt").write_text(BOX)
    assert [kind for kind, _ in problems_of(tmp_path)] == ["label-unpaired"]


def test_few_label_files_are_a_problem_and_none_is_an_error(folder: Path) -> None:
    (folder / "labels/0.txt").unlink()
    assert [kind for kind, _ in problems_of(folder)] == ["label-missing"]
    (folder / "labels/1.txt").unlink()
    *_, (kind, message) = problems_of(folder)
    assert kind == "labels-few"
    assert "expected a label file for 50% of the pictures at least, found 1 of 3" in message
    (folder / "labels/2.txt").unlink()
    with pytest.raises(LabelError, match="found none for any of 3 pictures"):
        list(YoloReader(folder, ReadOptions()).pictures())


@pytest.mark.parametrize("outside", ["../lab/secret.jpg", "images/../../lab/secret.jpg", "{absolute}/lab/secret.jpg"])
def test_a_list_that_leaves_the_set_is_refused(folder: Path, tmp_path: Path, outside: str) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/secret.jpg").write_bytes(jpeg(9))
    (folder / "train.txt").write_text(f"images/0.jpg\n{outside.format(absolute=tmp_path)}\n")
    (folder / "data.yaml").write_text("train: train.txt\nnames: [CAR]\n")
    with pytest.raises(LabelError, match=r"data\.yaml: picture .*/lab/secret\.jpg lies outside the data set's folder"):
        list(YoloReader(folder, ReadOptions()).pictures())


def test_a_set_elsewhere_is_read_where_the_description_says_so(folder: Path, tmp_path: Path) -> None:
    described = tmp_path / "own.yaml"
    (folder / "train.txt").write_text(f"{folder}/images/0.jpg\nimages/1.jpg\n")
    described.write_text(f"path: {folder}\ntrain: train.txt\nnames: [CAR]\n")
    assert len(list(YoloReader(described, ReadOptions()).pictures())) == 2


def test_a_pose_set_has_its_boxes_and_no_key_points(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: images\nnames: [CAR]\nkpt_shape: [2, 3]\n")
    for number in range(3):
        (folder / f"labels/{number}.txt").write_text("0 0.5 0.5 0.25 0.5 0.4 0.4 2 0.6 0.6 2\n")
    reader = YoloReader(folder, ReadOptions())
    (box,) = next(iter(reader.pictures())).in_pixels((200, 100))
    assert (box.xywh, box.area, box.label_source) == ((75, 25, 50, 50), None, "human")
    assert "YOLO: key points left out, boxes kept" in reader.notes()
    (folder / "labels/1.txt").write_text(BOX)
    with pytest.raises(LabelError, match=r"labels/1\.txt line 1: expected a box and 6 numbers of key points"):
        list(reader.pictures())


@pytest.mark.parametrize("shape", ["[17]", "[17, 4]", "seventeen", "[true, 3]"])
def test_a_kpt_shape_without_sense_is_refused(folder: Path, shape: str) -> None:
    (folder / "data.yaml").write_text(f"train: images\nnames: [CAR]\nkpt_shape: {shape}\n")
    with pytest.raises(LabelError, match=r"data\.yaml: expected kpt_shape \[number of key points, 2 or 3\]"):
        YoloReader(folder, ReadOptions())


def test_key_points_that_no_description_states_are_refused_and_never_an_outline(folder: Path) -> None:
    (folder / "labels/1.txt").write_text("0 0.5 0.5 0.25 0.5 0.4 0.4 2 0.6 0.6 0\n")
    with pytest.raises(LabelError, match=r"labels/1\.txt line 1: .*may be a box with key points.*state kpt_shape"):
        list(YoloReader(folder, ReadOptions()).pictures())


def test_a_turned_box_becomes_the_upright_one_around_it(folder: Path) -> None:
    (folder / "labels/0.txt").write_text("0 0.1 0.3 0.3 0.1 0.5 0.3 0.3 0.5\n")
    (box,) = next(iter(YoloReader(folder, ReadOptions()).pictures())).in_pixels((100, 100))
    assert box.xywh == pytest.approx((10, 10, 40, 40))
    assert box.area == pytest.approx(800)  # the turned one's
