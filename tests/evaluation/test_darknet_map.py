"""`detector map` over a .data file: reading it, judging by it, refusing it."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.formats.darknet_data import read_darknet_data
from traffic_yolo.errors import DatasetError, EvaluationError, LabelError, StorageError
from traffic_yolo.evaluation.darknet_map import evaluate_map, read_map_pictures, read_picture

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
    data = read_map_pictures(path)
    assert data.names == ("red", "blue")
    assert data.pictures == tuple(tmp_path / "images" / f"{index}.png" for index in range(3))
    result = evaluate_map(network, data)
    found = [(one.ap, one.true_positives, one.false_positives, one.num_truths) for one in result.classes]
    assert found == [(1.0, 1, 1, 1), (0.0, 0, 0, 1)]  # the picture without a label file has no objects
    assert result.average_iou == pytest.approx(0.5)


def test_two_classes_of_one_name_are_two_classes_as_in_darknet(tmp_path: Path, network: Network) -> None:
    path = data_file(tmp_path, colours=["red", "red"], labels=["1 .5 .5 .5 .5\n", "0 .5 .5 .5 .5\n"])
    (tmp_path / "my.names").write_text("car\ncar\n")
    result = evaluate_map(network, read_map_pictures(path))
    assert [one.num_truths for one in result.classes] == [1, 1]
    assert [(one.true_positives, one.false_positives) for one in result.classes] == [(1, 1), (0, 0)]


@pytest.mark.parametrize(("letter_box", "overlap"), [(0, 1.0), (1, 0.75)])
def test_letter_box_of_the_cfg_decides_how_boxes_lie(tmp_path: Path, letter_box: int, overlap: float) -> None:
    data = read_map_pictures(data_file(tmp_path, colours=["red"], labels=["0 .5 .5 .5 .5\n"]))
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
        ("train = val.txt\nnames = my.names\n", LabelError, "my.data: expected valid = a file that lists pictures"),
        ("valid = val.txt\n", LabelError, "my.data: expected 'names': the file with a class a line; found valid"),
        ("valid = none.txt\nnames = my.names\n", StorageError, "my.data: names none.txt, which is in no folder from"),
        ("valid = empty.txt\nnames = my.names\n", LabelError, "my.data: neither train nor valid names a picture"),
        ("valid=val.txt\nnames=my.names\ndifficult=d.txt\n", LabelError, "my.data line 3: difficult is not supported"),
    ],
)
def test_data_files_that_cannot_be_are_refused(tmp_path: Path, text: str, error: type, message: str) -> None:
    path = data_file(tmp_path, colours=["red"], labels=[None])
    (tmp_path / "empty.txt").write_text("\n")
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_map_pictures(path)


@pytest.mark.parametrize("start", [".", "elsewhere"])
def test_one_reader_serves_the_map_and_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """Of a key that stands twice the first counts, as in Darknet, and where the program was started changes nothing."""
    for folder in ("cfg", "data/img", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"data/img/{name}.png"), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f"data/{name}.txt").write_text(f"data/img/{name}.png\n")
    (tmp_path / "data/obj.names").write_text("car\n")
    path = tmp_path / "cfg/obj.data"
    path.write_text("classes=1\ntrain=data/b.txt\nvalid=data/a.txt\nvalid=data/b.txt\nnames=data/obj.names\n")
    monkeypatch.chdir(tmp_path / start)
    given = Path(os.path.relpath(path))
    mapped, described = read_map_pictures(given), read_darknet_data(given)
    assert mapped.names == described.classes == ("car",)
    assert [picture.resolve() for picture in mapped.pictures] == [(tmp_path / "data/img/a.png").resolve()]
    assert described.pictures["val"] == mapped.pictures
    assert [picture.name for picture in described.pictures["train"]] == ["b.png"]


def test_what_lies_in_no_folder_above_is_looked_for_where_the_program_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_file(tmp_path / "data", colours=["red"], labels=[None])
    moved = tmp_path / "elsewhere" / "my.data"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    monkeypatch.chdir(path.parent)
    assert [picture.resolve() for picture in read_map_pictures(moved).pictures] == [path.parent / "images" / "0.png"]


def test_pictures_and_names_that_do_not_fit_are_refused(tmp_path: Path, network: Network) -> None:
    data = read_map_pictures(data_file(tmp_path, colours=["red"], labels=["2 .5 .5 .5 .5\n"]))
    with pytest.raises(LabelError, match="unknown class 2"):
        evaluate_map(network, data)
    data.pictures[0].write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"picture not found or not decodable: .*0\.png"):
        read_picture(data.pictures[0])
    (tmp_path / "my.names").write_text("red\n")
    (tmp_path / "my.data").write_text("valid = val.txt\nnames = my.names\n")
    with pytest.raises(EvaluationError, match="1 class names for a network of 2 classes"):
        evaluate_map(network, read_map_pictures(tmp_path / "my.data"))
