"""The configuration file of DeepStream's nvinfer element: reads it strictly, and writes it with a reason per setting.

Knows the file's format and rules; which values a model needs, `deepstream_config` says.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from traffic_yolo.deepstream.nvinfer_keys import ALL_CLASSES, CLASS_ATTRIBUTES, CLASS_KEYS, PROPERTY, keys_of_group
from traffic_yolo.errors import ModelError
from traffic_yolo.storage import AnyPath, input_path

Groups = dict[str, dict[str, str]]


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

    Raises `ModelError` for an unknown group or key, a value of the wrong kind or out of range, or no [property] group.
    `reasons`: (group, key) -> comment above that key. `source` names the file in messages. Comparisons skip both.
    """

    groups: Mapping[str, Mapping[str, str]]
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
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

    @classmethod
    def parse(cls, text: str, *, source: str = "<nvinfer config>") -> "NvinferConfig":
        """Reads the key-file form (`[group]`, `key=value`, lines starting with `#`).

        Raises `ModelError` with the line number for anything else, and for a key or group that stands twice.
        """
        groups: Groups = {}
        values: dict[str, str] | None = None
        for number, raw in enumerate(text.splitlines(), start=1):
            line = raw.strip()
            where = f"{source} line {number}"
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                name = line[1:-1]
                keys_of_group(name, where=where)
                if name in groups:
                    raise ModelError(f"{where}: group [{name}] stands twice; put its keys together")
                values = groups[name] = {}
                continue
            key, separator, value = (part.strip() for part in line.partition("="))
            if not separator or not key:
                raise ModelError(f"{where}: expected [group], key=value or a # comment, found {line!r}")
            if values is None:
                raise ModelError(f"{where}: {key} stands before any [group]")
            if key in values:
                raise ModelError(f"{where}: {key} stands twice in its group; nvinfer would take the last")
            values[key] = value
        return cls(groups, source=source)

    @classmethod
    def read(cls, path: AnyPath) -> "NvinferConfig":
        """`parse` of a file; `ModelError` where it cannot be read."""
        path = input_path(path, what="nvinfer configuration")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(f"{path}: nvinfer configuration cannot be read: {error}") from error
        return cls.parse(text, source=str(path))

    def to_text(self) -> str:
        """The file's text, each reason as a comment above its key; `parse` of it gives an equal value."""
        lines: list[str] = []
        for group, values in self.groups.items():
            lines += [""] if lines else []
            lines.append(f"[{group}]")
            for key, value in values.items():
                if reason := self.reasons.get((group, key)):
                    lines += [f"# {line}" for line in reason.splitlines()]
                lines.append(f"{key}={value}")
        return "\n".join(lines) + "\n"

    def has(self, key: str) -> bool:
        """Whether [property] states `key`."""
        return key in self.groups[PROPERTY]

    def text(self, key: str) -> str:
        """The value of a [property] key, nvinfer's default where it is absent ("" where it has none)."""
        return self.groups[PROPERTY].get(key, keys_of_group(PROPERTY, where=self.source)[key].default)

    def integer(self, key: str) -> int:
        """The value of a whole-number or 0/1 [property] key; 0 where it is absent and has no default."""
        return int(self.text(key) or "0")

    def number(self, key: str) -> float:
        """The value of a numeric [property] key; 0 where it is absent and has no default."""
        return float(self.text(key) or "0")

    def numbers(self, key: str) -> tuple[float, ...]:
        """The values of a `;`-separated [property] key; empty where it is absent."""
        return tuple(float(item) for item in self.text(key).split(";") if item.strip())

    def required(self, key: str) -> str:
        """The value of a [property] key that must be there; `ModelError` otherwise."""
        if not self.has(key):
            raise ModelError(f"{self.source}: [{PROPERTY}] {key} is missing")
        return self.groups[PROPERTY][key]

    def class_attributes(self, class_id: int) -> ClassAttributes:
        """What applies to a class: its own group's keys, then [class-attrs-all]'s, then nvinfer's defaults."""
        own = self.groups.get(f"{CLASS_ATTRIBUTES}{class_id}", {})
        everyone = self.groups.get(ALL_CLASSES, {})

        def value(key: str) -> str:
            return own.get(key, everyone.get(key, CLASS_KEYS[key].default))

        return ClassAttributes(
            pre_cluster_threshold=float(value("pre-cluster-threshold")),
            post_cluster_threshold=float(value("post-cluster-threshold")),
            nms_iou_threshold=float(value("nms-iou-threshold")),
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
        return NvinferConfig(groups, reasons=self.reasons, source=self.source)


def _nearest(key: str, known: Mapping[str, object]) -> str:
    plain = key.lower().replace("_", "-")
    close = difflib.get_close_matches(plain, known, n=1)
    return f"did you mean {close[0]}?" if close else "remove it"
