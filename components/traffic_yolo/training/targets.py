"""Which predictions are trained towards which true boxes: Darknet's rules of assignment (yolo_layer.c 519-635).

Knows boxes, anchors and grids (numpy); the loss made of the assignment is in `loss`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_shape_intersection, pairwise_shape_iou
from traffic_yolo.darknet.heads import YoloHead

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Truths:
    """The true boxes of a batch, those of picture 0 first.

    `boxes_cxcywh_norm` (T, 4) float32 in shares of the network input; `class_ids` (T,) int64; `image_index` (T,) int64
    ascending; `ignore` (T,) bool: boxes (crowds, cut-off slivers) that are trained neither as object nor as background.
    """

    boxes_cxcywh_norm: FloatArray
    class_ids: IntArray
    image_index: IntArray
    ignore: BoolArray

    def __post_init__(self) -> None:
        """Raises `ValueError` where the arrays do not have one row per box."""
        count = len(self.boxes_cxcywh_norm)
        if self.boxes_cxcywh_norm.shape != (count, 4):
            raise ValueError(f"boxes_cxcywh_norm: expected (T, 4), found {self.boxes_cxcywh_norm.shape}")
        for name in ("class_ids", "image_index", "ignore"):
            if getattr(self, name).shape != (count,):
                raise ValueError(f"{name}: expected ({count},), found {getattr(self, name).shape}")
        if np.any(np.diff(self.image_index) < 0):
            raise ValueError("image_index: expected ascending")

    def of_images(self, start: int, stop: int) -> "Truths":
        """The boxes of pictures `start` to `stop` - 1, which become pictures 0, 1, …"""
        rows = slice(*np.searchsorted(self.image_index, [start, stop]))
        return Truths(
            self.boxes_cxcywh_norm[rows], self.class_ids[rows], self.image_index[rows] - start, self.ignore[rows]
        )

    def where(self, rows: BoolArray) -> "Truths":
        """The boxes of the rows that are True (T,)."""
        return Truths(self.boxes_cxcywh_norm[rows], self.class_ids[rows], self.image_index[rows], self.ignore[rows])


@dataclass(frozen=True)
class Assignment:
    """One row per trained prediction of one head, in order of truth, then slot; all (K,) int64.

    `truth` is the row in `Truths`, `slot` the position in the head's mask. A truth may have several rows, and a
    prediction (image, slot, row, column) may have several truths.
    """

    image: IntArray
    truth: IntArray
    slot: IntArray
    row: IntArray
    column: IntArray
    is_best: BoolArray  # False: trained only because its anchor's overlap is above iou_thresh

    def __len__(self) -> int:
        return len(self.truth)


def shape_overlap(sizes_wh: FloatArray, anchors_wh: FloatArray, kind: str) -> FloatArray:
    """(T, 2) and (A, 2) sizes in one unit -> (T, A) overlap with the centres laid upon each other.

    `kind` is iou, giou, diou (here the same as iou) or ciou, as in `iou_thresh_kind`.
    """
    iou: FloatArray = pairwise_shape_iou(sizes_wh, anchors_wh).astype(np.float32, copy=False)  # (T, A)
    widths, heights = sizes_wh[:, :1], sizes_wh[:, 1:]  # (T, 1)
    anchor_widths, anchor_heights = anchors_wh[:, 0], anchors_wh[:, 1]  # (A,)
    if kind == "giou":
        shared = pairwise_shape_intersection(sizes_wh, anchors_wh)
        union = widths * heights + anchor_widths * anchor_heights - shared
        hull = np.maximum(widths, anchor_widths) * np.maximum(heights, anchor_heights)
        giou: FloatArray = iou - (hull - union) / hull
        return giou
    if kind == "ciou":
        angle = np.arctan(widths / heights) - np.arctan(anchor_widths / anchor_heights)
        aspect = np.float32(4 / np.pi**2) * angle**2
        ciou: FloatArray = iou - aspect**2 / (1 - iou + aspect + np.float32(1e-6))
        return ciou
    return iou


def assign(truths: Truths, head: YoloHead, *, grid_hw: tuple[int, int], network_wh: tuple[int, int]) -> Assignment:
    """The predictions of `head` that are trained towards `truths`.

    A truth trains the cell that holds its centre: in the slot of its best anchor (largest IoU of shapes over all
    anchors of the network, the first of equals) where that anchor is in the head's mask, and in every other slot whose
    anchor's overlap is above `head.iou_thresh` (at 1, Darknet's default: none). Ignored truths are not assigned.
    """
    rows = np.flatnonzero(~truths.ignore)
    boxes = truths.boxes_cxcywh_norm[rows]  # (T, 4)
    anchors_wh = np.divide(head.anchors, network_wh, dtype=np.float32)  # (all anchors, 2)
    mask = np.asarray(head.mask)
    best_anchor = shape_overlap(boxes[:, 2:], anchors_wh, "iou").argmax(axis=1)  # (T,)
    is_best = best_anchor[:, None] == mask  # (T, slots)
    trained = is_best
    if head.iou_thresh < 1:
        trained = is_best | (shape_overlap(boxes[:, 2:], anchors_wh[mask], head.iou_thresh_kind) > head.iou_thresh)
    truth, slot = np.nonzero(trained)
    height, width = grid_hw
    # A centre on the right or lower edge belongs to the last cell (Darknet would write into the next row).
    columns = np.minimum((boxes[:, 0] * np.float32(width)).astype(np.int64), width - 1)
    cell_rows = np.minimum((boxes[:, 1] * np.float32(height)).astype(np.int64), height - 1)
    return Assignment(
        image=truths.image_index[rows][truth],
        truth=rows[truth],
        slot=slot,
        row=cell_rows[truth],
        column=columns[truth],
        is_best=is_best[truth, slot],
    )


def join_truths(
    boxes_cxcywh_norm: Sequence[FloatArray], class_ids: Sequence[IntArray], ignore: Sequence[BoolArray]
) -> Truths:
    """The `Truths` of a batch from one entry per picture: (n, 4), (n,) and (n,) arrays."""
    counts = [len(boxes) for boxes in boxes_cxcywh_norm]
    return Truths(
        np.concatenate([np.zeros((0, 4), np.float32), *boxes_cxcywh_norm]).astype(np.float32),
        np.concatenate([np.zeros(0, np.int64), *class_ids]).astype(np.int64),
        np.repeat(np.arange(len(counts)), counts).astype(np.int64),
        np.concatenate([np.zeros(0, bool), *ignore]).astype(bool),
    )
