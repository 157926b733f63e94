"""Lint rules for DeepStream-Yolo's engine builder alone: what its line reader, its layers and its weights reader do.

Each rule says what the builder would do, as its sources have it (yolo.cpp, utils.cpp and layers/ of DeepStream-Yolo).
"""

from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.lint_findings import Finding, Rule, Subject, line_of
from traffic_yolo.darknet.lint_targets import DETECTION_SECTIONS

NAME = "deepstream-yolo"
NET_KEYS = ("width", "height", "channels", "letter_box")
REFERRING = {"route": "layers", "shortcut": "from", "sam": "from"}


def leading_space(subject: Subject) -> Iterator[Finding]:
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
            yield Finding(**{**finding.__dict__, "line": number})


def dropout_shift(subject: Subject) -> Iterator[Finding]:
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
        while meant > 0 and subject.cfg.layers[meant].name == "dropout":
            meant -= 1  # at inference a dropout passes on what is before it
        position = len(before) + value if value < 0 else value
        taken = before[position] if 0 <= position < len(before) else -1
        if taken != meant:
            wrong.append(f"layer {taken} for layer {meant}" if taken >= 0 else f"no layer for layer {meant}")
    return ", ".join(wrong)


def mixed_new_coords(subject: Subject) -> Iterator[Finding]:
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


def window_padding(subject: Subject) -> Iterator[Finding]:
    """Convolutions and pools whose padding comes out other than Darknet's: another grid, or shifted values."""
    for layer in subject.sections:
        keys = layer.section
        if keys.name == "convolutional":
            yield from _convolution_padding(subject, keys)
        elif keys.name == "maxpool" and keys.has("size") and keys.has("stride"):
            size, stride = keys.get_int("size", 1), keys.get_int("stride", 1)
            left = (size - 1) // 2
            both = 1 if (size, stride) == (2, 1) else 2 * left
            grid = [(length + both - size) // stride + 1 for length in layer.input[1:]]
            if grid != list(layer.output[1:]) or left != keys.get_int("padding", size - 1) // 2:
                yield subject.finding(
                    "window-padding",
                    "error",
                    keys,
                    f"size={size} stride={stride} on {layer.input} gives {grid[0]} x {grid[1]} in {NAME},"
                    f" {layer.output.height} x {layer.output.width} in Darknet",
                    "choose a network size that is even there, or use the onnx target",
                    key="size",
                )


def _convolution_padding(subject: Subject, keys: Section) -> Iterator[Finding]:
    size, pad = keys.get_int("size", 1), keys.get_int("pad", 0)
    darknet = size // 2 if pad else keys.get_int("padding", 0)
    deepstream = (size - 1) // 2 if pad else 0
    if darknet != deepstream:
        yield subject.finding(
            "window-padding",
            "error",
            keys,
            f"size={size} pad={pad} pads by {darknet} in Darknet, by {deepstream} in {NAME} (it reads no padding=)",
            "use an odd size with pad=1, or the onnx target",
            key="padding" if not pad else "size",
        )


def shortcut_sources(subject: Subject) -> Iterator[Finding]:
    """Shortcuts from the layer right before, or from one with fewer channels."""
    for layer in subject.read_layers("shortcut"):
        source = layer.inputs[1]
        channels = subject.sections[source].output.channels
        if source == layer.index - 1:
            problem = "adds the layer right before to itself, which stops at an assertion"
        elif channels < layer.input.channels:
            problem = f"cuts {layer.input.channels} channels out of the {channels} of layer {source}"
        else:
            continue
        yield subject.finding(
            "shortcut-sources", "error", layer.section, f"{NAME} {problem}", "use the onnx target", key="from"
        )


def explicit_zero(subject: Subject) -> Iterator[Finding]:
    """`batch_normalize=0` written out: where the key stands the builder reads no biases, and what follows wrong."""
    for section in subject.layers_named("convolutional"):
        if section.has("batch_normalize") and section.get_int("batch_normalize", 0) != 1:
            yield subject.finding(
                "explicit-zero",
                "error",
                section,
                f"batch_normalize={section.get_str('batch_normalize', '')}: {NAME} reads no biases for this layer,"
                " and every later weight from the wrong place",
                "remove the line",
                key="batch_normalize",
            )


def route_group_id(subject: Subject) -> Iterator[Finding]:
    """A route with `groups` must name its `group_id`."""
    for section in subject.layers_named("route"):
        if section.has("groups") and not section.has("group_id"):
            yield subject.finding(
                "missing-key",
                "error",
                section,
                f"{NAME} needs group_id= beside groups=, found none",
                "add group_id=0",
                key="groups",
            )


def file_name(subject: Subject) -> Iterator[Finding]:
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


def classes_and_heads(subject: Subject) -> Iterator[Finding]:
    """The builder must find a head, and `num-detected-classes` must be its number of classes."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    if heads:
        classes = heads[-1].get_int("classes", 20)
        finding = subject.finding(
            "num-detected-classes",
            "info",
            heads[-1],
            f"nvinfer needs num-detected-classes={classes}: with less its parser reads beyond an array",
            f"set num-detected-classes={classes} and give {classes} lines in the labels file",
        )
        yield Finding(**{**finding.__dict__, "line": line_of(heads[-1], "classes")})


DEEPSTREAM_RULES: dict[str, Rule] = {
    "leading-space": leading_space,
    "dropout-shift": dropout_shift,
    "mixed-new-coords": mixed_new_coords,
    "window-padding": window_padding,
    "shortcut-sources": shortcut_sources,
    "explicit-zero": explicit_zero,
    "route-group-id": route_group_id,
    "file-name": file_name,
    "num-detected-classes": classes_and_heads,
}
