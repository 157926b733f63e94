"""Darknet's delta of a [yolo] head, rule by rule (yolo_layer.c 416-653): minus the gradient at what enters the head.

Dense numbers are in the dtype of the inputs, those of trained predictions in float64: Darknet's boxes lose digits in
float32 where they are tiny.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.box_delta import box_delta
from traffic_yolo.training.head_grid import HeadGrid
from traffic_yolo.training.overlaps import Overlapping, in_ignored, overlapping
from traffic_yolo.training.pairs import Pairs, pairs_of
from traffic_yolo.training.targets import Truths, assign

FOCAL_ALPHA = 0.5  # yolo_layer.c 327: written into the source, as the exponent 2 is


@dataclass(frozen=True)
class HeadDelta:
    """A head's `delta` (B, A, 5 + C, h, w), the `pairs` it trains, and how many box deltas met one already there."""

    delta: Tensor
    pairs: Pairs
    rewritten: Tensor


def class_multipliers(head: YoloHead, like: Tensor) -> Tensor:
    """(C,) weights of the classes: the largest of `counters_per_class` over each, at most max_delta; 1 without."""
    if not head.counters_per_class:
        return torch.ones(head.num_classes, dtype=like.dtype, device=like.device)
    counters = torch.tensor(head.counters_per_class, dtype=like.dtype, device=like.device).clamp(min=1)
    return (counters.max() / counters).clamp(max=head.max_delta)  # parser.c 419


def darknet_delta(grid: HeadGrid, truths: Truths) -> HeadDelta:
    """The delta as `forward_yolo_layer` leaves it, but for the rejection of bad labels."""
    head = grid.head
    delta = torch.zeros_like(grid.entries)
    overlaps = overlapping(grid, truths)
    objectness = delta[:, :, 4]  # (B, A, h, w), a view
    torch.mul(grid.probabilities(grid.entries[:, :, 4]), -head.obj_normalizer, out=objectness)  # rule 5
    if (ignored := in_ignored(grid, truths)) is not None:
        objectness[ignored.index] = 0.0
    _spare_overlapping(grid, objectness, overlaps)
    assignment = assign(truths, head, grid_hw=grid.grid_hw, network_wh=grid.network_wh)
    pairs = pairs_of(grid, truths, assignment, overlaps.where(overlaps.iou > head.truth_thresh))
    rewritten = torch.zeros((), dtype=torch.int64, device=delta.device)
    if len(pairs):
        state = _State.of(grid, pairs, objectness)
        for turn in range(pairs.turns):
            rewritten += state.take(turn)
        image, slot, row, column = pairs.places.index
        delta[image, slot, :, row, column] = state.averaged().to(delta.dtype)
    return HeadDelta(delta, pairs, rewritten)


def _spare_overlapping(grid: HeadGrid, objectness: Tensor, overlaps: Overlapping) -> None:
    """Rule 6, in place: a prediction with a class that overlaps a truth well is not background."""
    head = grid.head
    well = overlaps.where(overlaps.matches & (overlaps.iou > head.ignore_thresh))
    index = well.places.index
    if not head.objectness_smooth:
        objectness[index] = 0.0
        return
    towards = head.obj_normalizer * (well.iou.to(objectness) - grid.probabilities(grid.entries[:, :, 4][index]))
    objectness[index] = torch.maximum(objectness[index], towards)


class _State:
    """The deltas of the predictions that take part, while their truths have their turns one after the other.

    Each turn treats one truth of every prediction, so that what a prediction has from the truths before is known.
    """

    def __init__(self, grid: HeadGrid, pairs: Pairs, rows: Tensor, objectness: Tensor) -> None:
        """`rows` (U, 5 + C) the entries, `objectness` (U,) its delta so far."""
        self.head, self.pairs = grid.head, pairs
        self.probabilities = grid.probabilities(rows[:, 4:]).double()  # (U, 1 + C)
        self.multiplier = class_multipliers(self.head, self.probabilities)[pairs.class_ids]  # (N,)
        self.box = torch.zeros(len(rows), 4, dtype=torch.float64, device=rows.device)
        self.objectness = objectness.double()
        self.classes = torch.zeros_like(self.probabilities[:, 1:])
        places = pairs.places.at(pairs.cell)
        values = rows[:, :4].double()[pairs.cell]
        self.box_parts = box_delta(grid, values, places, pairs.boxes, self.multiplier)  # (N, 4)
        self.class_parts = _first_class_delta(self.head, self.probabilities[pairs.cell, 1:], pairs, self.multiplier)

    @classmethod
    def of(cls, grid: HeadGrid, pairs: Pairs, objectness: Tensor) -> "_State":
        """From `objectness` (B, A, h, w), the delta of all predictions after the pass over all cells."""
        return cls(grid, pairs, grid.rows(pairs.places), objectness[pairs.places.index])

    def take(self, turn: int) -> Tensor:
        """Adds the pairs of one turn, in place; how many of their predictions had a box delta before (rule 15)."""
        now = (self.pairs.turn == turn).nonzero()[:, 0]
        cell = self.pairs.cell[now]
        rewritten = (self.box[cell] != 0).any(dim=1).sum()
        self.box[cell] += self.box_parts[now]
        self._take_classes(now, cell)
        self._take_objectness(now, cell)
        return rewritten

    def _take_classes(self, now: Tensor, cell: Tensor) -> None:
        """Rule 12: the first truth sets all classes, a later one its own; smooth rule 7 sets its own once more."""
        class_id = self.pairs.class_ids[now][:, None]
        before = self.classes[cell]  # (n, C)
        probability = self.probabilities[cell, 1:].gather(1, class_id)
        own = (1 - self.head.label_smooth_eps / 2 - probability) * self.multiplier[now, None]
        written = before.gather(1, class_id) != 0
        after = torch.where(written, before.scatter(1, class_id, own), self.class_parts[now])
        if self.head.objectness_smooth:
            towards = self.multiplier[now, None] * (self.pairs.overlap[now, None].square() - probability)
            overlap = after.scatter(1, class_id, towards)
            after = torch.where(self.pairs.assigned[now, None], after, overlap)
        self.classes[cell] = after

    def _take_objectness(self, now: Tensor, cell: Tensor) -> None:
        """Rules 7 and 13: the last truth's weight stands; with objectness_smooth only an exact 0 is written over."""
        head, assigned = self.head, self.pairs.assigned[now]
        probability, before = self.probabilities[cell, 0], self.objectness[cell]
        target = self.pairs.overlap[now].square() if head.objectness_smooth else torch.ones_like(before)
        by_overlap = head.obj_normalizer * (target - probability)
        by_truth = self.multiplier[now] * head.obj_normalizer * (1 - probability)
        if head.objectness_smooth:
            by_truth = torch.where(before == 0, by_truth, before)
        self.objectness[cell] = torch.where(assigned, by_truth, by_overlap)

    def averaged(self) -> Tensor:
        """(U, 5 + C) the deltas; beside iou_thresh, boxes over the number of classes with a positive delta (rule 14)."""
        box = self.box
        if self.head.iou_thresh < 1:
            divisor = (self.classes > 0).sum(dim=1).clamp(min=1)
            box = box / torch.where(self.objectness != 0, divisor, 1)[:, None]
        return torch.cat([box, self.objectness[:, None], self.classes], dim=1)


def _first_class_delta(head: YoloHead, probabilities: Tensor, pairs: Pairs, multiplier: Tensor) -> Tensor:
    """(N, C) class deltas of a prediction that no truth had before (rule 12)."""
    class_id = pairs.class_ids[:, None]
    hot = torch.zeros_like(probabilities).scatter_(1, class_id, 1.0)
    if head.focal_loss:
        own = probabilities.gather(1, class_id) + 1e-15  # keeps the logarithm finite
        gradient = -(1 - own) * (2 * own * own.log() + own - 1)
        return (hot - probabilities) * FOCAL_ALPHA * gradient
    eps = head.label_smooth_eps
    delta = hot * (1 - eps) + eps / 2 - probabilities
    if head.counters_per_class:  # the only place where Darknet heeds cls_normalizer
        delta = delta * (1 + hot * (multiplier[:, None] * head.cls_normalizer - 1))
    return delta
