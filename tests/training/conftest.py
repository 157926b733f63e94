"""A tiny data set of coloured rectangles, a tiny network that can learn it in seconds, and Darknet's loss cases."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from made_by_one import MakeOnce
from matplotlib.figure import Figure
from numpy.typing import NDArray
from written_data_set import write_manifest

from traffic_yolo.darknet.cfg import Cfg, Section
from traffic_yolo.darknet.heads import YoloHead, read_yolo_head
from traffic_yolo.html_report import Html, figure_svg
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.targets import Truths
from traffic_yolo.training.trainer import train

CLASSES = ("red", "blue")
COLOURS = ((220, 30, 30), (30, 30, 220))  # RGB

TINY_CFG = """[net]
batch=4
subdivisions=1
width=96
height=64
channels=3
momentum=0.9
decay=0.0005
learning_rate=0.02
max_batches=100
burn_in=5
policy=steps
steps=80,90
scales=.1,.1

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[convolutional]
size=1
stride=1
pad=1
filters=14
activation=linear

[yolo]
mask=0,1
anchors=12,10, 24,18, 44,34
classes=2
num=3
jitter=.1
ignore_thresh=.7
truth_thresh=1
iou_thresh=.3
iou_loss=ciou
iou_normalizer=.07
max_delta=5

[route]
layers=-3

[convolutional]
batch_normalize=1
filters=24
size=3
stride=2
pad=1
activation=leaky

[convolutional]
size=1
stride=1
pad=1
filters=7
activation=linear

[yolo]
mask=2
anchors=12,10, 24,18, 44,34
classes=2
num=3
jitter=.1
ignore_thresh=.7
truth_thresh=1
iou_thresh=.3
iou_loss=ciou
iou_normalizer=.07
max_delta=5
"""

# (class, left, top, width, height) in pixels of a 192 x 128 picture
PICTURES = (
    ((0, 20, 20, 30, 22), (1, 110, 60, 50, 40)),
    ((1, 30, 70, 28, 20), (0, 90, 12, 80, 66)),
    ((0, 130, 90, 24, 20), (0, 16, 30, 52, 36)),
    ((1, 60, 40, 84, 70),),
)


@pytest.fixture(scope="session")
def tiny_cfg_text() -> str:
    """The text of `tiny_cfg`."""
    return TINY_CFG


@pytest.fixture
def tiny_cfg(tmp_path: Path) -> Path:
    """A network of two heads (strides 8 and 16) and 0.01 million weights."""
    path = tmp_path / "tiny.cfg"
    path.write_text(TINY_CFG)
    return path


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set folder with four training pictures; val holds the same ones, test none."""
    return write_rectangles(tmp_path_factory.mktemp("rectangles") / "dataset")


@pytest.fixture(scope="session")
def make_rectangles() -> Callable[..., Path]:
    """`write_rectangles`, for tests that want other classes."""
    return write_rectangles


def write_rectangles(root: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Writes the data set folder as `convert` lays it out, as far as a training reads it."""
    images, annotations = [], []
    for number, rectangles in enumerate(PICTURES):
        path = root / "images" / "recording" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(90, 120, (128, 192, 3)).astype(np.uint8)
        for class_id, left, top, width, height in rectangles:
            pixels[top : top + height, left : left + width] = COLOURS[class_id]
            box = {"bbox": [left, top, width, height], "category_id": class_id + 1, "iscrowd": 0, "ignore": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "area": width * height, **box})
        assert cv2.imwrite(str(path), pixels[..., ::-1])
        size = {"width": 192, "height": 128}
        images.append({"id": number, "file_name": f"recording/{number}.png", "site": "A", **size})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    (root / "annotations").mkdir()
    for split in ("train", "val", "test"):
        chosen = (
            {"images": images, "annotations": annotations} if split != "test" else {"images": [], "annotations": []}
        )
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps({**chosen, "categories": categories}))
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": list(classes)}))
    write_manifest(root)
    return root


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for one another, ten times as long beside other work."""
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(kept)


@pytest.fixture(scope="module", autouse=True)
def on_one_thread() -> Iterator[None]:
    """Every test of this folder, and what its modules prepare."""
    with one_thread():
        yield


@pytest.fixture(scope="session")
def drawings() -> dict[str, Html]:
    """Title -> the first drawing with it."""
    return {}


@pytest.fixture(autouse=True)
def figures_drawn_once(monkeypatch: pytest.MonkeyPatch, drawings: dict[str, Html]) -> None:
    """A report shows the first drawing of each figure that any training made: drawing is half of a tiny training.

    A module that looks at figures has a fixture of this name that does nothing.
    """

    def drawn(figure: Figure, *, title: str = "") -> Html:
        if title not in drawings:
            drawings[title] = figure_svg(figure, title=title)
        return drawings[title]

    for module in ("curves", "anchor_report"):
        monkeypatch.setattr(f"traffic_yolo.training.{module}.figure_svg", drawn)


@pytest.fixture(scope="session")
def trained(make_once: MakeOnce, rectangles: Path, tiny_cfg_text: str) -> Path:
    """A run that has learnt the rectangles by heart."""

    def learn(folder: Path) -> None:
        (folder / "tiny.cfg").write_text(tiny_cfg_text)
        options = TrainingOptions(
            cfg=str(folder / "tiny.cfg"), batch=4, max_batches=120, optimizer="adamw", learning_rate=0.02, jitter=0,
            flip=0, ema_alpha=0.9, device="cpu",
        )  # fmt: skip
        with one_thread():  # a session's fixture is made before a module's
            assert train(rectangles, folder / "run", options).best_ap50 > 0.9

    return make_once("trained", learn) / "run"


@dataclass(frozen=True)
class GoldenCall:
    """One call of Darknet's loss: its truths, the rows these have in the file, and what was printed for each head."""

    prefix: str
    truths: Truths
    truth_rows: list[int]
    parameters: list[Mapping[str, Any]]


@dataclass(frozen=True)
class GoldenLoss:
    """One of Darknet's loss cases: its arrays, its heads, and one call or several with a state between them."""

    arrays: Mapping[str, NDArray[Any]]
    net: Section
    heads: list[YoloHead]
    calls: list[GoldenCall]
    network_wh: tuple[int, int]

    def head_input(self, number: int, prefix: str = "") -> NDArray[np.float32]:
        """(B, A, 5 + C, h, w): what enters [yolo]."""
        return self.arrays[f"{prefix}h{number}_input" if self.heads[number].new_coords else f"{prefix}h{number}_raw"]


@pytest.fixture(scope="session")
def golden_loss(reference: Path) -> Callable[[str], GoldenLoss]:
    """Reads a case by its number ("04"); a test that asks for one that is not there is skipped."""

    def read(number: str) -> GoldenLoss:
        path = next((reference / "golden" / "training").glob(f"{number}-*.npz"), None)
        if path is None:
            pytest.skip(f"the reference folder has no loss case {number}")
        arrays = np.load(path)
        cfg = Cfg.parse(str(arrays["cfg"]))
        layers = enumerate(cfg.layers)
        heads = [read_yolo_head(s, layer_index=index, stride=8) for index, s in layers if s.name == "yolo"]
        parameters = json.loads(str(arrays["params"]))
        calls = []
        for call, prefix in enumerate(["c0_", "c1_", "c2_"] if "c0_truths" in arrays else [""]):
            truths, rows = _truths(arrays[f"{prefix}truths"], heads[0].num_classes)
            of_call = [entry for entry in parameters if entry.get("call", 0) == call]
            calls.append(GoldenCall(prefix, truths, rows, of_call))
        network_wh = (parameters[0]["net_w"], parameters[0]["net_h"])
        return GoldenLoss(arrays, cfg.net, heads, calls, network_wh)

    return read


def _truths(pictures: NDArray[np.float32], num_classes: int) -> tuple[Truths, list[int]]:
    """The truths that Darknet takes of (B, rows, 6), and their rows."""
    found = []
    for image, rows in enumerate(pictures):
        for row, (x, y, width, height, class_id, _) in enumerate(rows):
            if x == 0:
                break  # Darknet reads no further
            if 0 <= int(class_id) < num_classes:
                found.append((image, row, int(class_id), (x, y, width, height)))
    truths = Truths(
        np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        np.array([class_id for _, _, class_id, _ in found], np.int64),
        np.array([image for image, *_ in found], np.int64),
        np.zeros(len(found), bool),
    )
    return truths, [row for _, row, *_ in found]
