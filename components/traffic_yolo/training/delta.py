"""Minus the gradient of a loss at what enters a head, and how autograd is given it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from traffic_yolo.training.head_grid import Places


@dataclass(frozen=True)
class HeadDelta:
    """A head's deltas: `objectness` (B, A, h, w) of all predictions, `box` (U, 4) and `classes` (U, C) at `places`.

    Everywhere else boxes and classes have none, which is why they are kept apart: the whole is a hundred times larger.
    """

    objectness: Tensor
    box: Tensor
    classes: Tensor
    places: Places

    def times(self, factor: float) -> "HeadDelta":
        """All of it multiplied."""
        return HeadDelta(self.objectness * factor, self.box * factor, self.classes * factor, self.places)


def handed_out(value: Tensor, inputs: Sequence[Tensor], deltas: Sequence[HeadDelta]) -> Tensor:
    """`value` (scalar), whose gradient at each of `inputs` (B, A * (5 + C), h, w) is minus its delta."""
    parts = [part for d in deltas for part in (d.objectness, d.box, d.classes, *d.places.index)]
    handed: Tensor = _HandedOut.apply(value, *inputs, *parts)  # type: ignore[no-untyped-call]
    return handed


class _HandedOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, *tensors: Tensor) -> Tensor:
        """H inputs, then seven tensors for each of them."""
        ctx.num_heads = len(tensors) // 8
        ctx.like = [(x.shape, x.stride(), x.dtype) for x in tensors[: ctx.num_heads]]
        ctx.save_for_backward(*tensors[ctx.num_heads :])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Minus each delta, times the gradient of the value."""
        saved, found = ctx.saved_tensors, []
        for head, (shape, stride, dtype) in enumerate(ctx.like):
            objectness, box, classes, image, slot, row, column = saved[7 * head : 7 * head + 7]
            batch, slots, height, width = objectness.shape
            gradient = torch.empty_strided(shape, stride, dtype=dtype, device=objectness.device).zero_()
            entries = gradient.view(batch, slots, shape[1] // slots, height, width)
            torch.mul(objectness, -gradients[0], out=entries[:, :, 4])
            entries[:, :, :4][image, slot, :, row, column] = (box * -gradients[0]).to(dtype)
            entries[:, :, 5:][image, slot, :, row, column] = (classes * -gradients[0]).to(dtype)
            found.append(gradient)
        return (None, *found, *[None] * len(saved))
