"""Non-maximum suppression after Darknet's rules: class by class, so that one box may be reported in several classes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms_kernels import suppress_pictures
from traffic_yolo.detection.nms_options import NMS_KINDS as NMS_KINDS
from traffic_yolo.detection.nms_options import NmsOptions as NmsOptions
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.jit import in_chunks

GREEDYNMS_BETA = 0.6  # Darknet's greedynms compares box_diou, whose exponent is fixed (box.c); beta_nms is diounms's


@dataclass(frozen=True)
class Detections:
    """K reported detections; checked when made.

    `image_ids` (K,) int64, `boxes_xyxy` (K, 4) float32 in picture pixels, `scores` (K,) float32 in [0, 1], `class_ids`
    (K,) int64. NMS gives them picture by picture, in a picture by falling score.

    Raises `EvaluationError` for shapes that do not fit each other and for numbers that are not finite.
    """

    image_ids: NDArray[np.int64]
    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.scores)
        for name, shape in (("image_ids", (count,)), ("boxes_xyxy", (count, 4)), ("class_ids", (count,))):
            found = getattr(self, name).shape
            if found != shape:
                raise EvaluationError(f"detections: {name} has shape {found}, expected {shape}")
        for name in ("boxes_xyxy", "scores"):
            if not np.isfinite(getattr(self, name)).all():
                raise EvaluationError(f"detections: {name} holds NaN or infinity; the model's output is broken")

    def __len__(self) -> int:
        """The number of detections."""
        return len(self.scores)

    @classmethod
    def none(cls) -> "Detections":
        """No detections at all."""
        integers = np.zeros(0, np.int64)
        return cls(integers, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), integers)

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> "Detections":
        """The detections of all parts, in order."""
        if not parts:
            return cls.none()
        return cls(
            np.concatenate([part.image_ids for part in parts]),
            np.concatenate([part.boxes_xyxy for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
        )

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """The detections where the mask (K,) is true, or at the given indices, in that order."""
        return Detections(self.image_ids[chosen], self.boxes_xyxy[chosen], self.scores[chosen], self.class_ids[chosen])


def non_maximum_suppression(raw: RawDetections, options: NmsOptions) -> Detections:
    """What a detector with these options reports; order as in `Detections`, equal scores in the network's order.

    Boxes compete as the network gave them and are cut at the picture's edges afterwards, as `darknet detector valid`
    does: true boxes end there too.

    Raises `EvaluationError` when `confidence_threshold` is below the floor of `raw`: boxes would be missing.
    """
    rows, boxes, pictures = surviving_rows(raw, options)
    return Detections(
        raw.image_ids[pictures],
        clipped_boxes(raw.boxes_xyxy[boxes], raw.image_hw[pictures]),
        raw.scores[rows],
        raw.score_class_ids[rows].astype(np.int64),
    )


def surviving_rows(
    raw: RawDetections, options: NmsOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What `non_maximum_suppression` reports, in its order: the scores' rows, the boxes' rows, the pictures' indices.

    (K,) each. Raises as it does.
    """
    check_floor(raw, options.confidence_threshold)
    bits = raw.scores.view(np.uint32)
    # Darknet keeps its thresholds as float32: 0.3 and the float32 next to it are the same to it.
    thresholds = (np.float32(options.confidence_threshold), np.float32(options.iou_threshold))
    limits = (*thresholds, centre_exponent(options.kind, options.beta), options.max_detections)

    def suppress(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        return suppress_pictures(
            first,
            last,
            raw.offsets,
            raw.boxes_xyxy,
            raw.score_offsets,
            raw.score_class_ids,
            raw.scores,
            bits,
            len(raw.classes),
            limits,
        )

    parts = in_chunks(suppress, len(raw))
    rows, boxes, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    pictures = np.repeat(np.arange(len(raw)), counts)
    return rows, boxes, pictures


def suppressed_to_floor(raw: RawDetections, options: NmsOptions) -> Detections:
    """NMS of all that `raw` holds, whatever `options.confidence_threshold`: what AP and curves over confidence are of.

    A box below a threshold suppresses none above it, so one NMS at the floor serves every threshold.
    """
    return non_maximum_suppression(
        raw, dataclasses.replace(options, confidence_threshold=raw.protocol.confidence_floor)
    )


def check_floor(raw: RawDetections, confidence_threshold: float) -> None:
    """Raises `EvaluationError` when raw detections were cut above `confidence_threshold`."""
    if confidence_threshold < raw.protocol.confidence_floor:
        raise EvaluationError(
            f"confidence_threshold {confidence_threshold:g} is below {raw.protocol.confidence_floor:g}, the floor of "
            f"these raw detections; choose a higher one or detect again with a lower floor"
        )


def centre_exponent(kind: str, beta: float) -> float:
    """The exponent of NMS's penalty for distant centres (`nms_kernels.box_overlap`); 0 for the plain IoU."""
    return {"default": 0.0, "greedynms": GREEDYNMS_BETA, "diounms": beta}[kind]


def clipped_boxes(boxes_xyxy: NDArray[np.float32], image_hw: NDArray[np.int32]) -> NDArray[np.float32]:
    """Boxes (K, 4) cut at the edges of their pictures, whose height and width are (K, 2)."""
    limits = image_hw[:, [1, 0, 1, 0]].astype(np.float32)
    return np.minimum(np.maximum(boxes_xyxy, 0), limits)
