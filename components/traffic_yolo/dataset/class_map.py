"""Which of a source's classes become which of ours: rename, merge, drop, ignore; one YAML file.

    classes: [CAR, TRUCK]          # ours, in the order of their class ids
    rename: {VAN: CAR, LONG_TRUCK: TRUCK}   # several old names may become one
    ignore: [OTHERS]               # boxes neither reward nor punish the detector
    drop: [BIRD]                   # boxes are left out (and counted in the report)

A class named nowhere is refused, so that no box disappears by a typing error.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.errors import LabelError, StorageError

DEFAULT_IGNORED = frozenset({"OTHERS", "UNKNOWN"})  # ATM's two words for "something, but none of the classes"
KEYS = ("classes", "rename", "ignore", "drop")


@dataclass(frozen=True)
class ClassMap:
    """A class map; raises `LabelError` when made with rules that contradict each other."""

    classes: tuple[str, ...]
    rename: dict[str, str] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise LabelError(f"class map: expected distinct class names, found {list(self.classes)}")
        for name in self.classes:
            if not name or any(character.isspace() for character in name):
                # Darknet's .names files are read by line, but KITTI files and DeepStream's split labels at spaces
                raise LabelError(f"class map: {name!r} has a space in it; name the class with '_' in its place")
        for old, new in self.rename.items():
            if new not in self.classes and new not in self.ignore | self.drop:
                raise LabelError(f"class map: rename {old}: {new}, but {new} is not among classes, ignore or drop")
        both = (set(self.classes) & (self.ignore | self.drop)) | (self.ignore & self.drop)
        if both:
            raise LabelError(f"class map: {', '.join(sorted(both))} has two fates; name it once")

    @classmethod
    def default(cls, source_classes: Sequence[str], present: Iterable[str]) -> "ClassMap":
        """Keeps the classes that are present, in the source's order; ATM's OTHERS and UNKNOWN are ignored."""
        used = set(present)
        kept = tuple(name for name in source_classes if name in used and name not in DEFAULT_IGNORED)
        if not kept:
            raise LabelError(f"no label of a known class; the source's classes are {', '.join(source_classes)}")
        return cls(classes=kept, ignore=frozenset(DEFAULT_IGNORED & set(source_classes)))

    @classmethod
    def read(cls, path: Path) -> "ClassMap":
        """Reads a YAML file; `StorageError` or `LabelError` naming the file."""
        try:
            value: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise StorageError(f"class map cannot be read: {path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise LabelError(f"class map is not YAML: {path}") from error
        if not isinstance(value, dict) or set(value) - set(KEYS) or not isinstance(value.get("classes"), list):
            found = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise LabelError(f"class map {path}: expected a list of classes, and rename, ignore, drop; found {found}")
        rename = value.get("rename") or {}
        return cls(
            classes=tuple(map(str, value["classes"])),
            rename={str(old): str(new) for old, new in rename.items()},
            ignore=frozenset(map(str, value.get("ignore") or ())),
            drop=frozenset(map(str, value.get("drop") or ())),
        )

    def fate(self, class_name: str, *, where: str) -> tuple[str, str]:
        """(fate, our class name): fate is "keep", "ignore" or "drop".

        Raises `LabelError` with `where` for a class that no rule names.
        """
        name = self.rename.get(class_name, class_name)
        if name in self.classes:
            return "keep", name
        if name in self.ignore:
            return "ignore", name
        if name in self.drop:
            return "drop", name
        known = ", ".join([*self.classes, *sorted(self.ignore | self.drop)])
        raise LabelError(f"{where}: unknown class {class_name!r}; known: {known}; name it in the class map")

    def as_dict(self) -> dict[str, Any]:
        """The map as it stands in `classes.yaml`."""
        return {
            "classes": list(self.classes),
            "rename": dict(sorted(self.rename.items())),
            "ignore": sorted(self.ignore),
            "drop": sorted(self.drop),
        }

    def to_yaml(self) -> str:
        """Text that `read` reads back."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def sha256(self) -> str:
        """Hash of the rules, whatever the layout of the file they came from."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()
