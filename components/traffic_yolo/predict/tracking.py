"""Follows detections from frame to frame: SORT (Bewley et al. 2016, arXiv:1602.00763), made to outlast short gaps.

A box moves on with the speed that it had, by a Kalman filter; boxes and tracks are paired so that their overlaps sum to
the most. The assignment is scipy's; the packages that track as a whole bring OpenCV with windows, which overwrites the
one without, and PyAV, whose encoders are under the GPL.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import cxcywh_to_xyxy, pairwise_iou, xyxy_to_cxcywh
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError

Float64Array = NDArray[np.float64]

LEAST_IOU = 0.2  # of a detection and where its track is expected
# After a gap a speed of few frames must be right: by less overlap, a vehicle's number goes to the one behind it where
# the first leaves the picture (seen on a queue of cars past which the camera turns)
LEAST_IOU_AFTER_A_GAP = 0.5
OTHER_CLASS = 0.6  # what an overlap counts where the class is another: detectors take a van for a truck now and then
HITS_TO_BE_SURE = 3  # detections in a row before a track has a number: SORT's min_hits
SAME_IOU = 0.7  # of two boxes of one frame: NMS works class by class, and may leave a road user in two of them
PATIENCE_S = 1.0  # without a detection until a track ends
# Standard deviations in shares of the box's height, of a position and of its speed a frame: Deep SORT's (Wojke et al.
# 2017, arXiv:1703.07402)
POSITION_STD, SPEED_STD = 1 / 20, 1 / 160


@dataclass(eq=False)
class Track:
    """One road user. `number`: from 1, or None while it may still be a false alarm.

    `state` (4, 2): centre x, centre y, width, height in pixels, and what each changes by a frame; `covariance`
    (4, 2, 2) of each pair. `measured` (4,): the last detection's centre x, centre y, width, height. `hits`: detections
    so far; `scores`: their sums by class id. `last`: the number of the look that gave the last.
    """

    state: Float64Array
    covariance: Float64Array
    measured: Float64Array
    last: int
    hits: int = 1
    number: int | None = None
    scores: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def class_id(self) -> int:
        """The class that its detections say most, by the sum of their scores."""
        return max(self.scores, key=lambda class_id: (self.scores[class_id], -class_id))

    @property
    def box_xyxy(self) -> Float64Array:
        """Where it is now, (4,) in pixels."""
        return np.asarray(cxcywh_to_xyxy(np.append(self.state[:2, 0], np.maximum(self.state[2:, 0], 1.0))), np.float64)

    def move_on(self) -> None:
        """To the next frame, by its speed."""
        noise = self._noise()
        self.state[:, 0] += self.state[:, 1]
        step = np.array([[1.0, 1.0], [0.0, 1.0]])
        self.covariance = step @ self.covariance @ step.T + noise

    def correct(self, measured_cxcywh: Float64Array) -> None:
        """By what was found in this frame."""
        error = (POSITION_STD * max(self.state[3, 0], 1.0)) ** 2
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + error)[:, None]  # (4, 2)
        self.state += gain * (measured_cxcywh - self.state[:, 0])[:, None]
        self.covariance -= gain[:, :, None] * self.covariance[:, :1, :]
        self.measured = measured_cxcywh

    def _noise(self) -> Float64Array:
        height = max(self.state[3, 0], 1.0)
        return np.diag([(POSITION_STD * height) ** 2, (SPEED_STD * height) ** 2])


class Tracker:
    """The tracks of one video; `fps` is the rate of the frames that are looked at."""

    def __init__(self, fps: float) -> None:
        self._patience = max(1, round(PATIENCE_S * fps))
        self._numbers: Iterator[int] = itertools.count(1)
        self._looks = 0
        self.tracks: list[Track] = []

    def follow(self, found: Detections, *, frames: int = 1) -> list[Track | None]:
        """The track of each detection of the next frame, in their order; tracks without one go on by their speed.

        `frames`: how many have gone by since the last, those that a live stream dropped among them. None for a box on
        a stronger one: the same road user, reported in a second class.
        """
        before, self._looks = self._looks, self._looks + frames
        for each in self.tracks:
            for _ in range(min(frames, self._patience)):
                each.move_on()
        boxes = found.boxes_xyxy.astype(np.float64)
        own = _without_second_classes(boxes, found.scores)
        pairs = {int(own[row]): track for row, track in self._pairs(boxes[own], found.class_ids[own], before)}
        measured = xyxy_to_cxcywh(boxes).astype(np.float64)
        of_detections: list[Track | None] = [None] * len(found)
        for index in own.tolist():
            if index in pairs:
                track = pairs[index]
                track.correct(measured[index])
                track.hits, track.last = track.hits + 1, self._looks
            else:
                track = _begun(measured[index], self._looks)
                self.tracks.append(track)
            track.scores[int(found.class_ids[index])] += float(found.scores[index])
            if track.number is None and track.hits >= HITS_TO_BE_SURE:
                track.number = next(self._numbers)
            of_detections[index] = track
        # A false alarm is over with its first gap; a road user may be hidden for a while
        self.tracks = [
            track
            for track in self.tracks
            if self._looks - track.last <= (self._patience if track.number is not None else 0)
        ]
        return of_detections

    def _pairs(
        self, boxes_xyxy: Float64Array, class_ids: NDArray[np.int64], before: int
    ) -> Iterator[tuple[int, Track]]:
        """(row, its track) of the boxes (K, 4) that go on a track; `before`: the number of the last look."""
        from scipy.optimize import linear_sum_assignment

        if not self.tracks or not len(boxes_xyxy):
            return
        expected = np.stack([track.box_xyxy for track in self.tracks])
        overlaps = pairwise_iou(boxes_xyxy, expected)  # (K, T)
        is_other = class_ids[:, None] != np.array([track.class_id for track in self.tracks])[None]
        worth = np.where(is_other, OTHER_CLASS, 1.0) * overlaps
        gap = np.array([track.last < before for track in self.tracks])
        worth[overlaps < np.where(gap, LEAST_IOU_AFTER_A_GAP, LEAST_IOU)[None]] = 0.0
        for row, column in zip(*linear_sum_assignment(-worth), strict=True):
            if worth[row, column] > 0:
                yield int(row), self.tracks[column]


def check_tracking() -> None:
    """Raises `OptionsError` where the package that tracking needs is not installed."""
    if find_spec("scipy") is None:
        raise OptionsError("track: needs the package scipy: pip install traffic-yolo[track]")


def _without_second_classes(boxes_xyxy: Float64Array, scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """The rows of the boxes (K, 4) that lie on no stronger one, in their order."""
    kept: list[int] = []
    overlaps = pairwise_iou(boxes_xyxy, boxes_xyxy)
    for row in np.argsort(-scores, kind="stable").tolist():
        if not kept or overlaps[row, kept].max() < SAME_IOU:
            kept.append(row)
    return np.array(sorted(kept), np.intp)


def _begun(cxcywh: Float64Array, look: int) -> Track:
    """A track of one detection: its speed may be anything up to its height in a few frames."""
    height = max(float(cxcywh[3]), 1.0)
    variances = [(2 * POSITION_STD * height) ** 2, (10 * SPEED_STD * height) ** 2]  # Deep SORT's start
    return Track(
        state=np.stack([cxcywh, np.zeros(4)], axis=1),
        covariance=np.repeat(np.diag(variances)[None], 4, axis=0),
        measured=cxcywh,
        last=look,
    )
