"""Lint rules for DeepStream-Yolo's engine builder alone: its line reader, its layer indices, its weights reader.

Each rule says what the builder would do, as its sources have it (yolo.cpp, utils.cpp and layers/ of DeepStream-Yolo).
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_deepstream_reading import READING_RULES
from traffic_yolo.darknet.lint_findings import Rule, Subject
from traffic_yolo.darknet.lint_targets import DETECTION_SECTIONS
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM as NAME
from traffic_yolo.severity import Severity

NET_KEYS = ("width", "height", "channels", "letter_box")
REFERRING = {"route": "layers", "shortcut": "from", "sam": "from"}


def leading_space(subject: Subject) -> Iterator[CfgFinding]:
    """Lines that begin with a space are skipped, headers too."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        for number, text in enumerate(section.to_text().split("\n"), start=section.line):
            stripped = text.strip()
            if not text.startswith(" ") or not stripped or stripped[0] in "#;":
                continue
            what = "its keys go to the section before" if stripped.startswith("[") else "the key is lost"
            key = stripped.partition("=")[0].strip()
            # Only these of [net] are read: losing another costs nothing here.
            unread = section is subject.cfg.net and not stripped.startswith("[") and key not in NET_KEYS
            finding = subject.finding(
                "leading-space",
                "warning" if unread else "error",
                section,
                f"{NAME} skips lines that begin with a space: {what} ({stripped[:40]})",
                "remove the space at the line's beginning",
            )
            yield replace(finding, line=number)


def dropout_shift(subject: Subject) -> Iterator[CfgFinding]:
    """[dropout] has no output there: later references reach another layer, and a later [shortcut] or [sam] stops it."""
    layers = subject.cfg.layers
    outputs = [index for index, section in enumerate(layers) if section.name != "dropout"]
    if len(outputs) == len(layers):
        return
    for index, section in enumerate(layers):
        dropped = sum(layer.name == "dropout" for layer in layers[:index])
        key = REFERRING.get(section.name)
        if not dropped or key is None:
            continue
        if section.name != "route":
            effect = "stops at an assertion"
        elif wrong := _wrong_references(subject, outputs, index):
            effect = f"takes {wrong}"
        else:
            continue
        yield subject.finding(
            "dropout-shift",
            "error",
            section,
            f"{dropped} [dropout] before it have no output in {NAME}, which {effect}",
            "take [dropout] out of the cfg and lower later absolute indices: the weights stay the same",
            key=key,
        )


def _wrong_references(subject: Subject, outputs: list[int], index: int) -> str:
    """How the references of the route at `index` come out, where one is another layer; "" where all are right."""
    section = subject.cfg.layers[index]
    before = [layer for layer in outputs if layer < index]
    wrong = []
    for value in section.get_ints("layers"):
        meant = index + value if value < 0 else value
        if not 0 <= meant < index:
            continue  # no layer before this one: what reads the section says so
        while meant > 0 and subject.cfg.layers[meant].name == "dropout":
            meant -= 1  # at inference a dropout passes on what is before it
        position = len(before) + value if value < 0 else value
        taken = before[position] if 0 <= position < len(before) else -1
        if taken != meant:
            wrong.append(f"layer {taken} for layer {meant}" if taken >= 0 else f"no layer for layer {meant}")
    return ", ".join(wrong)


def mixed_new_coords(subject: Subject) -> Iterator[CfgFinding]:
    """`new_coords` is one setting for all heads: the last [yolo] that has the key decides."""
    heads = list(subject.layers_named("yolo"))
    stated = [head for head in heads if head.has("new_coords")]
    last = stated[-1].get_int("new_coords", 0) if stated else 0
    for head in heads:
        own = head.get_int("new_coords", 0)
        if own != last:
            yield subject.finding(
                "mixed-new-coords",
                "error",
                head,
                f"new_coords={own} here, but {NAME} decodes every head with the last one's, {last}",
                "use the onnx target, or train all heads with one new_coords",
                key="new_coords",
            )


def file_name(subject: Subject) -> Iterator[CfgFinding]:
    """The weights' path decides how many header bytes are skipped, and whether the file is taken at all."""
    if subject.weights is None:
        path = Path(subject.cfg.file).with_suffix(".weights")
        if skipped_header_bytes(path) == 16:
            message = f"{NAME} skips 16 header bytes where the weights' path has 'yolov2', as this cfg's; files have 20"
            yield subject.finding(
                "file-name", "warning", None, message, "call the weights otherwise, unless their header has 16 bytes"
            )
        return
    if ".weights" not in str(subject.weights):
        message = f"{subject.weights}: {NAME} takes weights only where the path has '.weights'"
        yield subject.finding("file-name", "error", None, message, "rename the file")
    skipped = skipped_header_bytes(subject.weights)
    if subject.header is not None and skipped != subject.header.size_bytes:
        because = "'yolov2' in the path" if skipped == 16 else "no 'yolov2' in the path"
        yield subject.finding(
            "file-name",
            "error",
            None,
            f"{subject.weights}: {NAME} skips a header of {skipped} bytes ({because}), the file has"
            f" {subject.header.size_bytes}: every weight is read from the wrong place",
            "rename the file or its folder" if skipped == 16 else "save the weights anew, with header version 0.2",
        )


def skipped_header_bytes(weights: Path) -> int:
    """utils.cpp loadWeights: 16 bytes where the path says yolov2 and not yolov2-tiny, else 20."""
    path = str(weights)
    return 16 if "yolov2" in path and "yolov2-tiny" not in path else 20


def detected_classes(subject: Subject) -> Iterator[CfgFinding]:
    """`num-detected-classes` of nvinfer must be the heads' number of classes."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    if not heads:
        return
    classes, configured = heads[-1].get_int("classes", 20), subject.setup.num_detected_classes
    advice = f"set num-detected-classes={classes} and give {classes} lines in the labels file"
    if configured is None or configured == classes:
        message = f"nvinfer needs num-detected-classes={classes}: with less its parser reads beyond an array"
        yield subject.finding("num-detected-classes", "info", heads[-1], message, advice, key="classes")
        return
    effect = "its parser reads beyond an array" if configured < classes else "the rest never comes"
    message = f"classes={classes}, but nvinfer is set to num-detected-classes={configured}: {effect}"
    severity: Severity = "error" if configured < classes else "warning"
    yield subject.finding("num-detected-classes", severity, heads[-1], message, advice, key="classes")


def tiny_boxes(subject: Subject) -> Iterator[CfgFinding]:
    """Boxes narrower or lower than a pixel of the network are dropped by the parser."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    if heads:
        message = f"{NAME} drops boxes below 1 pixel of the network in width or height; Darknet reports them"
        advice = "nothing to change; a larger network size makes small objects larger"
        yield subject.finding("tiny-boxes", "info", heads[-1], message, advice)


DEEPSTREAM_RULES: dict[str, Rule] = {
    **READING_RULES,
    "leading-space": leading_space,
    "dropout-shift": dropout_shift,
    "mixed-new-coords": mixed_new_coords,
    "file-name": file_name,
    "num-detected-classes": detected_classes,
    "tiny-boxes": tiny_boxes,
}
