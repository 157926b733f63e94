"""Boxes of a size that their class cannot have at their distance: by the camera's calibration, else by the other boxes.

With a calibration, a box stands on the ground below it; the class's nominal size and the distance give the width it
may have. Without, boxes of one class and place are compared: on a road, size grows linearly with the row of the foot
below the horizon, which is the perspective of a plane.
"""

import contextlib
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.calibration import Calibration, calibration_for
from traffic_yolo.atm.camera import Camera
from traffic_yolo.dataset.checks.finding import Objection
from traffic_yolo.dataset.checks.observation import Observation, RawBox
from traffic_yolo.errors import RecordingError

# A box that ends so near an edge goes on beyond it: labellers stop short of the edge by up to 12 of 540 rows
EDGE_PX, EDGE_SHARE = 2.0, 0.025
FEWEST = 30  # boxes of a class at a place, for statistics
NUM_SIGMAS = 6.0
LEAST_FACTOR = 2.5  # sizes closer than this to the expected one are no outliers, however alike the others are
SMALL_PERCENTILE = 5  # of the sizes
FIT_ROUNDS = 8
# How far a box may be from what nominal size and distance say: vehicles differ, and a label's foot is a guess
NARROWEST, WIDEST = 0.45, 2.2
FARTHEST_M = 120.0  # beyond, a pixel of the foot is many metres


@dataclass
class _Group:
    """Boxes of one class at one place, in arrays: 24 bytes a box."""

    rows: "array[float]" = field(default_factory=lambda: array("f"))
    sizes: "array[float]" = field(default_factory=lambda: array("f"))
    places: "array[int]" = field(default_factory=lambda: array("q"))
    numbers: "array[int]" = field(default_factory=lambda: array("q"))


@dataclass(frozen=True)
class Place:
    """Where a late finding belongs."""

    file: str
    frame: str


class SizeOutlier:
    """A box of a size that its class cannot have at its distance, by calibration or by the other boxes of the place.

    With a calibration for the camera it answers at once, else at the end.

    `nominal_sizes_m`: class -> (length, width).
    """

    def __init__(self, calibrations: Sequence[Calibration], nominal_sizes_m: Mapping[str, tuple[float, float]]) -> None:
        self._calibrations = calibrations
        self._cameras: dict[tuple[str, tuple[int, int] | None], Camera | None] = {}
        self._nominal = nominal_sizes_m
        self._groups: dict[tuple[str, str], _Group] = {}
        self._places: list[Place] = []

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame, where its camera's calibration is known."""
        size_wh = observation.size_wh
        if size_wh is None or not _is_one_place(observation):
            return
        across, down = (max(EDGE_PX, EDGE_SHARE * side) for side in size_wh)
        most_right, most_down = size_wh[0] - across, size_wh[1] - down
        camera, place = self._camera(observation), observation.place
        remembered = False
        for box in observation.sound_boxes:
            left, top, width, height = box.xywh
            is_whole = left > across and top > down and left + width < most_right and top + height < most_down
            if not is_whole or not box.counts:  # one that an edge cuts says nothing of its size
                continue
            name = box.class_name or ""
            if camera is not None and name in self._nominal:
                yield from _by_distance(box, camera, self._nominal[name])
                continue
            if not remembered:
                self._places.append(Place(observation.file, observation.frame))
                remembered = True
            group = self._groups.get((place, name))
            if group is None:
                group = self._groups[place, name] = _Group()
            group.rows.append(top + height)
            group.sizes.append(math.sqrt(width * height))
            group.places.append(len(self._places) - 1)
            group.numbers.append(box.number)

    def _camera(self, observation: Observation) -> Camera | None:
        key = (observation.place, observation.size_wh)
        if key not in self._cameras:
            found = calibration_for(self._calibrations, camera=observation.camera, site=observation.site)
            self._cameras[key] = None
            if found is not None and observation.size_wh is not None:
                with contextlib.suppress(RecordingError):  # made for pictures of another shape
                    self._cameras[key] = found.scaled_to(observation.size_wh)
        return self._cameras[key]

    def end(self) -> Iterator[tuple[Place, Objection]]:
        """Problems that only the comparison of all frames shows."""
        for (place, name), group in sorted(self._groups.items()):
            if len(group.rows) < FEWEST:
                continue
            rows, sizes = np.array(group.rows, np.float64), np.array(group.sizes, np.float64)
            expected, limit = _usual_sizes(rows, sizes)
            for index in np.flatnonzero(np.abs(np.log(sizes / expected)) > limit).tolist():
                where = self._places[group.places[index]]
                usual, found = float(expected[index]), float(sizes[index])
                words = f"a {name} of about {usual:.0f} px in row {rows[index]:.0f} at {place or 'this camera'}"
                number = group.numbers[index]
                yield where, Objection(words, f"{found:.0f} px (square root of the area)", f"box {number} {name}")


def _usual_sizes(rows: NDArray[np.float64], sizes: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(expected size of each box, log of the factor from it that is too far): a line over the row, fitted robustly.

    Deviations are relative, since cars differ by a share of their size; outliers weigh little. Near the horizon a pixel
    of the foot is a factor: there, every size up to that of the smallest twentieth of the boxes is as expected.
    """
    design = np.stack([np.ones_like(rows), (rows - rows.mean()) / max(float(rows.std()), 1.0)], axis=1)
    weights, least, small = np.ones_like(sizes), float(sizes.min()), float(np.percentile(sizes, SMALL_PERCENTILE))
    expected, sigma = np.full_like(sizes, np.median(sizes)), 1.0
    for _ in range(FIT_ROUNDS):
        relative = weights / expected
        coefficients, *_ = np.linalg.lstsq(design * relative[:, None], sizes * relative, rcond=None)
        line = design @ coefficients
        expected = np.clip(sizes, np.maximum(line, least), np.maximum(line, small))
        residual = np.abs(np.log(sizes / expected))
        sigma = max(1.4826 * float(np.median(residual)), 1e-3)
        # Tukey's biweight as square-root weights: a box beyond 4.7 sigma has no say
        weights = np.clip(1 - (residual / (4.685 * sigma)) ** 2, 0, None)
    return expected, max(NUM_SIGMAS * sigma, float(np.log(LEAST_FACTOR)))


def _by_distance(box: RawBox, camera: Camera, nominal_m: tuple[float, float]) -> Iterator[Objection]:
    left, _, right, bottom = box.xyxy
    (middle,), (distance,) = camera.ground_points(np.array([[(left + right) / 2, bottom]]))
    if not np.isfinite(distance) or distance > FARTHEST_M:
        if not np.isfinite(distance):
            yield Objection("the foot of the box below the horizon", f"row {bottom:.0f}, in the sky", box.name)
        return
    # Seen from the end or from the side: metres across at that distance
    focal = camera.fx
    narrowest, widest = min(nominal_m), float(np.hypot(*nominal_m))
    low, high = narrowest * focal / distance * NARROWEST, widest * focal / distance * WIDEST
    width = right - left
    if not low <= width <= high:
        away = float(np.hypot(*middle))
        yield Objection(f"{low:.0f} to {high:.0f} px wide at {away:.0f} m", f"{width:.0f} px", box.name)


def _is_one_place(observation: Observation) -> bool:
    """Whether frames of this place are seen from one spot; a folder of pictures from everywhere is none."""
    return bool(observation.camera or observation.site or observation.scan_number is not None)
