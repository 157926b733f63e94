"""What DeepStream-Yolo's builder reads of a section otherwise than Darknet, as one table and the rule that goes by it.

Taken from its sources: yolo.cpp (parseConfigFile, parseConfigBlocks, buildYoloNetwork) and layers/. Keys that it does
not read at all stand on the section's class (`sections.runtimes`), as does what it insists on.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import Rule, SectionCase, Subject
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM as NAME
from traffic_yolo.darknet.sections.runtimes import words
from traffic_yolo.severity import Severity

ONNX_INSTEAD = "use the onnx target, or train without it"
BATCH_NORM_EPS = 1e-5  # Darknet's, and the builder's where eps= is absent
DIGITS_APART = re.compile(r"[0-9.][ \t]+[0-9.]")
# The keys whose values the builder takes for numbers, and so reads up to the first blank
NUMBER_KEYS = {
    "net": words("channels height width letter_box"),
    "convolutional": words("filters pad size stride batch_normalize groups"),
    "batchnorm": words("filters"),
    "implicit": words("filters"),
    "maxpool": words("size stride"),
    "reorg": words("stride"),
    "route": words("layers groups group_id"),
    "sam": words("from"),
    "shortcut": words("from"),
    "upsample": words("stride"),
    "yolo": words("num classes new_coords anchors mask scale_x_y"),
    "region": words("num classes anchors"),
}


@dataclass(frozen=True)
class Reading:
    """One reading that is not Darknet's: `differs` says of a section whether it makes a difference there.

    `key`: where the finding stands. `effect`: what the builder does, after its name.
    """

    key: str
    differs: Callable[[SectionCase], bool]
    effect: str
    advice: str = ONNX_INSTEAD


def _text_of(section: Section, key: str) -> str:
    """The first value of `key` as the builder takes it: trimmed at its ends alone."""
    for line in section.to_text().split("\n")[1:]:
        name, separator, value = line.partition("=")
        if separator and name.strip() == key and not line.startswith((" ", "#")):
            return value.strip()
    return ""


def _grouped_join(case: SectionCase) -> bool:
    return case.section.get_int("groups", 1) > 1 and len(case.section.get_ints("layers")) > 1


def _batch_norm_as_text(case: SectionCase) -> bool:
    return case.section.get_int("batch_normalize", 0) != 0 and _text_of(case.section, "batch_normalize") != "1"


def _other_bias(case: SectionCase) -> bool:
    usual = 0 if case.section.has("batch_normalize") else 1
    return case.section.get_int("bias", usual) != usual


def _other_eps(case: SectionCase) -> bool:
    normalised = case.section.get_int("batch_normalize", 0) != 0
    return normalised and case.section.get_float("eps", BATCH_NORM_EPS) != BATCH_NORM_EPS


def _window_is_the_picture(case: SectionCase) -> bool:
    """The window is channels x height where height x width is meant."""
    if case.layer is None:
        return False
    channels, height, width = case.layer.input
    return channels == height == width


def _from_first_layer(case: SectionCase) -> bool:
    return case.section.has("from") and case.section.get_ints("from")[:1] == (0,)


_FROM_ZERO = Reading(
    "from",
    _from_first_layer,
    "takes from=0 for the layer right before and stops at an assertion",
    "write the distance as a negative number",
)

READINGS: dict[str, tuple[Reading, ...]] = {
    "route": (
        Reading(
            "groups",
            _grouped_join,
            "joins the layers and takes one group of the whole; Darknet takes one of each",
            "write one [route] for each layer, then one that joins them",
        ),
    ),
    "yolo": (
        Reading(
            "anchors",
            lambda case: not case.section.has("mask"),
            "decodes a [yolo] without mask= as a [region]",
            "write mask= with all anchors: 0,1,2 and so on",
        ),
    ),
    "region": (
        Reading(
            "softmax",
            lambda case: case.section.get_int("softmax", 0) == 0,
            "takes the softmax over the classes whatever softmax= says; Darknet without softmax=1 takes none",
        ),
        Reading("classfix", lambda case: case.section.get_int("classfix", 0) == -1, "does not read classfix=-1"),
    ),
    "convolutional": (
        Reading(
            "batch_normalize",
            _batch_norm_as_text,
            "compares batch_normalize= with the text 1: it reads no batch-norm here",
            "write batch_normalize=1 and nothing behind it",
        ),
        Reading(
            "bias",
            _other_bias,
            "reads bias=, which Darknet does not: every weight from here on is read from the wrong place",
            "remove bias=",
        ),
        Reading(
            "eps",
            _other_eps,
            "reads eps= for the batch-norm, for which Darknet always takes 0.00001",
            "remove eps=",
        ),
    ),
    "reorg3d": (Reading("", lambda _: True, "joins the blocks along the batch, not along the channels"),),
    "avgpool": (
        Reading(
            "",
            lambda case: not _window_is_the_picture(case),
            "takes a window of channels x height, not of the whole picture",
        ),
    ),
    "shortcut": (_FROM_ZERO,),
    "sam": (_FROM_ZERO,),
}


def other_reading(subject: Subject) -> Iterator[CfgFinding]:
    """Sections of which the builder makes another layer than Darknet, by the table."""
    for index, section in enumerate(subject.cfg.layers):
        layer = subject.sections[index] if index < len(subject.sections) else None
        case = SectionCase(subject, "other-reading", section, layer)
        for reading in READINGS.get(section.name, ()):
            if reading.differs(case):
                yield case.finding("error", f"{NAME} {reading.effect}", reading.advice, key=reading.key)


def inner_blank(subject: Subject) -> Iterator[CfgFinding]:
    """Numbers with a blank inside: Darknet takes all blanks out of a line, the builder stops at the first."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        for key in sorted(NUMBER_KEYS.get(section.name, frozenset())):
            text = _text_of(section, key).partition("#")[0]
            if DIGITS_APART.search(text):
                message = f"{NAME} stops at a blank in {key}={text[:40]}; Darknet reads {text.replace(' ', '')[:40]}"
                advice = "take the blank out of the number"
                yield subject.finding("inner-blank", "error", section, message, advice, key=key)


def input_channels(subject: Subject) -> Iterator[CfgFinding]:
    """Nvinfer gives a network three planes, or one grey one if it is told so."""
    net = subject.cfg.net
    channels = net.get_int("channels", 3)
    if channels == 3:
        return
    severity: Severity = "warning" if channels == 1 else "error"
    message = f"channels={channels}, but nvinfer gives a network 3 planes (RGB or BGR)"
    advice = "set model-color-format=2 (grey)" if channels == 1 else "train with channels=3"
    message += ", or 1 with model-color-format=2" if channels == 1 else ""
    yield subject.finding("input-channels", severity, net, message, advice, key="channels")


READING_RULES: dict[str, Rule] = {
    "other-reading": other_reading,
    "inner-blank": inner_blank,
    "input-channels": input_channels,
}
