"""The pictures on which human labels and the radar disagree most, as a CVAT task, and the way back into a data set.

What nobody labelled is `select`'s: here are labels that may lack a box or have one too many, to be looked at again.
"""

import heapq
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from traffic_yolo.atm.layouts import builtin_layouts, device_layout
from traffic_yolo.dataset.checks.calibration_fit import CalibrationVerdict
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import PARTS, calibrations_of, observation_with_tracks
from traffic_yolo.dataset.checks.cross_check import CrossCheck, Lonely
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.distance import DISTANCE
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.dataset.problems import already_told
from traffic_yolo.dataset.records import Annotation, Frame, rounded_xywh
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.sources.source_list import is_source_list
from traffic_yolo.errors import OptionsError
from traffic_yolo.labelling.cvat_task import PRELABEL_SOURCE, SELECTED_FOR, SELECTED_RANK, TASK_FOLDER, open_task
from traffic_yolo.progress import progress
from traffic_yolo.storage import AnyPath, atomic_folder, check_new_folder, existing_path, local_path, output_path

RADAR_FOLDER = "radar-task"  # below that of a check
OTHERS_FOLDER, SOURCES_NAME = "others", "sources.yaml"
RADAR, NO_BOX, NO_TRACK = "radar", "no box", "no track"  # attribute of a box that has no partner
UNNAMED = "UNKNOWN"  # class of a track that the radar itself has no name for


@dataclass(frozen=True)
class RadarTask:
    """What was written: `pictures` of the `disagreeing` ones that humans labelled; tracks and boxes without partner.

    `left_out`: cameras whose calibration is implausible. With no picture, nothing was written.
    """

    pictures: int
    disagreeing: int
    tracks: int
    boxes: int
    left_out: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """A line for a terminal, and one for each camera that was left out."""
        lines = [
            f"{self.pictures} of {self.disagreeing} labelled pictures on which labels and radar disagree: "
            + _listed(self.tracks, self.boxes)
        ]
        lines += [f"camera {place} left out: its calibration is implausible" for place in self.left_out]
        return "\n".join(lines)


def check_radar_task(choice: SourceChoice, out: AnyPath) -> None:
    """Raises `OptionsError` or `StorageError`, before anything is read, for a task that could not be written."""
    check_new_folder(output_path(out) / RADAR_FOLDER)
    if is_source_list(existing_path(choice.source, what="source")):
        raise OptionsError("cvat_pictures: the source lists several: check one of them, with its labels")


def write_radar_task(
    choice: SourceChoice, options: CheckOptions, verdicts: Mapping[str, CalibrationVerdict], out: AnyPath
) -> RadarTask:
    """Writes `radar-task/` below the folder `out`, whole or not at all: the task, the other labels, a list of both.

    `verdicts`: of the check, by camera. Of pictures that disagree alike, the first in the source's order is taken.
    """
    source = open_source(choice, SourceOptions(parts=PARTS, on_problem=already_told, labelled_only=True))
    wrong = tuple(place for place, verdict in verdicts.items() if not verdict.plausible)
    checked = _Disagreements(CrossCheck(calibrations_of(choice, options.calibration), device_layout().classes), wrong)
    best, disagreeing = checked.most(_labelled(source, "radar"), options.cvat_pictures)
    if not best:
        return RadarTask(0, 0, 0, 0, wrong)
    classes = tuple(dict.fromkeys([*source.classes, *_track_classes(best.values())]))
    with atomic_folder(output_path(out) / RADAR_FOLDER) as folder:
        with (
            open_task(folder / TASK_FOLDER, classes) as task,
            open_task(folder / OTHERS_FOLDER, source.classes, to="coco", copy_pictures=False) as others,
        ):
            num_others = 0
            for frame in _labelled(source, "task"):
                if (disagreement := best.get(frame.file_name)) is not None:
                    task.add(disagreement.on(frame))
                else:
                    others.add(frame)
                    num_others += 1
        listed = _sources(choice, with_others=num_others > 0)
        (folder / SOURCES_NAME).write_text(yaml.safe_dump({"sources": listed}, sort_keys=False, allow_unicode=True))
    lonely = [one for disagreement in best.values() for one in disagreement.lonely]
    tracks = sum(one.kind == "track" for one in lonely)
    return RadarTask(len(best), disagreeing, tracks, len(lonely) - tracks, wrong)


@dataclass(frozen=True)
class _Disagreement:
    """One picture's tracks without a box and boxes without a track; `rank` from 1."""

    rank: int
    lonely: tuple[Lonely, ...]

    @property
    def reason(self) -> str:
        tracks = sum(one.kind == "track" for one in self.lonely)
        return f"radar: {_listed(tracks, len(self.lonely) - tracks)}"

    def on(self, frame: Frame) -> Frame:
        """The frame with a box for each track, and a mark on each box without one."""
        alone = {one.box_xyxy for one in self.lonely if one.kind == "box"}
        boxes = [_marked(one) if one.xyxy in alone else one for one in frame.annotations]
        boxes += [_of_track(one) for one in self.lonely if one.kind == "track"]
        attributes = {**frame.attributes, SELECTED_RANK: self.rank, SELECTED_FOR: self.reason}
        return replace(frame, annotations=tuple(boxes), attributes=attributes)


class _Disagreements:
    def __init__(self, radar: CrossCheck, wrong: Collection[str]) -> None:
        self._radar, self._wrong = radar, wrong

    def most(self, frames: Iterable[Frame], number: int) -> tuple[dict[str, _Disagreement], int]:
        """By name, the pictures with most to look at; and how many have something."""
        kept: list[tuple[float, int, str, tuple[Lonely, ...]]] = []
        found = 0
        for order, frame in enumerate(frames):
            lonely = self._lonely(observation_with_tracks(frame))
            score = sum(one.score for one in lonely)
            if score <= 0:
                continue
            found += 1
            entry = (score, -order, frame.file_name, lonely)  # the second is unique: nothing behind it is compared
            (heapq.heappush if len(kept) < number else heapq.heappushpop)(kept, entry)
        ranked = sorted(kept, reverse=True)
        return {name: _Disagreement(rank, lonely) for rank, (_, _, name, lonely) in enumerate(ranked, start=1)}, found

    def _lonely(self, observation: Observation) -> tuple[Lonely, ...]:
        if observation.place in self._wrong:
            return ()
        checked = self._radar.show(observation)
        return checked.lonely if checked is not None else ()


def _listed(tracks: int, boxes: int) -> str:
    lonely_tracks = "1 track" if tracks == 1 else f"{tracks} tracks"
    lonely_boxes = "1 box" if boxes == 1 else f"{boxes} boxes"
    return f"{lonely_tracks} without a box, {lonely_boxes} without a track"


def _labelled(source: Source, what: str) -> Iterable[Frame]:
    frames = progress(source.frames(), description=what, unit="picture", total=source.num_frames)
    return (frame for frame in frames if frame.labelled)


def _marked(annotation: Annotation) -> Annotation:
    return replace(annotation, attributes={**annotation.attributes, RADAR: NO_TRACK})


def _of_track(one: Lonely) -> Annotation:
    """A box where that of the track is to be expected, for a human to move, rename or delete."""
    left, top, right, bottom = one.box_xyxy
    attributes = {RADAR: NO_BOX, PRELABEL_SOURCE: RADAR, DISTANCE: round(one.distance_m, 1)}
    xywh = rounded_xywh((left, top, right - left, bottom - top))
    return Annotation(one.class_name or UNNAMED, xywh, "device", attributes=attributes)


def _track_classes(found: Iterable[_Disagreement]) -> list[str]:
    tracks = [one for disagreement in found for one in disagreement.lonely if one.kind == "track"]
    return sorted({one.class_name or UNNAMED for one in tracks})


def _sources(choice: SourceChoice, *, with_others: bool) -> list[dict[str, Any]]:
    """A list of sources: the corrected labels and the others, each laid over the same recordings."""
    recordings: dict[str, Any] = {"source": _absolute(choice.source)}
    if choice.layout:
        is_name = choice.layout in builtin_layouts()
        recordings["layout"] = choice.layout if is_name else _absolute(choice.layout)
    corrected = {"labels": f"{TASK_FOLDER}/annotations.xml", "label_source": "human"}
    listed = [{"name": "corrected", **recordings, **corrected}]
    if with_others:
        listed.append({"name": "others", **recordings, "labels": f"{OTHERS_FOLDER}/instances.json"})
    return listed


def _absolute(location: str) -> str:
    return location if "://" in location else os.path.abspath(local_path(location))
