"""Runs a network over the pictures of a Darknet .data file and computes what `darknet detector map` prints."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from traffic_yolo.darknet.decode import decode_above
from traffic_yolo.darknet.detector_map import (
    MAP_CONFIDENCE_FLOOR,
    MAP_IOU_THRESHOLD,
    MapOptions,
    MapResult,
    PictureResult,
    darknet_map,
)
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.nms import NmsRule, darknet_nms
from traffic_yolo.darknet.picture_detections import above_threshold, letterboxed_to_picture
from traffic_yolo.darknet.resize import letterbox, stretch
from traffic_yolo.darknet.rgb_input import require_rgb
from traffic_yolo.dataset.formats.darknet_data import darknet_entries, read_darknet_data
from traffic_yolo.dataset.formats.yolo import read_yolo_labels
from traffic_yolo.dataset.formats.yolo_beside import label_path_of
from traffic_yolo.dataset.pictures.decode import decode_file
from traffic_yolo.errors import DatasetError, EvaluationError, LabelError
from traffic_yolo.progress import progress
from traffic_yolo.storage import AnyPath, input_path

Reader = Callable[[Path], NDArray[np.uint8]]


@dataclass(frozen=True)
class DarknetData:
    """What `detector map` looks at: class names by class id, and the pictures of the `valid` list, in that order."""

    names: tuple[str, ...]
    pictures: tuple[Path, ...]

    @classmethod
    def read(cls, path: AnyPath) -> "DarknetData":
        """Reads a .data file, its names and its list `valid` as a conversion does (`formats.darknet_data`).

        Raises `StorageError` for a file that cannot be read, `LabelError` for a missing key and for `difficult`.
        """
        path = input_path(path, what="Darknet's .data file")
        if difficult := darknet_entries(path).get("difficult"):
            raise LabelError(f"{path}: difficult = {difficult[:60]} is not supported; remove the line")
        described = read_darknet_data(path, splits=("val",))
        return cls(described.classes, described.pictures["val"])


def evaluate_map(
    network: Network, data: DarknetData, options: MapOptions | None = None, *, reader: Reader | None = None
) -> MapResult:
    """Detects on all pictures as `detector map` does: threshold 0.005, NMS at 0.45 by the last head's kind, resized as
    the cfg's letter_box says.

    Labels are YOLO text files, found by the usual rule (`images` becomes `labels`); a picture without one has no
    objects. `reader`: path -> (H, W, 3) uint8 RGB, by default OpenCV's. Raises `EvaluationError` for class names that
    do not fit the network, `DarknetFormatError` for a network of other than 3 channels, `DatasetError` for a picture
    that cannot be decoded, `LabelError` for a bad label.
    """
    return darknet_map(picture_results(network, data, reader=reader), network.num_classes, options)


def picture_results(network: Network, data: DarknetData, *, reader: Reader | None = None) -> list[PictureResult]:
    """What `evaluate_map` judges, picture by picture: one detection serves every choice of `MapOptions`."""
    require_rgb(network.cfg)
    if len(data.names) != network.num_classes:
        raise EvaluationError(f"{len(data.names)} class names for a network of {network.num_classes} classes")
    runner = network if network.is_fused else network.fuse()
    return list(_results(runner, data, reader or read_picture))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB; raises `DatasetError` where it cannot be decoded."""
    image = decode_file(path)
    if image is None:
        raise DatasetError(f"picture not found or not decodable: {path}")
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _results(network: Network, data: DarknetData, reader: Reader) -> Iterator[PictureResult]:
    last = network.heads[-1]
    rule = NmsRule(last.nms_kind, MAP_IOU_THRESHOLD, last.beta_nms)
    height, width = network.input_hw
    device = next(network.parameters()).device
    for path in progress(data.pictures, description="detecting", unit="picture", total=len(data.pictures)):
        image = reader(path)
        values = (letterbox if network.letterbox else stretch)(image, (width, height))
        with torch.inference_mode():
            outputs = network(torch.from_numpy(values)[None].to(device))
            decoded = decode_above(network.heads, outputs, network.input_hw, MAP_CONFIDENCE_FLOOR)
        boxes, objectness, scores = above_threshold(decoded, 0, MAP_CONFIDENCE_FLOOR)
        if network.letterbox:
            boxes = letterboxed_to_picture(boxes, image.shape[:2], network.input_hw)
        yield PictureResult(darknet_nms(boxes, objectness, scores, rule), *_truth(path, data.names))


def _truth(picture: Path, names: tuple[str, ...]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (T, 4) cx, cy, w, h in shares of the picture, and class ids (T,)."""
    path = label_path_of(picture)
    numbers = [str(class_id) for class_id in range(len(names))]  # two classes may have one name, as in Darknet
    labels = read_yolo_labels(path, numbers, (1, 1)) if path.is_file() else []
    boxes = [(x + w / 2, y + h / 2, w, h) for x, y, w, h in (label.xywh for label in labels)]
    class_ids = [int(label.class_name) for label in labels]
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int64)
