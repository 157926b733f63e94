"""Distances of human-labelled boxes: those of the radar tracks that they match through the camera's calibration.

A human draws boxes and knows no metres; the radar knows metres and draws no boxes. A box that a track matches gets the
attribute `distance_m`, metres along the ground from the radar, by which evaluations are cut into slices. A box that no
track matches, and one that states a distance already, stay as they are.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.calibration import Calibration, calibration_for
from traffic_yolo.atm.camera import Camera
from traffic_yolo.dataset.checks.calibration_fit import CalibrationVerdict, TracksAndBoxes, judge_calibration
from traffic_yolo.dataset.checks.cross_check import JUDGED_FRAMES, whole_boxes
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.checks.radar import NEEDED_COLUMNS, match_boxes, see_tracks
from traffic_yolo.dataset.distance import DISTANCE, stated_distance
from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.errors import OptionsError, RecordingError
from traffic_yolo.html_report import Html, paragraph, table

DECIMALS = 1  # of a distance: a radar knows no more, and a box's place less
# What of a track the calibration is judged by, with what `see_tracks` takes where a layout has no such column
JUDGED_COLUMNS = {"xpos": 0.0, "ypos": 0.0, "length": 0.0, "width": 0.0, "height": 0.0, "heading": 90.0}

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RadarDistances:
    """A `FrameChange`: boxes of human-labelled frames get the distance of the track that they match."""

    calibrations: tuple[Calibration, ...]

    def camera_of(self, frame: Frame) -> Camera | None:
        """The frame's camera in its pixels; None where no calibration is of it.

        Raises `OptionsError` for a picture of another shape than the calibration's.
        """
        found = calibration_for(self.calibrations, camera=frame.camera, site=frame.site)
        if found is None:
            return None
        try:
            return found.scaled_to((frame.width, frame.height))
        except RecordingError as error:
            raise OptionsError(f"{error} ({frame.file_name}); measure that camera too, or give others") from error

    def change(self, frame: Frame) -> Frame:
        """The frame with distances, as far as the radar tells them."""
        found = tracks_of(frame) if frame.labelled and frame.annotations else None
        camera = self.camera_of(frame) if found is not None else None
        if found is None or camera is None:
            return frame
        seen = see_tracks(camera, *found)
        boxes = [index for index, one in enumerate(frame.annotations) if not one.is_crowd]
        corners = np.array([frame.annotations[index].xyxy for index in boxes], np.float64).reshape(-1, 4)
        pairs = match_boxes(seen, corners, [frame.annotations[index].class_name for index in boxes])
        distances = {boxes[box]: round(float(seen.distance_m[track]), DECIMALS) for track, box in pairs}
        return replace(
            frame, annotations=tuple(_with(one, distances.get(i)) for i, one in enumerate(frame.annotations))
        )


class RadarDistanceReport:
    """Observer of a conversion: how many boxes have a distance, by camera, and whether the calibration fits.

    A calibration that is implausible by the rule of `traffic-yolo check` fails the conversion: its distances are wrong.
    """

    name = "distances"
    needs = frozenset({"tracks"})

    def __init__(self, distances: RadarDistances) -> None:
        self._distances = distances
        self._counts: dict[str, Counter[str]] = {}
        self._judged: dict[str, tuple[Camera, list[TracksAndBoxes]]] = {}
        self._without: Counter[str] = Counter()

    def measure(self, frame: Frame, split: str, picture: bytes) -> list[list[float]] | None:
        """The tracks in sight, by `JUDGED_COLUMNS`; None where no distance can come from the radar."""
        del split, picture
        found = tracks_of(frame) if frame.labelled else None
        camera = self._distances.camera_of(frame) if found is not None else None
        if found is None or camera is None:
            return None
        visible = found.rows[see_tracks(camera, *found).visible > 0]
        columns = [visible[:, found.columns.index(name)] if name in found.columns else np.full(len(visible), default)
                   for name, default in JUDGED_COLUMNS.items()]  # fmt: skip
        rows: list[list[float]] = np.round(np.stack(columns, axis=1), 3).tolist()
        return rows

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Counts the boxes of the frame; the first frames of a camera judge its calibration."""
        del split
        if measured is None:
            camera = self._distances.camera_of(frame) if frame.labelled else None
            self._without["of a camera without a calibration" if camera is None else "without radar tracks"] += 1
            return
        observation = Observation.of_frame(frame, None)
        counts = self._counts.setdefault(observation.place, Counter())
        counts["frames"] += 1
        counting = [one for one in frame.annotations if one.counts]
        counts["boxes"] += len(counting)
        counts["with_distance"] += sum(math.isfinite(stated_distance(one.attributes)) for one in counting)
        camera = self._distances.camera_of(frame)
        assert camera is not None  # it was there when the tracks were measured
        _, judged = self._judged.setdefault(observation.place, (camera, []))
        if len(judged) < JUDGED_FRAMES and measured:
            seen = see_tracks(camera, np.array(measured, np.float64), tuple(JUDGED_COLUMNS), {})
            judged.append(TracksAndBoxes(seen, whole_boxes(observation)))

    def finish(self, folder: Path) -> ObserverOutcome:
        """A line for each camera; a failure for a calibration that does not fit."""
        del folder
        verdicts = {place: judge_calibration(*judged) for place, judged in sorted(self._judged.items())}
        notes = [
            f"distance from the radar: {self._counts[place]['with_distance']} of {self._counts[place]['boxes']} boxes "
            f"of {place} have one"
            for place in verdicts
        ]
        notes += [f"{count} pictures {what}: no distances from the radar" for what, count in self._without.items()]
        if not verdicts:
            notes.append("distance from the radar: NO picture has radar tracks and a calibrated camera")
        wrong = next((place for place, verdict in verdicts.items() if not verdict.plausible), None)
        report = {
            place: {**self._counts[place], "calibration": verdict.as_dict()} for place, verdict in verdicts.items()
        }
        failure = ""
        if wrong is not None:
            failure = (
                f"calibration: that of {wrong} does not fit its radar tracks and boxes, so distances would be wrong: "
                f"{verdicts[wrong].reason}; mend it (`traffic-yolo check` says more), or leave it out"
            )
        return ObserverOutcome(notes, failure, report, [("Distances from the radar", self._section(verdicts))])

    def _section(self, verdicts: Mapping[str, CalibrationVerdict]) -> Html:
        if not verdicts:
            return paragraph("No picture has radar tracks and a calibrated camera.")
        rows: list[tuple[str | int, ...]] = [
            (place, *(self._counts[place][name] for name in ("frames", "boxes", "with_distance")), verdict.reason)
            for place, verdict in verdicts.items()
        ]
        return table(["camera", "pictures with tracks", "boxes", "boxes with a distance", "calibration"], rows)


class Tracks(NamedTuple):
    """The radar's tracks of a frame: rows (N, columns), the columns' names, and the classes' names by their numbers."""

    rows: FloatArray
    columns: Sequence[str]
    class_names: Mapping[int, str]


def tracks_of(frame: Frame) -> Tracks | None:
    """The tracks of a frame's recording; None where there are none to match."""
    scan = frame.recorded
    if scan is None or scan.tracks is None or scan.layout is None or scan.layout.tracks is None:
        return None
    columns = scan.layout.tracks.columns
    if not len(scan.tracks) or not set(NEEDED_COLUMNS) <= set(columns):
        return None
    return Tracks(scan.tracks, columns, scan.layout.classes)


def _with(annotation: Annotation, distance_m: float | None) -> Annotation:
    if distance_m is None or math.isfinite(stated_distance(annotation.attributes)):
        return annotation
    return replace(annotation, attributes={**annotation.attributes, DISTANCE: distance_m})
