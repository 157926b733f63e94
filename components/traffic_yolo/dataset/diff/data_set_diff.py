"""Compares two data sets, or whatever a conversion can start from: reads both once, keeps the boxes of the first."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from traffic_yolo.dataset.diff.box_changes import BoxChanges, PictureBoxes, box_changes
from traffic_yolo.dataset.diff.options import DiffOptions
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.progress import progress

NAMED = 1000  # pictures of a kind that are named; all are counted
BOX_KINDS = ("same", "moved", "reclassed", "marked", "added", "removed")


class _Seen(NamedTuple):
    """What is kept of a picture: its split where the source gives one, a hash of its bytes, its boxes."""

    split: str
    digest: bytes
    boxes: PictureBoxes


@dataclass(frozen=True)
class DrawnChange:
    """A picture with what changed on it; `picture` are its bytes, those after the change where there are both."""

    name: str
    picture: bytes
    before: PictureBoxes
    after: PictureBoxes
    changes: BoxChanges


@dataclass
class Names:
    """Pictures of a kind: how many, and the first thousand names."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.count += 1
        if len(self.named) < NAMED:
            self.named.append(name)


@dataclass
class ClassChanges:
    """Boxes of one class: `before` and `after` in all pictures, the rest in those that both sets have.

    A box of another class counts as `reclassed` for the class that it had.
    """

    before: int = 0
    after: int = 0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DataSetDiff:
    """What two data sets differ in.

    `pictures`: kind -> names, of "added", "removed", "renamed" (the same bytes under another name), "other bytes" (the
    same name), "other split". `boxes`: counts by kind in the pictures that both have; `of_pictures`: boxes of pictures
    that were added or removed. `reclassed`: (class before, class after) -> count.
    """

    described: tuple[str, str]
    num_pictures: tuple[int, int]
    pictures: dict[str, Names]
    classes_added: tuple[str, ...]
    classes_removed: tuple[str, ...]
    boxes: Counter[str]
    of_pictures: Counter[str]
    by_class: dict[str, ClassChanges]
    reclassed: Counter[tuple[str, str]]
    drawn: tuple[DrawnChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether they are the same: pictures, splits, classes and boxes."""
        changed = sum(self.boxes[kind] for kind in BOX_KINDS if kind != "same")
        names = sum(kind.count for kind in self.pictures.values())
        return not (changed or names or self.classes_added or self.classes_removed)

    def as_dict(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "first": self.described[0],
            "second": self.described[1],
            "same": self.is_empty,
            "pictures": {
                "first": self.num_pictures[0],
                "second": self.num_pictures[1],
                **{kind: {"count": found.count, "names": found.named} for kind, found in self.pictures.items()},
            },
            "classes": {"added": list(self.classes_added), "removed": list(self.classes_removed)},
            "boxes": {
                **{kind: self.boxes[kind] for kind in BOX_KINDS},
                "of_added_pictures": self.of_pictures["added"],
                "of_removed_pictures": self.of_pictures["removed"],
            },
            "by_class": {
                name: {"first": each.before, "second": each.after, **{kind: each.counts[kind] for kind in BOX_KINDS}}
                for name, each in self.by_class.items()
            },
            "reclassed": [
                {"from": before, "to": after, "count": count}
                for (before, after), count in sorted(self.reclassed.items())
            ],
        }


def data_set_diff(first: SourceChoice, second: SourceChoice, options: DiffOptions) -> DataSetDiff:
    """Reads both. Raises what `open_source` and the readers raise for a source that is none, or is broken."""
    before_source, after_source = open_source(first), open_source(second)
    before = {frame.file_name: seen for frame, seen, _ in _pictures(before_source)}
    comparison = _Comparison(options)
    added: dict[str, _Seen] = {}
    common = set()
    for frame, seen, picture in _pictures(after_source):
        if frame.file_name in before:
            common.add(frame.file_name)
            comparison.compare(frame.file_name, before[frame.file_name], seen, picture)
        else:
            added[frame.file_name] = seen
    removed = {name: seen for name, seen in before.items() if name not in common}
    by_digest = {seen.digest: name for name, seen in removed.items() if seen.digest}
    for name, seen in added.items():
        old = by_digest.pop(seen.digest, None)
        if old is None:
            comparison.add_alone("added", name, seen)
        else:
            comparison.compare(name, removed.pop(old), seen, b"", renamed_from=old)
    for name, seen in removed.items():
        comparison.add_alone("removed", name, seen)
    return DataSetDiff(
        described=(f"{first.source}: {before_source.description}", f"{second.source}: {after_source.description}"),
        num_pictures=(len(before), len(common) + len(added)),
        pictures=comparison.pictures,
        classes_added=tuple(name for name in after_source.classes if name not in before_source.classes),
        classes_removed=tuple(name for name in before_source.classes if name not in after_source.classes),
        boxes=comparison.boxes,
        of_pictures=comparison.of_pictures,
        by_class=dict(sorted(comparison.by_class.items())),
        reclassed=comparison.reclassed,
        drawn=comparison.drawn(),
    )


class _Comparison:
    """Adds up, picture by picture; keeps those with most changes to be drawn."""

    def __init__(self, options: DiffOptions) -> None:
        self._options = options
        self.pictures = {kind: Names() for kind in ("added", "removed", "renamed", "other bytes", "other split")}
        self.boxes: Counter[str] = Counter()
        self.of_pictures: Counter[str] = Counter()
        self.by_class: dict[str, ClassChanges] = {}
        self.reclassed: Counter[tuple[str, str]] = Counter()
        self._drawn: list[tuple[int, int, DrawnChange]] = []
        self._compared = 0

    def compare(self, name: str, before: _Seen, after: _Seen, picture: bytes, *, renamed_from: str = "") -> None:
        """A picture that both have; without its bytes it is not drawn."""
        self._compared += 1
        if renamed_from:
            self.pictures["renamed"].add(f"{renamed_from} -> {name}")
        elif before.digest != after.digest and before.digest and after.digest:
            self.pictures["other bytes"].add(name)
        if before.split != after.split:
            self.pictures["other split"].add(f"{name}: {before.split or 'none'} -> {after.split or 'none'}")
        changes = box_changes(before.boxes, after.boxes, least_iou=self._options.least_iou)
        self._count(before.boxes, after.boxes, changes)
        if changes.num_changes and self._options.drawn and picture:
            entry = DrawnChange(name, picture, before.boxes, after.boxes, changes)
            heapq.heappush(self._drawn, (changes.num_changes, -self._compared, entry))
            if len(self._drawn) > self._options.drawn:
                heapq.heappop(self._drawn)

    def add_alone(self, kind: str, name: str, seen: _Seen) -> None:
        """A picture that only one of them has: "added" or "removed"."""
        self.pictures[kind].add(name)
        self.of_pictures[kind] += len(seen.boxes.classes)
        for class_name in seen.boxes.classes:
            counted = self.by_class.setdefault(class_name, ClassChanges())
            counted.before += kind == "removed"
            counted.after += kind == "added"

    def drawn(self) -> tuple[DrawnChange, ...]:
        """The pictures with most changes, the most first."""
        return tuple(entry for _, _, entry in sorted(self._drawn, key=lambda kept: (-kept[0], -kept[1])))

    def _count(self, before: PictureBoxes, after: PictureBoxes, changes: BoxChanges) -> None:
        for name in before.classes:
            self.by_class.setdefault(name, ClassChanges()).before += 1
        for name in after.classes:
            self.by_class.setdefault(name, ClassChanges()).after += 1
        rows = {kind: [pair.before for pair in getattr(changes, kind)] for kind in BOX_KINDS[:4]}
        for kind, found in (rows | {"removed": list(changes.removed)}).items():
            self.boxes[kind] += len(found)
            for row in found:
                self.by_class[before.classes[row]].counts[kind] += 1
        self.boxes["added"] += len(changes.added)
        for row in changes.added:
            self.by_class[after.classes[row]].counts["added"] += 1
        for pair in changes.reclassed:
            self.reclassed[before.classes[pair.before], after.classes[pair.after]] += 1


def _pictures(source: Source) -> Iterator[tuple[Frame, _Seen, bytes]]:
    """Every frame with what is kept of it, and its picture's bytes."""
    splits = {(key.recording, key.scan): key.own_split for key in source.keys()}  # noqa: SIM118 (no dict)
    for frame in progress(source.frames(), description="compare", unit="picture", total=source.num_frames):
        picture = frame.picture()
        digest = hashlib.blake2b(picture, digest_size=16).digest() if picture else b""
        split = splits.get((frame.recording, frame.scan), "")
        yield frame, _Seen(split, digest, PictureBoxes.of(frame.annotations)), picture
