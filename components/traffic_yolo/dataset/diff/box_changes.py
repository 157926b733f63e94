"""What became of the boxes of one picture: which are the same, moved, of another class, added, removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from traffic_yolo.boxes import FloatArray, pairwise_iou, xywh_to_xyxy
from traffic_yolo.dataset.records import Annotation

SAME_PX = 0.05  # of an edge: what label formats round off
SAME_PLACE_IOU = 0.95  # above it two boxes are of one object, whatever their classes


class Pair(NamedTuple):
    """Box `before` of the first picture and box `after` of the second, which are of one object; their IoU."""

    before: int
    after: int
    iou: float


@dataclass(frozen=True)
class PictureBoxes:
    """The boxes of a picture: `xyxy` (n, 4) in pixels; classes and marks (who drew it, what does not count) by row."""

    xyxy: FloatArray
    classes: tuple[str, ...]
    marks: tuple[tuple[str, bool, bool], ...]

    @classmethod
    def of(cls, annotations: Sequence[Annotation]) -> "PictureBoxes":
        """The boxes of these annotations, in their order."""
        xywh = np.array([annotation.xywh for annotation in annotations], np.float64).reshape(-1, 4)
        marks = tuple((each.label_source, each.ignore, each.is_crowd) for each in annotations)
        return cls(xywh_to_xyxy(xywh), tuple(annotation.class_name for annotation in annotations), marks)


@dataclass(frozen=True)
class BoxChanges:
    """Pairs of boxes by what became of them, and the boxes that have no pair.

    `moved` are of one class and not the same to 0.05 pixel; `reclassed` of two classes; `marked` are of one class and
    place, and differ in who drew them or in whether they count. `removed` and `added` are rows.
    """

    same: tuple[Pair, ...] = ()
    moved: tuple[Pair, ...] = ()
    reclassed: tuple[Pair, ...] = ()
    marked: tuple[Pair, ...] = ()
    removed: tuple[int, ...] = ()
    added: tuple[int, ...] = ()

    @property
    def num_changes(self) -> int:
        """How many boxes are not the same."""
        lists = (self.moved, self.reclassed, self.marked, self.removed, self.added)
        return sum(map(len, lists))


def box_changes(before: PictureBoxes, after: PictureBoxes, *, least_iou: float) -> BoxChanges:
    """Pairs the boxes of a picture one to one.

    First those in one place (IoU from 0.95), of one class before those of two, then those that overlap by `least_iou`
    or more, again of one class first; within each, the largest IoU first.
    """
    iou = pairwise_iou(before.xyxy, after.xyxy)  # (N, M)
    candidates = []
    for row, column in np.argwhere(iou >= min(least_iou, SAME_PLACE_IOU)).tolist():
        overlap = float(iou[row, column])
        rank = 2 * (overlap < SAME_PLACE_IOU) + (before.classes[row] != after.classes[column])
        candidates.append((rank, -overlap, row, column))
    found: dict[str, list[Pair]] = {"same": [], "moved": [], "reclassed": [], "marked": []}
    left, right = set(range(len(before.classes))), set(range(len(after.classes)))
    for _, negative, row, column in sorted(candidates):
        if row in left and column in right and -negative >= least_iou:
            left.remove(row)
            right.remove(column)
            found[_kind(before, after, row, column)].append(Pair(row, column, -negative))
    pairs = {kind: tuple(sorted(several)) for kind, several in found.items()}
    return BoxChanges(**pairs, removed=tuple(sorted(left)), added=tuple(sorted(right)))


def _kind(before: PictureBoxes, after: PictureBoxes, row: int, column: int) -> str:
    if before.classes[row] != after.classes[column]:
        return "reclassed"
    if np.abs(before.xyxy[row] - after.xyxy[column]).max() > SAME_PX:
        return "moved"
    return "same" if before.marks[row] == after.marks[column] else "marked"
