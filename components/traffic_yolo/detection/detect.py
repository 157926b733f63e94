"""Runs a network once over pictures and keeps every box above the floor: the raw detections."""

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from traffic_yolo.darknet.decode import Decoded, decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.resize import letterbox, network_boxes_to_picture, stretch
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.picture_decode import decode_file
from traffic_yolo.detection.protocol import protocol_of
from traffic_yolo.detection.raw_detections import Protocol, RawDetections, offsets_of
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.progress import progress

READERS = 2  # threads that decode and resize the next batch while the network runs this one


class Picture(typing.Protocol):
    """What detection needs of a labelled picture; `dataset.data_set.LabelledImage` is one."""

    @property
    def image_id(self) -> int:
        """The picture's id in the truth's COCO file."""

    @property
    def path(self) -> Path:
        """The JPEG file."""

    @property
    def width(self) -> int:
        """Pixels."""

    @property
    def height(self) -> int:
        """Pixels."""


def detect(
    network: Network,
    pictures: Sequence[Picture],
    *,
    classes: Sequence[str],
    protocol: Protocol,
    batch: int = 8,
    runtime: RuntimeOptions | None = None,
) -> RawDetections:
    """Every box of every picture with a class score above `protocol.confidence_floor`, before NMS.

    Runs on the device of the network's weights at `protocol.network_hw`, pictures resized as `protocol.resize` says, by
    the `runtime` (PyTorch by default), whose name and precision stand in the protocol of what is returned.

    Raises `EvaluationError` for class names that do not fit the network, `DatasetError` for a picture that cannot be
    decoded or has another size than its label says, `OptionsError` for a runtime that this machine cannot run.
    """
    if len(classes) != network.num_classes:
        raise EvaluationError(f"{len(classes)} class names for a network of {network.num_classes} classes")
    options = runtime or RuntimeOptions()
    runner = open_runtime(network, options, input_hw=protocol.network_hw, pictures=len(pictures))
    protocol = dataclasses.replace(protocol, runtime=runner.name, precision=runner.precision)
    kept: list[_Boxes] = []
    with torch.inference_mode():
        batches = _read_batches(pictures, protocol, batch)
        steps = -(-len(pictures) // batch)
        for shown, inputs in progress(batches, description="detecting", unit="batch", total=steps):
            decoded = decode(network.heads, runner(inputs), protocol.network_hw)
            kept.extend(_boxes_of_batch(shown, decoded, protocol))
    return _joined(pictures, kept, tuple(classes), protocol)


def detect_split(network: Network, model: ModelFolder, data: DataSet, split: str, *, batch: int = 8) -> RawDetections:
    """Raw detections of one split; `network` has the weights of `model` and runs where it is."""
    protocol = protocol_of(model, data, split)
    return detect(network, data.split(split), classes=model.classes, protocol=protocol, batch=batch)


class _Boxes(typing.NamedTuple):
    """What one picture's boxes have above the floor; `counts`: how many scores each box has."""

    boxes_xyxy: NDArray[np.float32]
    objectness: NDArray[np.float16]
    counts: NDArray[np.int64]
    class_ids: NDArray[np.int16]
    scores: NDArray[np.float32]


def read_rgb(picture: Picture) -> NDArray[np.uint8]:
    """The picture (H, W, 3) uint8, RGB, as stored: an EXIF orientation is not applied, nor does Darknet apply it.

    Raises `DatasetError` when it cannot be decoded, is not of the stated size, or has more pixels than the limit.
    """
    if not picture.path.is_file():
        raise DatasetError(f"picture not found: {picture.path}; convert the data set again")
    image = decode_file(picture.path)
    if image is None:
        raise DatasetError(f"picture cannot be decoded: {picture.path}; convert the data set again")
    height, width = image.shape[:2]
    if (width, height) != (picture.width, picture.height):
        raise DatasetError(
            f"{picture.path} is {width} x {height} pixels, its label says {picture.width} x {picture.height}; the "
            f"boxes would lie elsewhere"
        )
    return np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)


def _read_batches(
    pictures: Sequence[Picture], protocol: Protocol, batch: int
) -> Iterator[tuple[Sequence[Picture], NDArray[np.float32]]]:
    """(pictures, network input (B, 3, h, w)), the next batch always being read already."""
    resize = letterbox if protocol.resize == "letterbox" else stretch
    height, width = protocol.network_hw

    def read(picture: Picture) -> NDArray[np.float32]:
        return resize(read_rgb(picture), (width, height))

    groups = [pictures[start : start + batch] for start in range(0, len(pictures), batch)]
    with ThreadPoolExecutor(READERS) as readers:

        def start(index: int) -> list[Future[NDArray[np.float32]]]:
            return [readers.submit(read, picture) for picture in groups[index]] if index < len(groups) else []

        waiting = start(0)
        for index, group in enumerate(groups):
            current, waiting = waiting, start(index + 1)
            yield group, np.stack([future.result() for future in current])


def _boxes_of_batch(pictures: Sequence[Picture], decoded: Decoded, protocol: Protocol) -> Iterator[_Boxes]:
    # Darknet: objectness above the floor first, then each product (yolo_layer.c get_yolo_detections).
    above = decoded.objectness > protocol.confidence_floor  # (B, N)
    is_letterbox = protocol.resize == "letterbox"
    for index, picture in enumerate(pictures):
        rows = above[index]
        objectness = decoded.objectness[index][rows]
        scores = objectness[:, None] * decoded.class_probabilities[index][rows]  # (n, C)
        is_kept = scores > protocol.confidence_floor
        counts = is_kept.sum(dim=1)
        useful = counts > 0
        boxes = decoded.boxes_cxcywh_norm[index][rows][useful].cpu().numpy()
        yield _Boxes(
            network_boxes_to_picture(boxes, (picture.height, picture.width), protocol.network_hw, is_letterbox),
            objectness[useful].cpu().numpy().astype(np.float16),
            counts[useful].cpu().numpy(),
            is_kept.nonzero()[:, 1].cpu().numpy().astype(np.int16),
            scores[is_kept].cpu().numpy(),
        )


def _joined(
    pictures: Sequence[Picture], kept: Sequence[_Boxes], classes: tuple[str, ...], protocol: Protocol
) -> RawDetections:
    columns = [np.concatenate(column) for column in zip(_NOTHING, *kept, strict=True)]
    boxes_xyxy, objectness, counts, class_ids, scores = columns
    return RawDetections(
        image_ids=np.array([picture.image_id for picture in pictures], np.int64),
        image_hw=np.array([(picture.height, picture.width) for picture in pictures], np.int32).reshape(-1, 2),
        offsets=offsets_of([len(boxes.objectness) for boxes in kept]),
        boxes_xyxy=boxes_xyxy,
        objectness=objectness,
        score_offsets=offsets_of(counts),
        score_class_ids=class_ids,
        scores=scores,
        classes=classes,
        protocol=protocol,
    )


_NOTHING = _Boxes(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float16),
    np.zeros(0, np.int64),
    np.zeros(0, np.int16),
    np.zeros(0, np.float32),
)
