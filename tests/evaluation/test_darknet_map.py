"""`detector map` over a .data file: reading it, judging by it, refusing it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.yolo import YoloReader
from traffic_yolo.errors import DatasetError, EvaluationError, LabelError, StorageError
from traffic_yolo.evaluation.darknet_map import DarknetData, evaluate_map, read_picture

CFG = """\
[net]
width=32
height=32
channels=3
[convolutional]
filters=7
size=1
stride=1
activation=linear
[maxpool]
size=32
stride=32
[yolo]
anchors=16,16
classes=2
num=1
"""


@pytest.fixture
def network() -> Network:
    """One cell that sees objectness and class 0 in red pictures: x, y at the centre, 16 x 16 of 32 pixels."""
    network = Network(Cfg.parse(CFG)).eval()
    convolution = network.layers[0].conv
    convolution.weight.data.zero_()
    convolution.weight.data[4:6, 0] = 20.0
    convolution.bias.data[:] = -10.0
    convolution.bias.data[:4] = 0.0
    return network


def data_file(folder: Path, *, colours: list[str], labels: list[str | None]) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    bgr = {"red": (0, 0, 255), "black": (0, 0, 0)}
    for index, (colour, label) in enumerate(zip(colours, labels, strict=True)):
        cv2.imwrite(str(folder / "images" / f"{index}.png"), np.full((48, 64, 3), bgr[colour], np.uint8))
        if label is not None:
            (folder / "labels" / f"{index}.txt").write_text(label)
    (folder / "val.txt").write_text("".join(f"images/{index}.png\n" for index in range(len(colours))))
    (folder / "my.names").write_text("red\nblue\n")
    (folder / "my.data").write_text("classes = 2\n# valid = no.txt\nvalid = val.txt\nnames=my.names\nbackup = backup\n")
    return folder / "my.data"


def test_pictures_are_found_beside_the_files_that_name_them_and_judged(tmp_path: Path, network: Network) -> None:
    path = data_file(tmp_path, colours=["red", "black", "red"], labels=["0 .5 .5 .5 .5\n", "1 .5 .5 .2 .2\n", None])
    data = DarknetData.read(path)
    assert data.names == ("red", "blue")
    assert data.pictures == tuple(tmp_path / "images" / f"{index}.png" for index in range(3))
    result = evaluate_map(network, data)
    found = [(one.ap, one.true_positives, one.false_positives, one.num_truths) for one in result.classes]
    assert found == [(1.0, 1, 1, 1), (0.0, 0, 0, 1)]  # the picture without a label file has no objects
    assert result.average_iou == pytest.approx(0.5)


def test_two_classes_of_one_name_are_two_classes_as_in_darknet(tmp_path: Path, network: Network) -> None:
    path = data_file(tmp_path, colours=["red", "red"], labels=["1 .5 .5 .5 .5\n", "0 .5 .5 .5 .5\n"])
    (tmp_path / "my.names").write_text("car\ncar\n")
    result = evaluate_map(network, DarknetData.read(path))
    assert [one.num_truths for one in result.classes] == [1, 1]
    assert [(one.true_positives, one.false_positives) for one in result.classes] == [(1, 1), (0, 0)]


@pytest.mark.parametrize(("letter_box", "overlap"), [(0, 1.0), (1, 0.75)])
def test_letter_box_of_the_cfg_decides_how_boxes_lie(tmp_path: Path, letter_box: int, overlap: float) -> None:
    data = DarknetData.read(data_file(tmp_path, colours=["red"], labels=["0 .5 .5 .5 .5\n"]))
    network = Network(Cfg.parse(CFG.replace("channels=3", f"channels=3\nletter_box={letter_box}"))).eval()
    network.layers[0].conv.weight.data.zero_()
    network.layers[0].conv.bias.data[:] = 0.0
    network.layers[0].conv.bias.data[4] = 10.0
    result = evaluate_map(network, data)
    # Both classes have 0.5, one of them wrongly. 16 of 32 pixels are half a stretched picture's height, two thirds of
    # one that is letterboxed to a height of 24.
    assert (result.true_positives, result.false_positives) == (1, 1)
    assert result.average_iou == pytest.approx(overlap / 2, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("names = my.names\n", LabelError, "my.data: expected valid = a file with a picture a line, found none"),
        ("valid = val.txt\nnames =\n", LabelError, "my.data: expected 'names': the file with a class a line"),
        ("valid = none.txt\nnames = my.names\n", StorageError, r"my.data: names none\.txt, which is in no folder from"),
        ("valid = empty.txt\nnames = my.names\n", LabelError, "expected valid = a file with a picture a line"),
        ("valid=val.txt\nnames=my.names\ndifficult=d.txt\n", LabelError, "difficult = d.txt is not supported"),
        ("valid=val.txt\nnames=my.names\nclasses=3\n", LabelError, "classes = 3, but .*my.names names 2"),
        ("valid=val.txt\nnames\n", LabelError, "my.data line 2: expected key = value, found 'names'"),
    ],
)
def test_data_files_that_cannot_be_are_refused(tmp_path: Path, text: str, error: type, message: str) -> None:
    path = data_file(tmp_path, colours=["red"], labels=[None])
    (tmp_path / "empty.txt").write_text("\n")
    path.write_text(text)
    with pytest.raises(error, match=message):
        DarknetData.read(path)


def test_pictures_and_names_that_do_not_fit_are_refused(tmp_path: Path, network: Network) -> None:
    data = DarknetData.read(data_file(tmp_path, colours=["red"], labels=["2 .5 .5 .5 .5\n"]))
    with pytest.raises(LabelError, match="unknown class 2"):
        evaluate_map(network, data)
    data.pictures[0].write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"picture not found or not decodable: .*0\.png"):
        read_picture(data.pictures[0])
    (tmp_path / "my.names").write_text("red\n")
    (tmp_path / "my.data").write_text("valid = val.txt\nnames = my.names\n")
    with pytest.raises(EvaluationError, match="1 class names for a network of 2 classes"):
        evaluate_map(network, DarknetData.read(tmp_path / "my.data"))


@pytest.mark.parametrize("started_in", [".", "cfg", "elsewhere"])
def test_one_file_names_the_same_pictures_to_the_map_and_to_a_conversion_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started_in: str
) -> None:
    """Paths start where Darknet does, a folder above the file; of two `valid` the first counts, as in Darknet."""
    for folder in ("cfg", "data/img", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    for name in "ab":
        (tmp_path / f"data/img/{name}.jpg").touch()
        (tmp_path / f"data/img/{name}.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "data/valid.txt").write_text("data/img/a.jpg\n")
    (tmp_path / "data/other.txt").write_text("data/img/b.jpg\n")
    (tmp_path / "data/obj.names").write_text("car\n")
    path = tmp_path / "cfg/obj.data"
    path.write_text("classes=1\nvalid=data/valid.txt\nvalid=data/other.txt\nnames=data/obj.names\n")
    monkeypatch.chdir(tmp_path / started_in)
    data, reader = DarknetData.read(path), YoloReader(path, ReadOptions())
    assert data.pictures == (tmp_path / "data/img/a.jpg",)
    assert [labels.path for labels in reader.pictures()] == list(data.pictures)
    assert data.names == reader.classes == ("car",)


def test_what_lies_nowhere_above_is_taken_from_where_one_stands_as_darknet_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "data").mkdir()
    path = data_file(tmp_path / "work", colours=["red"], labels=[None]).rename(tmp_path / "data/my.data")
    path.write_text(
        f"train = {tmp_path}/nobody/has/it.txt\n" + path.read_text()
    )  # of another machine, and not asked for
    monkeypatch.chdir(tmp_path / "work")
    assert DarknetData.read(path).pictures == (tmp_path / "work/images/0.png",)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match=f"which is in no folder from {tmp_path}/data upwards, nor in {tmp_path};?"):
        DarknetData.read(path)
