"""What each runtime reads of a Darknet cfg, as tables: the lint rules go by these.

`darknet`: AlexeyAB's parser.c. `deepstream-yolo`: the engine builder of DeepStream-Yolo on the cfg + weights path.
`opencv`: the Darknet importer of OpenCV 4 (4.14 was asked, section by section). `onnx`: this package's own exporter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic_yolo.darknet.activations import ACTIVATIONS
from traffic_yolo.darknet.sections import SECTION_TYPES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DARKNET_SECTIONS = _words(
    "activation avgpool batchnorm connected contrastive conv_lstm convolutional cost crnn crop detection dropout empty "
    "Gaussian_yolo gru history implicit local local_avgpool lrn lstm maxpool region reorg reorg3d rnn route sam "
    "scale_channels shortcut softmax upsample yolo"
)
DARKNET_ACTIVATIONS = _words(
    "logistic loggy relu relu6 elu selu gelu relie ramp linear tanh plse leaky revleaky stair hardtan lhtan swish mish "
    "hard_mish normalize_channels normalize_channels_softmax normalize_channels_softmax_maxval"
)
ACTIVATION_SECTIONS = ("convolutional", "connected", "local", "shortcut", "sam", "scale_channels", "activation")
DETECTION_SECTIONS = ("yolo", "Gaussian_yolo", "region")


@dataclass(frozen=True)
class Target:
    """A runtime: the sections, section headers and activations it knows and the keys it wants or passes over.

    `short_headers`: aliases of section names that it takes. `required`: section -> keys without which it stops.
    `passed_over`: section -> key -> the value that gives the same result although the key is not read.
    `other_defaults`: section -> key -> what it takes where the cfg says nothing and Darknet takes another value.
    """

    name: str
    sections: frozenset[str]
    activations: frozenset[str]
    short_headers: frozenset[str]
    required: Mapping[str, tuple[str, ...]]
    passed_over: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    other_defaults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


_ALL_SHORT_HEADERS = _words("network conv conn max local_avg avg soft normalization silence")
_SIZE_KEYS = ("width", "height", "channels")
_DARKNET_REQUIRED = {
    "net": _SIZE_KEYS,
    "route": ("layers",),
    "shortcut": ("from",),
    "sam": ("from",),
    "scale_channels": ("from",),
    "yolo": ("anchors",),
    "Gaussian_yolo": ("anchors",),
}
# Keys of a convolution and of other sections that change its result and that neither DeepStream-Yolo nor OpenCV reads.
_CONVOLUTION_KEYS = {"dilation": "1", "antialiasing": "0", "xnor": "0", "binary": "0", "cbn": "0", "share_index": ""}
_OTHER_KEYS = {"upsample": {"scale": "1"}, "shortcut": {"weights_type": "none"}}
_MAXPOOL_KEYS = {"maxpool_depth": "0", "antialiasing": "0"}

TARGETS: dict[str, Target] = {
    "darknet": Target(
        name="darknet",
        sections=DARKNET_SECTIONS,
        activations=DARKNET_ACTIVATIONS,
        short_headers=_ALL_SHORT_HEADERS,
        required=_DARKNET_REQUIRED,
    ),
    "deepstream-yolo": Target(
        name="deepstream-yolo",
        sections=_words(
            "avgpool batchnorm control_channels convolutional deconvolutional dropout implicit implicit_add "
            "implicit_mul maxpool region reorg reorg3d route sam shift_channels shortcut upsample yolo"
        ),
        activations=_words("linear relu sigmoid logistic tanh leaky softplus mish silu swish hardsigmoid hardswish"),
        short_headers=frozenset({"conv", "max", "avg", "deconv"}),
        required={
            **_DARKNET_REQUIRED,
            "convolutional": ("filters", "size", "stride", "pad", "activation"),
            "maxpool": ("size", "stride"),
            "upsample": ("stride",),
            "batchnorm": ("filters", "activation"),
            "yolo": ("num", "classes", "anchors"),
            "region": ("num", "classes", "anchors"),
        },
        passed_over={
            **_OTHER_KEYS,
            "convolutional": _CONVOLUTION_KEYS,
            "maxpool": _MAXPOOL_KEYS,
        },
    ),
    "onnx": Target(
        name="onnx",
        sections=frozenset(SECTION_TYPES),
        activations=frozenset(ACTIVATIONS),
        short_headers=_ALL_SHORT_HEADERS,
        required=_DARKNET_REQUIRED,
    ),
    "opencv": Target(
        name="opencv",
        sections=_words(
            "avgpool connected convolutional cost crop dropout maxpool region reorg route sam scale_channels shortcut "
            "softmax upsample yolo"
        ),
        activations=_words("linear leaky mish swish silu logistic relu tanh"),
        short_headers=frozenset(),
        required={
            **_DARKNET_REQUIRED,
            "convolutional": ("filters", "size"),
            "yolo": ("mask", "num", "classes", "anchors"),
            "region": ("num", "classes", "anchors"),
        },
        passed_over={
            **_OTHER_KEYS,
            "convolutional": _CONVOLUTION_KEYS,
            "maxpool": _MAXPOOL_KEYS,
            "scale_channels": {"scale_wh": "0"},
            "reorg": {"reverse": "0"},
        },
        other_defaults={
            "convolutional": {"activation": "linear"},
            "maxpool": {"stride": "2"},
            "upsample": {"stride": "1"},
            "reorg": {"stride": "2"},
        },
    ),
}
