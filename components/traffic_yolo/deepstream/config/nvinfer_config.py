"""The configuration file of DeepStream's nvinfer element: reads it as nvinfer does, writes a reason per setting.

Knows the file's format and rules; which values a model needs, `deploy_config` says.
"""

import dataclasses
import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic_yolo.deepstream.config.key_file import KeyFile, parse_key_file, read_key_file
from traffic_yolo.deepstream.config.nvinfer_keys import (
    ALL_CLASSES,
    CLASS_ATTRIBUTES,
    CLASS_KEYS,
    PROPERTY,
    PROPERTY_KEYS,
    keys_of_group,
)
from traffic_yolo.deepstream.config.text import config_text
from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath

INPUT_DIMS = ("infer-dims", "input-dims", "uff-input-dims")
DETECTORS = (0, 3)  # the network types whose class groups are read
ALL_BOXES = -1  # topk's default
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassAttributes:
    """What nvinfer applies to the boxes of one class. Thresholds in [0, 1], sizes and offsets in picture pixels.

    `topk` below 0 keeps all boxes; a maximum size of 0 is no limit.
    """

    pre_cluster_threshold: float
    post_cluster_threshold: float
    nms_iou_threshold: float
    topk: int
    roi_top_offset: int
    roi_bottom_offset: int
    detected_min_w: int
    detected_min_h: int
    detected_max_w: int
    detected_max_h: int


@dataclass(frozen=True)
class NvinferConfig:
    """The groups of one file: group -> key -> value, both in file order, values as text.

    Raises `ModelError` for an unknown group or key, a value of the wrong kind or out of range, a group of a class
    beyond num-detected-classes, or no [property] group. `reasons`: (group, key) -> comment above that key. `unknown`:
    what a file held besides, a sentence each; nvinfer passes over it. `source` names the file in messages. Comparisons
    skip these three.
    """

    groups: Mapping[str, Mapping[str, str]]
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
    unknown: tuple[str, ...] = field(default=(), compare=False)
    source: str = field(default="<nvinfer config>", compare=False)

    def __post_init__(self) -> None:
        """Checks every group, key and value."""
        for group, values in self.groups.items():
            known = keys_of_group(group, where=self.source)
            for key, value in values.items():
                where = f"{self.source}: [{group}] {key}"
                if key not in known:
                    raise ModelError(f"{where} is no nvinfer key; {_nearest(key, known)}")
                known[key].check(value, where=where)
        if PROPERTY not in self.groups:
            raise ModelError(f"{self.source}: no [{PROPERTY}] group")
        num_classes = self.integer("num-detected-classes")
        for group in self.groups:
            name = group.removeprefix(CLASS_ATTRIBUTES)
            if name.isdecimal() and int(name) >= num_classes and self.integer("network-type") in DETECTORS:
                raise ModelError(
                    f"{self.source}: [{group}] is beyond num-detected-classes={num_classes}; nvinfer stops"
                )

    @classmethod
    def parse(cls, text: str, *, source: str = "<nvinfer config>") -> "NvinferConfig":
        """Reads the key-file form (`[group]`, `key=value`, lines starting with `#`) as GLib does.

        Of a key that stands twice the last value counts, and a group that stands twice is one. Groups and keys that
        nvinfer passes over go to `unknown`. Raises `ModelError` with the line number for anything else.
        """
        return cls._of_known(parse_key_file(text, source=source))

    @classmethod
    def read(cls, path: AnyPath) -> "NvinferConfig":
        """`parse` of a file; one named .yml or .yaml has groups as mappings at the top, lists as text (`3;416;416`).

        Raises `ModelError` where it cannot be read.
        """
        return cls._of_known(read_key_file(path, what="nvinfer configuration"))

    @classmethod
    def _of_known(cls, file: KeyFile) -> "NvinferConfig":
        """The groups without what nvinfer passes over, which is noted and logged."""
        source = file.source
        known: dict[str, dict[str, str]] = {}
        unknown: list[str] = []
        for group, values in file.values().items():
            try:
                keys = keys_of_group(group, where=source)
            except ModelError:
                if group.startswith(CLASS_ATTRIBUTES):
                    raise  # nvinfer does not start with it
                unknown.append(f"group [{group}] is none of nvinfer's")
                continue
            for key in keys:
                if key in values and file.groups[group][key].nested:
                    raise ModelError(f"{source}: {group} {key}: expected one value (numbers of a list: 3;4;5)")
            known[group] = {key: value for key, value in values.items() if key in keys}
            foreign = [key for key in values if key not in keys]
            unknown += [f"[{group}] {key} is no nvinfer key; {_nearest(key, keys)}" for key in foreign]
        if PROPERTY in file.loose:
            raise ModelError(f"{source}: {PROPERTY}: expected a mapping, with `key: value` lines below it")
        unknown += [f"{name} stands in no group" for name in file.loose]
        for text in unknown:
            LOG.warning("%s: %s; nvinfer passes over it", source, text)
        return cls(known, unknown=tuple(unknown), source=source)

    def to_text(self, form: str = "txt") -> str:
        """The file's text, each reason as a comment above its key; read again, it is an equal value.

        `form`: "txt" or "yaml".
        """
        return config_text(self.groups, self.reasons, form=form)

    def has(self, key: str) -> bool:
        """Whether [property] states `key`."""
        return key in self.groups[PROPERTY]

    def text(self, key: str) -> str:
        """The value of a [property] key, nvinfer's default where it is absent ("" where it has none)."""
        return self.groups[PROPERTY].get(key, keys_of_group(PROPERTY, where=self.source)[key].default)

    def integer(self, key: str) -> int:
        """The value of a whole-number or 0/1 [property] key; 0 where it is absent and has no default."""
        return int(self.number(key))

    def number(self, key: str) -> float:
        """The value of a numeric [property] key; 0 where it is absent and has no default."""
        return next(iter(self.numbers(key)), 0)

    def numbers(self, key: str) -> tuple[float, ...]:
        """The values of a `;`-separated [property] key; empty where it is absent."""
        where, text = f"{self.source}: [{PROPERTY}] {key}", self.text(key)
        return PROPERTY_KEYS[key].numbers(text, where=where) if text else ()

    @property
    def input_chw(self) -> tuple[int, ...]:
        """Channels, height and width that the file states (infer-dims, or an older name of it); empty where none."""
        stated = next((self.numbers(key) for key in INPUT_DIMS if self.has(key)), ())
        return tuple(int(number) for number in stated[:3])

    def required(self, key: str) -> str:
        """The value of a [property] key that must be there; `ModelError` otherwise."""
        if not self.has(key):
            raise ModelError(f"{self.source}: [{PROPERTY}] {key} is missing")
        return self.groups[PROPERTY][key]

    def class_attributes(self, class_id: int) -> ClassAttributes:
        """What applies to a class: its own group's keys, then [class-attrs-all]'s, then nvinfer's defaults.

        The older `threshold` is pre-cluster-threshold by another name: of both in a group the later counts.
        """
        own = self.groups.get(f"{CLASS_ATTRIBUTES}{class_id}", {})
        everyone = self.groups.get(ALL_CLASSES, {})

        def value(*names: str) -> float:
            for group in (own, everyone):
                if stated := [key for key in group if key in names]:
                    return CLASS_KEYS[stated[-1]].numbers(group[stated[-1]], where=self.source)[0]
            return float(CLASS_KEYS[names[0]].default or ALL_BOXES)

        return ClassAttributes(
            pre_cluster_threshold=value("pre-cluster-threshold", "threshold"),
            post_cluster_threshold=value("post-cluster-threshold"),
            nms_iou_threshold=value("nms-iou-threshold"),
            topk=int(value("topk")),
            roi_top_offset=int(value("roi-top-offset")),
            roi_bottom_offset=int(value("roi-bottom-offset")),
            detected_min_w=int(value("detected-min-w")),
            detected_min_h=int(value("detected-min-h")),
            detected_max_w=int(value("detected-max-w")),
            detected_max_h=int(value("detected-max-h")),
        )

    def with_values(self, group: str, values: Mapping[str, str]) -> "NvinferConfig":
        """A copy in which `group` has these values as well; checked like any other."""
        groups = {name: dict(keys) for name, keys in self.groups.items()}
        groups.setdefault(group, {}).update(values)
        return dataclasses.replace(self, groups=groups)


def _nearest(key: str, known: Mapping[str, object]) -> str:
    plain = key.lower().replace("_", "-")
    close = difflib.get_close_matches(plain, known, n=1)
    return f"did you mean {close[0]}?" if close else "remove it"
