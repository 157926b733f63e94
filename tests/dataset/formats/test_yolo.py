"""YOLO text and the files that list a set: Darknet's and ultralytics' forms, outlines, predictions, refusals."""

from pathlib import Path

import pytest
import yaml
from small_shares import jpeg

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.yolo import YoloReader, read_back, yolo_lines
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.records import Annotation
from traffic_yolo.dataset.sources.label_formats import detect_label_format
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import LabelError, StorageError

NO_OPTIONS = ReadOptions()


def picture(path: Path, seed: int, text: str | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(seed))
    if text is not None:
        label = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of three pictures in two splits, one without a label file."""
    picture(tmp_path / "images/train/a.jpg", 1, "0 0.5 0.5 0.25 0.5\n\n1 0.125 0.5 0.25 1\n")
    picture(tmp_path / "images/train/b.jpg", 2, None)
    picture(tmp_path / "images/val/c.jpg", 3, "")
    described = {"path": ".", "train": "images/train", "val": ["images/val"], "nc": 2, "names": {0: "CAR", 1: "BUS"}}
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(described))
    return tmp_path


def test_data_yaml_names_pictures_splits_and_classes(folder: Path) -> None:
    source = open_source(SourceChoice(str(folder)))
    a, b, c = source.frames()
    assert [(x.class_name, x.xywh) for x in a.annotations] == [("CAR", (36, 18, 24, 36)), ("BUS", (0, 0, 24, 72))]
    assert (b.annotations, c.annotations) == ((), ())
    assert [key.own_split for key in source.keys()] == ["train", "train", "val"]  # noqa: SIM118 (no dict)
    assert source.notes == ["1 pictures without a label file: taken as pictures without objects"]


@pytest.mark.parametrize("started_in", ["", "data"], ids=["in the file's folder", "one above it"])
def test_darknet_data_file_is_read_from_where_darknet_is_started(tmp_path: Path, started_in: str) -> None:
    place = tmp_path / "data"
    for number, name in enumerate(("a", "b")):
        path = picture(place / f"obj/{name}.jpg", number, None)
        path.with_suffix(".txt").write_text("1 0.5 0.5 0.5 0.5\n")  # beside the picture, as Darknet has it
    prefix = f"{started_in}/" if started_in else ""
    (place / "train.txt").write_text(f"{prefix}obj/a.jpg\n")
    (place / "test.txt").write_text(f"{place}/obj/b.jpg\n")
    (place / "obj.names").write_text("CAR\nBUS\n")
    (place / "obj.data").write_text(
        f"classes= 2\ntrain  = {prefix}train.txt\nvalid  = {prefix}test.txt\n# a comment\nnames = {prefix}obj.names\n"
        "backup = backup/\n"
    )
    assert detect_label_format(place) == "yolo"
    for opened in (place, place / "obj.data"):
        reader = YoloReader(opened, NO_OPTIONS)
        first, second = reader.pictures()
        assert reader.classes == ("CAR", "BUS")
        assert (first.own_split, second.own_split) == ("train", "val")
        assert [a.class_name for a in first.annotations + second.annotations] == ["BUS", "BUS"]


def test_outlines_become_boxes_and_predictions_keep_their_confidence(folder: Path) -> None:
    label = folder / "labels/train/a.txt"
    label.write_text("0 0.25 0.25 0.75 0.25 0.75 0.5\n1 0.5 0.5 0.5 0.5 0.75\n")
    reader = YoloReader(folder, NO_OPTIONS)
    outline, predicted = next(iter(reader.pictures())).in_pixels((200, 100))
    assert (outline.xywh, outline.area) == (pytest.approx((50, 25, 100, 25)), pytest.approx(1250))
    assert (predicted.label_source, predicted.confidence) == ("model", 0.75)
    list(reader.pictures())
    assert "YOLO: 1 outlines left out, boxes kept" in reader.notes()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),
        ("0.5 0.5 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),
        ("2 0.5 0.5 0.5 0.5", "unknown class 2; there are 2, numbered from 0"),
        ("-1 0.5 0.5 0.5 0.5", "unknown class -1"),
        ("nan 0.5 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),
        ("inf 0.5 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),
        ("2.0 0.5 0.5 0.5 0.5", "unknown class 2"),
        ("0_1 0.5 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),  # one, to Python
        ("\u0661 0.5 0.5 0.5 0.5", "expected 'class_id cx cy width height'"),  # an Arabic one, to Python too
        ("1 0.5 0.5 0.2_5 0.5", "expected 'class_id cx cy width height'"),
        ("0 50 50 20 20", r"expected numbers relative to the picture \(0 to 1\)"),
        ("0 2.1 0.5 0.5 0.5", "expected numbers relative"),  # pixels of a small box near the corner
        ("0 0.5 3 0.5 0.5", "expected numbers relative"),
        ("0 0.5 0.5 0.5 19", "expected numbers relative"),
        ("0 -1.1 0.5 0.5 0.5", "expected numbers relative"),
        ("0 0.5 0.5 nan 0.5", "expected numbers relative"),
        ("0 0.5 0.5 -inf 0.5", "expected numbers relative"),
        ("0 0.5 0.5 0.5 0.5 1.5", r"confidence: expected a number in \[0, 1\]"),
    ],
)
def test_faults_name_file_and_line(folder: Path, line: str, words: str) -> None:
    (folder / "labels/train/a.txt").write_text(f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(LabelError, match=rf"labels/train/a\.txt line 2: {words}"):
        list(YoloReader(folder, NO_OPTIONS).pictures())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"nc": 3}, LabelError, "nc is 3, but names has 2 classes"),
        ({"names": {1: "CAR", 2: "BUS"}}, LabelError, "expected 'names'"),
        ({"train": "images/none"}, StorageError, "neither a folder nor a .txt list"),
        ({"train": None, "val": None}, LabelError, "none of train, val, test names a picture"),
    ],
)
def test_data_yaml_without_sense_is_refused(
    folder: Path, change: dict[str, object], error: type[Exception], words: str
) -> None:
    described = yaml.safe_load((folder / "data.yaml").read_text())
    (folder / "data.yaml").write_text(yaml.safe_dump({**described, **change}))
    with pytest.raises(error, match=rf"data\.yaml.*{words}"):
        YoloReader(folder, NO_OPTIONS)


def test_data_file_without_sense_is_refused(tmp_path: Path) -> None:
    for text, error, words in (
        ("train = a.txt\n", LabelError, "expected 'names'"),
        ("names\n", LabelError, "line 1: expected key = value"),
        ("names = missing.names\n", StorageError, "names missing.names, which is in no folder"),
    ):
        (tmp_path / "a.data").write_text(text)
        with pytest.raises(error, match=words):
            YoloReader(tmp_path, NO_OPTIONS)
    (tmp_path / "a.names").write_text("CAR\n")
    (tmp_path / "a.data").write_text("classes = 2\nnames = a.names\n")
    with pytest.raises(LabelError, match="classes = 2, but .* names 1"):
        YoloReader(tmp_path, NO_OPTIONS)


@pytest.mark.parametrize("prefix", ["../", "./", ""])
def test_roboflow_s_folders_lie_beside_its_description(tmp_path: Path, prefix: str) -> None:
    for split, text in {"train": "1 0.5 0.5 0.25 0.5\n", "valid": "0 0.5 0.5 0.25 0.5\n"}.items():
        picture(tmp_path / f"set/{split}/images/a.jpg", len(split), text)
    described = {"train": f"{prefix}train/images", "val": f"{prefix}valid/images", "nc": 2, "names": ["CAR", "BUS"]}
    (tmp_path / "set/data.yaml").write_text(yaml.safe_dump(described))
    first, second = YoloReader(tmp_path / "set", NO_OPTIONS).pictures()
    assert [(p.own_split, p.annotations[0].class_name) for p in (first, second)] == [("train", "BUS"), ("val", "CAR")]


def test_two_folders_that_roboflow_s_path_may_mean_are_refused(tmp_path: Path) -> None:
    for place in ("set/train", "train"):
        picture(tmp_path / place / "images/a.jpg", 1, "0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "set/data.yaml").write_text("train: ../train/images\nval: ../train/images\nnames: [CAR]\n")
    with pytest.raises(
        LabelError, match=rf"\.\./train/images may be {tmp_path}/train/images or {tmp_path}/set/train/im"
    ):
        YoloReader(tmp_path / "set", NO_OPTIONS)


@pytest.mark.parametrize("with_pictures", [True, False])
def test_cvat_s_yolo_archive_names_a_folder_that_is_not_there(tmp_path: Path, with_pictures: bool) -> None:
    path = picture(tmp_path / "obj_train_data/street/a.jpg", 1, None)
    path.with_suffix(".txt").write_text("1 0.5 0.5 0.25 0.5\n")
    if not with_pictures:
        path.unlink()
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    (tmp_path / "obj.names").write_text("CAR\nBUS\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/street/a.jpg\n")
    (found,) = YoloReader(tmp_path, NO_OPTIONS).pictures()
    assert (found.path, found.annotations[0].class_name) == (path, "BUS")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: train.txt\nnames: {'0': CAR, '1': BUS}\n")
    (found,) = YoloReader(tmp_path / "data.yaml", NO_OPTIONS).pictures()
    assert (found.path, found.annotations[0].class_name) == (path, "BUS")


def test_a_folder_data_that_is_there_is_kept(tmp_path: Path) -> None:
    for place in ("data/obj", "obj"):
        picture(tmp_path / place / "a.jpg", len(place), None)
    (tmp_path / "train.txt").write_text("data/obj/a.jpg\n")
    (tmp_path / "obj.names").write_text("CAR\n")
    (tmp_path / "obj.data").write_text("classes = 1\ntrain = train.txt\nnames = obj.names\n")
    assert [p.path for p in YoloReader(tmp_path, NO_OPTIONS).pictures(lambda _: None)] == [tmp_path / "data/obj/a.jpg"]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("{'0': CAR, '1': BUS}", ("CAR", "BUS")),
        ("{'1': BUS, 0: CAR}", ("CAR", "BUS")),
        ("{10: K, 9: J, 8: I, 7: H, 6: G, 5: F, 4: E, 3: D, 2: C, 1: B, 0: A}", tuple("ABCDEFGHIJK")),
        ("{'1': CAR, '2': BUS}", None),
        ("{'00': CAR, '1': BUS}", None),
        ("{0: CAR, '0': BUS}", None),
        ("{0: CAR, '0': VAN, 1: BUS}", None),
        ("{true: CAR, 0: BUS}", None),
    ],
)
def test_names_by_number_may_have_texts_as_numbers(folder: Path, names: str, classes: tuple[str, ...] | None) -> None:
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: {names}\n")
    if classes is not None:
        assert YoloReader(folder, NO_OPTIONS).classes == classes
        return
    with pytest.raises(LabelError, match="expected 'names': a list of classes, or numbers from 0 to names"):
        YoloReader(folder, NO_OPTIONS)


@pytest.mark.parametrize("word", ["1", "1.0", "1.000000e+00"])
def test_a_class_id_may_be_written_as_a_whole_float(folder: Path, word: str) -> None:
    (folder / "labels/train/a.txt").write_text(f"{word} 0.5 0.5 0.5 0.5\n")
    assert next(iter(YoloReader(folder, NO_OPTIONS).pictures())).annotations[0].class_name == "BUS"


def test_a_box_may_reach_a_picture_s_size_beyond_the_picture(folder: Path) -> None:
    (folder / "labels/train/a.txt").write_text("0 2 -1 2 2\n")
    (box,) = next(iter(YoloReader(folder, NO_OPTIONS).pictures())).annotations
    assert box.xywh == (1, -2, 2, 2)


def test_a_box_of_which_nothing_is_inside_the_picture_gets_no_line() -> None:
    """Its part inside would be a line of width or height 0, which Darknet trains on as on any other."""
    boxes = [(100, 10, 8, 8), (-8, 10, 8, 8), (10, 50, 8, 8), (10, -8, 8, 8), (99, 49, 8, 8), (-8, -8, 9, 9)]
    annotations = [Annotation("CAR", box) for box in boxes]
    assert yolo_lines(annotations, ("CAR",), (100, 50)) == [
        "0 0.99500000 0.99000000 0.01000000 0.02000000",
        "0 0.00500000 0.01000000 0.01000000 0.02000000",
    ]
    assert [box is None for box in read_back(annotations, ("CAR",), (100, 50))] == [True] * 4 + [False] * 2
