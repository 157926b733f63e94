"""Pictures are RGB: a network of other channels is one line at every door, and what takes no pictures takes it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from traffic_yolo.cli import main
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.rgb_input import require_rgb
from traffic_yolo.detection.detect import detect
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.errors import DarknetFormatError
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.start import start_network

CFG = """[net]
width=32
height=32
channels={channels}

[convolutional]
filters=14
size=1
stride=1
activation=linear

[yolo]
mask=0,1
anchors=10,14, 20,28
classes=2
num=2
"""
REFUSAL = (
    "line 4 [net]: channels: expected 3, since pictures are read as RGB, found 1; train a network of channels=3, or "
)
ADVICE = "deploy this one from `darknet heads-onnx` with model-color-format=2 (grey) in nvinfer's config"


@pytest.fixture
def grey(tmp_path: Path) -> Path:
    """A folder with model.cfg (one channel), model.weights, classes.names, a picture's list and a .data file."""
    (tmp_path / "model.cfg").write_text(CFG.format(channels=1))
    Network.from_cfg(tmp_path / "model.cfg").save_weights(tmp_path / "model.weights")
    (tmp_path / "classes.names").write_text("car\nbus\n")
    (tmp_path / "valid.txt").write_text("images/a.png\n")
    (tmp_path / "coco.data").write_text("classes=2\nvalid=valid.txt\nnames=classes.names\n")
    return tmp_path


def test_three_channels_pass_and_two_have_no_advice_for_grey() -> None:
    require_rgb(Cfg.parse(CFG.format(channels=3)))
    with pytest.raises(DarknetFormatError, match="found 2; train a network of channels=3$"):
        require_rgb(Cfg.parse(CFG.format(channels=2)))


def detect_with(folder: Path) -> None:
    network = Network.read(folder / "model.cfg", folder / "model.weights")
    detect(network, [], classes=("car", "bus"), protocol=Protocol("c", "w", (32, 32), "stretch", "f/test"))


def start_with(folder: Path) -> None:
    start_network(TrainingOptions(cfg=str(folder / "model.cfg")), ("car", "bus"))


@pytest.mark.parametrize("door", [detect_with, start_with])
def test_detecting_and_training_refuse_it(grey: Path, door: Callable[[Path], None]) -> None:
    with pytest.raises(DarknetFormatError, match=re.escape(REFUSAL + ADVICE)):
        door(grey)


@pytest.mark.parametrize(
    "words",
    [
        "darknet map --cfg {0}/model.cfg --weights {0}/model.weights --data {0}/coco.data",
        "export --run {0} --out {0}/out",
    ],
)
def test_commands_refuse_it_in_one_line_and_write_nothing(
    grey: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.format(grey).split())
    assert ended.value.code == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ")
    assert told.endswith(REFUSAL + ADVICE)
    assert "\n" not in told
    assert not (grey / "out").exists()


def test_the_network_runs_and_its_heads_are_written_as_onnx(grey: Path) -> None:
    network = Network.read(grey / "model.cfg", grey / "model.weights").eval()
    assert network(torch.rand(1, 1, 32, 32))[0].shape == (1, 14, 32, 32)
    words = f"darknet heads-onnx --cfg {grey}/model.cfg --weights {grey}/model.weights --out {grey}/heads.onnx"
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert not ended.value.code
    assert (grey / "heads.onnx").is_file()
