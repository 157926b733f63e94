"""Truth and detections of the size of COCO's val2017, made from a seed: what the evaluation benchmarks measure on."""

import numpy as np

from traffic_yolo.evaluation.ground_truth import GroundTruth
from traffic_yolo.evaluation.nms import Detections
from traffic_yolo.evaluation.raw_detections import Protocol, RawDetections

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

    Every box has the score of its best class, and every other one of a second class.
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
    second = (best + 1 + rng.integers(0, NUM_CLASSES - 1, len(best))) % NUM_CLASSES
    has_second = (np.arange(len(best)) % 2 == 0) & (scores > 0.01)
    counts = 1 + has_second
    starts = np.concatenate([[0], np.cumsum(counts)])
    class_ids, values = np.empty(starts[-1], np.int16), np.empty(starts[-1], np.float32)
    first_is_best = ~has_second | (best < second)
    class_ids[starts[:-1]] = np.where(first_is_best, best, second)
    values[starts[:-1]] = np.where(first_is_best, scores, scores * 0.1)
    later = starts[:-1][has_second] + 1
    class_ids[later] = np.where(first_is_best, second, best)[has_second]
    values[later] = np.where(first_is_best, scores * 0.1, scores)[has_second]
    return RawDetections(
        image_ids=truth.image_ids,
        image_hw=np.full((pictures, 2), SIDE, np.int32),
        offsets=np.searchsorted(owners, np.arange(pictures + 1)).astype(np.int64),
        boxes_xyxy=boxes.astype(np.float32),
        objectness=scores.astype(np.float16),
        score_offsets=starts.astype(np.int64),
        score_class_ids=class_ids,
        scores=values,
        classes=truth.classes,
        protocol=Protocol("c" * 64, "w" * 64, (SIDE, SIDE), "stretch", "f" * 64 + "/val"),
    )
