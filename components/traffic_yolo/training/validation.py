"""A quick AP50 on the validation split, to choose the best weights; the full evaluation is the step `evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from traffic_yolo.boxes import cxcywh_to_xyxy, pairwise_intersection, pairwise_iou
from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.resize import letterbox, network_boxes_to_picture, stretch
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.training.augment import UInt8Array

FloatArray = NDArray[np.float32]

CONFIDENCE_FLOOR = 0.005  # `detector map` uses the same (detector.c validate_detector_map), and NMS 0.45
NMS_IOU = 0.45
MATCH_IOU = 0.5
MOST_DETECTIONS = 100  # per picture and class, after NMS; COCO's limit is per picture
MOST_CANDIDATES = 300  # per picture and class, before NMS


@dataclass(frozen=True)
class ClassDetections:
    """The boxes of one class in one picture, best first: (n, 4) picture pixels and (n,) scores."""

    boxes_xyxy: FloatArray
    scores: FloatArray


class Validation:
    """The pictures of a split and a way to measure a network on them."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        read: Callable[[int], UInt8Array],
        *,
        num_classes: int,
        batch: int,
    ) -> None:
        """`read(i)` gives the pixels (H, W, 3) uint8 RGB of picture i."""
        self.images = images
        self.read = read
        self.num_classes = num_classes
        self.batch = batch

    def ap50(self, network: Network, device: torch.device) -> float:
        """Mean over the classes that have true boxes of the average precision at IoU 0.5, in 0..1."""
        detections: list[list[ClassDetections]] = []
        for start in range(0, len(self.images), self.batch):
            detections += self._detect(network, device, start)
        precisions = []
        for class_id in range(self.num_classes):
            of_class = [found[class_id] for found in detections]
            precision = average_precision(self.images, of_class, class_id)
            if precision is not None:
                precisions.append(precision)
        return float(np.mean(precisions)) if precisions else 0.0

    @torch.no_grad()
    def _detect(self, network: Network, device: torch.device, start: int) -> list[list[ClassDetections]]:
        """For each picture of the batch that begins at `start`, the detections of every class."""
        height, width = network.input_hw
        resize = letterbox if network.letterbox else stretch
        indices = range(start, min(start + self.batch, len(self.images)))
        inputs = torch.from_numpy(np.stack([resize(self.read(index), (width, height)) for index in indices]))
        inputs = inputs.to(device, memory_format=torch.channels_last)
        decoded = decode(network.heads, network(inputs), network.input_hw)
        boxes = decoded.boxes_cxcywh_norm.cpu().numpy()  # (B, N, 4)
        scores = (decoded.objectness[..., None] * decoded.class_probabilities).cpu().numpy()  # (B, N, C)
        classes = range(self.num_classes)
        return [
            [self._of_class(network, self.images[index], boxes[row], scores[row, :, class_id]) for class_id in classes]
            for row, index in enumerate(indices)
        ]

    def _of_class(
        self, network: Network, image: LabelledImage, boxes_cxcywh_norm: FloatArray, scores: FloatArray
    ) -> ClassDetections:
        candidates = np.flatnonzero(scores > CONFIDENCE_FLOOR)
        order = candidates[np.argsort(-scores[candidates], kind="stable")][:MOST_CANDIDATES]
        kept = order[suppress(cxcywh_to_xyxy(boxes_cxcywh_norm[order]))][:MOST_DETECTIONS]
        image_hw = (image.height, image.width)
        boxes = network_boxes_to_picture(boxes_cxcywh_norm[kept], image_hw, network.input_hw, network.letterbox)
        return ClassDetections(boxes, scores[kept])


def suppress(boxes_xyxy: FloatArray, iou: float = NMS_IOU) -> NDArray[np.int64]:
    """Indices of the boxes (n, 4), best first, that overlap no better box kept by more than `iou`."""
    overlaps = pairwise_iou(boxes_xyxy, boxes_xyxy) > iou
    alive = np.ones(len(boxes_xyxy), bool)
    for index in range(len(boxes_xyxy)):
        if alive[index]:
            alive[index + 1 :] &= ~overlaps[index, index + 1 :]
    return np.flatnonzero(alive)


def average_precision(
    images: Sequence[LabelledImage], detections: Sequence[ClassDetections], class_id: int
) -> float | None:
    """Area under the precision-recall curve of one class at IoU 0.5 over all points; None without true boxes.

    A detection takes the free true box that it overlaps best; one that takes none but lies on an ignored box or a crowd
    counts neither way.
    """
    num_truths = 0
    scores, hits = [], []
    for image, found in zip(images, detections, strict=True):
        of_class = image.class_ids == class_id
        neutral = of_class & (image.ignore | image.is_crowd)
        truths = image.boxes_xyxy[of_class & ~neutral]
        num_truths += len(truths)
        hit, counted = match(found.boxes_xyxy, truths, image.boxes_xyxy[neutral])
        scores.append(found.scores[counted])
        hits.append(hit[counted])
    if num_truths == 0:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    true_positives = np.cumsum(np.concatenate(hits)[order])
    recall = true_positives / num_truths
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]  # best precision at this recall or beyond
    steps = np.diff(recall, prepend=0.0)
    return float((steps * precision).sum())


def match(
    boxes_xyxy: FloatArray, truths_xyxy: FloatArray, neutral_xyxy: FloatArray
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For boxes (n, 4), best first: (n,) whether each takes a true box, and (n,) whether it counts at all."""
    overlaps = pairwise_iou(boxes_xyxy, truths_xyxy)  # (n, T)
    inside = pairwise_intersection(boxes_xyxy, neutral_xyxy)  # (n, R) pixels
    areas = np.prod(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], axis=1)
    free = np.ones(len(truths_xyxy), bool)
    hit = np.zeros(len(boxes_xyxy), bool)
    counted = np.ones(len(boxes_xyxy), bool)
    for index, row in enumerate(overlaps):
        best = int(np.where(free, row, -1).argmax()) if free.any() else -1
        if best >= 0 and row[best] >= MATCH_IOU:
            hit[index] = True
            free[best] = False
        elif len(neutral_xyxy):
            counted[index] = inside[index].max() < MATCH_IOU * areas[index]
    return hit, counted
