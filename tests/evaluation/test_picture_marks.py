"""What a picture of an evaluation can be chosen by: kinds of errors and the classes that err, of that picture alone."""

import numpy as np

from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.error_split import BACKGROUND_KIND, CLASSIFICATION, NO_KIND, ErrorSplit
from traffic_yolo.evaluation.samples import error_marks
from traffic_yolo.metrics.ground_truth import GroundTruth


def test_marks_are_the_kinds_and_classes_of_one_picture() -> None:
    classes = ("CAR", "BUS", "TRUCK")
    boxes = np.tile(np.array([[0.0, 0, 9, 9]]), (4, 1))
    truth = GroundTruth(
        classes=classes,
        image_ids=np.array([7, 9]),
        truth_pictures=np.array([0, 0, 1, 1]),
        boxes_xywh=boxes,
        class_ids=np.array([0, 1, 0, 2]),
        areas=np.full(4, 81.0),
        ignore=np.zeros(4, bool),
    )
    detections = Detections(
        np.array([7, 7, 9]), boxes[:3].astype(np.float32), np.ones(3, np.float32), np.array([0, 2, 1])
    )
    errors = ErrorSplit(
        classes=classes,
        kinds=np.array([NO_KIND, BACKGROUND_KIND, CLASSIFICATION], np.int8),
        outcomes=np.zeros(3, np.int8),
        targets=np.zeros(3, np.int64),
        found=np.zeros(3, np.int64),
        missed=np.zeros(4, bool),
        undetected=np.array([False, True, False, False]),
        counts=np.zeros((6, 3), np.int64),
    )
    assert error_marks(0, 7, detections, truth, errors) == {
        "error": ["background", "missed"],
        "class": ["BUS", "TRUCK"],
    }
    assert error_marks(1, 9, detections, truth, errors) == {"error": ["classification"], "class": ["BUS"]}
