"""What the lint of a DeepStream configuration reports, and what its rules are given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from traffic_yolo.deepstream.config.key_file import KeyFile
from traffic_yolo.deepstream.config.nvinfer_keys import Key
from traffic_yolo.finding import FileFinding
from traffic_yolo.severity import Severity

FileKind = Literal["nvinfer", "deepstream-app"]


@dataclass(frozen=True, slots=True)
class ConfigFinding(FileFinding):
    """A finding at a key of a group; `key` is "" for the group itself, both are for the file as a whole.

    error: the element stops, or does something else than the file says or the model needs; warning: results may
    differ, or work is done twice; info: what could not be looked at, or holds on another machine only.
    """

    group: str
    key: str


@dataclass(frozen=True)
class KnownModel:
    """What is known of the model that a configuration runs; `source` says from where, for messages.

    `classes`: labels by class id as DeepStream shows them, empty where only their number `num_classes` is known (0:
    not even that). `network_hw`: height and width of the input, or None.
    """

    source: str
    classes: tuple[str, ...]
    num_classes: int
    network_hw: tuple[int, int] | None
    letterbox: bool | None


@dataclass(frozen=True)
class ConfigSubject:
    """A file under examination: its entries, the folder that relative paths start from, and the model where known."""

    file: KeyFile
    kind: FileKind
    folder: Path
    model: KnownModel | None = None

    def finding(self, rule: str, severity: Severity, group: str, key: str, message: str, advice: str) -> ConfigFinding:
        """A finding at a key's line, at its group's where the key is not there, or at the file as a whole."""
        where = self.file.line(group, key) if group else 0
        return ConfigFinding(rule, severity, self.file.source, where, message, advice, group, key)

    def has(self, group: str, key: str) -> bool:
        """Whether the file states `key`."""
        return key in self.file.groups.get(group, {})

    def text(self, group: str, key: str, default: str = "") -> str:
        """The value of a key as it stands there."""
        entry = self.file.groups.get(group, {}).get(key)
        return default if entry is None else entry.value.rstrip()

    def number(self, group: str, key: str, spec: Key, default: float) -> float:
        """The value as the parser reads it; `default` where it is absent or no number, which another rule reports."""
        if not self.has(group, key):
            return default
        try:
            numbers = spec.numbers(self.file.groups[group][key].value, where="")
        except ValueError:
            return default
        return numbers[0] if numbers else default

    def path(self, group: str, key: str) -> Path | None:
        """The file that a key names, relative to the configuration; None where the key is absent or empty."""
        text = self.text(group, key)
        return self.folder / text if text else None


ConfigRule = Callable[[ConfigSubject], Iterator[ConfigFinding]]
