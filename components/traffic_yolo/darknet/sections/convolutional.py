"""[convolutional]: convolution, batch-norm where asked for, activation; or another layer's weights used again."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.activations import read_activation
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.blur import blur_values, blurred
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.refused_keys import IN_CONVOLUTIONAL
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM, Reads, read_by, words

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH_NORM_EPS = 1e-5  # blas.c normalize_cpu, inside the root
# batchnorm_layer.c 253, Darknet's GPU path: rolling = .99 old + .01 new. Its CPU path has .9 and .1, with which ten
# batches of other pictures than those of the weights replace two thirds of the statistics.
BATCH_NORM_MOMENTUM = 0.01
MAX_DILATION = 128  # the padding grows with it; published networks have 2 and 4


# Keys that change the result and that neither DeepStream-Yolo nor OpenCV reads.
_PASSED_OVER = {"dilation": "1", "antialiasing": "0", "xnor": "0", "binary": "0", "cbn": "0", "share_index": ""}


def _window_padding(case: SectionCase) -> Iterator[CfgFinding]:
    """Even sizes with pad=1, and padding=, which DeepStream-Yolo does not read: shifted values or another grid."""
    size, pad = case.section.get_int("size", 1), case.section.get_int("pad", 0)
    darknet = size // 2 if pad else case.section.get_int("padding", 0)
    deepstream = (size - 1) // 2 if pad else 0
    if case.target == DEEPSTREAM and darknet != deepstream:
        yield case.finding(
            "error",
            f"size={size} pad={pad} pads by {darknet} in Darknet, by {deepstream} in {DEEPSTREAM} (it reads no"
            " padding=)",
            "use an odd size with pad=1, or the onnx target",
            key="padding" if not pad else "size",
        )


def _explicit_zero(case: SectionCase) -> Iterator[CfgFinding]:
    """`batch_normalize=0` written out: where the key stands the builder reads no biases, and what follows wrong."""
    section = case.section
    if case.target == DEEPSTREAM and section.has("batch_normalize") and section.get_int("batch_normalize", 0) != 1:
        yield case.finding(
            "error",
            f"batch_normalize={section.get_str('batch_normalize', '')}: {DEEPSTREAM} reads no biases for this layer,"
            " and every later weight from the wrong place",
            "remove the line",
            key="batch_normalize",
        )


class ConvolutionalSection(LayerSection):
    """Its module is a Sequential of `conv`, `bn` (with batch_normalize), `activation` and `blur` (with antialiasing).

    `shared_with` is the layer whose weights share_index makes it use, None where it has its own.
    """

    keys = words(
        "activation angle antialiasing assisted_excitation batch_normalize bin_output binary cbn coordconv dilation "
        "dot filters flipped grad_centr groups pad padding reverse rotate share_index size stream stretch stretch_sway "
        "stride stride_x stride_y sway wait_stream xnor"
    )
    refused_keys = IN_CONVOLUTIONAL
    runtimes = read_by(
        deepstream=Reads(required=("filters", "size", "stride", "pad", "activation"), passed_over=_PASSED_OVER),
        opencv=Reads(required=("filters", "size"), passed_over=_PASSED_OVER, other_defaults={"activation": "linear"}),
    )
    lint_rules = (("window-padding", _window_padding), ("explicit-zero", _explicit_zero))

    def _read(self, context: LayerContext) -> None:
        section = self.section
        self.filters = section.get_int("filters", 1, at_least=1)
        self.groups = section.get_int("groups", 1, at_least=1)
        self.size = section.get_int("size", 1, at_least=1, at_most=1024)
        stride = section.get_int("stride", 1, at_least=1)
        stride_x, stride_y = (
            value if (value := section.get_int(key, -1)) >= 1 else stride for key in ("stride_x", "stride_y")
        )
        self.antialiasing = section.get_int("antialiasing", 0)
        # The convolution runs at every pixel, and the blur takes the steps.
        self.stride_x, self.stride_y = (1, 1) if self.antialiasing else (stride_x, stride_y)
        self.blur_stride_yx = (stride_y, stride_x)
        dilation = section.get_int("dilation", 1, at_least=1, at_most=MAX_DILATION)
        self.dilation = 1 if self.size == 1 else dilation
        padding = section.get_int("padding", 0, at_least=0, at_most=1024)
        self.padding = self.size // 2 if section.get_int("pad", 0) else padding
        # cbn only changes how training gathers statistics (over the subdivisions).
        self.batch_normalize = section.get_int("batch_normalize", 0) != 0 or section.get_int("cbn", 0) != 0
        self.activation = read_activation(section, "logistic")
        for what, number in (("input channels", self.input.channels), ("filters", self.filters)):
            if number % self.groups:
                raise section.error(f"{what}={number} cannot be divided into groups={self.groups}", key="groups")
        self._check_dilation()
        self.shared_with = self._read_share_index(context)
        self.output = Shape(
            self.filters,
            (self.input.height + 2 * self.padding - self.size) // self.stride_y + 1,
            (self.input.width + 2 * self.padding - self.size) // self.stride_x + 1,
        )
        if self.antialiasing:
            sharp = self.sharp_output = self.output
            self.output = blurred(self.antialiasing, sharp, stride_yx=self.blur_stride_yx)
            self.next_only = self.output != sharp

    def _check_dilation(self) -> None:
        """Darknet pads by padding * dilation but computes the output size without dilation: both must agree."""
        if self.dilation > 1 and 2 * self.padding != self.size - 1:
            raise self.section.error(
                f"dilation={self.dilation} needs an odd size and padding={(self.size - 1) // 2} on each side,"
                f" found size={self.size} with padding={self.padding}",
                key="dilation",
            )

    def _read_share_index(self, context: LayerContext) -> int | None:
        """The layer that owns the weights: share_index may name one that shares them itself."""
        if not self.section.has("share_index"):
            return None
        index = self.reference(self.section.get_int("share_index", 0), key="share_index", context=context)
        other = context.previous[index]
        if not isinstance(other, ConvolutionalSection):
            found = f"layer {index}, which is [{other.section.name}]"
            raise self.section.error(f"share_index: expected a [convolutional] layer, found {found}", key="share_index")
        if self._weight_shape() != other._weight_shape():
            shown = [
                f"filters={shape[0]} channels={shape[1]} groups={shape[2]} size={shape[3]} batch_normalize={shape[4]:d}"
                for shape in (other._weight_shape(), self._weight_shape())
            ]
            expected = f"expected the shape of layer {index} ({shown[0]})"
            raise self.section.error(f"share_index: {expected}, found {shown[1]}", key="share_index")
        return index if other.shared_with is None else other.shared_with

    def _weight_shape(self) -> tuple[int, int, int, int, bool]:
        return self.filters, self.input.channels, self.groups, self.size, self.batch_normalize

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """New ones; with groups, each tied to all that its group reads, so that groups go whole."""
        if self.shared_with is not None:
            tying.tie(inputs[0], tying.inputs[self.shared_with][0])
            return tying.outputs[self.shared_with]
        output = tying.new(self.filters)
        if self.groups > 1:
            read, made = inputs[0].reshape(self.groups, -1), output.reshape(self.groups, -1)
            tying.tie_rows(np.concatenate([read, made], axis=1))
        if self.activation.startswith("normalize_channels"):
            tying.fix(output, f"activation={self.activation} looks at all channels of a pixel together")
        return output

    def kept_keys(self, inputs: Sequence[Positions], output: Positions) -> dict[str, int]:
        """`filters`, and `groups` of the groups that stay."""
        keys = {"filters": len(output)}
        return keys | {"groups": self.groups * len(inputs[0]) // self.input.channels} if self.groups > 1 else keys

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":
        """Rows are filters; columns the channels read, of which a group keeps all or none."""
        kept = [(name, tensor[output]) for name, tensor in self.weights(module)]
        return [tensor[:, inputs[0]] if name == "kernels" and self.groups == 1 else tensor for name, tensor in kept]

    def build(self) -> "nn.Module":
        """A Sequential (B, C, H, W) -> (B, filters, H', W'); weights hold anything until set, or are tied later."""
        from torch import nn

        from traffic_yolo.darknet.modules.activations import ACTIVATIONS
        from traffic_yolo.darknet.modules.blur import Blur
        from traffic_yolo.darknet.modules.unset import UnsetConv2d

        device = "cpu" if self.shared_with is None else "meta"  # shared ones take no memory
        convolution = UnsetConv2d(
            self.input.channels,
            self.filters,
            self.size,
            stride=(self.stride_y, self.stride_x),
            padding=self.padding * self.dilation,  # convolutional_layer.c passes pad * dilation to im2col
            dilation=self.dilation,
            groups=self.groups,
            bias=not self.batch_normalize,
            device=device,
        )
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=convolution)
        if self.batch_normalize:
            parts["bn"] = nn.BatchNorm2d(self.filters, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM, device=device)
        parts["activation"] = ACTIVATIONS[self.activation]()
        if self.antialiasing:
            parts["blur"] = Blur(self.antialiasing, self.filters, stride_yx=self.blur_stride_yx)
        return nn.Sequential(parts)

    def tie(self, module: "nn.Module", layers: "Sequence[nn.Module]") -> None:
        """See the base class: `conv` gets the other layer's parameters, and `bn` is the other layer's module."""
        from torch import nn

        if self.shared_with is None:
            return
        owner = layers[self.shared_with]
        convolution, source = module.get_submodule("conv"), owner.get_submodule("conv")
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(source, nn.Conv2d)
        convolution.weight, convolution.bias = source.weight, source.bias
        if self.batch_normalize:
            module.bn = owner.get_submodule("bn")

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:
        """Kernels uniform in +-sqrt(2 / fan_in), the rest neutral."""
        import torch

        for name, tensor in self.weights(module):
            if name != "kernels":
                tensor.data.fill_(1.0 if name in ("scales", "variances") else 0.0)
                continue
            limit = np.float32(np.sqrt(2 / (tensor.shape[1] * tensor.shape[2] * tensor.shape[3])))
            values = generator.random(tuple(tensor.shape), dtype=np.float32)
            tensor.data.copy_(torch.from_numpy((2 * values - 1) * limit))

    @property
    def num_weights(self) -> int:
        """Biases, with batch-norm three arrays more, kernels; nothing where another layer owns them."""
        if self.shared_with is not None:
            return 0
        kernels = self.filters * (self.input.channels // self.groups) * self.size**2
        return kernels + self.filters * (4 if self.batch_normalize else 1)

    @property
    def num_constants(self) -> int:
        """The blur of antialiasing, which a layer with shared weights has of its own."""
        return blur_values(self.antialiasing, self.filters) if self.antialiasing else 0

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":
        """Arrays biases (F,), [scales, means, variances (F,)], kernels (F, C / groups, size, size)."""
        from torch import nn

        if self.shared_with is not None:
            return []
        convolution = module.get_submodule("conv")
        assert isinstance(convolution, nn.Conv2d)
        if not self.batch_normalize:
            assert convolution.bias is not None
            return [("biases", convolution.bias), ("kernels", convolution.weight)]
        norm = module.get_submodule("bn")
        assert isinstance(norm, nn.BatchNorm2d)
        return [*batch_norm_arrays(norm), ("kernels", convolution.weight)]


def batch_norm_arrays(norm: "nn.BatchNorm1d | nn.BatchNorm2d") -> "list[tuple[str, Tensor]]":
    """Arrays biases, scales, means, variances, each (F,), in the order of a convolution and of [batchnorm]."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [
        ("biases", norm.bias),
        ("scales", norm.weight),
        ("means", norm.running_mean),
        ("variances", norm.running_var),
    ]
