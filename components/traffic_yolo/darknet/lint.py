"""Says before a run what a runtime would make of a Darknet cfg and its weights: findings with a line and a remedy.

Rules about one section type stand on its class in `sections`, those about all of them in `lint_rules`, about what lies
around the network in `lint_runtime`, about DeepStream-Yolo's reading in `lint_deepstream`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_darknet_paths import DARKNET_RULES
from traffic_yolo.darknet.lint_deepstream import DEEPSTREAM_RULES
from traffic_yolo.darknet.lint_findings import Rule, RuntimeSetup, SectionCase, SectionRule, Subject
from traffic_yolo.darknet.lint_rules import EVERY_SECTION_RULES
from traffic_yolo.darknet.lint_runtime import RUNTIME_RULES, weights_bytes
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.network_sections import each_section
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.runtimes import DARKNET, DEEPSTREAM, OPENCV
from traffic_yolo.darknet.sections.section_types import SECTION_TYPES
from traffic_yolo.darknet.weights import WeightsHeader, read_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError
from traffic_yolo.finding import count_severities, counts_text, exit_code, worst_first
from traffic_yolo.storage import AnyPath, input_path

SCHEMA_VERSION = 1

_WHERE = re.compile(r"^(?P<file>.*?) line (?P<line>\d+)(?: \[(?P<section>\w+)\])?: (?P<message>.*)$", re.DOTALL)


@dataclass(frozen=True)
class LintReport:
    """All findings for one target, errors first, then by line.

    `expected_bytes`: the exact size of the weights file (with the header of the file given, else the usual 20 bytes),
    None where not every layer could be read. `actual_bytes`: the size of the file given.
    """

    target: str
    file: str
    findings: tuple[CfgFinding, ...]
    expected_bytes: int | None
    actual_bytes: int | None

    @property
    def counts(self) -> dict[str, int]:
        """Severity -> how many findings have it."""
        return count_severities(self.findings)

    @property
    def exit_code(self) -> int:
        """1 where there is an error, else 0."""
        return exit_code(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "target": self.target,
            "cfg": self.file,
            "weights_bytes": {"expected": self.expected_bytes, "actual": self.actual_bytes},
            "counts": self.counts,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def to_text(self) -> str:
        """Two lines a finding, then the weights' size, then the sums."""
        lines = [finding.to_text() for finding in self.findings]
        if self.expected_bytes is not None:
            found = {None: "", self.expected_bytes: ", as the file given has"}.get(
                self.actual_bytes,
                f"; the file given has {self.actual_bytes:,}" if self.actual_bytes is not None else "",
            )
            lines.append(f"weights file: {self.expected_bytes:,} bytes{found}")
        return "\n".join([*lines, f"{self.target}: {counts_text(self.counts)}"])


def lint(cfg: AnyPath, target: str, *, weights: AnyPath | None = None, setup: RuntimeSetup | None = None) -> LintReport:
    """Examines the cfg file for a target of `TARGETS`, with the weights file where one is given.

    `setup`: how the runtime is configured, where known. What is wrong with the cfg or the weights is a finding; raises
    `OptionsError` for an unknown target, `StorageError` for a file that cannot be read.
    """
    if target not in TARGETS:
        raise OptionsError(f"target {target!r} is unknown; expected one of {', '.join(TARGETS)}")
    try:
        return lint_cfg(Cfg.read(cfg), target, weights=weights, setup=setup)
    except DarknetFormatError as error:
        return LintReport(target, str(cfg), (_from_error("cfg-syntax", str(cfg), error),), None, None)


def lint_cfg(cfg: Cfg, target: str, *, weights: AnyPath | None = None, setup: RuntimeSetup | None = None) -> LintReport:
    """`lint` for a parsed cfg; line numbers are those of the text it was parsed from."""
    sections, failure = _readable_sections(cfg)
    findings: list[CfgFinding] = []
    header, actual_bytes = None, None
    weights = None if weights is None else input_path(weights, what="weights")
    if weights is not None:
        try:
            file = read_weights(weights)
            header, actual_bytes = file.header, file.size_bytes
        except DarknetFormatError as error:
            findings.append(_from_error("weights-header", str(weights), error))
    subject = Subject(cfg, TARGETS[target], tuple(sections), setup or RuntimeSetup(), weights, header)
    own = {DEEPSTREAM: DEEPSTREAM_RULES, DARKNET: DARKNET_RULES}.get(target, {})
    rules: dict[str, Rule] = {**EVERY_SECTION_RULES, **RUNTIME_RULES, **own}
    runs = [(name, partial(rule, subject)) for name, rule in rules.items()]
    runs += [(case.rule, partial(rule, case)) for case, rule in _section_cases(subject)]
    for name, run in runs:
        try:
            findings.extend(run())
        except DarknetFormatError as error:  # a number that is none, in a section that no other check had read
            findings.append(_from_error(name, cfg.file, error))
    if failure is not None:
        findings.extend(_unread(subject, failure, findings))
    expected = weights_bytes(subject, header or WeightsHeader()) if len(sections) == len(cfg.layers) else None
    return LintReport(target, cfg.file, _in_order(findings), expected, actual_bytes)


def _section_cases(subject: Subject) -> Iterator[tuple[SectionCase, SectionRule]]:
    """Every layer with every rule of its own section type."""
    for index, section in enumerate(subject.cfg.layers):
        layer = subject.sections[index] if index < len(subject.sections) else None
        section_type = SECTION_TYPES.get(section.name)
        for name, rule in section_type.lint_rules if section_type is not None else ():
            yield SectionCase(subject, name, section, layer), rule


def _readable_sections(cfg: Cfg) -> tuple[list[LayerSection], DarknetFormatError | None]:
    """The layers up to the first that cannot be read, and why it cannot."""
    sections: list[LayerSection] = []
    try:
        for section in each_section(cfg):
            sections.append(section)
    except DarknetFormatError as error:
        return sections, error
    return sections, None


def _unread(subject: Subject, failure: DarknetFormatError, findings: list[CfgFinding]) -> list[CfgFinding]:
    """The finding for the layer that could not be read, unless a rule has said it with more words.

    What this package does not support is no fault of a cfg that goes to Darknet: a warning that nothing behind that
    layer was checked. The onnx exporter and our reader are one, so there it is an error.
    """
    found = _from_error("unreadable-layer", subject.cfg.file, failure)
    if any(other.severity == "error" and other.line == found.line for other in findings):
        return []
    index = len(subject.sections)
    unsupported = index < len(subject.cfg.layers) and subject.cfg.layers[index].name not in SECTION_TYPES
    if index < len(subject.cfg.layers) and subject.target.name in (DEEPSTREAM, OPENCV):
        activation = subject.cfg.layers[index].get_str("activation", "")
        if found.message.startswith("unknown activation") and activation in subject.target.activations:
            message = f"{subject.target.name} knows activation={activation}, Darknet does not and takes relu"
            advice = "write activation=swish for silu: it is the same" if activation == "silu" else "train with another"
            advice += "; the layers from here on were not checked"
            rule = "foreign-activation"
            return [replace(found, rule=rule, severity="warning", layer=index, message=message, advice=advice)]
    if subject.target.name != "onnx" and (unsupported or "not supported" in found.message):
        advice = "the layers from there on, shapes and the size of the weights were not checked"
        return [replace(found, rule="unchecked", severity="warning", layer=index, advice=advice)]
    return [replace(found, layer=index if index < len(subject.cfg.layers) else -1)]


def _from_error(rule: str, file: str, error: DarknetFormatError) -> CfgFinding:
    """A finding from a message of the readers, which begins with file, line and section."""
    match = _WHERE.match(str(error))
    if match is None:
        return CfgFinding(rule, "error", file, 0, str(error).removeprefix(f"{file}: "), "mend the file", "", -1)
    advice = "mend this line; Darknet would stop here or take another value than is meant"
    line, section = int(match["line"]), match["section"] or ""
    return CfgFinding(rule, "error", match["file"], line, match["message"], advice, section, -1)


def _in_order(findings: list[CfgFinding]) -> tuple[CfgFinding, ...]:
    """Each once (several rules may stumble over one bad number), errors first, then by line."""
    seen: Counter[tuple[int, str]] = Counter()
    kept = []
    for finding in findings:
        seen[finding.line, finding.message] += 1
        if seen[finding.line, finding.message] == 1:
            kept.append(finding)
    return tuple(worst_first(kept, then=lambda finding: (finding.line, finding.rule)))
