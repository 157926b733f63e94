"""The runtimes that lint knows; what each reads of a section type stands on that section's class.

`darknet`: AlexeyAB's parser.c. `deepstream-yolo`: the engine builder of DeepStream-Yolo on the cfg + weights path.
`opencv`: the Darknet importer of OpenCV 4 (4.14 was asked, section by section). `onnx`: this package's own exporter.
"""

from dataclasses import dataclass

from traffic_yolo.darknet.activations import ACTIVATIONS
from traffic_yolo.darknet.sections import SECTION_TYPES
from traffic_yolo.darknet.sections.runtimes import DARKNET, DEEPSTREAM, ONNX, OPENCV, Reads, words

DETECTION_SECTIONS = ("yolo", "Gaussian_yolo", "region")


@dataclass(frozen=True)
class Target:
    """A runtime. `short_headers`: aliases of section names that it takes. `other_sections`: types that it knows and we
    do not.
    """

    name: str
    activations: frozenset[str]
    short_headers: frozenset[str]
    other_sections: frozenset[str] = frozenset()

    @property
    def sections(self) -> frozenset[str]:
        """All section types that it knows."""
        ours = {name for name, section_type in SECTION_TYPES.items() if self.name in section_type.runtimes}
        return frozenset(ours) | self.other_sections

    def reads(self, section_name: str) -> Reads:
        """What it reads of a section type; nothing special of [net] and of types that have no class here."""
        if section_name == "net":
            return Reads(required=("width", "height", "channels"))
        section_type = SECTION_TYPES.get(section_name)
        return section_type.runtimes.get(self.name, Reads()) if section_type is not None else Reads()


_ALL_SHORT_HEADERS = words("network conv conn max local_avg avg soft normalization silence")
_DARKNET_ACTIVATIONS = words(
    "logistic loggy relu relu6 elu selu gelu relie ramp linear tanh plse leaky revleaky stair hardtan lhtan swish mish "
    "hard_mish normalize_channels normalize_channels_softmax normalize_channels_softmax_maxval"
)

TARGETS: dict[str, Target] = {
    DARKNET: Target(
        name=DARKNET,
        activations=_DARKNET_ACTIVATIONS,
        short_headers=_ALL_SHORT_HEADERS,
        other_sections=words("conv_lstm crnn crop detection gru history local lrn lstm rnn"),
    ),
    DEEPSTREAM: Target(
        name=DEEPSTREAM,
        activations=words("linear relu sigmoid logistic tanh leaky softplus mish silu swish hardsigmoid hardswish"),
        short_headers=frozenset({"conv", "max", "avg", "deconv"}),
        other_sections=words("control_channels deconvolutional implicit_add implicit_mul shift_channels"),
    ),
    ONNX: Target(name=ONNX, activations=frozenset(ACTIVATIONS), short_headers=_ALL_SHORT_HEADERS),
    OPENCV: Target(
        name=OPENCV,
        activations=words("linear leaky mish swish silu logistic relu tanh"),
        short_headers=frozenset(),
        other_sections=words("crop"),
    ),
}
