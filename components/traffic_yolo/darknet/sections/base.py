"""What all layer sections share: their place in the network, the shapes around them, and the order of their weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.refused_keys import IN_EVERY_SECTION, RefusedKey
from traffic_yolo.darknet.sections.runtimes import Reads, read_by

if TYPE_CHECKING:
    from torch import Tensor, nn

# A layer's output for one picture. yolov4 at 4096 x 4096 has 2^29; what is larger is a slip of the pen.
MAX_OUTPUTS = 1 << 30
# A rule of the lint, given a `lint_findings.SectionCase`: that one holds a section, so it cannot be named here
SectionRule = Callable[[Any], Iterator[CfgFinding]]


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

    For lint: `keys` are those that Darknet reads here beside `COMMON_KEYS`, `foreign_keys` those that another runtime
    reads; `runtimes` says what each runtime makes of the section type, where it knows it; `lint_rules` are the rules
    that concern this section type alone, by their id. `refused_keys` are those of `keys` that are read to be refused.

    `inputs` are the indices of the layers that the module reads, in the order of its arguments (-1 is the picture);
    `output` is set when the constructor returns. Building allocates nothing before all sections have been checked.

    `readers` are the section types that may read the output, None for all of them. `next_only` is set where Darknet
    knows another shape for later layers than for the next one, so that nothing else may refer to the output.
    `needs_cfg_size` says that the weights fit one picture size only. Arrays named in `transposed_in_old_files` stand
    transposed in files with the header of very old versions.
    """

    keys: ClassVar[frozenset[str]]
    foreign_keys: ClassVar[frozenset[str]] = frozenset()
    refused_keys: ClassVar[Mapping[str, RefusedKey]] = {}
    runtimes: ClassVar[Mapping[str, Reads]] = read_by()
    lint_rules: ClassVar[tuple[tuple[str, SectionRule], ...]] = ()

    output: Shape
    inputs: tuple[int, ...]
    readers: ClassVar[frozenset[str] | None] = None
    needs_cfg_size: ClassVar[bool] = False
    transposed_in_old_files: ClassVar[frozenset[str]] = frozenset()
    next_only: bool = False

    def __init__(self, section: Section, context: LayerContext) -> None:
        """Reads the section; raises `DarknetFormatError` naming file, line and section."""
        self.section = section
        self.index = context.index
        self.inputs = (context.index - 1,)
        self.input = context.output_of(context.index - 1)
        for key, refused in {**IN_EVERY_SECTION, **self.refused_keys}.items():
            refused.check(section, key)
        self._read(context)
        for index in self.inputs:
            if index >= 0:
                self._check_readable(context.previous[index])
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
    def build(self) -> "nn.Module":
        """A new module that takes `len(inputs)` tensors (B, C, H, W) and returns one."""

    def tie(self, module: "nn.Module", layers: "Sequence[nn.Module]") -> None:  # noqa: B027
        """Makes the module, in place, use weights of earlier modules where the section shares them."""

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:  # noqa: B027
        """Sets the module's weights in place to Darknet's random start; all of them, whatever they were."""

    @property
    def num_weights(self) -> int:
        """float32 values that the layer has in a .weights file."""
        return 0

    @property
    def num_constants(self) -> int:
        """float32 values that the module holds beside its weights, the same in every network."""
        return 0

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":  # noqa: ARG002
        """Name and tensor (parameter or buffer) of each array of this layer's module, in the file's order."""
        return []

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """The ids of the output's channels (C,), from those of each layer read; ties and fixes channels in `tying`.

        Raises `DarknetFormatError` for a section type that does not say.
        """
        raise self.section.error("how its channels depend on those it reads is not known: it cannot be pruned")

    def kept_keys(self, inputs: Sequence[Positions], output: Positions) -> dict[str, int]:  # noqa: ARG002
        """Key -> value of what the section says of channels, with only these of each layer read and of the output."""
        return {}

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":  # noqa: ARG002
        """The arrays of `weights`, in their order, with only these channels; views or copies."""
        return [tensor for _, tensor in self.weights(module)]

    def _check_readable(self, source: "LayerSection") -> None:
        if source.readers is not None and self.section.name not in source.readers:
            listed = " or ".join(f"[{name}]" for name in sorted(source.readers))
            who = f"only {listed} can read that" if listed else "no layer can read that"
            found = f"reads the output of layer {source.index}, which is [{source.section.name}]"
            raise self.section.error(f"{found}: {who}")

    def reference(self, value: int, *, key: str, context: LayerContext) -> int:
        """The index of an earlier layer from a cfg's number: negative counts back from here, else it is the index."""
        index = self.index + value if value < 0 else value
        if not 0 <= index < self.index:
            expected = f"a layer before layer {self.index}" if self.index else "no reference in the first layer"
            raise self.section.error(f"{key}: expected {expected}, found {value} (layer {index})", key=key)
        if context.previous[index].next_only:
            found = f"layer {index} has antialiasing, of which Darknet keeps the shape before its blur"
            raise self.section.error(f"{key}: {found}; only the layer after it can read it", key=key)
        return index
