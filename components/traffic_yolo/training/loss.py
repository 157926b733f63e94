"""The loss of [yolo] heads: Darknet's, whose deltas are no gradient of anything, or an exact one of the same aims.

`darknet` hands out the deltas that Darknet's source writes down (`darknet_loss`); its value is Darknet's cost, whose
box part is summed over the trained predictions here, not averaged, so that slices of a batch add up. `exact` is an
objective with its true gradient (`exact_loss`). docs/training-loss.md says how they differ and what was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.box_loss import box_measure
from traffic_yolo.training.darknet_loss import darknet_delta
from traffic_yolo.training.delta import HeadDelta, handed_out
from traffic_yolo.training.exact_loss import exact_objective
from traffic_yolo.training.head_grid import HeadGrid
from traffic_yolo.training.options import DEFAULT_LOSS, LOSSES
from traffic_yolo.training.pairs import Pairs
from traffic_yolo.training.rejection import Rejection
from traffic_yolo.training.targets import Truths


@dataclass(frozen=True)
class Loss:
    """Of a batch, summed over its pictures and over heads. `total` carries the gradient; other tensors are detached.

    `box`, `objectness` and `classes` are the parts of `total`. `cost` is the number that Darknet reports (its mean over
    heads); with an exact loss it is `total`. `iou` is the mean IoU of the `num_assigned` predictions trained towards a
    truth with that truth, 0 without any. `total_bbox` and `rewritten_bbox` are Darknet's counters of box deltas, and of
    those that met another one in their cell. NaN among the inputs makes `total` NaN. `distillation`: the part of
    `total` that a teacher has, None without one.
    """

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor
    cost: Tensor
    iou: Tensor
    num_assigned: int
    total_bbox: int
    rewritten_bbox: Tensor
    distillation: Tensor | None = None

    def with_distillation(self, part: Tensor) -> "Loss":
        """With a teacher's part (scalar with its gradient)."""
        return replace(self, total=self.total + part.to(self.total.dtype), distillation=part.detach())


def check_heads(heads: Sequence[YoloHead], net: Section, *, kind: str) -> None:
    """Raises `TrainingError` for what this `kind` of loss cannot do of the [yolo] sections and of [net]."""
    for head in heads:
        if head.section_name != "yolo":
            where = f"[{head.section_name}] of layer {head.layer_index}"
            raise TrainingError(f"{where}: cannot be trained here; take [yolo] heads")
        if head.untrained_keys:
            where = f"[yolo] of layer {head.layer_index}"
            raise TrainingError(f"{where}: {head.untrained_keys[0]} is not supported in training; remove the key")
    if kind == "exact" and (keys := Rejection(net, max_batches=1).keys):
        raise TrainingError(f"[net] {keys[0]}: works with loss darknet only; remove the key, or choose loss darknet")


class YoloLoss:
    """The loss of a network's heads. It has a state only where [net] asks for the rejection of bad labels."""

    def __init__(self, heads: Sequence[YoloHead], net: Section, *, kind: str = DEFAULT_LOSS, max_batches: int) -> None:
        """`kind`: one of `LOSSES`; `max_batches`: updates of the whole training. Raises as `check_heads` does."""
        if kind not in LOSSES:
            raise ValueError(f"kind: expected {' or '.join(LOSSES)}, found {kind!r}")
        check_heads(heads, net, kind=kind)
        self.heads, self.kind = tuple(heads), kind
        self._rejection = Rejection(net, max_batches=max_batches)

    def state_dict(self) -> dict[str, float]:
        """The state, for a checkpoint."""
        return self._rejection.state_dict()

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Takes over what `state_dict` gave, in place."""
        self._rejection.load_state_dict(state)

    def __call__(
        self, head_inputs: Sequence[Tensor], truths: Truths, *, network_wh: tuple[int, int], iteration: int
    ) -> Loss:
        """The loss of B pictures, not divided by anything: slices of a batch add up to the batch.

        `head_inputs`: per head what enters it, (B, A * (5 + C), h, w), float32 or float64, any memory format;
        `truths`: boxes of the pictures; `network_wh`: size of this input in pixels, which may change from call to call;
        `iteration`: updates done before this one. Raises `TrainingError` for a class that the heads do not have.
        """
        _check_classes(truths, self.heads[0].num_classes)
        grids = [HeadGrid.of(head, x, network_wh) for head, x in zip(self.heads, head_inputs, strict=True)]
        one_head = self._darknet if self.kind == "darknet" else self._exact
        with torch.no_grad():
            parts = [one_head(grid, truths, iteration) for grid in grids]
            box, objectness, classes, cost = torch.stack([part.sums for part in parts]).unbind(dim=1)
            ious = torch.cat([part.iou for part in parts])
            sums = [x.sum() for x in (box, objectness, classes)]
            value = sum(sums[1:], sums[0]).to(head_inputs[0].dtype)
            value = value + sum(0 * x.sum() for x in head_inputs)  # deltas of boxes and classes do not reach all cells
        total = handed_out(value, head_inputs, [part.delta for part in parts])
        return Loss(
            total=total,
            box=sums[0],
            objectness=sums[1],
            classes=sums[2],
            cost=cost.mean() if self.kind == "darknet" else total.detach(),
            iou=ious.mean() if len(ious) else torch.zeros((), dtype=torch.float64, device=value.device),
            num_assigned=len(ious),
            total_bbox=sum(part.num_pairs for part in parts),
            rewritten_bbox=torch.stack([part.rewritten for part in parts]).sum(),
        )

    def _darknet(self, grid: HeadGrid, truths: Truths, iteration: int) -> "_HeadPart":
        head = grid.head
        found = darknet_delta(grid, truths)
        delta = self._rejection.apply(found.delta, iteration=iteration)
        box, objectness, classes = (_square_sum(x) for x in (delta.box, delta.objectness, delta.classes))
        iou = _assigned_measure(grid, found.pairs, "iou")
        cost = box + objectness + classes
        if head.iou_loss != "mse":  # rule 16
            objectness, classes = head.obj_normalizer * objectness, head.obj_normalizer * classes
            measure = _assigned_measure(grid, found.pairs, "giou") if head.iou_loss == "giou" else iou
            box = head.iou_normalizer * (1 - measure).sum()
            if head.show_details:
                cost = objectness + classes + box / max(1, len(measure))
        # Only Darknet's GPU code knows delta_normalizer (yolo_layer.c 1225): last, and not in what is printed.
        delta = delta if head.delta_normalizer == 1 else delta.times(head.delta_normalizer)
        return _HeadPart(delta, torch.stack([box, objectness, classes, cost]), iou, len(found.pairs), found.rewritten)

    def _exact(self, grid: HeadGrid, truths: Truths, iteration: int) -> "_HeadPart":  # noqa: ARG002
        found = exact_objective(grid, truths)
        factor = grid.head.delta_normalizer
        sums = factor * torch.stack([found.box, found.objectness, found.classes, torch.zeros_like(found.box)])
        iou = _assigned_measure(grid, found.pairs, "iou")
        rewritten = (found.pairs.turn > 0).sum()
        return _HeadPart(found.delta.times(factor), sums, iou, len(found.pairs), rewritten)


@dataclass(frozen=True)
class _HeadPart:
    """One head's delta; its box, objectness and class sums and cost (4,) float64; the IoU of each assigned pair."""

    delta: HeadDelta
    sums: Tensor
    iou: Tensor
    num_pairs: int
    rewritten: Tensor


def _square_sum(values: Tensor) -> Tensor:
    return values.square().sum(dtype=torch.float64)


def _assigned_measure(grid: HeadGrid, pairs: Pairs, kind: str) -> Tensor:
    """(K,) overlap of each prediction with the truth assigned to it."""
    assigned = pairs.assigned.nonzero()[:, 0]
    places = pairs.places.at(pairs.cell[assigned])
    predicted = grid.boxes(grid.rows(places)[:, :4].double(), places)
    return box_measure(predicted, pairs.boxes[assigned], kind)


def _check_classes(truths: Truths, num_classes: int) -> None:
    wrong = ~truths.ignore & ((truths.class_ids < 0) | (truths.class_ids >= num_classes))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        found = f"found class {truths.class_ids[row]} in picture {truths.image_index[row]} of the batch"
        raise TrainingError(f"boxes: expected class ids from 0 to {num_classes - 1}, those of the network, {found}")
