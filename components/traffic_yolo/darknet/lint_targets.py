"""The runtimes that lint knows; what each reads of a section type stands on that section's class.

`darknet`: AlexeyAB's parser.c. `deepstream-yolo`: the engine builder of DeepStream-Yolo on the cfg + weights path.
`opencv`: the Darknet importer of OpenCV 4 (4.14 was asked, section by section). `onnx`: this package's own exporter.
"""

from traffic_yolo.darknet.activations import ACTIVATION_NAMES
from traffic_yolo.darknet.lint_target import Target
from traffic_yolo.darknet.sections.runtimes import DARKNET, DEEPSTREAM, ONNX, OPENCV, Reads, words
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES

DETECTION_SECTIONS = ("yolo", "Gaussian_yolo", "region")


def _known_to(target: str) -> dict[str, Reads]:
    """What a runtime reads of each section type that it knows."""
    return {
        name: section_type.runtimes[target]
        for name, section_type in SECTION_TYPES.items()
        if target in section_type.runtimes
    }


_ALL_SHORT_HEADERS = words("network conv conn max local_avg avg soft normalization silence")
_DARKNET_ACTIVATIONS = words(
    "logistic loggy relu relu6 elu selu gelu relie ramp linear tanh plse leaky revleaky stair hardtan lhtan swish mish "
    "hard_mish normalize_channels normalize_channels_softmax normalize_channels_softmax_maxval"
)

TARGETS: dict[str, Target] = {
    DARKNET: Target(
        name=DARKNET,
        known=_known_to(DARKNET),
        activations=_DARKNET_ACTIVATIONS,
        short_headers=_ALL_SHORT_HEADERS,
        other_sections=words("conv_lstm crnn crop detection gru history local lrn lstm rnn"),
    ),
    DEEPSTREAM: Target(
        name=DEEPSTREAM,
        known=_known_to(DEEPSTREAM),
        activations=words("linear relu sigmoid logistic tanh leaky softplus mish silu swish hardsigmoid hardswish"),
        short_headers=frozenset({"conv", "max", "avg", "deconv"}),
        other_sections=words("control_channels deconvolutional implicit_add implicit_mul shift_channels"),
    ),
    ONNX: Target(
        name=ONNX,
        known=_known_to(ONNX),
        activations=frozenset(ACTIVATION_NAMES),
        short_headers=_ALL_SHORT_HEADERS,
    ),
    OPENCV: Target(
        name=OPENCV,
        known=_known_to(OPENCV),
        activations=words("linear leaky mish swish silu logistic relu tanh"),
        short_headers=frozenset(),
        other_sections=words("crop"),
    ),
}
