"""What enters a [yolo] section, seen as predictions in a grid: where each stands and which box it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from traffic_yolo.darknet.heads import YoloHead


@dataclass(frozen=True)
class Places:
    """Where N predictions stand in a head's grid: (N,) int64 tensors on the head's device."""

    image: Tensor
    slot: Tensor  # position in the head's mask
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def at(self, rows: Tensor) -> "Places":
        """The places of `rows`, indices (M,) or a mask (N,)."""
        return Places(self.image[rows], self.slot[rows], self.row[rows], self.column[rows])

    def split(self, size: int) -> "list[Places]":
        """The places in parts of at most `size`, in order."""
        parts = (x.split(size) for x in (self.image, self.slot, self.row, self.column))
        return [Places(*part) for part in zip(*parts, strict=True)]

    @property
    def index(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What picks these predictions out of a tensor (B, A, h, w)."""
        return self.image, self.slot, self.row, self.column


@dataclass(frozen=True)
class HeadGrid:
    """A head with the `entries` (B, A, 5 + C, h, w) that enter it; `network_wh` in pixels, the unit of anchors.

    Entries are logits; with `head.new_coords`, what the logistic convolution before made of them.
    """

    head: YoloHead
    entries: Tensor
    network_wh: tuple[int, int]

    @classmethod
    def of(cls, head: YoloHead, inputs: Tensor, network_wh: tuple[int, int]) -> "HeadGrid":
        """From `inputs` (B, A * (5 + C), h, w), float32 or float64 in any memory format; without their gradients."""
        batch, _, height, width = inputs.shape
        entries = inputs.detach().view(batch, head.num_anchors, 5 + head.num_classes, height, width)
        return cls(head, entries, network_wh)

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.entries.shape[3], self.entries.shape[4]

    def probabilities(self, values: Tensor) -> Tensor:
        """Objectness or class entries as probabilities (the same shape and dtype)."""
        return values if self.head.new_coords else values.sigmoid()

    def rows(self, places: Places) -> Tensor:
        """(N, 5 + C) all entries of some predictions."""
        return self.entries[places.image, places.slot, :, places.row, places.column]

    def boxes(self, values: Tensor, places: Places) -> Tensor:
        """(N, 4) box entries of predictions -> (N, 4) boxes cxcywh in shares of the network input (rule 3)."""
        return torch.cat([self.centres(values[:, :2], places), self.sizes(values[:, 2:], places)], dim=1)

    def offsets(self, values: Tensor) -> Tensor:
        """(N, 2) entries x, y -> the centre within its cell, in cells: scaled about the cell's middle by scale_x_y."""
        scale = self.head.scale_x_y
        return scale * self.probabilities(values) - (scale - 1) / 2

    def centres(self, values: Tensor, places: Places) -> Tensor:
        """(N, 2) entries x, y -> centres in shares of the network input."""
        cells = torch.stack([places.column, places.row], dim=1)
        return (cells + self.offsets(values)) / self._pair(self.grid_hw[::-1], values)

    def sizes(self, values: Tensor, places: Places) -> Tensor:
        """(N, 2) entries w, h -> widths and heights in shares of the network input."""
        in_anchors = 4 * values.square() if self.head.new_coords else values.exp()
        return in_anchors * self.anchors_norm(values)[places.slot]

    def anchors_norm(self, like: Tensor) -> Tensor:
        """(A, 2) the head's own anchors in shares of the network input, dtype and device of `like`."""
        return self._pair(self.head.mask_anchors, like) / self._pair(self.network_wh, like)

    @staticmethod
    def _pair(values: Sequence[object], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)
