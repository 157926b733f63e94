"""Lint rules for sections of every type, by what stands on the section's class: section types, keys, activations.

Rules that concern one section type alone stand on its class too (`lint_rules` in `sections`). What lies around the
network (resize, weights) is in `lint_runtime`, what DeepStream-Yolo alone does with the file in `lint_deepstream`.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import Rule, Subject, entries, raw_header
from traffic_yolo.darknet.lint_targets import DETECTION_SECTIONS
from traffic_yolo.darknet.sections.runtimes import COMMON_KEYS, NET_KEYS, OPENCV, WHOLE_NUMBER_KEYS
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.severity import Severity

MOST_UNKNOWN = 50  # a section's unknown keys that are named; looking for what was meant takes a millisecond each


def unsupported_section(subject: Subject) -> Iterator[CfgFinding]:
    """Section types that the target does not know."""
    known = subject.target.sections
    for section in subject.cfg.layers:
        if section.name not in known:
            message = f"{subject.target.name} knows no [{section.name}]"
            advice = f"train a network without it; known: {', '.join(sorted(known))}"
            yield subject.finding("unsupported-section", "error", section, message, advice)


def section_header(subject: Subject) -> Iterator[CfgFinding]:
    """Short section names that only some readers take."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        header = raw_header(section)
        if header != section.name and header not in subject.target.short_headers:
            message = f"{subject.target.name} does not take [{header}] for [{section.name}]"
            yield subject.finding("section-header", "error", section, message, f"write [{section.name}]")


def unsupported_activation(subject: Subject) -> Iterator[CfgFinding]:
    """Activations that the target does not know."""
    known = subject.target.sections
    for section in subject.cfg.layers:
        section_type = SECTION_TYPES.get(section.name)
        if section_type is None or "activation" not in section_type.keys or section.name not in known:
            continue
        name = section.get_str("activation", "")
        if name and name not in subject.target.activations:
            yield subject.finding(
                "unsupported-activation",
                "error",
                section,
                f"{subject.target.name} knows no activation={name[:40]}",
                f"train with one of {', '.join(sorted(subject.target.activations))}",
                key="activation",
            )


def missing_key(subject: Subject) -> Iterator[CfgFinding]:
    """Keys that the target insists on, whatever Darknet's default is."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        for key in subject.target.reads(section.name).required:
            if not section.has(key):
                message = f"{subject.target.name} needs {key}=, found none"
                advice = f"add {key}= with the value that Darknet takes by default"
                yield subject.finding("missing-key", "error", section, message, advice)


def steps_policy(subject: Subject) -> Iterator[CfgFinding]:
    """Darknet stops where policy=steps comes without steps or scales, even at inference."""
    net = subject.cfg.net
    for key in ("steps", "scales"):
        if subject.target.name == "darknet" and net.get_str("policy", "constant") == "steps" and not net.has(key):
            message = f"policy=steps needs {key}=, found none: Darknet stops"
            yield subject.finding("missing-key", "error", net, message, f"add {key}=", key="policy")
    if subject.target.name != "darknet" or net.get_str("policy", "constant") != "steps":
        return
    steps, scales = len(net.get_str("steps", "").split(",")), len(net.get_str("scales", "").split(","))
    if net.has("steps") and net.has("scales") and steps != scales:
        severity: Severity = "error" if steps > scales else "warning"
        effect = "Darknet reads beyond the scales and crashes" if steps > scales else "the last ones are never used"
        message = f"{steps} steps and {scales} scales: {effect}"
        yield subject.finding("steps-policy", severity, net, message, "give every step its scale", key="scales")


def new_coords_activation(subject: Subject) -> Iterator[CfgFinding]:
    """`new_coords=1` takes its inputs for probabilities already: a logistic convolution must stand before it."""
    layers = subject.cfg.layers
    for before, head in pairwise(layers):
        if head.name != "yolo" or before.name != "convolutional":
            continue
        new_coords = head.get_int("new_coords", 0) != 0
        activation = before.get_str("activation", "logistic")  # Darknet's default
        if new_coords == (activation == "logistic"):
            continue
        what = "reads probabilities, and gets" if new_coords else "takes the logistic of its inputs, and gets"
        message = (
            f"new_coords={int(new_coords)} {what} the output of activation={activation[:40]} on line {before.line}"
        )
        advice = "new_coords=1 goes with activation=logistic before it, new_coords=0 with linear"
        yield subject.finding("new-coords-activation", "warning", head, message, advice, key="new_coords")


def misread_number(subject: Subject) -> Iterator[CfgFinding]:
    """Whole numbers that say another than every runtime reads of them: they end at the first character but a digit."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        for key in section.keys():  # noqa: SIM118
            misread = section.misread_ints(key) if key in WHOLE_NUMBER_KEYS else None
            if misread is not None:
                message = f"{key}: {misread[0][:40]} is read as {misread[1]}"
                advice = "write it with digits alone: a whole number ends at any other character"
                yield subject.finding("misread-number", "error", section, message, advice, key=key)


def unknown_key(subject: Subject) -> Iterator[CfgFinding]:
    """Keys that Darknet does not read in their section: a slip of the pen leaves the default standing."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        known = _known_keys(subject, section)
        if known is None:
            continue
        unknown = [key for key in section.keys() if key not in known]  # noqa: SIM118
        for key in unknown[:MOST_UNKNOWN]:
            message = f"Darknet passes over {key[:40]}= in [{section.name}]"
            yield subject.finding("unknown-key", "warning", section, message, _advice_for(key, known), key=key)
        if (rest := len(unknown) - MOST_UNKNOWN) > 0:
            message = f"Darknet passes over {rest} keys more in [{section.name}]"
            yield subject.finding("unknown-key", "warning", section, message, "is this a Darknet cfg?")


def _known_keys(subject: Subject, section: Section) -> frozenset[str] | None:
    """What may stand in a section; None for a section type that is not known here."""
    if section is subject.cfg.net:
        return NET_KEYS
    section_type = SECTION_TYPES.get(section.name)
    if section_type is None:
        return None
    required = frozenset(subject.target.reads(section.name).required)
    return section_type.keys | section_type.foreign_keys | COMMON_KEYS | required


def _advice_for(key: str, known: frozenset[str]) -> str:
    alike = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.75)
    return f"is {alike[0]}= meant?" if alike else "remove it, or mend its name"


def other_default(subject: Subject) -> Iterator[CfgFinding]:
    """Keys that are left out where the target and Darknet then take different values."""
    for section in subject.cfg.layers:
        for key, value in subject.target.reads(section.name).other_defaults.items():
            if not section.has(key):
                message = f"without {key}= {subject.target.name} takes {key}={value}, Darknet another value"
                yield subject.finding("other-default", "error", section, message, f"write {key}= out")


def ignored_key(subject: Subject) -> Iterator[CfgFinding]:
    """Keys that change the layer in Darknet and that the target does not read."""
    for section in subject.cfg.layers:
        passed_over = subject.target.reads(section.name).passed_over
        for key, harmless in passed_over.items():
            if section.has(key) and section.get_str(key, "") != harmless:
                yield _ignored(subject, section, key)
        if section.name in ("convolutional", "maxpool") and passed_over:
            stride = section.get_str("stride", "1")
            for key in ("stride_x", "stride_y"):
                if section.get_int(key, -1) >= 1 and section.get_str(key, "") != stride:
                    yield _ignored(subject, section, key)


def _ignored(subject: Subject, section: Section, key: str) -> CfgFinding:
    return subject.finding(
        "ignored-key",
        "error",
        section,
        f"{subject.target.name} does not read {key}={section.get_str(key, '')}: it computes another layer",
        "use the onnx target, or train without this key",
        key=key,
    )


def repeated_key(subject: Subject) -> Iterator[CfgFinding]:
    """A key with two values in one section: Darknet takes the first, OpenCV the last."""
    for section in (subject.cfg.net, *subject.cfg.layers):
        first: dict[str, str] = {}
        for line, key, value in entries(section):
            if first.setdefault(key, value) == value:
                continue
            takes_last = subject.target.name == OPENCV and section is not subject.cfg.net
            finding = subject.finding(
                "repeated-key",
                "error" if takes_last else "warning",
                section,
                f"{key}={value} comes after {key}={first[key]}: Darknet takes the first"
                + (", opencv the last" if takes_last else ""),
                "remove one of them",
            )
            yield replace(finding, line=line)


def mixed_classes(subject: Subject) -> Iterator[CfgFinding]:
    """Heads with different numbers of classes."""
    heads = list(subject.layers_named(*DETECTION_SECTIONS))
    for head in heads[1:]:
        if head.get_int("classes", 20) != heads[0].get_int("classes", 20):
            message = f"classes={head.get_int('classes', 20)}, the first head has {heads[0].get_int('classes', 20)}"
            advice = "give every head the same classes"
            yield subject.finding("mixed-classes", "error", head, message, advice, key="classes")


EVERY_SECTION_RULES: dict[str, Rule] = {
    "unsupported-section": unsupported_section,
    "section-header": section_header,
    "unsupported-activation": unsupported_activation,
    "missing-key": missing_key,
    "steps-policy": steps_policy,
    "new-coords-activation": new_coords_activation,
    "misread-number": misread_number,
    "unknown-key": unknown_key,
    "other-default": other_default,
    "ignored-key": ignored_key,
    "repeated-key": repeated_key,
    "mixed-classes": mixed_classes,
}
