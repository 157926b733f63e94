"""[maxpool]: largest value of a window, padded with minus infinity, more on the right and bottom where it is uneven."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.blur import blur_values, blurred
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.refused_keys import IN_MAXPOOL
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM, OPENCV, Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class WindowSection(LayerSection):
    """What [maxpool] and [local_avgpool] share: windows of `size`.

    `padding` (default size - 1) is the sum of both sides; the left and top get half of it, rounded down.
    """

    def _read_window(self) -> None:
        section = self.section
        stride = section.get_int("stride", 1, at_least=1)
        self.stride_x = section.get_int("stride_x", stride, at_least=1)
        self.stride_y = section.get_int("stride_y", stride, at_least=1)
        self.size = section.get_int("size", stride, at_least=1, at_most=1024)
        self.padding = section.get_int("padding", self.size - 1, at_least=0)
        if self.padding - self.padding // 2 >= self.size:
            expected = f"expected at most {2 * (self.size - 1)} for size={self.size}"
            raise section.error(f"padding: {expected}, found {self.padding}", key="padding")

    def _window_output(self) -> Shape:
        return Shape(
            self.input.channels,
            (self.input.height + self.padding - self.size) // self.stride_y + 1,
            (self.input.width + self.padding - self.size) // self.stride_x + 1,
        )

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Padding on the left, right, top and bottom."""
        left = self.padding // 2
        return left, self.padding - left, left, self.padding - left


def _window_padding(case: SectionCase) -> Iterator[CfgFinding]:
    """Pools whose padding comes out otherwise in DeepStream-Yolo: another grid, or shifted values."""
    layer, keys = case.layer, case.section
    if case.target != DEEPSTREAM or layer is None or not (keys.has("size") and keys.has("stride")):
        return
    size, stride = keys.get_int("size", 1), keys.get_int("stride", 1)
    left = (size - 1) // 2
    both = 1 if (size, stride) == (2, 1) else 2 * left
    grid = [(length + both - size) // stride + 1 for length in layer.input[1:]]
    if grid != list(layer.output[1:]) or left != keys.get_int("padding", size - 1) // 2:
        yield case.finding(
            "error",
            f"size={size} stride={stride} on {layer.input} gives {grid[0]} x {grid[1]} in {DEEPSTREAM},"
            f" {layer.output.height} x {layer.output.width} in Darknet",
            "choose a network size that is even there, or use the onnx target",
            key="size",
        )


def _opencv_size(case: SectionCase) -> Iterator[CfgFinding]:
    """Without size= OpenCV takes 2, Darknet the stride."""
    size = case.section.get_int("stride", 1)
    if case.target == OPENCV and not case.section.has("size") and size != 2:
        message = f"without size= opencv takes size=2, Darknet the stride, {size}"
        yield case.finding("error", message, f"write size={size} out", key="stride")


_DEPTH_AND_BLUR = {"maxpool_depth": "0", "antialiasing": "0"}


class MaxpoolSection(WindowSection):
    """With maxpool_depth it takes the largest of every `out_channels`-th channel instead, pixel by pixel."""

    keys = words("antialiasing maxpool_depth maxpool_zero_nonmax out_channels padding size stride stride_x stride_y")
    refused_keys = IN_MAXPOOL
    runtimes = read_by(
        deepstream=Reads(required=("size", "stride"), passed_over=_DEPTH_AND_BLUR),
        opencv=Reads(passed_over=_DEPTH_AND_BLUR, other_defaults={"stride": "2"}),
    )
    lint_rules = (("window-padding", _window_padding), ("opencv-size", _opencv_size))

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        section = self.section
        self._read_window()
        self.antialiasing = section.get_int("antialiasing", 0)
        self.depth = section.get_int("maxpool_depth", 0) != 0
        if self.depth:
            self.out_channels = section.get_int("out_channels", 1, at_least=1, at_most=self.input.channels)
            self.output = Shape(self.out_channels, self.input.height, self.input.width)
            return
        self.blur_stride_yx = (self.stride_y, self.stride_x)
        if self.antialiasing:
            self.stride_x = self.stride_y = 1
        self.output = self._window_output()
        if self.antialiasing:
            sharp = self.sharp_output = self.output
            self.output = blurred(self.antialiasing, sharp, stride_yx=self.blur_stride_yx)
            self.next_only = self.output != sharp

    @property
    def num_constants(self) -> int:
        """The blur of antialiasing."""
        return blur_values(self.antialiasing, self.input.channels) if self.antialiasing else 0

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """Those read; with maxpool_depth, all that one output is the largest of are tied."""
        if not self.depth:
            return inputs[0]
        tying.tie_rows([inputs[0][first :: self.out_channels] for first in range(self.out_channels)])
        return inputs[0][: self.out_channels]

    def kept_keys(self, inputs: Sequence[Positions], output: Positions) -> dict[str, int]:  # noqa: ARG002
        """`out_channels` of maxpool_depth."""
        return {"out_channels": len(output)} if self.depth else {}

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, C', H', W')."""
        from torch import nn

        from traffic_yolo.darknet.modules.blur import Blur
        from traffic_yolo.darknet.modules.maxpool import DepthMaxPool

        if self.depth:
            return DepthMaxPool(self.input.channels, self.out_channels)
        if self.antialiasing:
            blur = Blur(self.antialiasing, self.input.channels, stride_yx=self.blur_stride_yx)
            return nn.Sequential(self._pool(), blur)
        return self._pool()

    def _pool(self) -> "nn.Module":
        from torch import nn

        from traffic_yolo.darknet.modules.maxpool import PaddedMaxPool

        pool = nn.MaxPool2d(self.size, stride=(self.stride_y, self.stride_x), padding=0)
        left, right, *_ = self.sides
        output = self._window_output()
        reach = max(
            self._reach(self.input.width, output.width, self.stride_x),
            self._reach(self.input.height, output.height, self.stride_y),
        )
        if reach <= 0 and left == 0:
            return pool  # the usual size=2 stride=2 on an even picture reads no padding
        if left == right and left <= self.size // 2:
            pool.padding = left
            return pool
        return PaddedMaxPool(pool, self.sides)

    def _reach(self, size: int, outputs: int, stride: int) -> int:
        """How far the last window reaches beyond an input of `size`."""
        return (outputs - 1) * stride - self.padding // 2 + self.size - size
