"""What a change of the class list made of each class: kept, seeded from another, new, or gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.darknet.surgery import class_parents
from traffic_yolo.messages import shown_names

MOST_NAMES = 20  # of one kind that are listed


@dataclass(frozen=True)
class ClassChange:
    """`kept` and `seeded` map new names to the old ones whose rows they have; `new` start at random, `gone` end here.

    A class that is both seeded and under its own name counts as seeded.
    """

    kept: dict[str, str]
    seeded: dict[str, str]
    new: tuple[str, ...]
    gone: tuple[str, ...]

    @classmethod
    def of(
        cls,
        old_names: Sequence[str],
        new_names: Sequence[str],
        *,
        renames: Mapping[str, str],
        seeds: Mapping[str, str],
    ) -> "ClassChange":
        """What `change_classes` does with these; raises `OptionsError` as `class_parents` does."""
        parents = class_parents(len(old_names), old_names, new_names, renames=renames, seeds=seeds)
        origins = {new: old_names[parent] for new, parent in zip(new_names, parents, strict=True) if parent is not None}
        seeded = {new: old for new, old in origins.items() if new in seeds and renames.get(old) != new}
        kept = {new: old for new, old in origins.items() if new not in seeded}
        gone = tuple(name for name in old_names if name not in origins.values())
        return cls(kept, seeded, tuple(name for name in new_names if name not in origins), gone)

    def to_text(self) -> str:
        """One line for each kind that there is."""
        listed = (
            ("kept", [new if new == old else f"{old} as {new}" for new, old in self.kept.items()]),
            ("seeded", [f"{new} from {old}" for new, old in self.seeded.items()]),
            ("new, at random", self.new),
            ("gone", self.gone),
        )
        return "\n".join(f"{what}: {shown_names(names, most=MOST_NAMES)}" for what, names in listed if names)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kept": self.kept, "seeded": self.seeded, "new": list(self.new), "gone": list(self.gone)}
