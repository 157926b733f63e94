"""Lint rules about a cfg's sections and keys, for every target by its own table in `lint_targets`.

A rule takes a `Subject` and yields findings. What lies around the network (resize, NMS, weights) is in `lint_runtime`,
what DeepStream-Yolo alone does in `lint_deepstream`.
"""

from collections.abc import Iterator

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.lint_findings import Finding, Rule, Subject, entries, raw_header
from traffic_yolo.darknet.lint_targets import ACTIVATION_SECTIONS, DETECTION_SECTIONS


def unsupported_section(subject: Subject) -> Iterator[Finding]:
    """Section types that the target does not know."""
    for section in subject.cfg.layers:
        if section.name not in subject.target.sections:
            yield subject.finding(
                "unsupported-section",
                "error",
                section,
                f"{subject.target.name} knows no [{section.name}]",
                f"train a network without it; known: {', '.join(sorted(subject.target.sections))}",
            )


def section_header(subject: Subject) -> Iterator[Finding]:
    """Short section names that only some readers take."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        header = raw_header(section)
        if header != section.name and header not in subject.target.short_headers:
            yield subject.finding(
                "section-header",
                "error",
                section,
                f"{subject.target.name} does not take [{header}] for [{section.name}]",
                f"write [{section.name}]",
            )


def unsupported_activation(subject: Subject) -> Iterator[Finding]:
    """Activations that the target does not know."""
    for section in subject.layers_named(*ACTIVATION_SECTIONS):
        if not section.has("activation") or section.name not in subject.target.sections:
            continue
        name = section.get_str("activation", "")
        if name not in subject.target.activations:
            yield subject.finding(
                "unsupported-activation",
                "error",
                section,
                f"{subject.target.name} knows no activation={name[:40]}",
                f"train with one of {', '.join(sorted(subject.target.activations))}",
                key="activation",
            )


def missing_key(subject: Subject) -> Iterator[Finding]:
    """Keys that the target insists on, whatever Darknet's default is."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        for key in subject.target.required.get(section.name, ()):
            if not section.has(key):
                yield subject.finding(
                    "missing-key",
                    "error",
                    section,
                    f"{subject.target.name} needs {key}=, found none",
                    f"add {key}= with the value that Darknet takes by default",
                )


def steps_policy(subject: Subject) -> Iterator[Finding]:
    """Darknet stops where policy=steps comes without steps or scales, even at inference."""
    net = subject.cfg.net
    for key in ("steps", "scales"):
        if subject.target.name == "darknet" and net.get_str("policy", "constant") == "steps" and not net.has(key):
            message = f"policy=steps needs {key}=, found none: Darknet stops"
            yield subject.finding("missing-key", "error", net, message, f"add {key}=", key="policy")


def other_default(subject: Subject) -> Iterator[Finding]:
    """Keys that are left out where the target and Darknet then take different values."""
    for section in subject.cfg.layers:
        for key, value in subject.target.other_defaults.get(section.name, {}).items():
            if not section.has(key):
                yield subject.finding(
                    "other-default",
                    "error",
                    section,
                    f"without {key}= {subject.target.name} takes {key}={value}, Darknet another value",
                    f"write {key}= out",
                )


def ignored_key(subject: Subject) -> Iterator[Finding]:
    """Keys that change the layer in Darknet and that the target does not read."""
    for section in subject.cfg.layers:
        for key, harmless in subject.target.passed_over.get(section.name, {}).items():
            if section.has(key) and section.get_str(key, "") != harmless:
                yield _ignored(subject, section, key)
        if section.name in ("convolutional", "maxpool") and subject.target.passed_over:
            stride = section.get_str("stride", "1")
            for key in ("stride_x", "stride_y"):
                if section.get_int(key, -1) >= 1 and section.get_str(key, "") != stride:
                    yield _ignored(subject, section, key)


def _ignored(subject: Subject, section: Section, key: str) -> Finding:
    return subject.finding(
        "ignored-key",
        "error",
        section,
        f"{subject.target.name} does not read {key}={section.get_str(key, '')}: it computes another layer",
        "use the onnx target, or train without this key",
        key=key,
    )


def several_sources(subject: Subject) -> Iterator[Finding]:
    """Shortcuts with several `from`, of which some importers read the first alone."""
    if subject.target.name not in ("deepstream-yolo", "opencv"):
        return
    for section in subject.layers_named("shortcut"):
        if len(section.get_ints("from")) > 1:
            yield subject.finding(
                "several-sources",
                "error",
                section,
                f"{subject.target.name} adds the first of from={section.get_str('from', '')} alone",
                "use the onnx target, or split it into several [shortcut]",
                key="from",
            )


def grouped_join(subject: Subject) -> Iterator[Finding]:
    """Routes that join several layers and take one group of each: OpenCV slices the first alone."""
    if subject.target.name != "opencv":
        return
    for section in subject.layers_named("route"):
        if section.get_int("groups", 1) > 1 and len(section.get_ints("layers")) > 1:
            yield subject.finding(
                "grouped-join",
                "error",
                section,
                f"opencv cannot take groups={section.get_int('groups', 1)} of several layers",
                "write one [route] for each layer, then one that joins them",
                key="groups",
            )


def repeated_key(subject: Subject) -> Iterator[Finding]:
    """A key with two values in one section: Darknet takes the first, OpenCV the last."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        first: dict[str, str] = {}
        for line, key, value in entries(section):
            if first.setdefault(key, value) == value:
                continue
            takes_last = subject.target.name == "opencv" and section is not subject.cfg.net
            finding = subject.finding(
                "repeated-key",
                "error" if takes_last else "warning",
                section,
                f"{key}={value} comes after {key}={first[key]}: Darknet takes the first"
                + (", opencv the last" if takes_last else ""),
                "remove one of them",
            )
            yield Finding(**{**finding.__dict__, "line": line})


def wrong_filters(subject: Subject) -> Iterator[Finding]:
    """Convolutions before a head whose filters are not anchors * (box numbers + classes)."""
    for before, head in zip(subject.cfg.layers, subject.cfg.layers[1:], strict=False):
        if head.name not in DETECTION_SECTIONS or before.name != "convolutional":
            continue
        classes, anchors = head.get_int("classes", 20), _anchors_of(head)
        expected = anchors * (_box_numbers(head) + classes)
        found = before.get_int("filters", 1)
        if found != expected:
            yield subject.finding(
                "wrong-filters",
                "error",
                before,
                f"filters={found} before [{head.name}] of line {head.line}: expected {expected} ="
                f" {anchors} anchors x ({_box_numbers(head)} + {classes} classes)",
                f"set filters={expected} (and train again), or mend mask, num and classes of [{head.name}]",
                key="filters",
            )


def _anchors_of(head: Section) -> int:
    num = head.get_int("num", 1)
    return num if head.name == "region" else len(head.get_ints("mask")) or num


def _box_numbers(head: Section) -> int:
    """Box numbers and objectness: [Gaussian_yolo] has an uncertainty for each of the four."""
    return {"yolo": 5, "Gaussian_yolo": 9, "region": head.get_int("coords", 4) + 1}[head.name]


def mixed_classes(subject: Subject) -> Iterator[Finding]:
    """Heads with different numbers of classes."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    for head in heads[1:]:
        if head.get_int("classes", 20) != heads[0].get_int("classes", 20):
            yield subject.finding(
                "mixed-classes",
                "error",
                head,
                f"classes={head.get_int('classes', 20)}, the first head has {heads[0].get_int('classes', 20)}",
                "give every head the same classes",
                key="classes",
            )


def anchor_count(subject: Subject) -> Iterator[Finding]:
    """`num` that is not the number of anchors listed: OpenCV refuses it."""
    for head in subject.layers_named(*DETECTION_SECTIONS):
        listed, num = len(head.get_floats("anchors")), head.get_int("num", 1)
        if head.has("anchors") and listed != 2 * num:
            yield subject.finding(
                "anchor-count",
                "error" if subject.target.name == "opencv" else "warning",
                head,
                f"num={num}, and {listed} numbers in anchors: expected {2 * num}",
                f"set num={listed // 2}, or mend the anchors",
                key="num",
            )


SECTION_RULES: dict[str, Rule] = {
    "unsupported-section": unsupported_section,
    "section-header": section_header,
    "unsupported-activation": unsupported_activation,
    "missing-key": missing_key,
    "steps-policy": steps_policy,
    "other-default": other_default,
    "ignored-key": ignored_key,
    "several-sources": several_sources,
    "grouped-join": grouped_join,
    "repeated-key": repeated_key,
    "wrong-filters": wrong_filters,
    "mixed-classes": mixed_classes,
    "anchor-count": anchor_count,
}
