"""What all runtimes share: pictures in, the heads' logits out, one picture at a time on a processor."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traffic_yolo.darknet.network import Network


class Runtime(ABC):
    """Computes the logits of one network at one input size, with its weights as they were when the runtime was made.

    `name` and `precision` are for the record of what was run. The threads are PyTorch's (`torch.set_num_threads`,
    OMP_NUM_THREADS) when the runtime is made. `batches_at_once`: calls that gain from one another's company, in as many
    threads; any runtime may be called from several.
    """

    name: ClassVar[str]
    precision: str
    batches_at_once: int = 1

    def __init__(self, network: Network, *, precision: str, input_hw: tuple[int, int] | None = None) -> None:
        """`input_hw` (height, width) is the cfg's unless given; raises `ValueError` for a size that it cannot have."""
        self.precision = precision
        self.input_channels = network.input_channels
        self.input_hw = network.input_hw if input_hw is None else input_hw
        network.check_input_shape((1, self.input_channels, *self.input_hw))

    def __call__(self, images: Tensor | NDArray[np.float32]) -> list[Tensor]:
        """(B, 3, H, W) float32 RGB in [0, 1] -> per head, in the cfg's order, the logits that `Network.forward` gives.

        Each is (B, `head.num_channels`, H / stride, W / stride) float32, on the device of the network. What a picture
        gives does not depend on its neighbours in the batch. Raises `ValueError` for another shape or dtype.
        """
        batch = torch.from_numpy(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
        expected = (self.input_channels, *self.input_hw)
        if batch.ndim != 4 or tuple(batch.shape[1:]) != expected or batch.dtype != torch.float32:
            found = f"{tuple(batch.shape)} {str(batch.dtype).removeprefix('torch.')}"
            raise ValueError(f"images: expected (batch, {', '.join(map(str, expected))}) float32, found {found}")
        if not len(batch):
            raise ValueError("images: expected at least one, found an empty batch")
        with torch.inference_mode():
            return self._run_batch(batch)

    def _run_batch(self, batch: Tensor) -> list[Tensor]:
        # Larger batches only push the layers' outputs out of the cache: yolov4 in batches of 8 takes 1.7 times as long
        # a picture as alone (docs/performance.md).
        pictures = [self._run_picture(picture) for picture in torch.split(batch, 1)]
        return [torch.cat(head) for head in zip(*pictures, strict=True)] if len(pictures) > 1 else pictures[0]

    @abstractmethod
    def _run_picture(self, picture: Tensor) -> list[Tensor]:
        """(1, 3, H, W) float32 -> the logits, float32 and contiguous."""
