"""Truth and detections of the size of COCO's val2017, made from a seed: what the evaluation benchmarks measure on."""

import numpy as np

from traffic_yolo.evaluation.ground_truth import GroundTruth
from traffic_yolo.evaluation.nms import Detections

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
