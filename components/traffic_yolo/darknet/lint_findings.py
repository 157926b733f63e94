"""What lint rules are given: a whole cfg, or one of its sections."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from traffic_yolo.darknet.cfg import Cfg, Section
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_target import Target
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.weights import WeightsHeader
from traffic_yolo.severity import Severity


@dataclass(frozen=True)
class RuntimeSetup:
    """How the runtime is configured, as far as that is known: `resize` "" and `num_detected_classes` None are not."""

    resize: Literal["", "stretch", "letterbox"] = ""
    num_detected_classes: int | None = None


@dataclass(frozen=True)
class Subject:
    """A cfg under examination for one target.

    `sections` are the layers that could be read, in order: fewer than the cfg has where one could not. `weights` and
    its `header`: the file to go with it, if given.
    """

    cfg: Cfg
    target: Target
    sections: tuple[LayerSection, ...]
    setup: RuntimeSetup = RuntimeSetup()
    weights: Path | None = None
    header: WeightsHeader | None = None

    def finding(
        self, rule: str, severity: Severity, section: Section | None, message: str, advice: str, *, key: str = ""
    ) -> CfgFinding:
        """A finding at a section (at the line of `key` where the section has it), or at the file as a whole."""
        if section is None:
            return CfgFinding(rule, severity, self.cfg.file, 0, message, advice, "", -1)
        layer = next((index for index, layer in enumerate(self.cfg.layers) if layer is section), -1)
        line = line_of(section, key) if key else section.line
        return CfgFinding(rule, severity, self.cfg.file, line, message, advice, section.name, layer)

    def layers_named(self, *names: str) -> Iterator[Section]:
        """The layer sections of these types, whether or not they could be read."""
        return (section for section in self.cfg.layers if section.name in names)


@dataclass(frozen=True)
class SectionCase:
    """One layer section under examination by one rule; `layer` is None where it could not be read."""

    subject: Subject
    rule: str
    section: Section
    layer: LayerSection | None

    @property
    def target(self) -> str:
        """The name of the runtime."""
        return self.subject.target.name

    def finding(self, severity: Severity, message: str, advice: str, *, key: str = "") -> CfgFinding:
        """A finding of this rule here, at the line of `key` where the section has it."""
        return self.subject.finding(self.rule, severity, self.section, message, advice, key=key)


Rule = Callable[[Subject], Iterator[CfgFinding]]
SectionRule = Callable[[SectionCase], Iterator[CfgFinding]]


def entries(section: Section) -> Iterator[tuple[int, str, str]]:
    """(line in the file, key, value) of every entry, repeated keys included."""
    for number, text in enumerate(section.to_text().split("\n")[1:], start=section.line + 1):
        stripped = re.sub(r"[ \t\r]", "", text)
        if stripped and stripped[0] not in "#;":
            key, _, value = stripped.partition("=")
            yield number, key, value


def line_of(section: Section, key: str) -> int:
    """The line of the key's first entry, else the section's own."""
    return next((line for line, name, _ in entries(section) if name == key), section.line)


def raw_header(section: Section) -> str:
    """The section's name as the file spells it, before short names become long ones."""
    return section.to_text().split("\n", 1)[0].strip(" \t\r[]")
