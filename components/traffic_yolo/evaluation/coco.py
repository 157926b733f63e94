"""COCO's twelve numbers, per-class AP and the precision/recall curves, by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.ground_truth import ALL_CLASSES, GroundTruth, read_ground_truth
from traffic_yolo.evaluation.nms import Detections

AREAS = ("all", "small", "medium", "large")  # the order of COCOeval's axis A


@dataclass(frozen=True)
class ClassMetrics:
    """AP of one class at IoU 0.50:0.95 and at 0.50; None for a class without truth."""

    class_name: str
    ap: float | None
    ap50: float | None
    num_truths: int


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's twelve numbers in [0, 1], None where undefined (no truth of that size); never NaN.

    `ap` is the mean over IoU 0.50, 0.55 … 0.95 and the classes with truth; `ap50`, `ap75` at one IoU; small, medium,
    large by true area in picture pixels (below 32², below 96², above). `ar1`, `ar10`, `ar100`: recall with at most
    that many detections of a class in a picture (`ar100`: `max_detections`). `precision` (T, R, K) float64: at 10 IoUs,
    101 recalls 0, 0.01 … 1, K classes; -1 where a class has no truth.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[ClassMetrics, ...]
    precision: NDArray[np.float64]

    def twelve(self) -> dict[str, float | None]:
        """The twelve numbers by name, in pycocotools' order."""
        return {name: getattr(self, name) for name in NUMBER_NAMES}


NUMBER_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


def evaluate_coco(
    ground_truth: Path | GroundTruth,
    detections: Detections,
    *,
    classes: Sequence[str] = (),
    category_ids: Sequence[int] | None = None,
    image_ids: Sequence[int] | None = None,
    max_detections: int = 100,
) -> CocoMetrics:
    """Evaluates as the COCO API does.

    `ground_truth`: a COCO file, read with `classes` and `category_ids` (`read_ground_truth`), or one that was read
    already. `image_ids`: the pictures that count, all by default. `max_detections`: at most that many of a class in
    a picture.

    pycocotools overwrites an annotation's `ignore` with its `iscrowd`; so the copy that it gets here marks our ignore
    regions as crowds, of every class. Raises `EvaluationError` for detections of pictures or classes that the truth
    does not have.
    """
    if isinstance(ground_truth, Path):
        ground_truth = read_ground_truth(ground_truth, classes, category_ids=category_ids)
    if max_detections < 1:
        raise EvaluationError(f"max_detections is {max_detections}, expected at least 1")
    ground_truth.picture_indices(detections.image_ids)
    if len(detections) and int(detections.class_ids.max()) >= len(ground_truth.classes):
        raise EvaluationError(f"detections of more than the {len(ground_truth.classes)} classes of the ground truth")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports by print
        evaluator = COCOeval(_truth_index(ground_truth), _detection_index(ground_truth, detections), "bbox")
        evaluator.params.maxDets = [1, 10, max_detections]
        if image_ids is not None:
            evaluator.params.imgIds = sorted(image_ids)
        evaluator.evaluate()
        evaluator.accumulate()
    return _metrics(evaluator.eval, ground_truth)


def _metrics(result: dict[str, Any], truth: GroundTruth) -> CocoMetrics:
    precision, recall = result["precision"], result["recall"]  # (T, R, K, A, M) and (T, K, A, M)
    large_limit = precision[..., -1]  # (T, R, K, A)
    ap = {area: _mean(large_limit[..., index]) for index, area in enumerate(AREAS)}
    ar = {area: _mean(recall[:, :, index, -1]) for index, area in enumerate(AREAS)}
    curves = large_limit[..., 0]  # (T, R, K)
    counts = truth.num_truths
    per_class = tuple(
        ClassMetrics(name, _mean(curves[:, :, index]), _mean(curves[0, :, index]), int(counts[index]))
        for index, name in enumerate(truth.classes)
    )
    return CocoMetrics(
        ap=ap["all"],
        ap50=_mean(curves[0]),
        ap75=_mean(curves[5]),
        ap_small=ap["small"],
        ap_medium=ap["medium"],
        ap_large=ap["large"],
        ar1=_mean(recall[:, :, 0, 0]),
        ar10=_mean(recall[:, :, 0, 1]),
        ar100=ar["all"],
        ar_small=ar["small"],
        ar_medium=ar["medium"],
        ar_large=ar["large"],
        per_class=per_class,
        precision=curves,
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the values that are defined (pycocotools marks the others -1), None when there are none."""
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else None


def _truth_index(truth: GroundTruth) -> Any:
    annotations: list[dict[str, Any]] = []
    for row, class_id in enumerate(truth.class_ids.tolist()):
        for category in range(len(truth.classes)) if class_id == ALL_CLASSES else (class_id,):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": int(truth.image_ids[truth.truth_pictures[row]]),
                    "category_id": category,
                    "bbox": truth.boxes_xywh[row].tolist(),
                    "area": float(truth.areas[row]),
                    "iscrowd": int(truth.ignore[row]),
                }
            )
    return _index(truth, annotations)


def _detection_index(truth: GroundTruth, detections: Detections) -> Any:
    xyxy = detections.boxes_xyxy.astype(np.float64)
    size = xyxy[:, 2:] - xyxy[:, :2]
    columns = zip(
        detections.image_ids.tolist(),
        detections.class_ids.tolist(),
        np.concatenate([xyxy[:, :2], size], axis=1).tolist(),
        (size[:, 0] * size[:, 1]).tolist(),
        detections.scores.astype(np.float64).tolist(),
        strict=True,
    )
    annotations = [
        {"id": row, "image_id": image, "category_id": category, "bbox": box, "area": area, "score": score, "iscrowd": 0}
        for row, (image, category, box, area, score) in enumerate(columns, start=1)
    ]
    return _index(truth, annotations)


def _index(truth: GroundTruth, annotations: list[dict[str, Any]]) -> Any:
    index = COCO()
    index.dataset = {
        "images": [{"id": image_id} for image_id in truth.image_ids.tolist()],
        "categories": [{"id": class_id, "name": name} for class_id, name in enumerate(truth.classes)],
        "annotations": annotations,
    }
    index.createIndex()
    return index
