"""What all layer sections share: their place in the network, the shapes around them, and the order of their weights."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from traffic_yolo.darknet.cfg import Section

# A layer's output for one picture. yolov4 at 4096 x 4096 has 2^29; what is larger is a slip of the pen.
MAX_OUTPUTS = 1 << 30


class Shape(NamedTuple):
    """Channels, height and width of a layer's output for one picture."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.channels} x {self.height} x {self.width}"


@dataclass(frozen=True)
class LayerContext:
    """Where a section stands: its layer index, the network's input shape, and the layers before it."""

    index: int
    input_shape: Shape
    previous: "Sequence[LayerSection]"

    def output_of(self, index: int) -> Shape:
        """The output shape of an earlier layer; -1 is the network's input."""
        return self.input_shape if index == -1 else self.previous[index].output


class LayerSection(ABC):
    """One layer section: reads and checks its keys, knows its shapes, builds its module, lists its weights.

    `inputs` are the indices of the layers that the module reads, in the order of its arguments (-1 is the picture);
    `output` is set when the constructor returns. Building allocates nothing before all sections have been checked.
    """

    output: Shape
    inputs: tuple[int, ...]

    def __init__(self, section: Section, context: LayerContext) -> None:
        """Reads the section; raises `DarknetFormatError` naming file, line and section."""
        self.section = section
        self.index = context.index
        self.inputs = (context.index - 1,)
        self.input = context.output_of(context.index - 1)
        self._read(context)
        for index in self.inputs:
            if index >= 0 and context.previous[index].section.name == "yolo":
                raise section.error(f"reads the output of layer {index}, which is [yolo]: no layer can read that")
        channels, height, width = self.output
        if min(self.output) < 1:
            found = f"an input of {self.input} (channels x height x width) gives an output of {self.output}"
            raise section.error(f"{found}; use a larger network size or a smaller stride")
        if channels * height * width > MAX_OUTPUTS:
            raise section.error(f"output of {self.output} (channels x height x width) is too large to be meant")

    @abstractmethod
    def _read(self, context: LayerContext) -> None:
        """Reads the keys and sets `output` (and `inputs` where they are not the layer before)."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A new module that takes `len(inputs)` tensors (B, C, H, W) and returns one."""

    @property
    def num_weights(self) -> int:
        """float32 values that the layer has in a .weights file."""
        return 0

    def weights(self, module: nn.Module) -> list[tuple[str, Tensor]]:  # noqa: ARG002
        """Name and tensor (parameter or buffer) of each array of this layer's module, in the file's order."""
        return []

    def reference(self, value: int, *, key: str) -> int:
        """The index of an earlier layer from a cfg's number: negative counts back from here, else it is the index."""
        index = self.index + value if value < 0 else value
        if not 0 <= index < self.index:
            expected = f"a layer before layer {self.index}" if self.index else "no reference in the first layer"
            raise self.section.error(f"{key}: expected {expected}, found {value} (layer {index})", key=key)
        return index

    def refuse(self, keys: dict[str, int]) -> None:
        """Refuses keys that change the layer's result and are not supported, when they differ from their default."""
        for key, default in keys.items():
            if self.section.get_int(key, default) != default:
                raise self.section.error(f"{key}={self.section.get_str(key, '')} is not supported", key=key)
