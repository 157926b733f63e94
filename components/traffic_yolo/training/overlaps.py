"""Which predictions overlap a true box or lie in an ignored one, over all cells of a head (Darknet's all-cells pass).

Rule numbers, here and in the modules beside, count Darknet's rules in the order of yolo_layer.c; docs/training-loss.md
lists them.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from traffic_yolo.training.box_loss import TINY, edges_and_area, iou_with, shared_area
from traffic_yolo.training.head_grid import HeadGrid, Places
from traffic_yolo.training.targets import Truths

CLASS_MATCH = 0.25  # yolo_layer.c 356: an overlap counts only for a prediction with some class above this
IGNORE_REGION = 0.5  # share of a prediction inside an ignored box from which on it is not punished as background
PAIRS_AT_ONCE = 1 << 18  # boxes against boxes; a float32 each then stays in a processor's second-level cache


@dataclass(frozen=True)
class Overlapping:
    """Predictions whose best truth overlaps them by more than a threshold; (N,) each.

    `iou` float64; `truth` the row in `Truths`; `matches`: has some class above `CLASS_MATCH`.
    """

    places: Places
    iou: Tensor
    truth: Tensor
    matches: Tensor

    def where(self, mask: Tensor) -> "Overlapping":
        """The predictions where `mask` (N,) is True."""
        return Overlapping(self.places.at(mask), self.iou[mask], self.truth[mask], self.matches[mask])


@dataclass(frozen=True)
class _PerPicture:
    """Boxes in tables of one row per picture: `boxes` (B, T, 4) cxcywh, `rows` (B, T) in `Truths`, -1: none."""

    boxes: Tensor
    rows: Tensor


def overlapping(grid: HeadGrid, truths: Truths) -> Overlapping:
    """All predictions above `ignore_thresh` that match some class, and with truth_thresh < 1 all above the lesser one.

    The IoU is the largest with any truth that is not ignored; the first truth of equals.
    """
    head = grid.head
    objects = _per_picture(truths, ~truths.ignore, grid)
    any_class = head.truth_thresh < 1
    # Logits are compared as they are: a sigmoid of all classes would cost more than all the rest.
    threshold = CLASS_MATCH if head.new_coords else float(np.log(CLASS_MATCH / (1 - CLASS_MATCH)))
    matches = grid.entries[:, :, 5:].amax(dim=2) > threshold  # (B, A, h, w)
    wanted = torch.ones_like(matches) if any_class else matches
    wanted = wanted & (objects.rows[:, :1] >= 0).any(dim=1)[:, None, None, None]
    places = Places(*wanted.nonzero(as_tuple=True))
    lowest = min(head.ignore_thresh, head.truth_thresh) if any_class else head.ignore_thresh
    places, column = _best(grid, places, objects.boxes, lowest)
    truth = objects.rows[places.image, column]
    # Once more in float64, for the few: objectness_smooth trains towards this number.
    predicted = edges_and_area(grid.boxes(grid.rows(places)[:, :4].double(), places))  # (5, N)
    true = edges_and_area(objects.boxes[places.image, column].double())
    return Overlapping(places, iou_with(predicted, true), truth, matches[places.index])


def _best(grid: HeadGrid, places: Places, boxes: Tensor, lowest: float) -> tuple[Places, Tensor]:
    """Those of `places` that overlap a box of their picture by more than `lowest`, and which of `boxes` (B, T, 4)."""
    found, columns = [], []
    true = edges_and_area(boxes)  # (5, B, T)
    for part in places.split(max(1, PAIRS_AT_ONCE // boxes.shape[1])):
        predicted = edges_and_area(grid.boxes(grid.rows(part)[:, :4], part))[..., None]  # (5, n, 1)
        iou, column = iou_with(predicted, true[:, part.image]).max(dim=1)
        above = (iou > lowest).nonzero()[:, 0]
        found.append(part.at(above))
        columns.append(column[above])
    if not found:
        return places, torch.zeros(0, dtype=torch.int64, device=boxes.device)
    joined = Places(*(torch.cat(x) for x in zip(*(part.index for part in found), strict=True)))
    return joined, torch.cat(columns)


def in_ignored(grid: HeadGrid, truths: Truths) -> Places | None:
    """The predictions of which more than `IGNORE_REGION` lies in one ignored box; None without ignored boxes."""
    if not truths.ignore.any():
        return None
    regions = _per_picture(truths, truths.ignore, grid)
    batch, slots, _, height, width = grid.entries.shape
    wanted = (regions.rows[:, 0] >= 0)[:, None, None, None].expand(batch, slots, height, width)
    found = []
    true = edges_and_area(regions.boxes)  # (5, B, T)
    for part in Places(*wanted.nonzero(as_tuple=True)).split(max(1, PAIRS_AT_ONCE // regions.boxes.shape[1])):
        predicted = edges_and_area(grid.boxes(grid.rows(part)[:, :4], part))[..., None]  # (5, n, 1)
        inside = shared_area(predicted, true[:, part.image]) / predicted[4].clamp(min=TINY)
        found.append(part.at(inside.amax(dim=1) > IGNORE_REGION))
    return Places(*(torch.cat(x) for x in zip(*(part.index for part in found), strict=True)))


def _per_picture(truths: Truths, chosen: np.ndarray, grid: HeadGrid) -> _PerPicture:
    """The `chosen` boxes (T,) of each picture, those of equal rank one below the other."""
    batch = len(grid.entries)
    rows = np.flatnonzero(chosen)
    image = truths.image_index[rows]
    counts = np.bincount(image, minlength=batch)
    column = np.arange(len(rows)) - (np.cumsum(counts) - counts)[image]
    boxes = np.zeros((batch, max(1, counts.max(initial=0)), 4), np.float32)  # no box: without area, overlaps nothing
    table = np.full(boxes.shape[:2], -1)
    boxes[image, column] = truths.boxes_cxcywh_norm[rows]
    table[image, column] = rows
    return _PerPicture(torch.from_numpy(boxes).to(grid.entries), torch.from_numpy(table).to(grid.entries.device))
