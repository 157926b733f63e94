"""[convolutional]: convolution, batch-norm where asked for, activation."""

from collections import OrderedDict

from torch import Tensor, nn

from traffic_yolo.darknet.activations import ACTIVATIONS, read_activation
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape

BATCH_NORM_EPS = 1e-5  # blas.c normalize_cpu, inside the root
BATCH_NORM_MOMENTUM = 0.1  # batchnorm_layer.c: rolling = .9 old + .1 new


class ConvolutionalSection(LayerSection):
    """Its module is a Sequential of `conv`, `bn` (with batch_normalize) and `activation`."""

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        section = self.section
        self.filters = section.get_int("filters", 1, at_least=1)
        self.groups = section.get_int("groups", 1, at_least=1)
        self.size = section.get_int("size", 1, at_least=1, at_most=1024)
        stride = section.get_int("stride", 1, at_least=1)
        self.stride_x, self.stride_y = (
            value if (value := section.get_int(key, -1)) >= 1 else stride for key in ("stride_x", "stride_y")
        )
        dilation = section.get_int("dilation", 1, at_least=1, at_most=1024)
        self.dilation = 1 if self.size == 1 else dilation
        padding = section.get_int("padding", 0, at_least=0, at_most=1024)
        self.padding = self.size // 2 if section.get_int("pad", 0) else padding
        # cbn only changes how training gathers statistics (over the subdivisions).
        self.batch_normalize = section.get_int("batch_normalize", 0) != 0 or section.get_int("cbn", 0) != 0
        self.activation = read_activation(section, "logistic")
        off = ("binary", "xnor", "use_bin_output", "antialiasing", "sway", "rotate", "stretch", "stretch_sway")
        self.refuse({**dict.fromkeys((*off, "deform", "coordconv", "dontload", "dontloadscales"), 0)})
        if section.has("share_index"):
            raise section.error("share_index is not supported", key="share_index")
        for what, number in (("input channels", self.input.channels), ("filters", self.filters)):
            if number % self.groups:
                raise section.error(f"{what}={number} cannot be divided into groups={self.groups}", key="groups")
        self._check_dilation()
        self.output = Shape(
            self.filters,
            (self.input.height + 2 * self.padding - self.size) // self.stride_y + 1,
            (self.input.width + 2 * self.padding - self.size) // self.stride_x + 1,
        )

    def _check_dilation(self) -> None:
        """Darknet pads by padding * dilation but computes the output size without dilation: both must agree."""
        if self.dilation > 1 and 2 * self.padding != self.size - 1:
            raise self.section.error(
                f"dilation={self.dilation} needs an odd size and padding={(self.size - 1) // 2} on each side,"
                f" found size={self.size} with padding={self.padding}",
                key="dilation",
            )

    def build(self) -> nn.Module:
        """A Sequential (B, C, H, W) -> (B, filters, H', W')."""
        convolution = nn.Conv2d(
            self.input.channels,
            self.filters,
            self.size,
            stride=(self.stride_y, self.stride_x),
            padding=self.padding * self.dilation,  # convolutional_layer.c passes pad * dilation to im2col
            dilation=self.dilation,
            groups=self.groups,
            bias=not self.batch_normalize,
        )
        parts: OrderedDict[str, nn.Module] = OrderedDict(conv=convolution)
        if self.batch_normalize:
            parts["bn"] = nn.BatchNorm2d(self.filters, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
        parts["activation"] = ACTIVATIONS[self.activation]()
        return nn.Sequential(parts)

    @property
    def num_weights(self) -> int:
        """Biases, with batch-norm three arrays more, kernels."""
        kernels = self.filters * (self.input.channels // self.groups) * self.size**2
        return kernels + self.filters * (4 if self.batch_normalize else 1)

    def weights(self, module: nn.Module) -> list[tuple[str, Tensor]]:
        """Arrays biases (F,), [scales, means, variances (F,)], kernels (F, C / groups, size, size)."""
        convolution = module.get_submodule("conv")
        assert isinstance(convolution, nn.Conv2d)
        if not self.batch_normalize:
            assert convolution.bias is not None
            return [("biases", convolution.bias), ("kernels", convolution.weight)]
        norm = module.get_submodule("bn")
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return [
            ("biases", norm.bias),
            ("scales", norm.weight),
            ("means", norm.running_mean),
            ("variances", norm.running_var),
            ("kernels", convolution.weight),
        ]
