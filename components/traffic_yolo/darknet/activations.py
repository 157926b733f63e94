"""The activations that Darknet knows by name (activations.h), and which of them each section type may have.

What they compute is in `modules.activations`.
"""

from collections.abc import Set

from traffic_yolo.darknet.cfg import Section

ACTIVATION_NAMES = (
    "linear", "leaky", "revleaky", "relu", "relu6", "mish", "swish", "logistic", "tanh", "elu", "hardtan", "relie",
    "selu", "gelu", "hard_mish", "loggy", "ramp", "lhtan", "plse", "stair", "normalize_channels",
    "normalize_channels_softmax", "normalize_channels_softmax_maxval",
)  # fmt: skip

# Darknet's general `activate` has no case for these and answers 0: they work where a layer calls them by name.
_CONVOLUTIONAL_ONLY = {"hard_mish", *(name for name in ACTIVATION_NAMES if name.startswith("normalize_channels"))}
SHORTCUT_ACTIVATIONS = frozenset(ACTIVATION_NAMES) - _CONVOLUTIONAL_ONLY
PLAIN_ACTIVATIONS = SHORTCUT_ACTIVATIONS - {"swish", "mish"}


def read_activation(section: Section, default: str, *, known: Set[str] = frozenset(ACTIVATION_NAMES)) -> str:
    """The section's `activation`; raises `DarknetFormatError` listing the known ones (Darknet itself takes relu).

    `known` are those that Darknet computes in this section type.
    """
    name = section.get_str("activation", default)
    listed = ", ".join(sorted(known))
    if name not in ACTIVATION_NAMES:
        # the same function under its usual name; Darknet would go on with relu
        advice = "write activation=swish, Darknet's name of silu; " if name == "silu" else ""
        raise section.error(f"unknown activation {name[:40]!r}; {advice}known: {listed}", key="activation")
    if name not in known:
        reason = f"Darknet answers 0 for activation={name} in this section"
        raise section.error(f"{reason}; expected one of {listed}", key="activation")
    return name
