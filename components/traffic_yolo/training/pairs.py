"""The predictions of a head that are trained towards truths, in Darknet's order, and how often each has its turn."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.training.head_grid import HeadGrid, Places
from traffic_yolo.training.overlaps import Overlapping
from traffic_yolo.training.targets import Assignment, Truths


@dataclass(frozen=True)
class Pairs:
    """N pairs of a prediction and a truth, in the order in which Darknet meets them; U predictions take part.

    `places` (U,) the predictions; (N,) each: `cell` the pair's prediction as an index into them, `turn` how many pairs
    its prediction had before, `image`, `class_ids` and `boxes` (N, 4) cxcywh float64 of the truth, `assigned` False
    where the pair stands for an overlap above truth_thresh (rule 7), `overlap` its IoU there and 0 elsewhere.
    `turns` is the most pairs of one prediction.
    """

    places: Places
    cell: Tensor
    turn: Tensor
    class_ids: Tensor
    boxes: Tensor
    assigned: Tensor
    overlap: Tensor
    turns: int

    def __len__(self) -> int:
        return len(self.cell)


def pairs_of(grid: HeadGrid, truths: Truths, assignment: Assignment, overlaps: Overlapping) -> Pairs:
    """The pairs of an assignment, after those of all predictions in `overlaps` (above truth_thresh)."""
    device = grid.entries.device
    early = np.stack([x.cpu().numpy() for x in overlaps.places.index])  # (4, E)
    late = np.stack([assignment.image, assignment.slot, assignment.row, assignment.column])
    index = np.concatenate([early, late], axis=1)  # (4, N)
    batch, slots, _, height, width = grid.entries.shape
    flat = np.ravel_multi_index(tuple(index), (batch, slots, height, width))
    cells, cell = np.unique(flat, return_inverse=True)
    turn = _turns(cell)
    truth = np.concatenate([overlaps.truth.cpu().numpy(), assignment.truth])
    assigned = np.arange(len(flat)) >= early.shape[1]

    def to_device(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(device)

    places = Places(*(to_device(x) for x in np.unravel_index(cells, (batch, slots, height, width))))
    overlap = torch.zeros(len(flat), dtype=torch.float64, device=device)
    overlap[: len(overlaps.iou)] = overlaps.iou
    return Pairs(
        places=places,
        cell=to_device(cell),
        turn=to_device(turn),
        class_ids=to_device(truths.class_ids[truth]),
        boxes=to_device(truths.boxes_cxcywh_norm[truth]).double(),
        assigned=to_device(assigned),
        overlap=overlap,
        turns=int(turn.max(initial=-1)) + 1,
    )


def _turns(cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) groups -> (N,) how often the same group came before."""
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    turn = np.empty(len(cell), np.int64)
    turn[order] = np.arange(len(cell)) - np.repeat(first, np.diff(first, append=len(cell)))
    return turn
