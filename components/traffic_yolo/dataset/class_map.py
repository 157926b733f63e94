"""Which of a source's classes become which of ours: rename, merge, drop, ignore; one YAML file.

    classes: [CAR, TRUCK]          # ours, in the order of their class ids; else the source's after the other rules
    rename: {VAN: CAR, LONG_TRUCK: TRUCK}   # several old names may become one
    ignore: [OTHERS]               # boxes neither reward nor punish the detector
    drop: [BIRD]                   # boxes are left out (and counted in the report)

A class named nowhere is refused, so that no box disappears by a typing error.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.checked_values import CheckedValue, read_checked
from traffic_yolo.errors import LabelError
from traffic_yolo.messages import shown

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
            raise LabelError(f"class map: expected distinct class names, found {shown(list(self.classes))}")
        for name in self.classes:
            # Darknet reads names by line, but KITTI files and DeepStream split labels at spaces
            if not name or any(character.isspace() for character in name):
                raise LabelError(
                    f"class map: {shown(name)} is empty or has a space in it; name the class with '_' in its place"
                )
        for old, new in self.rename.items():
            if new not in self.classes and new not in self.ignore | self.drop:
                raise LabelError(f"class map: rename {old}: {new}, but {new} is not among classes, ignore or drop")
        both = (set(self.classes) & (self.ignore | self.drop)) | (self.ignore & self.drop)
        if both:
            raise LabelError(f"class map: {', '.join(sorted(both))} has two fates; name it once")

    @classmethod
    def default(cls, source_classes: Sequence[str], kept: Collection[str], apart: Collection[str] = ()) -> "ClassMap":
        """Keeps the classes `kept` in the source's order; those that it sets `apart` are ignored, others dropped.

        ATM's OTHERS and UNKNOWN are always apart. A space in a name (COCO's "traffic light") becomes '_'.
        """
        stay = [name for name in source_classes if name in kept and name not in DEFAULT_IGNORED]
        if not stay:
            raise LabelError(f"no label of a known class; the source's classes are {', '.join(source_classes)}")
        # Not dropped: a region where nobody looked for objects must not punish a detector that finds some
        ignored = frozenset(source_classes) & (DEFAULT_IGNORED | (frozenset(apart) - set(stay)))
        return cls(
            classes=tuple("_".join(name.split()) for name in stay),
            rename={name: "_".join(name.split()) for name in stay if len(name.split()) > 1},
            ignore=ignored,
            drop=frozenset(source_classes) - set(stay) - ignored,
        )

    @classmethod
    def read(cls, path: Path, source_classes: Sequence[str] = ()) -> "ClassMap":
        """Reads a YAML file; `StorageError` or `LabelError` naming the file.

        Without `classes` in the file, the classes are `source_classes` after the file's other rules.
        """
        given = read_checked(path, what="class map", error=LabelError).section(KEYS)
        renamings = given["rename"].of_type(dict[str, str] | None) if "rename" in given else {}
        rename: dict[str, str] = renamings or {}
        ignore, drop = (frozenset(_names(given, key)) for key in ("ignore", "drop"))
        renamed = (rename.get(name, name) for name in source_classes)
        derived = (name for name in dict.fromkeys(renamed) if name not in ignore | drop)
        classes = _names(given, "classes") if "classes" in given else tuple(derived)
        try:
            return cls(classes=classes, rename=rename, ignore=ignore, drop=drop)
        except LabelError as error:
            raise LabelError(f"{path}: {error}") from error

    def fate(self, class_name: str, *, where: str, ignored: bool = False) -> tuple[str, str]:
        """(fate, our class name): fate is "keep", "ignore" or "drop".

        A box that is `ignored` anyway may be of any class. Raises `LabelError` with `where` for a class that no rule
        names.
        """
        name = self.rename.get(class_name, class_name)
        if name in self.classes:
            return "keep", name
        if name in self.ignore:
            return "ignore", name
        if name in self.drop:
            return "drop", name
        if ignored:
            return "ignore", name
        known = ", ".join([*self.classes, *sorted(self.ignore | self.drop)])
        raise LabelError(f"{where}: unknown class {shown(class_name)}; known: {known}; name it in the class map")

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


def _names(given: Mapping[str, CheckedValue], key: str) -> tuple[str, ...]:
    return given[key].texts("a list of class names") if key in given and given[key].value is not None else ()
