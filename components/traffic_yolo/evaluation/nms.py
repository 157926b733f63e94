"""Non-maximum suppression after Darknet's rules: class by class, so that one box may be reported in several classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import clip_xyxy, pairwise_iou
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.evaluation.raw_detections import RawDetections

NMS_KINDS = ("default", "greedynms", "diounms")
GREEDYNMS_BETA = 0.6  # Darknet's greedynms compares box_diou, whose exponent is fixed (box.c); beta_nms is diounms's


@dataclass(frozen=True)
class NmsOptions:
    """Which detections are reported.

    A score must be strictly above `confidence_threshold`. Of two boxes of one class that overlap by more than
    `iou_threshold` the weaker goes; the overlap is the IoU for kind "default", and for "greedynms" and "diounms" the
    IoU less a penalty for distant centres, (d² / c²) ** exponent: 0.6 for greedynms, `beta` for diounms. Of what is
    left, the `max_detections` with the highest scores stay, for each picture, all classes together.

    Raises `OptionsError` for a value out of range.
    """

    confidence_threshold: float = field(
        default=0.25, metadata={"help": "Detections with a score not above this are dropped; [0, 1)."}
    )
    iou_threshold: float = field(
        default=0.45, metadata={"help": "NMS: overlap above which the weaker box of a class goes; (0, 1]."}
    )
    kind: str = field(default="default", metadata={"help": "Darknet's nms_kind.", "choices": NMS_KINDS})
    beta: float = field(default=0.6, metadata={"help": "Darknet's beta_nms; used by diounms only."})
    max_detections: int = field(default=300, metadata={"help": "At most this many detections for a picture."})

    def __post_init__(self) -> None:
        if not 0 <= self.confidence_threshold < 1:
            raise OptionsError(f"confidence_threshold is {self.confidence_threshold}, expected a number in [0, 1)")
        if not 0 < self.iou_threshold <= 1:
            raise OptionsError(f"iou_threshold is {self.iou_threshold}, expected a number in (0, 1]")
        if self.kind not in NMS_KINDS:
            raise OptionsError(f"NMS kind {self.kind!r} is unknown; expected one of {', '.join(NMS_KINDS)}")
        if not 0 < self.beta <= 10:
            raise OptionsError(f"NMS beta is {self.beta}, expected a number in (0, 10]")
        if self.max_detections < 1:
            raise OptionsError(f"max_detections is {self.max_detections}, expected at least 1")


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
    check_floor(raw, options.confidence_threshold)
    parts = []
    for picture in range(len(raw)):
        boxes = raw.boxes_of(picture)
        scores = raw.class_scores[boxes]
        candidates = Candidates.above(scores, options.confidence_threshold)
        if not len(candidates.scores):
            continue
        overlaps = pairwise_overlap(raw.boxes_xyxy[boxes], kind=options.kind, beta=options.beta)
        kept = candidates.survivors(overlaps, options.iou_threshold)[: options.max_detections]
        parts.append(candidates.select(kept).detections(raw, picture))
    return Detections.concatenate(parts)


def check_floor(raw: RawDetections, confidence_threshold: float) -> None:
    """Raises `EvaluationError` when raw detections were cut above `confidence_threshold`."""
    if confidence_threshold < raw.protocol.confidence_floor:
        raise EvaluationError(
            f"confidence_threshold {confidence_threshold:g} is below {raw.protocol.confidence_floor:g}, the floor of "
            f"these raw detections; choose a higher one or detect again with a lower floor"
        )


@dataclass(frozen=True)
class Candidates:
    """The (box, class) pairs of one picture whose score is above a threshold, by falling score.

    `boxes`: row of the picture's boxes; `class_ids`; `scores`; all (K,). Equal scores keep the order of box, class.
    """

    boxes: NDArray[np.intp]
    class_ids: NDArray[np.intp]
    scores: NDArray[np.float32]

    @classmethod
    def above(cls, class_scores: NDArray[np.float32], confidence_threshold: float) -> "Candidates":
        """Candidates from the scores (boxes, classes) of one picture.

        Darknet tests the objectness first and then the product; the product is never larger, so one test does both.
        """
        # Darknet keeps its threshold as float32: 0.3 and the float32 next to it are the same to it.
        boxes, class_ids = np.nonzero(class_scores > np.float32(confidence_threshold))
        scores = class_scores[boxes, class_ids]
        order = np.argsort(-scores, kind="stable")
        return cls(boxes[order], class_ids[order], scores[order])

    def select(self, chosen: NDArray[np.intp]) -> "Candidates":
        """The candidates at the given indices, in that order."""
        return Candidates(self.boxes[chosen], self.class_ids[chosen], self.scores[chosen])

    def detections(self, raw: RawDetections, picture: int) -> Detections:
        """These candidates of the picture at index `picture` as detections, boxes cut at the picture's edges."""
        height, width = raw.image_hw[picture].tolist()
        boxes = raw.boxes_xyxy[raw.boxes_of(picture)][self.boxes]
        return Detections(
            np.full(len(self.boxes), raw.image_ids[picture], np.int64),
            clip_xyxy(boxes, (height, width)).astype(np.float32),
            self.scores,
            self.class_ids.astype(np.int64),
        )

    def survivors(self, overlaps: NDArray[np.float32], iou_threshold: float) -> NDArray[np.intp]:
        """Indices (ascending: by falling score) of the candidates that NMS keeps, class by class.

        `overlaps` (boxes, boxes) is `pairwise_overlap` of the picture's boxes.
        """
        suppressing = overlaps > np.float32(iou_threshold)
        by_class = np.argsort(self.class_ids, kind="stable")
        starts = np.flatnonzero(np.diff(self.class_ids[by_class], prepend=-1))
        kept = [
            group[greedy(suppressing[np.ix_(self.boxes[group], self.boxes[group])])]
            for group in np.split(by_class, starts[1:])
        ]
        return np.sort(np.concatenate(kept))


def greedy(suppressing: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices that greedy suppression keeps.

    `suppressing` (n, n): whether box i, when kept, removes box j; boxes stand by falling score.
    """
    count = len(suppressing)
    later = np.triu(suppressing, k=1)
    alive = np.ones(count, np.bool_)
    for index in np.flatnonzero(later.any(axis=1)):
        if alive[index]:
            alive &= ~later[index]
    return np.flatnonzero(alive)


def pairwise_overlap(boxes_xyxy: NDArray[np.float32], *, kind: str, beta: float) -> NDArray[np.float32]:
    """The number that NMS of this kind compares with `iou_threshold`, for every pair of boxes (N, 4): (N, N).

    IoU for "default", at most that for the others (down to -1 for boxes far apart). Darknet works on boxes in
    picture pixels or relative to the picture; centres' distances, and so the last two kinds, differ between the two.
    """
    overlap = pairwise_iou(boxes_xyxy, boxes_xyxy)
    if kind != "default":
        overlap = overlap - _centre_penalty(boxes_xyxy, GREEDYNMS_BETA if kind == "greedynms" else beta)
    return overlap


def _centre_penalty(boxes_xyxy: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """(squared centre distance / squared diagonal of the box around both) ** exponent for every pair, (N, N)."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    distance = ((centres[:, None] - centres[None]) ** 2).sum(axis=2)
    around = np.maximum(boxes_xyxy[:, None, 2:], boxes_xyxy[None, :, 2:]) - np.minimum(
        boxes_xyxy[:, None, :2], boxes_xyxy[None, :, :2]
    )
    diagonal = (around**2).sum(axis=2)
    # Two boxes on one point: Darknet returns the plain IoU.
    ratio = np.divide(distance, diagonal, out=np.zeros_like(distance), where=diagonal > 0)
    return np.asarray(ratio ** np.float32(exponent), dtype=boxes_xyxy.dtype)
