"""The model folder: what it accepts, and how it refuses what is missing or does not fit."""

import hashlib
from pathlib import Path

import pytest

from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import ModelFolder, labels_text, read_names

CFG = """[net]
width=64
height=32
channels=3
{extra}
[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=4,4, 8,8, 16,16
classes=2
num=3
"""


def write_model(folder: Path, *, names: str = "CAR\nTRUCK\n", extra: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.cfg").write_text(CFG.format(extra=extra))
    (folder / "model.weights").write_bytes(b"weights")
    (folder / "classes.names").write_text(names)
    return folder


def test_a_complete_folder_gives_its_files_classes_and_size(tmp_path: Path) -> None:
    model = ModelFolder.open(write_model(tmp_path / "m"))
    assert model.classes == ("CAR", "TRUCK")
    assert model.network_hw == (32, 64)
    assert not model.letterbox
    assert model.resize == "stretch"
    assert model.cfg_path.name == "model.cfg"
    assert model.sha256("model.weights") == hashlib.sha256(b"weights").hexdigest()


def test_letter_box_in_net_makes_it_a_letterbox_model(tmp_path: Path) -> None:
    model = ModelFolder.open(write_model(tmp_path / "m", extra="letter_box=1"))
    assert model.letterbox
    assert model.resize == "letterbox"


@pytest.mark.parametrize("name", ["model.cfg", "model.weights", "classes.names"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        ModelFolder.open(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model folder not found: .*nowhere"):
        ModelFolder.open(tmp_path / "nowhere")


def test_a_wrong_number_of_names_gives_both_numbers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", names="CAR\nTRUCK\nBUS\n")
    with pytest.raises(ModelError, match=r"3 class names, but \[yolo\] on line \d+ of .*model.cfg has classes=2"):
        ModelFolder.open(folder)


def test_an_absent_onnx_file_says_which_step_makes_it(tmp_path: Path) -> None:
    model = ModelFolder.open(write_model(tmp_path / "m"))
    with pytest.raises(ModelError, match=r"model.onnx is missing; run the export step"):
        _ = model.onnx_path
    (model.path / "model.onnx").write_bytes(b"")
    assert model.onnx_path == model.path / "model.onnx"


def test_a_cfg_without_a_size_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "model.cfg").write_text(CFG.format(extra="").replace("width=64\n", ""))
    with pytest.raises(ModelError, match="needs width and height above 0, found 0 x 32"):
        ModelFolder.open(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no class names"),
        ("\n\n", "no class names"),
        ("CAR\n\nTRUCK\n", "line 2: blank line between"),
        ("CAR\nBUS\nCAR\n", "line 3: class 'CAR' stands on line 1 already"),
    ],
    ids=["empty", "blank", "gap", "twice"],
)
def test_bad_names_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.names"
    path.write_text(text)
    with pytest.raises(ModelError, match=message):
        read_names(path)


def test_blank_lines_at_the_end_and_windows_line_ends_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "classes.names"
    path.write_bytes(b"CAR\r\ntraffic light\r\n\r\n")
    assert read_names(path) == ("CAR", "traffic light")


def test_labels_have_no_white_space() -> None:
    assert labels_text(("CAR", "traffic light")) == "CAR\ntraffic_light\n"


def test_two_names_with_one_label_are_refused() -> None:
    with pytest.raises(ModelError, match="'traffic light' and 'traffic_light' are both 'traffic_light'"):
        labels_text(("traffic light", "traffic_light"))
