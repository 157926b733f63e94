"""The runtime that is always there: PyTorch, on processors with oneDNN's fused convolutions."""

import threading
from typing import ClassVar

import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.fused_convolution import FusedConvolution
from traffic_yolo.darknet.runtimes.inference_network import fuse_activations, inference_network
from traffic_yolo.darknet.runtimes.picture_threads import PictureThreads


class PyTorchRuntime(Runtime):
    """PyTorch on the device of the network's weights: each picture by itself on processors, whole batches on a GPU."""

    name: ClassVar[str] = "pytorch"

    def __init__(self, network: Network, *, precision: str, input_hw: tuple[int, int] | None = None) -> None:
        """See `Runtime`; raises `OptionsError` for bfloat16 on a device that does not multiply in it."""
        super().__init__(network, precision=precision, input_hw=input_hw)
        self._device = next(network.parameters()).device
        self._network = inference_network(network, precision=precision)
        if self._device.type == "cpu" and FusedConvolution.is_available():
            fuse_activations(self._network, self.input_hw)
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self._threads = torch.get_num_threads()
        self._beside: PictureThreads | None = None
        self._beginning = threading.Lock()
        if self._device.type == "cpu" and self._threads > 1:
            self.batches_at_once = 2  # when one has fewer pictures left than there are threads, the next has some

    def _run_batch(self, batch: Tensor) -> list[Tensor]:
        if self._device.type != "cpu":
            return self._run_picture(batch)
        if len(batch) == 1 or self._threads == 1:
            return super()._run_batch(batch)
        with self._beginning:
            if self._beside is None:
                super()._run_batch(batch[:1])  # what PyTorch sets up at a first call, one thread sets up
                self._beside = PictureThreads(min(len(batch), self._threads), self._threads)
        pictures = self._beside.map(self._run_picture, torch.split(batch, 1))
        return [torch.cat(head) for head in zip(*pictures, strict=True)]

    def _run_picture(self, picture: Tensor) -> list[Tensor]:
        x = picture.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)
        return [logits.float().contiguous() for logits in self._network(x)]
