"""The radar cross-check: tracks without a box and boxes without a track, over all frames, ranked for labelling."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.calibration import Calibration, calibration_for
from traffic_yolo.atm.camera import Camera
from traffic_yolo.boxes import clip_xyxy
from traffic_yolo.dataset.checks.calibration_fit import CalibrationVerdict, TracksAndBoxes, judge_calibration
from traffic_yolo.dataset.checks.observation import Observation, RawBox
from traffic_yolo.dataset.checks.radar import (
    CLEAR_HEIGHT_PX,
    NEEDED_COLUMNS,
    SeenTracks,
    covered_share,
    feet,
    is_inside_another,
    match_boxes,
    see_tracks,
)
from traffic_yolo.errors import RecordingError

FloatArray = NDArray[np.float64]
KEPT = 1000  # lonely ones that are listed, the most important
KEPT_FRAMES = 12  # pictures for the report
JUDGED_FRAMES = 60  # of a camera, for its calibration
EDGE_PX = 2.0
IN_IGNORED = 0.5  # share of a track's box inside an ignored or crowd box that excuses its missing label
BOX_WEIGHT = 0.5  # a box without an echo is a wrong label less often than an echo without a box is a missing one
OUT_OF_RANGE_WEIGHT = 0.2
RANGE_TRACKS = 500
RANGE_SHARE = 98  # percentile of the tracks' distances that counts as the radar's range


@dataclass(frozen=True)
class Lonely:
    """A track without a box (`kind` "track") or a box without a track ("box").

    `number` is the track's row in its scan, or the box's number; `box_xyxy` is where its box is, or is to be expected,
    inside the picture. `score` in [0, 1] ranks for labelling: how surely something is wrong, and how much it matters.
    """

    kind: str
    file: str
    frame: str
    number: int
    class_name: str
    box_xyxy: tuple[float, float, float, float]
    distance_m: float
    score: float
    place: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON values; also a row of the CSV file."""
        left, top, right, bottom = (round(value, 1) for value in self.box_xyxy)
        return {
            "rank_score": round(self.score, 4),
            "kind": self.kind,
            "file": self.file,
            "frame": self.frame,
            "number": self.number,
            "class": self.class_name,
            "left": left,
            "top": top,
            "right": right,
            "bottom": bottom,
            "distance_m": round(self.distance_m, 2) if np.isfinite(self.distance_m) else None,
        }


@dataclass(frozen=True)
class CheckedFrame:
    """The outcome of one frame: matched pairs (track, box) as indices, and who stayed alone."""

    observation: Observation
    seen: SeenTracks
    matches: tuple[tuple[int, int], ...]
    lonely: tuple[Lonely, ...]

    @property
    def score(self) -> float:
        """How much there is to label."""
        return sum(one.score for one in self.lonely)


def cross_check_frame(
    observation: Observation, camera: Camera, class_names: Mapping[int, str], *, range_m: float = np.inf
) -> CheckedFrame:
    """Matches the tracks and boxes of a frame. Beyond `range_m`, a box without a track counts little."""
    assert observation.tracks is not None, "the caller asks for tracks first"
    seen = see_tracks(camera, observation.tracks, observation.track_columns, class_names)
    boxes, boxes_xyxy = observation.sound_boxes, observation.boxes_xyxy
    matches = match_boxes(seen, boxes_xyxy, [box.class_name or "" for box in boxes])
    with_box, with_track = {track for track, _ in matches}, {box for _, box in matches}
    ignored = boxes_xyxy[[not box.counts for box in boxes]]
    excused = is_inside_another(seen.boxes_xyxy, ignored, IN_IGNORED)
    clipped = clip_xyxy(seen.boxes_xyxy, camera.image_wh[::-1])
    lonely = [
        _lonely_track(observation, seen, track, clipped[track])
        for track in np.flatnonzero(seen.labelable & ~excused).tolist()
        if track not in with_box
    ]
    distance = _ground_distance(camera, boxes_xyxy)
    covered = covered_share(boxes_xyxy, distance, np.ones(len(boxes), bool))
    for index, box in enumerate(boxes):
        if index not in with_track and box.counts:
            score = _box_score(box, float(covered[index]), float(distance[index]), range_m)
            lonely.append(_lonely_box(observation, box, float(distance[index]), score))
    return CheckedFrame(observation, seen, tuple(matches), tuple(sorted(lonely, key=lambda one: -one.score)))


@dataclass
class _PlaceTally:
    """What one camera came to."""

    frames: int = 0
    tracks: int = 0
    boxes: int = 0
    matches: int = 0
    without_box: int = 0
    without_track: int = 0
    judged: list[TracksAndBoxes] = field(default_factory=list)
    camera: Camera | None = None


class CrossCheck:
    """Shown every frame; checks those with tracks and a calibrated camera. Memory does not grow with the frames."""

    def __init__(self, calibrations: Sequence[Calibration], class_names: Mapping[int, str]) -> None:
        self._calibrations = calibrations
        self._class_names = class_names
        self._lonely: list[tuple[float, int, Lonely]] = []
        self._frames: list[tuple[float, int, CheckedFrame]] = []
        self._places: dict[str, _PlaceTally] = {}
        self._distances: list[float] = []
        self._range_m = np.inf
        self.skipped: Counter[str] = Counter()
        self._order = 0

    def show(self, observation: Observation) -> CheckedFrame | None:
        """Checks one frame; None, counted in `skipped` by the reason, where it cannot be checked."""
        camera = self._camera(observation)
        if camera is None:
            return None
        tally = self._places.setdefault(observation.place, _PlaceTally(camera=camera))
        checked = cross_check_frame(observation, camera, self._class_names, range_m=self._range_m)
        self._remember(checked, tally)
        return checked

    def result(self) -> "CrossCheckReport":
        """Everything, ranked; calibrations judged."""
        ranked = [one for _, _, one in sorted(self._lonely, key=lambda entry: (-entry[0], entry[1]))]
        verdicts = {
            place: judge_calibration(tally.camera, tally.judged)
            for place, tally in sorted(self._places.items())
            if tally.camera is not None
        }
        frames = [checked for _, _, checked in sorted(self._frames, key=lambda entry: (-entry[0], entry[1]))]
        names = ("frames", "tracks", "boxes", "matches", "without_box", "without_track")
        counts = {
            place: {name: int(getattr(tally, name)) for name in names} for place, tally in sorted(self._places.items())
        }
        return CrossCheckReport(counts, tuple(ranked), verdicts, tuple(frames), dict(self.skipped))

    def _camera(self, observation: Observation) -> Camera | None:
        if observation.tracks is None or not set(NEEDED_COLUMNS) <= set(observation.track_columns):
            self.skipped["frames without radar tracks"] += 1
            return None
        if not len(observation.tracks):
            self.skipped["frames whose radar saw nothing"] += 1
            return None
        known = self._places.get(observation.place)
        if known is not None and known.camera is not None and known.camera.image_wh == observation.size_wh:
            return known.camera
        found = calibration_for(self._calibrations, camera=observation.camera, site=observation.site)
        if found is None or observation.size_wh is None:
            self.skipped["frames of a camera without a calibration"] += 1
            return None
        try:
            return found.scaled_to(observation.size_wh)
        except RecordingError:
            self.skipped["frames of another shape than the calibration's"] += 1
            return None

    def _remember(self, checked: CheckedFrame, tally: _PlaceTally) -> None:
        self._order += 1
        visible = checked.seen.visible > 0
        self._measure_range(checked.seen.distance_m[visible])
        tally.frames += 1
        tally.tracks += int(visible.sum())
        tally.boxes += len(checked.observation.sound_boxes)
        tally.matches += len(checked.matches)
        if len(tally.judged) < JUDGED_FRAMES:
            whole = whole_boxes(checked.observation)
            tally.judged.append(TracksAndBoxes(checked.seen, whole))
        for number, one in enumerate(checked.lonely):
            tally.without_box += one.kind == "track"
            tally.without_track += one.kind == "box"
            _keep(self._lonely, (one.score, -(self._order * 100_000 + number), one), KEPT)
        if checked.score > 0:
            _keep(self._frames, (checked.score, -self._order, checked), KEPT_FRAMES)

    def _measure_range(self, distances_m: FloatArray) -> None:
        """How far the radar sees, by the first tracks; until then, nothing is out of range."""
        if len(self._distances) < RANGE_TRACKS:
            self._distances += distances_m.tolist()
            if len(self._distances) >= RANGE_TRACKS:
                self._range_m = float(np.percentile(self._distances, RANGE_SHARE))


@dataclass(frozen=True)
class CrossCheckReport:
    """`counts` and `verdicts` by camera; `lonely` the highest ranked; `frames` those with most to label."""

    counts: Mapping[str, Mapping[str, int]]
    lonely: tuple[Lonely, ...]
    verdicts: Mapping[str, CalibrationVerdict]
    frames: tuple[CheckedFrame, ...]
    skipped: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "cameras": {
                place: {**counts, "calibration": self.verdicts[place].as_dict()}
                for place, counts in self.counts.items()
            },
            "skipped": dict(self.skipped),
            "ranked": [one.as_dict() for one in self.lonely],
        }


def _keep(heap: list[tuple[float, int, Any]], entry: tuple[float, int, Any], most: int) -> None:
    """Adds to a heap that holds the `most` largest, in place; the second of an entry breaks ties and is unique."""
    if len(heap) < most:
        heapq.heappush(heap, entry)
    elif entry[:2] > heap[0][:2]:
        heapq.heapreplace(heap, entry)


def whole_boxes(observation: Observation) -> FloatArray:
    """(M, 4) boxes that count and end inside the picture: others' feet tell nothing."""
    size = observation.size_wh or (0, 0)
    boxes = observation.boxes_xyxy[[box.counts for box in observation.sound_boxes]]
    inside = (boxes[:, :2] > EDGE_PX).all(axis=1) & (boxes[:, 2:] < np.array(size) - EDGE_PX).all(axis=1)
    return boxes[inside]


def _ground_distance(camera: Camera, boxes_xyxy: FloatArray) -> FloatArray:
    """(N,) metres along the ground to the foot of each box, infinite in the sky."""
    if not len(boxes_xyxy):
        return np.zeros(0)
    points, reach = camera.ground_points(feet(boxes_xyxy))
    return np.where(np.isfinite(reach), np.hypot(points[:, 0], points[:, 1]), np.inf)


def _box_score(box: RawBox, covered: float, distance_m: float, range_m: float) -> float:
    size = min(box.xywh[3] / CLEAR_HEIGHT_PX, 1.0)
    return BOX_WEIGHT * size * (1 - covered) * (1.0 if distance_m <= range_m else OUT_OF_RANGE_WEIGHT)


def _lonely_track(observation: Observation, seen: SeenTracks, track: int, box_xyxy: FloatArray) -> Lonely:
    left, top, right, bottom = (float(value) for value in box_xyxy)
    return Lonely(
        kind="track",
        file=observation.file,
        frame=observation.frame,
        number=int(seen.index[track]),
        class_name=seen.class_names[track],
        box_xyxy=(left, top, right, bottom),
        distance_m=float(seen.distance_m[track]),
        score=float(seen.score[track]),
        place=observation.place,
    )


def _lonely_box(observation: Observation, box: RawBox, distance_m: float, score: float) -> Lonely:
    return Lonely(
        kind="box",
        file=observation.label_file or observation.file,
        frame=observation.frame,
        number=box.number,
        class_name=box.class_name or box.class_text,
        box_xyxy=box.xyxy,
        distance_m=distance_m,
        score=score,
        place=observation.place,
    )
