"""The network of a cfg as a PyTorch module: builds the layers, runs them, loads and saves Darknet weights."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.decode import activate_head
from traffic_yolo.darknet.fuse import fuse_convolution
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.network_sections import layers_in, read_input_shape, read_sections
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.darknet.tracing import is_traced
from traffic_yolo.darknet.weights import (
    Float32Array,
    WeightsFile,
    WeightsHeader,
    all_finite,
    read_weights,
    write_weights,
)
from traffic_yolo.errors import DarknetFormatError
from traffic_yolo.storage import AnyPath


@dataclass(frozen=True)
class LoadedWeights:
    """What `Network.load_weights` found: the file's header, and how many layers from the first on it covers."""

    header: WeightsHeader
    loaded_layers: int


class Network(nn.Module):
    """A Darknet network.

    `layers[i]` is the module of Darknet's layer i and `sections[i]` what its section says (with `output`, its shape at
    the cfg's size). Convolutions are Sequentials of `conv`, `bn`, `activation`: ordinary nn.Conv2d and nn.BatchNorm2d.
    """

    def __init__(self, cfg: Cfg, *, seed: int | None = 0) -> None:
        """Builds the layers with Darknet's random start from `seed`; raises `DarknetFormatError` for a bad cfg.

        With None the weights hold anything, for a caller who sets all of them (`read` does).
        """
        super().__init__()
        self.cfg = cfg
        self.sections = read_sections(cfg)
        self.heads: list[YoloHead] = [section.head for section in self.sections if isinstance(section, HeadSection)]
        if not self.heads:
            known = "[yolo], [Gaussian_yolo] or [region]"
            raise DarknetFormatError(f"{cfg.file}: expected at least one {known} section, found none")
        self.num_classes = self.heads[0].num_classes
        for head in self.heads:
            if head.num_classes != self.num_classes:
                found = f"expected classes={self.num_classes} as in the first head, found {head.num_classes}"
                raise self.sections[head.layer_index].section.error(found, key="classes")
        self.input_channels, *input_hw = read_input_shape(cfg)
        self.input_hw: tuple[int, int] = (input_hw[0], input_hw[1])
        self.letterbox = cfg.net.get_int("letter_box", 0) != 0
        self.header: WeightsHeader | None = None
        self.is_fused = False
        modules = [section.build() for section in self.sections]
        for section, module in zip(self.sections, modules, strict=True):
            section.tie(module, modules)
        self.layers = nn.ModuleList(modules)
        self._released = _released_after(self.sections)
        if seed is not None:
            self.initialise(seed)

    @classmethod
    def read(cls, cfg: Cfg | AnyPath, weights: AnyPath) -> "Network":
        """The network of a cfg (or a cfg file) with all of a weights file, without the random start that it replaces.

        Raises as `Cfg.read` and `load_weights` do.
        """
        cfg = cfg if isinstance(cfg, Cfg) else Cfg.read(cfg)
        file = read_weights(weights)
        # Before anything is allocated: a small cfg may ask for gigabytes, which only a file of that size justifies.
        layers_in(file, cfg, read_sections(cfg), partial=False)
        network = cls(cfg, seed=None)
        # One pass over the file: a network that turns out to be broken is let go, so nothing needs checking before.
        network._fill(file, len(network.sections), check_finite=True)
        return network

    @classmethod
    def from_cfg(cls, cfg: Cfg | AnyPath, *, seed: int = 0) -> "Network":
        """The network of a parsed cfg or of a cfg file, with random weights made from `seed`."""
        return cls(cfg if isinstance(cfg, Cfg) else Cfg.read(cfg), seed=seed)

    @property
    def max_stride(self) -> int:
        """Network pixels per cell of the coarsest head; other input sizes must be multiples of it."""
        return max(head.stride for head in self.heads)

    @property
    def num_weights(self) -> int:
        """float32 values in this network's .weights file."""
        return sum(section.num_weights for section in self.sections)

    def initialise(self, seed: int) -> None:
        """Sets all weights in place to Darknet's start: kernels uniform in +-sqrt(2 / fan_in), the rest neutral.

        Each section's `initialise` says what that is for its type.
        """
        generator = np.random.default_rng(seed)
        with torch.no_grad():
            for section, layer in zip(self.sections, self.layers, strict=True):
                section.initialise(layer, generator)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float32 RGB in [0, 1] -> per head, in the cfg's order, the logits entering its section.

        Each is (B, `head.num_channels`, H / stride, W / stride); with new_coords they went through the sigmoid of
        the convolution before. H and W are the cfg's, or other multiples of `max_stride`.
        """
        self._check_images(images)
        outputs: dict[int, Tensor] = {-1: images}
        heads = []
        for section, layer, released in zip(self.sections, self.layers, self._released, strict=True):
            output: Tensor = layer(*[outputs[index] for index in section.inputs])
            if isinstance(section, HeadSection):
                heads.append(output)
            outputs[section.index] = output
            for index in released:
                del outputs[index]
        return heads

    def layer_outputs(self, images: Tensor) -> list[Tensor]:
        """The output (B, C, H, W) of every layer as Darknet has it: of a head after `activate_head`."""
        self._check_images(images)
        outputs: dict[int, Tensor] = {-1: images}
        for section, layer in zip(self.sections, self.layers, strict=True):
            output = layer(*[outputs[index] for index in section.inputs])
            outputs[section.index] = activate_head(section.head, output) if isinstance(section, HeadSection) else output
        return [outputs[index] for index in range(len(self.sections))]

    def _check_images(self, images: Tensor) -> None:
        if not is_traced():
            self.check_input_shape(tuple(images.shape))

    def check_input_shape(self, shape: tuple[int, ...]) -> None:
        """Raises `ValueError` unless `shape` is one that `forward` takes."""
        if len(shape) != 4 or shape[1] != self.input_channels:
            expected = f"(batch, {self.input_channels}, height, width)"
            raise ValueError(f"images: expected shape {expected}, found {shape}")
        height, width = shape[2:]
        if (height, width) == self.input_hw:
            return
        if fixed := [section.section.name for section in self.sections if section.needs_cfg_size]:
            expected = f"height {self.input_hw[0]}, width {self.input_hw[1]}, which the weights of [{fixed[0]}] fit"
            raise ValueError(f"images: expected {expected}, found height {height}, width {width}")
        if height % self.max_stride or width % self.max_stride:
            raise ValueError(f"images: expected multiples of {self.max_stride}, found height {height}, width {width}")

    def load_weights(self, path: AnyPath, *, partial: bool = False) -> LoadedWeights:
        """Loads Darknet weights in place; the file must hold exactly this network's values.

        `partial` also takes a file that ends after one of the layers (`yolov4.conv.137`): the layers behind it keep
        what they have. Raises `DarknetFormatError` with both byte counts for any other size, and for values that are
        no numbers; the network is then unchanged.
        """
        if self.is_fused:
            raise DarknetFormatError(f"{path}: a fused network takes no weights; load them before fuse()")
        file = read_weights(path)
        loaded_layers = layers_in(file, self.cfg, self.sections, partial=partial)
        self._check_finite(file, loaded_layers)
        self._fill(file, loaded_layers)
        return LoadedWeights(file.header, loaded_layers)

    def _fill(self, file: WeightsFile, loaded_layers: int, *, check_finite: bool = False) -> None:
        """Takes the weights of the first layers from the file, in place."""

        def targets() -> Iterator[Float32Array]:
            """The arrays to be filled in the file's order: the weights' own memory, or a buffer that is copied from.

            A buffer serves tensors that lie elsewhere or otherwise: on a GPU, transposed, in another dtype.
            """
            for section, layer in zip(self.sections[:loaded_layers], self.layers, strict=False):
                for name, tensor in section.weights(layer):
                    turned = file.header.is_transposed and name in section.transposed_in_old_files
                    place = tensor.T if turned else tensor
                    lies_plain = place.is_contiguous() and place.dtype == torch.float32 and place.device.type == "cpu"
                    array = place.detach().numpy() if lies_plain else np.empty(tuple(place.shape), np.float32)
                    yield array
                    if check_finite and not all_finite(array):
                        raise _not_finite(file, section)
                    if not lies_plain:
                        place.copy_(torch.from_numpy(array))

        with torch.no_grad():
            file.read_into(targets())
        self.header = file.header

    def _check_finite(self, file: WeightsFile, loaded_layers: int) -> None:
        index = file.first_not_finite(sum(section.num_weights for section in self.sections[:loaded_layers]))
        if index is None:
            return
        end = 0
        for section in self.sections[:loaded_layers]:
            end += section.num_weights
            if index < end:
                raise _not_finite(file, section)

    def save_weights(self, path: AnyPath, *, header: WeightsHeader | None = None, seen: int | None = None) -> None:
        """Writes Darknet weights atomically, with `header`, else the header of the weights loaded, else version 0.2.5.

        `seen` (pictures trained on) replaces the header's. Weights loaded and saved give the same bytes.
        """
        if self.is_fused:
            raise DarknetFormatError(f"{path}: a fused network has no batch-norm left to save; save its original")
        header = header or self.header or WeightsHeader()
        if seen is not None:
            header = WeightsHeader(header.major, header.minor, header.revision, seen)
        turned = header.is_transposed
        arrays = (
            (tensor.T if turned and name in section.transposed_in_old_files else tensor).detach().cpu().numpy()
            for section, layer in zip(self.sections, self.layers, strict=True)
            for name, tensor in section.weights(layer)
        )
        write_weights(path, header, arrays)

    def fuse(self) -> "Network":
        """A copy for inference, in eval mode and without gradients, with batch-norm folded into the convolutions."""
        # Kernels that are about to be replaced need no copy: the largest part of the network.
        shared = {} if self.is_fused else {id(kernels): kernels for kernels in self._normalized_kernels()}
        network = copy.deepcopy(self, shared).eval()
        if not self.is_fused:
            for section, layer in zip(network.sections, network.layers, strict=True):
                if isinstance(section, ConvolutionalSection):
                    fuse_convolution(layer)
        network.is_fused = True
        return network.requires_grad_(False)

    def _normalized_kernels(self) -> Iterator[Tensor]:
        """The kernels of the convolutions with batch-norm."""
        for section, layer in zip(self.sections, self.layers, strict=True):
            if isinstance(section, ConvolutionalSection) and section.batch_normalize:
                yield layer.get_parameter("conv.weight")


def _not_finite(file: WeightsFile, section: LayerSection) -> DarknetFormatError:
    where = f"layer {section.index} [{section.section.name}]"
    return DarknetFormatError(f"{file.path}: {where} holds values that are no numbers (NaN or infinity)")


def _released_after(sections: Sequence[LayerSection]) -> list[list[int]]:
    """Per layer, the outputs that no later layer reads: kept any longer they would only take memory."""
    last_use = {section.index: section.index for section in sections}
    for section in sections:
        last_use.update(dict.fromkeys(section.inputs, section.index))
    released: list[list[int]] = [[] for _ in sections]
    for index, last in last_use.items():
        released[last].append(index)
    return released
