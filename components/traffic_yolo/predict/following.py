"""What is made of the detections of videos picture after picture: tracks, and counts at lines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.count_line import TO_LEFT, TO_RIGHT, CountLine
from traffic_yolo.predict.counting import LineCounter
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Input
from traffic_yolo.predict.tracking import Tracker, check_tracking

SCANS_PER_S = 10.0  # of a recording, which states no rate; it only says how many scans a hidden road user is waited for


@dataclass(frozen=True)
class Followed:
    """What is known of a picture's detections beside themselves.

    `track_ids`: the number of each detection's track, None while that may be a false alarm; None where nothing is
    tracked. `lines` and `crossed`: the count lines, and (line, direction) -> crossings so far in this video.
    """

    track_ids: tuple[int | None, ...] | None = None
    lines: tuple[CountLine, ...] = ()
    crossed: Counter[tuple[str, str]] = field(default_factory=Counter)


class Following:
    """Tracks and counts of all files, one after another. `counters`: (source, its counter), in order."""

    def __init__(self, *, stride: int, lines: Sequence[CountLine]) -> None:
        self._stride, self._lines = stride, tuple(lines)
        self._of: Input | None = None
        self._tracker = Tracker(1.0)
        self._last_frame = 0
        self.counters: list[tuple[str, LineCounter]] = []

    def check(self, files: Sequence[Input]) -> None:
        """Raises `OptionsError` for what has no frames that follow one another, and for a line outside of a video."""
        check_tracking()
        for file in files:
            if not file.has_frames:
                raise OptionsError(
                    f"track: {file.shown} is a picture; tracks and counts want videos, streams or recordings"
                )
            if file.size_wh is not None:
                self._check_lines(file.size_wh, file)

    def look(self, file: Input, picture: InputPicture, found: Detections) -> Followed:
        """The next picture. Raises `OptionsError` for a line outside of it."""
        frame = picture.frame or 0
        if self._of is not file:
            self._check_lines((picture.width, picture.height), file)
            self._of, self._tracker = file, Tracker(file.fps or SCANS_PER_S / self._stride)
            self._last_frame = frame - self._stride
            self.counters.append((file.shown, LineCounter(self._lines, file.shown)))
        gone_by = max(1, round((frame - self._last_frame) / self._stride))
        self._last_frame = frame
        tracks = self._tracker.follow(found, frames=gone_by)
        counter = self.counters[-1][1]
        counter.add([track for track in tracks if track is not None], frame=frame, time_s=picture.time_s)
        counter.forget(self._tracker.tracks)
        numbers = tuple(None if track is None else track.number for track in tracks)
        return Followed(numbers, self._lines, counter.so_far())

    def totals(self) -> dict[str, dict[str, int]]:
        """Line -> direction -> crossings of all files."""
        counted = sum((counter.so_far() for _, counter in self.counters), Counter())
        directions = (TO_LEFT, TO_RIGHT)
        return {line.name: {each: counted[line.name, each] for each in directions} for line in self._lines}

    def _check_lines(self, size_wh: tuple[int, int], file: Input) -> None:
        for line in self._lines:
            line.check_inside(size_wh, where=file.shown)
