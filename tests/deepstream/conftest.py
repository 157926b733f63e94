"""A tiny network as a model folder, and a data set of random pictures whose truth is what that network finds."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from written_data_set import write_manifest

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import detect
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.export.export_model import export_model
from traffic_yolo.model_folder import ModelFolder

CFG = """[net]
width=96
height=64
channels=3
{letterbox}
[convolutional]
batch_normalize=1
filters=8
size=5
stride=4
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=12
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=16,12, 30,40
classes=2
num=2
"""
CLASSES = ("CAR", "traffic light")

WriteModel = Callable[..., Path]


# What the head's seven rows per anchor shall give over random pictures: mean and spread of the logits of
# x, y, w, h, objectness and two classes.
MEANS = np.tile(np.array([0, 0, 0, 0, -4, 0.5, 0], np.float32), 2)
SPREADS = np.tile(np.array([1, 1, 0.3, 0.3, 4, 3, 3], np.float32), 2)


def _calibrate(network: Network) -> None:
    """Sets the head so that some cells are sure of a box and most of none, in place."""
    generator = np.random.default_rng(3)
    pictures = np.stack([smooth_picture(generator, (64, 96)) for _ in range(8)])
    inputs = torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    head = network.layers[2].get_submodule("conv")
    assert isinstance(head, torch.nn.Conv2d)
    assert head.bias is not None
    with torch.no_grad():
        logits = network.eval()(inputs)[0].transpose(0, 1).flatten(1)  # (14, cells)
        factor = torch.from_numpy(SPREADS) / logits.std(dim=1)
        head.weight.mul_(factor[:, None, None, None])
        head.bias.copy_(torch.from_numpy(MEANS) + (head.bias - logits.mean(dim=1)) * factor)
        for first in (5, 12):  # either class, never both: nvinfer reports one class a box
            head.weight[first + 1] = -head.weight[first]
            head.bias[first + 1] = -head.bias[first]


@pytest.fixture(scope="session")
def export_tiny(tmp_path_factory: pytest.TempPathFactory) -> WriteModel:
    """Exports the tiny network into a new model folder; most of its cells stay silent."""

    def export(*, letterbox: bool = False) -> Path:
        run = tmp_path_factory.mktemp("run")
        (run / "model.cfg").write_text(CFG.format(letterbox="letter_box=1" if letterbox else ""))
        network = Network.from_cfg(run / "model.cfg", seed=2)
        generator = np.random.default_rng(2)
        for section, layer in zip(network.sections, network.layers, strict=True):
            for name, tensor in section.weights(layer):
                values = generator.normal(0, 0.4, tuple(tensor.shape)).astype(np.float32)
                if name in ("scales", "variances"):
                    values = np.abs(values) + 0.3
                tensor.data.copy_(tensor.new_tensor(values))
        _calibrate(network)
        network.save_weights(run / "model.weights")
        (run / "classes.names").write_text("".join(f"{name}\n" for name in CLASSES))
        out = tmp_path_factory.mktemp("model") / "model"
        export_model(run, out)
        return out

    return export


@pytest.fixture(scope="session")
def model(export_tiny: WriteModel) -> Path:
    """The model folder of the stretched network."""
    return export_tiny()


def smooth_picture(generator: np.random.Generator, hw: tuple[int, int]) -> np.ndarray:
    """Blobs rather than noise, so that two ways of resizing see nearly the same."""
    coarse = generator.integers(0, 256, (hw[0] // 12, hw[1] // 12, 3), dtype=np.uint8)
    return cv2.resize(coarse, (hw[1], hw[0]), interpolation=cv2.INTER_CUBIC)


def write_data_set(root: Path, *, pictures: int = 12, hw: tuple[int, int] = (128, 192)) -> Path:
    """A data set folder with pictures and no truth yet, all in the split test."""
    (root / "annotations").mkdir(parents=True)
    (root / "images" / "rec").mkdir(parents=True)
    generator = np.random.default_rng(5)
    images = []
    for index in range(pictures):
        name = f"rec/SCAN_{index:05d}.jpg"
        cv2.imwrite(str(root / "images" / name), smooth_picture(generator, hw))
        images.append({"id": 100 + index, "file_name": name, "width": hw[1], "height": hw[0]})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    for split in ("train", "val", "test"):
        content = {"images": images if split == "test" else [], "annotations": [], "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    (root / "classes.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES)}))
    write_manifest(root)
    return root


def reference_detections(model: Path, dataset: Path, nms: NmsOptions) -> Detections:
    """What PyTorch reports for the split test."""
    folder = ModelFolder.open(model)
    network = Network.from_cfg(folder.cfg_path)
    network.load_weights(folder.weights_path)
    protocol = Protocol("c", "w", folder.network_hw, folder.resize, "f/test")
    raw = detect(network, DataSet.open(dataset).split("test"), classes=folder.classes, protocol=protocol)
    return non_maximum_suppression(raw, nms)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Twelve pictures of twice the network's size; the true boxes are those that PyTorch finds above 0.5."""
    return labelled_by(model, write_data_set(tmp_path_factory.mktemp("data") / "dataset"))


@pytest.fixture(scope="session")
def unscaled_dataset(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Twelve pictures of exactly the network's size, so that no resize rule tells the two sides apart."""
    return labelled_by(model, write_data_set(tmp_path_factory.mktemp("data") / "dataset", hw=(64, 96)))


@pytest.fixture
def two_sizes_dataset(tmp_path: Path, model: Path) -> Path:
    """Five pictures, two of them smaller than the others."""
    root = write_data_set(tmp_path / "two sizes", pictures=5)
    path = root / "annotations" / "instances_test.json"
    content = json.loads(path.read_text())
    for image in content["images"][1::2]:
        picture = root / "images" / image["file_name"]
        cv2.imwrite(str(picture), cv2.imread(str(picture))[:96, :160])
        image |= {"width": 160, "height": 96}
    path.write_text(json.dumps(content))
    write_manifest(root)
    return labelled_by(model, root)


@pytest.fixture
def tall_dataset(tmp_path: Path) -> Callable[[Path], Path]:
    """Makes a data set of pictures that a letterbox to the network's size pads to twice their width, for a model."""
    return lambda model: labelled_by(model, write_data_set(tmp_path / "tall", hw=(144, 108)))


def labelled_by(model: Path, root: Path) -> Path:
    """Adds the true boxes: those that PyTorch reports with a score above 0.5."""
    found = reference_detections(model, root, NmsOptions(confidence_threshold=0.5))
    path = root / "annotations" / "instances_test.json"
    content = json.loads(path.read_text())
    limits = [content["images"][0][side] for side in ("width", "height")] * 2
    for row in range(len(found)):
        left, top, right, bottom = np.clip(found.boxes_xyxy[row], 0, limits).tolist()
        content["annotations"].append(
            {
                "id": row + 1,
                "image_id": int(found.image_ids[row]),
                "category_id": int(found.class_ids[row]) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
        )
    path.write_text(json.dumps(content))
    write_manifest(root)
    return root
