"""Counts road users that cross a line, by direction and class, each one once a direction."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.predict.count_line import TO_LEFT, TO_RIGHT, CountLine, Point
from traffic_yolo.predict.tracking import Track

COUNTS_NAME, CROSSINGS_NAME = "counts.csv", "crossings.csv"
COUNTS_COLUMNS = ("source", "line", "direction", "class_name", "count")
CROSSINGS_COLUMNS = ("source", "frame", "time_s", "line", "direction", "track_id", "class_name")
# Of a box's height, that its foot must be beyond the line: a box that waits on it sways by less
MARGIN = 0.1


@dataclass(frozen=True)
class Crossing:
    """A road user that crossed a line; its class is what its track says most when all is seen."""

    source: str
    frame: int
    time_s: float | None
    line: str
    direction: str
    track: Track


class LineCounter:
    """Crossings of one video; `add` takes frame after frame, `crossings` holds those of sure tracks."""

    def __init__(self, lines: Sequence[CountLine], source: str) -> None:
        self._lines, self._source = lines, source
        self._clear: dict[Track, dict[str, tuple[float, Point]]] = {}  # where each was last clearly beside each line
        self._done: set[tuple[Track, str, str]] = set()
        self._unsure: list[Crossing] = []
        self.crossings: list[Crossing] = []

    def add(self, tracks: Iterable[Track], *, frame: int, time_s: float | None) -> None:
        """The tracks that a frame has detections of."""
        for track in tracks:
            # Where it was found, not where the filter has it: that overshoots when a vehicle brakes at the line
            x, y, _, height = track.measured.tolist()
            foot, margin = (x, y + height / 2), MARGIN * height
            clear = self._clear.setdefault(track, {})
            for line in self._lines:
                distance = line.distance(foot)
                if abs(distance) < margin:
                    continue
                before, clear[line.name] = clear.get(line.name), (distance, foot)
                if before is None or before[0] * distance > 0 or not line.is_met_by(before[1], foot):
                    continue
                direction = TO_RIGHT if distance > 0 else TO_LEFT
                if (track, line.name, direction) not in self._done:
                    self._done.add((track, line.name, direction))
                    self._unsure.append(Crossing(self._source, frame, time_s, line.name, direction, track))
        sure = [crossing for crossing in self._unsure if crossing.track.number is not None]
        self.crossings += sure
        self._unsure = [crossing for crossing in self._unsure if crossing.track.number is None]

    def forget(self, tracks: Sequence[Track]) -> None:
        """Keeps what concerns these tracks, the only ones that go on."""
        going_on = set(tracks)
        self._clear = {track: clear for track, clear in self._clear.items() if track in going_on}
        self._done = {key for key in self._done if key[0] in going_on}
        self._unsure = [crossing for crossing in self._unsure if crossing.track in going_on]

    def so_far(self) -> Counter[tuple[str, str]]:
        """(line, direction) -> crossings."""
        return Counter((crossing.line, crossing.direction) for crossing in self.crossings)


def write_counts(
    folder: Path, counters: Sequence[tuple[str, LineCounter]], lines: Sequence[CountLine], classes: Sequence[str]
) -> None:
    """Writes `counts.csv`, with a row for each source, line, direction and class, and `crossings.csv`, one for each.

    `counters`: (source, its counter).
    """
    with (
        (folder / COUNTS_NAME).open("w", encoding="utf-8", newline="") as counts_file,
        (folder / CROSSINGS_NAME).open("w", encoding="utf-8", newline="") as crossings_file,
    ):
        counts, crossings = (csv.writer(file, lineterminator="\n") for file in (counts_file, crossings_file))
        counts.writerow(COUNTS_COLUMNS)
        crossings.writerow(CROSSINGS_COLUMNS)
        for source, counter in counters:
            counts.writerows(_counted(source, counter, lines, classes))
            for each in counter.crossings:
                time_s = "" if each.time_s is None else f"{each.time_s:.3f}"
                track = each.track
                crossings.writerow(
                    [source, each.frame, time_s, each.line, each.direction, track.number, classes[track.class_id]]
                )


def _counted(
    source: str, counter: LineCounter, lines: Sequence[CountLine], classes: Sequence[str]
) -> Iterator[tuple[str, str, str, str, int]]:
    found = Counter((each.line, each.direction, each.track.class_id) for each in counter.crossings)
    for line in lines:
        for direction in (TO_LEFT, TO_RIGHT):
            for class_id, name in enumerate(classes):
                yield source, line.name, direction, name, found[line.name, direction, class_id]
