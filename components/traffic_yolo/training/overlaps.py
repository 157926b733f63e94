"""Which predictions overlap a true box or lie in an ignored one, over all cells of a head (Darknet's all-cells pass).

Darknet holds every prediction against every truth. Only few of these pairs can overlap enough: a prediction's centre
lies in its cell, so a truth meets none but those of the cells around its own centre, and only they are looked at.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.training.box_loss import TINY, edges_and_area, iou_with, shared_area
from traffic_yolo.training.head_grid import HeadGrid, Places
from traffic_yolo.training.targets import BoolArray, Truths

CLASS_MATCH = 0.25  # yolo_layer.c 356: an overlap counts only for a prediction with some class above this
IGNORE_REGION = 0.5  # share of a prediction inside an ignored box from which on it is not punished as background
PAIRS_AT_ONCE = 1 << 20  # predictions against truths
CELL_MARGIN = 1e-3  # cells; above the rounding of float32 in a grid of thousands


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
class _Candidates:
    """Pairs of a prediction and a box, (P,): `truth` the row in `Truths`, `boxes` (P, 4) cxcywh float64 of both."""

    places: Places
    truth: Tensor
    predicted: Tensor
    true: Tensor


def overlapping(grid: HeadGrid, truths: Truths) -> Overlapping:
    """All predictions above the lower one of `ignore_thresh` and `truth_thresh`.

    The IoU is the largest with any truth that is not ignored; the first truth of equals.
    """
    head = grid.head
    lowest = min(head.ignore_thresh, head.truth_thresh)
    # Overlap t in an area asks for t along each axis; of boxes b and a <= b / t long that puts the centres at most
    # this share of b apart.
    reach = (1 - lowest) / (2 * lowest) if lowest > 0 else math.inf
    found = []
    for pairs in _candidates(grid, truths, ~truths.ignore, reach):
        iou = iou_with(edges_and_area(pairs.predicted), edges_and_area(pairs.true))
        above = (iou > lowest).nonzero()[:, 0]
        found.append((*pairs.places.at(above).index, iou[above], pairs.truth[above]))
    image, slot, row, column, iou, truth = (torch.cat(x) for x in zip(*found, strict=True))
    return _best_of_each(grid, Places(image, slot, row, column), iou, truth)


def _best_of_each(grid: HeadGrid, places: Places, iou: Tensor, truth: Tensor) -> Overlapping:
    """Of pairs (P,) those with the largest IoU of their prediction, and of equal ones the first truth's."""
    cells, cell = torch.unique(places.flat(grid.entries), return_inverse=True)
    best = torch.zeros(len(cells), dtype=iou.dtype, device=iou.device).scatter_reduce(0, cell, iou, "amax")
    largest = torch.iinfo(truth.dtype).max
    first = torch.full_like(cells, largest)
    first = first.scatter_reduce(0, cell, torch.where(iou == best[cell], truth, largest), "amin")
    chosen = Places.from_flat(cells, grid.entries)
    image, slot, row, column = chosen.index
    classes = grid.entries[:, :, 5:][image, slot, :, row, column]  # (N, C)
    # Logits are compared as they are: it is the same question.
    threshold = CLASS_MATCH if grid.head.new_coords else math.log(CLASS_MATCH / (1 - CLASS_MATCH))
    return Overlapping(chosen, best, first, classes.amax(dim=1) > threshold)


def in_ignored(grid: HeadGrid, truths: Truths) -> Places | None:
    """The predictions of which more than `IGNORE_REGION` lies in one ignored box; None without ignored boxes."""
    if not truths.ignore.any():
        return None
    found = []
    # With more than half of a box along each axis, its centre is inside.
    for pairs in _candidates(grid, truths, truths.ignore, 0.5):
        predicted = edges_and_area(pairs.predicted)
        inside = shared_area(predicted, edges_and_area(pairs.true)) / predicted[4].clamp(min=TINY)
        found.append(pairs.places.at(inside > IGNORE_REGION).index)
    return Places(*(torch.cat(x) for x in zip(*found, strict=True)))


def _candidates(grid: HeadGrid, truths: Truths, chosen: BoolArray, reach: float) -> list[_Candidates]:
    """All predictions whose centre may be within `reach` sizes of a `chosen` (T,) box's, and that box.

    In parts, at least one, of not much more than `PAIRS_AT_ONCE` pairs.
    """
    rows = np.flatnonzero(chosen)
    boxes = truths.boxes_cxcywh_norm[rows].astype(np.float64)
    height, width = grid.grid_hw
    lowest, highest = grid.offset_range
    limits = []
    for axis, cells in ((0, width), (1, height)):
        centre, far = boxes[:, axis] * cells, np.minimum(boxes[:, axis + 2] * reach * cells, 2.0 * cells) + CELL_MARGIN
        first = np.clip(np.ceil(centre - far - highest), 0, cells).astype(np.int64)
        last = np.clip(np.floor(centre + far - lowest), -1, cells - 1).astype(np.int64)
        limits.append((first, np.maximum(last - first + 1, 0)))
    (column, columns), (row, lines) = limits
    counts = columns * lines * grid.head.num_anchors
    part = np.cumsum(counts) // PAIRS_AT_ONCE
    parts = [np.flatnonzero(part == number) for number in np.unique(part)] or [np.zeros(0, np.int64)]

    def pairs_of(some: NDArray[np.int64]) -> _Candidates:
        of = np.repeat(some, counts[some])  # (P,)
        within = np.arange(len(of)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
        cell, slot = np.divmod(within, grid.head.num_anchors)
        down, right = np.divmod(cell, columns[of])
        arrays = (truths.image_index[rows[of]], slot, row[of] + down, column[of] + right)
        places = Places(*(torch.from_numpy(x).to(grid.entries.device) for x in arrays))
        image, slots, cell_row, cell_column = places.index
        values = grid.entries[:, :, :4][image, slots, :, cell_row, cell_column].double()  # (P, 4)
        true = torch.from_numpy(boxes[of]).to(values.device)
        return _Candidates(places, torch.from_numpy(rows[of]).to(values.device), grid.boxes(values, places), true)

    return [pairs_of(some) for some in parts]
