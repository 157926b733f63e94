"""The same numbers by pycocotools itself: the oracle that the fast engine is held to, and a choice for who wants it."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.coco_settings import CocoSettings
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.match_table import Accumulated, check_class_ids


def accumulate_with_pycocotools(
    truth: GroundTruth,
    detections: Detections,
    settings: CocoSettings,
    *,
    mask: NDArray[np.bool_] | None = None,
    area_scale: NDArray[np.float64] | None = None,
) -> Accumulated:
    """What `match_table(...).accumulate(mask)` gives.

    pycocotools overwrites an annotation's `ignore` with its `iscrowd`; so the copy that it gets here marks our ignore
    regions as crowds, of every class.
    """
    check_class_ids(detections, truth)
    pictures = truth.picture_indices(detections.image_ids)
    scale = np.ones(len(truth.image_ids)) if area_scale is None else area_scale
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports by print
        annotations = _truth_annotations(truth, scale)
        detected = _detection_annotations(detections, scale[pictures])
        evaluator = COCOeval(_index(truth, annotations), _index(truth, detected), "bbox")
        params = evaluator.params
        params.maxDets = list(settings.max_detections)
        params.iouThrs = np.array(settings.iou_thresholds)
        params.recThrs = np.array(settings.recall_thresholds)
        params.areaRng = [list(limits) for limits in settings.areas.values()]
        params.areaRngLbl = list(settings.areas)
        params.imgIds = sorted(truth.image_ids[slice(None) if mask is None else mask].tolist())
        evaluator.evaluate()
        evaluator.accumulate()
    return Accumulated(
        evaluator.eval["precision"], evaluator.eval["recall"], _num_truths(annotations, truth, settings, params.imgIds)
    )


def _truth_annotations(truth: GroundTruth, scale: NDArray[np.float64]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for row, class_id in enumerate(truth.class_ids.tolist()):
        picture = int(truth.truth_pictures[row])
        for category in range(len(truth.classes)) if class_id == ALL_CLASSES else (class_id,):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": int(truth.image_ids[picture]),
                    "category_id": category,
                    "bbox": truth.boxes_xywh[row].tolist(),
                    "area": float(truth.areas[row] * scale[picture]),
                    "iscrowd": int(truth.ignore[row]),
                }
            )
    return annotations


def _detection_annotations(detections: Detections, scale: NDArray[np.float64]) -> list[dict[str, Any]]:
    xyxy = detections.boxes_xyxy.astype(np.float64)
    size = xyxy[:, 2:] - xyxy[:, :2]
    columns = zip(
        detections.image_ids.tolist(),
        detections.class_ids.tolist(),
        np.concatenate([xyxy[:, :2], size], axis=1).tolist(),
        (size[:, 0] * size[:, 1] * scale).tolist(),
        detections.scores.astype(np.float64).tolist(),
        strict=True,
    )
    return [
        {"id": row, "image_id": image, "category_id": category, "bbox": box, "area": area, "score": score, "iscrowd": 0}
        for row, (image, category, box, area, score) in enumerate(columns, start=1)
    ]


def _num_truths(
    annotations: list[dict[str, Any]], truth: GroundTruth, settings: CocoSettings, image_ids: list[int]
) -> NDArray[np.int64]:
    counts = np.zeros((len(settings.areas), len(truth.classes)), np.int64)
    shown = set(image_ids)
    for annotation in annotations:
        if not annotation["iscrowd"] and annotation["image_id"] in shown:
            for place, (least, most) in enumerate(settings.areas.values()):
                counts[place, annotation["category_id"]] += least <= annotation["area"] <= most
    return counts


def _index(truth: GroundTruth, annotations: list[dict[str, Any]]) -> Any:
    index = COCO()
    index.dataset = {
        "images": [{"id": image_id} for image_id in truth.image_ids.tolist()],
        "categories": [{"id": class_id, "name": name} for class_id, name in enumerate(truth.classes)],
        "annotations": annotations,
    }
    index.createIndex()
    return index
