"""A box whose class lies outside the list is an error wherever it is read, and names the place; none becomes another class."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from labelled_pictures import labelled
from written_data_set import write_manifest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import read_yolo_head
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.coco import CocoReader
from traffic_yolo.dataset.formats.yolo import YoloReader, read_yolo_labels
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import DatasetError, EvaluationError, LabelError, TrafficYoloError, TrainingError
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.match_table import check_class_ids
from traffic_yolo.training.box_counts import count_boxes
from traffic_yolo.training.loss import YoloLoss
from traffic_yolo.training.targets import Truths

CLASSES = ("CAR", "BUS")
OUTSIDE = (-1, 2, 70)
BOX = [4.0, 8.0, 16.0, 20.0]  # of a picture of 64 x 48


def yolo_folder(folder: Path, class_id: int) -> Path:
    """Two pictures; the second box of the second has the class."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number, lines in enumerate(("0 .5 .5 .25 .5\n1 .5 .5 .5 .5\n", f"1 .5 .5 .25 .5\n{class_id} .5 .5 .5 .5\n")):
        assert cv2.imwrite(str(folder / "images" / f"{number}.png"), np.full((48, 64, 3), 50 * number, np.uint8))
        (folder / "labels" / f"{number}.txt").write_text(lines)
    (folder / "data.yaml").write_text(yaml.safe_dump({"train": "images", "names": list(CLASSES)}))
    return folder


def coco_content(class_id: int, *, listed: bool, **flags: int) -> dict[str, Any]:
    """Three boxes, the last of which has the class, as a category that the file has not, or has without a class."""
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    if listed and class_id not in range(len(CLASSES)):
        categories.append({"id": class_id + 1, "name": "DRONE"})
    annotations = [
        {"id": number, "image_id": 0, "category_id": category, "bbox": BOX, "area": 320.0, "iscrowd": 0, "ignore": 0}
        for number, category in enumerate((1, 2, class_id + 1), start=1)
    ]
    annotations[2].update(flags)
    images = [{"id": 0, "file_name": "0.png", "width": 64, "height": 48}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco_file(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def data_set(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    assert cv2.imwrite(str(folder / "images" / "0.png"), np.zeros((48, 64, 3), np.uint8))
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))
    (folder / "classes.yaml").write_text(yaml.safe_dump({"classes": list(CLASSES)}))
    write_manifest(folder)
    return folder


def truth_of(class_ids: list[int]) -> GroundTruth:
    count = len(class_ids)
    return GroundTruth(
        CLASSES,
        np.array([0]),
        np.zeros(count, np.int64),
        np.tile(BOX, (count, 1)),
        np.array(class_ids),
        np.full(count, 320.0),
        np.zeros(count, bool),
    )


def match_class(class_id: int) -> None:
    found = Detections(
        np.array([0, 0]), np.ones((2, 4), np.float32), np.ones(2, np.float32), np.array([0, class_id], np.int64)
    )
    check_class_ids(found, truth_of([0, 1]))


HEAD = "[net]\nwidth=64\nheight=48\n[yolo]\nanchors=8,8,16,16\nmask=0,1\nnum=2\nclasses=2\n"


def loss_of(class_id: int, *, ignore: bool = False) -> float:
    """Of a head of two anchors on 8 x 6 cells, for two boxes of which the second has the class."""
    head = read_yolo_head(Cfg.parse(HEAD).layers[0], layer_index=0, stride=8)
    truths = Truths(
        np.array([[0.3, 0.3, 0.2, 0.2], [0.7, 0.6, 0.3, 0.3]], np.float32),
        np.array([1, class_id]),
        np.array([0, 0]),
        np.array([False, ignore]),
    )
    loss = YoloLoss([head], Cfg.parse(HEAD).net, max_batches=10)
    inputs = torch.linspace(-1, 1, 2 * 7 * 6 * 8).reshape(1, 14, 6, 8)
    return float(loss([inputs], truths, network_wh=(64, 48), iteration=0).total)


def training_label(class_id: int) -> object:
    box = (4.0, 8.0, 20.0, 28.0)
    image = labelled(Path("data/images/0.png"), (64, 48), [box, box], class_ids=[1, class_id])
    return count_boxes([image], num_classes=2, network_wh=(64, 48), letterbox=False)


@dataclass(frozen=True)
class Door:
    """A reader that is handed a class id somehow, and what it says of one outside the list; {0} stands for the id."""

    read: Callable[[Path, int], object]
    error: type[TrafficYoloError]
    message: str


DOORS = {
    "a YOLO label file": Door(
        lambda folder, class_id: read_yolo_labels(
            yolo_folder(folder / "s", class_id) / "labels" / "1.txt", CLASSES, (64, 48)
        ),
        LabelError,
        r"labels/1\.txt line 2: unknown class {0}; there are 2, numbered from 0",
    ),
    "a YOLO set": Door(
        lambda folder, class_id: list(YoloReader(yolo_folder(folder / "s", class_id), ReadOptions()).pictures()),
        LabelError,
        r"labels/1\.txt line 2: unknown class {0}; there are 2, numbered from 0",
    ),
    "convert": Door(
        lambda folder, class_id: convert(ConvertOptions(str(yolo_folder(folder / "s", class_id))), folder / "out"),
        LabelError,
        r"labels/1\.txt line 2: unknown class {0}; there are 2, numbered from 0",
    ),
    "a COCO file": Door(
        lambda folder, class_id: list(
            CocoReader(coco_file(folder / "s", coco_content(class_id, listed=False)), ReadOptions()).pictures()
        ),
        LabelError,
        r"instances\.json: annotation 3: no category {1}; known: \[1, 2\]",
    ),
    "a data set": Door(
        lambda folder, class_id: DataSet.open(data_set(folder / "s", coco_content(class_id, listed=True))).split(
            "train"
        ),
        DatasetError,
        r"instances_train\.json: annotation 3: category_id: expected 1 to 2 of a box that is not ignored; found {1}",
    ),
    "a crowd of a data set": Door(
        lambda folder, class_id: DataSet.open(
            data_set(folder / "s", coco_content(class_id, listed=True, iscrowd=1))
        ).split("train"),
        DatasetError,
        r"annotation 3: category_id: expected 1 to 2 of a box that is not ignored; found {1}",
    ),
    "a data set's own list": Door(
        lambda folder, class_id: DataSet.open(data_set(folder / "s", coco_content(class_id, listed=False))).split(
            "train"
        ),
        DatasetError,
        r"annotations\[2\] \(id 3\): category_id: expected the id of a category in the file; found {1}",
    ),
    "the truth": Door(
        lambda folder, class_id: read_ground_truth(
            coco_file(folder / "s", coco_content(class_id, listed=True)), CLASSES
        ),
        DatasetError,
        r"instances\.json: annotation 3 has category {1}, which is none of the model's classes",
    ),
    "the truth by category ids": Door(
        lambda folder, class_id: read_ground_truth(
            coco_file(folder / "s", coco_content(class_id, listed=True)), CLASSES, category_ids=[1, 2]
        ),
        DatasetError,
        r"annotation 3 has category {1}, which is none of the model's classes",
    ),
    "a crowd of the truth": Door(
        lambda folder, class_id: read_ground_truth(
            coco_file(folder / "s", coco_content(class_id, listed=True, iscrowd=1)), CLASSES
        ),
        DatasetError,
        r"annotation 3 has category {1}, which is none of the model's classes",
    ),
    "boxes of the truth": Door(
        lambda _, class_id: truth_of([0, 1, class_id]),
        EvaluationError,
        r"ground truth: (class id {0}, expected 0 to 1|only an ignore region may belong to all classes)",
    ),
    "detections and truth": Door(
        lambda _, class_id: match_class(class_id),
        EvaluationError,
        r"detections of class {0}, but the ground truth has 2 classes",
    ),
    "labels of a training": Door(
        lambda _, class_id: training_label(class_id),
        DatasetError,
        r"0\.png: class id: expected 0 to 1 of a box that is not ignored, found {0}; convert again",
    ),
    "targets of a training": Door(
        lambda _, class_id: loss_of(class_id),
        TrainingError,
        r"boxes: expected class ids from 0 to 1, those of the network, found class {0} in picture 0 of the batch",
    ),
}


@pytest.mark.parametrize("class_id", OUTSIDE)
@pytest.mark.parametrize("door", DOORS)
def test_a_class_outside_the_list_is_refused_and_named(door: str, class_id: int, tmp_path: Path) -> None:
    reader = DOORS[door]
    with pytest.raises(reader.error, match=reader.message.format(class_id, class_id + 1)) as caught:
        reader.read(tmp_path, class_id)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", DOORS)
def test_the_last_class_of_the_list_is_taken(door: str, tmp_path: Path) -> None:
    DOORS[door].read(tmp_path, 1)


@pytest.mark.parametrize("class_id", OUTSIDE)
def test_a_box_that_is_ignored_needs_no_class_and_its_class_moves_nothing(class_id: int, tmp_path: Path) -> None:
    content = coco_content(class_id, listed=True, ignore=1)
    (image,) = DataSet.open(data_set(tmp_path / "s", content)).split("train")
    assert (image.class_ids.tolist(), image.ignore.tolist()) == ([0, 1, -1], [False, False, True])
    truth = read_ground_truth(coco_file(tmp_path / "t", content), CLASSES)
    assert (truth.class_ids.tolist(), truth.ignore.tolist()) == ([0, 1, -1], [False, False, True])
    assert truth.num_truths.tolist() == [1, 1]
    assert loss_of(class_id, ignore=True) == loss_of(0, ignore=True) == loss_of(1, ignore=True)
