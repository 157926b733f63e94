"""Compiles every loop that detection, evaluation, tuning and training use: the first trial of an image need not wait.

`python -m traffic_yolo.tuning.warm_up`, once, when an image is built (docker/train/Dockerfile).
"""

import numpy as np

from traffic_yolo.darknet.resize import letterbox, stretch
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.metrics.bootstrap import groups_of
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.objective import Objective
from traffic_yolo.metrics.thresholds import threshold_metrics
from traffic_yolo.training.augment import Augmentation, Picture, augmented
from traffic_yolo.tuning.search import intervals_of, search
from traffic_yolo.tuning.sweep_options import SweepOptions


def warm_up() -> None:
    """Measures, sweeps and resamples two imaginary pictures, and augments and resizes one."""
    boxes = np.array([[10, 10, 40, 40], [11, 11, 41, 41]], np.float32)
    raw = RawDetections.from_dense(
        image_ids=np.array([1, 2]),
        image_hw=np.full((2, 2), 100),
        offsets=np.array([0, 1, 2]),
        boxes_xyxy=boxes,
        objectness=np.ones(2),
        class_scores=np.array([[0.9], [0.8]], np.float32),
        classes=("CAR",),
        protocol=Protocol("", "", (32, 32), "stretch", ""),
    )
    truth = GroundTruth(
        classes=("CAR",),
        image_ids=np.array([1, 2]),
        truth_pictures=np.array([0, 1]),
        boxes_xywh=np.array([[10.0, 10.0, 30.0, 30.0]] * 2),
        class_ids=np.array([0, 0]),
        areas=np.array([900.0, 900.0]),
        ignore=np.zeros(2, np.bool_),
    )
    nms = NmsOptions()
    threshold_metrics(raw, truth, nms, Objective())
    found = search(raw, truth, SweepOptions(confidences=(0.1, 0.5), iou_thresholds=(0.3, 0.5)), nms)
    intervals_of(raw, truth, found.nms, found.point, groups_of(["a", "b"], of="recording", least=2))
    picture = Picture(
        np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    )
    augmented([picture], (8, 8), Augmentation(exposure=2.0), letterbox=False, rng=np.random.default_rng(0))
    for resize in (letterbox, stretch):
        resize(np.zeros((8, 12, 3), np.uint8), (16, 16))


if __name__ == "__main__":
    warm_up()
