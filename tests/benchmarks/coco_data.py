"""Truth and detections of the size of COCO's val2017, made from a seed: what the evaluation benchmarks measure on."""

import json
from pathlib import Path

import numpy as np

from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.metrics.ground_truth import GroundTruth

NUM_CLASSES = 80
SIDE = 640


def truth_of(pictures: int, *, per_picture: float = 7.4, seed: int = 0) -> GroundTruth:
    """About 7.4 boxes a picture, as val2017 has, of sizes from 8 to 300 pixels, one in a hundred a crowd."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(per_picture, pictures)
    owners = np.repeat(np.arange(pictures), counts)
    size = np.exp(rng.uniform(np.log(8), np.log(300), (len(owners), 2)))
    left_top = rng.uniform(0, 1, (len(owners), 2)) * (SIDE - size)
    # A picture shows few kinds of things: two or three classes each.
    kinds = rng.integers(0, NUM_CLASSES, (pictures, 3))
    return GroundTruth(
        classes=tuple(f"class {index}" for index in range(NUM_CLASSES)),
        image_ids=np.arange(1, pictures + 1),
        truth_pictures=owners.astype(np.int64),
        boxes_xywh=np.concatenate([left_top, size], axis=1),
        class_ids=kinds[owners, rng.integers(0, 3, len(owners))],
        areas=size.prod(axis=1),
        ignore=rng.random(len(owners)) < 0.01,
    )


def detections_of(truth: GroundTruth, *, per_picture: int = 100, seed: int = 1) -> Detections:
    """`per_picture` detections in each picture, as NMS leaves them: most true boxes found, the rest weak and wrong."""
    rng = np.random.default_rng(seed)
    pictures = len(truth.image_ids)
    count = pictures * per_picture
    owners = np.repeat(np.arange(pictures), per_picture)
    size = np.exp(rng.uniform(np.log(8), np.log(300), (count, 2)))
    left_top = rng.uniform(0, 1, (count, 2)) * (SIDE - size)
    boxes = np.concatenate([left_top, left_top + size], axis=1)
    scores = rng.beta(0.5, 8, count)
    class_ids = rng.integers(0, NUM_CLASSES, count)
    # Each true box is the model of up to three detections of its picture: one near, others further off.
    places = np.arange(len(truth.truth_pictures)) - truth.offsets()[truth.truth_pictures]
    for copy, (spread, best) in enumerate(((0.04, 0.9), (0.12, 0.5), (0.25, 0.3))):
        rows = truth.truth_pictures * per_picture + places * 3 + copy
        fits = (places * 3 + copy < per_picture) & (rng.random(len(rows)) < 0.85)
        xywh = truth.boxes_xywh[fits]
        near = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        boxes[rows[fits]] = near + rng.normal(0, spread, near.shape) * np.tile(xywh[:, 2:], 2)
        scores[rows[fits]] = rng.beta(4 * best, 4 * (1 - best), fits.sum())
        class_ids[rows[fits]] = truth.class_ids[fits]
    scores = np.maximum(scores, 0.0011)
    order = np.lexsort((-scores, owners))
    return Detections(
        image_ids=truth.image_ids[owners],
        boxes_xyxy=boxes[order].astype(np.float32),
        scores=scores[order].astype(np.float32),
        class_ids=class_ids[order],
    )


def raw_detections_of(truth: GroundTruth, *, per_picture: int = 300, seed: int = 2) -> RawDetections:
    """About `per_picture` boxes above the floor in each picture, before NMS: thirty around each true box, the rest noise.

    A box has the score of its best class, and a few weak ones of others.
    """
    rng = np.random.default_rng(seed)
    pictures = len(truth.image_ids)
    around = np.repeat(np.arange(len(truth.truth_pictures)), 30)
    xywh = truth.boxes_xywh[around]
    near = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    near += rng.normal(0, 1, near.shape) * rng.choice([0.02, 0.05, 0.1], (len(near), 1)) * np.tile(xywh[:, 2:], 2)
    far = max(pictures * per_picture - len(near), 0)
    size = np.exp(rng.uniform(np.log(8), np.log(300), (far, 2)))
    corner = rng.uniform(0, 1, (far, 2)) * (SIDE - size)
    boxes = np.concatenate([near, np.concatenate([corner, corner + size], axis=1)])
    owners = np.concatenate([truth.truth_pictures[around], rng.integers(0, pictures, far)])
    best = np.concatenate([truth.class_ids[around], truth.class_ids[rng.integers(0, len(truth.class_ids), far)]])
    strength = np.repeat(rng.beta(1.2, 1.2, len(truth.truth_pictures)), 30)
    scores = np.concatenate([strength * rng.beta(1, 1.5, len(near)), rng.beta(0.3, 12, far)])
    order = np.argsort(owners, kind="stable")
    boxes, owners, best, scores = boxes[order], owners[order], best[order], np.maximum(scores[order], 0.0011)
    # As a real network gives them (Yolo-Fastest: 3.5 scores a box): weak scores of other classes beside the best.
    others = rng.poisson(2.5, len(best))
    boxes_of_others = np.repeat(np.arange(len(best)), others)
    classes_of_others = (best[boxes_of_others] + rng.integers(1, NUM_CLASSES, len(boxes_of_others))) % NUM_CLASSES
    weak = np.maximum(scores[boxes_of_others] * rng.beta(0.4, 6, len(boxes_of_others)), 0.0011)
    table = np.concatenate(
        [
            np.stack([np.arange(len(best)), best, scores], axis=1),
            np.stack([boxes_of_others, classes_of_others, weak], axis=1),
        ]
    )
    table = table[np.lexsort((-table[:, 2], table[:, 1], table[:, 0]))]
    is_first = np.append(True, (np.diff(table[:, 0]) != 0) | (np.diff(table[:, 1]) != 0))
    table = table[is_first]
    return RawDetections(
        image_ids=truth.image_ids,
        image_hw=np.full((pictures, 2), SIDE, np.int32),
        offsets=np.searchsorted(owners, np.arange(pictures + 1)).astype(np.int64),
        boxes_xyxy=boxes.astype(np.float32),
        objectness=scores.astype(np.float16),
        score_offsets=np.searchsorted(table[:, 0], np.arange(len(boxes) + 1)).astype(np.int64),
        score_class_ids=table[:, 1].astype(np.int16),
        scores=table[:, 2].astype(np.float32),
        classes=truth.classes,
        protocol=Protocol("c" * 64, "w" * 64, (SIDE, SIDE), "stretch", "f" * 64 + "/val"),
    )


def write_truth(truth: GroundTruth, path: Path) -> None:
    """The truth as a COCO file."""
    annotations = [
        {
            "id": row,
            "image_id": int(truth.image_ids[truth.truth_pictures[row]]),
            "category_id": int(truth.class_ids[row]),
            "bbox": truth.boxes_xywh[row].tolist(),
            "area": float(truth.areas[row]),
            "iscrowd": int(truth.ignore[row]),
        }
        for row in range(len(truth.class_ids))
    ]
    content = {
        "images": [{"id": image_id, "width": 640, "height": 640} for image_id in truth.image_ids.tolist()],
        "categories": [{"id": index, "name": name} for index, name in enumerate(truth.classes)],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content))
