"""Several sources as one: frames one after another, classes together, no two pictures of one name."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.alike_classes import alike_classes
from traffic_yolo.dataset.problems import THE_SET, Problem, ProblemSink, strict
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.dataset.sources.atm import AtmSource
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.messages import shown_names

PROVENANCE = "data_source"  # attribute of every picture: the name of the source that it is from


@dataclass(frozen=True)
class NamedSource:
    """One of the sources; `described` is what the manifest says of it."""

    name: str
    source: Source
    described: Mapping[str, str]


class CombinedSource:
    """See `source.Source`. Recordings of one name in two sources are called `<source>-<recording>` in both.

    Every frame has the attribute `data_source`, unless it has one from an earlier conversion. A class that counts in
    one of the sources counts; sites of one name are one site, so that no split cuts it.
    """

    def __init__(self, sources: Sequence[NamedSource], *, on_problem: ProblemSink = strict) -> None:
        self._sources = tuple(sources)
        opened = [each.source for each in sources]
        self.classes = tuple(dict.fromkeys(name for source in opened for name in source.classes))
        self.default_classes = frozenset[str]().union(*(source.default_classes for source in opened))
        self.apart = frozenset[str]().union(*(source.apart for source in opened)) - self.default_classes
        for message in alike_classes(self.classes):
            on_problem(Problem("classes-alike", f"the sources' classes: {message}", THE_SET))
        self.may_split_pictures = all(source.may_split_pictures for source in opened)
        self.num_frames = sum(source.num_frames for source in opened)
        self.tally: Counter[str] = Counter()
        for source in opened:
            source.tally = self.tally
        times = Counter(name for source in opened for name in source.recordings())
        clashing = frozenset(name for name, count in times.items() if count > 1)
        taken = set(times)
        self._all_split: bool | None = None
        self._names: list[dict[str, str]] = []
        for each in sources:
            names = {}
            for recording in each.source.recordings():
                name = f"{each.name}-{recording}" if recording in clashing else recording
                while recording in clashing and name in taken:
                    name += "_"
                taken.add(name)
                names[recording] = name
            self._names.append(names)
        self.notes = [f"{each.name}: {note}" for each in sources for note in each.source.notes]
        if clashing:
            self.notes.append(
                f"{len(clashing)} names of recordings are in several sources, and have the source's before them here: "
                f"{shown_names(sorted(clashing))}"
            )

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        return "; ".join(f"{each.name}: {each.source.description}" for each in self._sources)

    @property
    def described(self) -> list[dict[str, str]]:
        """What the manifest says of each source."""
        return [dict(each.described) | {"description": each.source.description} for each in self._sources]

    @property
    def scan_numbers(self) -> dict[str, NDArray[np.int64]]:
        """The numbers of all scans of the recordings among them, as `AtmSource` has them."""
        return {
            names[recording]: numbers
            for each, names in zip(self._sources, self._names, strict=True)
            if isinstance(each.source, AtmSource)
            for recording, numbers in each.source.scan_numbers.items()
        }

    def recordings(self) -> Iterator[str]:
        """The names of all recordings."""
        for names in self._names:
            yield from names.values()

    def keys(self) -> Iterator[PictureKey]:
        """Every picture with human labels; with its source's own split only where every picture has one."""
        if self._all_split is None:
            own = (key.own_split for each in self._sources for key in each.source.keys())  # noqa: SIM118 (no dict)
            self._all_split = all(own)
        for each, names in zip(self._sources, self._names, strict=True):
            for key in each.source.keys():  # noqa: SIM118
                own_split = key.own_split if self._all_split else ""
                yield key._replace(recording=names[key.recording], own_split=own_split)

    def frames(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Frame]:
        """The frames of a shard (index, count): a run of parts of the sources, about as many as in the others."""
        index, count = shard
        before = 0
        for each, names in zip(self._sources, self._names, strict=True):
            for part in range(count):
                middle = before + each.source.num_frames * (2 * part + 1) / (2 * count)
                if int(middle * count / max(self.num_frames, 1)) == index:
                    for frame in each.source.frames((part, count)):
                        attributes = {PROVENANCE: each.name, **frame.attributes}
                        yield replace(frame, recording=names[frame.recording], attributes=attributes)
            before += each.source.num_frames
