"""Radar tracks seen through the camera: which box of the picture belongs to which track, and which have no partner.

A track is a cuboid on the ground (position, length, width, height, heading); its projection has a bounding box in the
picture, which is compared with the labels' boxes. Columns are taken by name from the layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.camera import NEAR_M, Camera
from traffic_yolo.boxes import area_xyxy, clip_xyxy, pairwise_intersection, pairwise_iou
from traffic_yolo.dataset.checks.assignment import assign

FloatArray = NDArray[np.float64]

NEEDED_COLUMNS = ("xpos", "ypos")
# Where a track has no size of its own: length, width and height in metres; heights are those of common vehicles
USUAL_SIZE_M: dict[str, tuple[float, float, float]] = {
    "BUS": (10.0, 2.5, 3.0),
    "TRUCK": (5.5, 1.6, 2.5),
    "LONG_TRUCK": (10.0, 2.3, 3.5),
    "CAR": (3.5, 1.6, 1.5),
    "MOTORCYCLE": (1.5, 1.0, 1.5),
    "PEDESTRIAN": (0.5, 0.5, 1.7),
}
UNKNOWN_SIZE_M = (2.0, 1.5, 1.5)
ALONE_COST = 1.25  # no overlap, and feet further apart than a box's size (or 1.5 m): not the same object
FOOT_WEIGHT, FOOT_LIMIT = 0.25, 2.0
POSITION_SLACK_M = 1.5  # a radar's position and a label's foot agree no better
OTHER_CLASS_COST = 0.1  # both device and radar confuse classes, so it only breaks ties
LEAST_VISIBLE = 0.3  # of a projected box; what is less in the picture nobody labels
LEAST_HEIGHT_PX = 8.0
HIDDEN_ABOVE = 0.7  # share covered by nearer objects above which nobody can see it
SAMPLES = 8  # a side, for the covered share
SETTLED_AGE = 15  # scans: one second at 15 a second
CLEAR_HEIGHT_PX = 40.0
STANDING = 2  # mov_state


@dataclass(frozen=True)
class SeenTracks:
    """Tracks of one scan in the picture; (N, ...) arrays in the order of the scan.

    `cuboids` (N, 8, 3) world corners, the four on the ground first. `boxes_xyxy` (N, 4) bound them in pixels and are
    not clipped; `visible` is the share of the box inside the picture, 0 for what is behind the camera; `covered` the
    share of the box that nearer tracks' boxes cover; `distance_m` along the ground.
    """

    index: NDArray[np.int64]
    class_names: tuple[str, ...]
    cuboids: FloatArray
    boxes_xyxy: FloatArray
    pixels_per_m: FloatArray
    visible: FloatArray
    covered: FloatArray
    distance_m: FloatArray
    age: FloatArray
    moving: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labelable(self) -> NDArray[np.bool_]:
        """(N,) whether a person would draw a box: enough of it in the picture, large enough, not hidden."""
        height = self.boxes_xyxy[:, 3] - self.boxes_xyxy[:, 1]
        return (self.visible >= LEAST_VISIBLE) & (height >= LEAST_HEIGHT_PX) & (self.covered <= HIDDEN_ABOVE)

    @property
    def score(self) -> FloatArray:
        """(N,) in [0, 1]: how much a missing box matters: seen whole, large, on the move, and long on the radar."""
        height = self.boxes_xyxy[:, 3] - self.boxes_xyxy[:, 1]
        certain = np.clip(self.age / SETTLED_AGE, 0.1, 1) * np.where(self.moving, 1.0, 0.5)
        return np.asarray(self.visible * (1 - self.covered) * certain * np.clip(height / CLEAR_HEIGHT_PX, 0, 1))


def see_tracks(
    camera: Camera, tracks: FloatArray, columns: Sequence[str], class_names: Mapping[int, str]
) -> SeenTracks:
    """The tracks (N, columns) of a scan through the camera. Raises `ValueError` without columns for the position."""
    for name in NEEDED_COLUMNS:
        if name not in columns:
            raise ValueError(f"tracks have no column {name!r}; found {', '.join(columns)}")

    def column(name: str, default: float) -> FloatArray:
        return tracks[:, columns.index(name)] if name in columns else np.full(len(tracks), default)

    names = tuple(class_names.get(int(number), "") for number in column("class", -1))
    sizes = _sizes(names, np.stack([column(name, 0.0) for name in ("length", "width", "height")], axis=1))
    place = np.stack([column("xpos", 0.0), column("ypos", 0.0)], axis=1)  # (N, 2)
    cuboids = _cuboids(place, sizes, np.radians(column("heading", 90.0)))
    boxes, visible = project_cuboids(camera, cuboids)
    distance = np.hypot(place[:, 0], place[:, 1])
    return SeenTracks(
        index=np.arange(len(tracks)),
        class_names=names,
        cuboids=cuboids,
        boxes_xyxy=boxes,
        pixels_per_m=camera.fx / np.maximum(distance, 1.0),
        visible=visible,
        covered=covered_share(np.asarray(clip_xyxy(boxes, camera.image_wh[::-1]), np.float64), distance, visible > 0),
        distance_m=distance,
        age=column("alive_age", SETTLED_AGE),
        moving=column("mov_state", 1) != STANDING,
    )


def project_cuboids(camera: Camera, cuboids: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N, 8, 3) -> (N, 4) bounding boxes in pixels, not clipped, and (N,) shares of them inside the picture."""
    pixels, depth = camera.project(cuboids)  # (N, 8, 2), (N, 8)
    boxes = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1).reshape(-1, 4)
    inside = area_xyxy(clip_xyxy(boxes, camera.image_wh[::-1]))
    whole = area_xyxy(boxes)
    share = np.divide(inside, whole, out=np.zeros(len(boxes)), where=whole > 0)
    return boxes, np.where((depth > NEAR_M).all(axis=1), share, 0.0)


def covered_share(boxes_xyxy: FloatArray, distance_m: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    """(N,) share of each box that boxes nearer to the camera cover, by a grid of points; only `present` ones cover."""
    steps = (np.arange(SAMPLES) + 0.5) / SAMPLES
    share = np.zeros(len(boxes_xyxy))
    for index in range(len(boxes_xyxy)):
        nearer = boxes_xyxy[(distance_m < distance_m[index]) & present]
        left, top, right, bottom = boxes_xyxy[index]
        xs, ys = left + steps * (right - left), top + steps * (bottom - top)
        in_columns = (xs >= nearer[:, 0, None]) & (xs < nearer[:, 2, None])  # (M, S)
        in_rows = (ys >= nearer[:, 1, None]) & (ys < nearer[:, 3, None])
        share[index] = (in_columns[:, None] & in_rows[:, :, None]).any(axis=0).mean()
    return share


def match_boxes(
    seen: SeenTracks, boxes_xyxy: FloatArray, class_names: Sequence[str] | None = None
) -> list[tuple[int, int]]:
    """Pairs (track, box) that are the same object, the cheapest pairing of all.

    A pair costs 1 - IoU, and a quarter of the distance of the feet (bottom centres) in box sizes or in 1.5 m, whichever
    is larger, so that far and thin objects, where half a metre is a whole box, still find each other. `class_names` of
    the boxes break ties.
    """
    if not len(seen) or not len(boxes_xyxy):
        return []
    expected = seen.boxes_xyxy
    cost = 1 - pairwise_iou(expected, boxes_xyxy)
    slack = POSITION_SLACK_M * seen.pixels_per_m
    size = np.maximum(expected[:, 2:] - expected[:, :2], slack[:, None])  # (N, 2)
    apart = np.abs(feet(expected)[:, None] - feet(boxes_xyxy)[None]) / size[:, None]  # (N, M, 2)
    cost = cost + FOOT_WEIGHT * np.minimum(apart.sum(axis=-1), FOOT_LIMIT)
    if class_names is not None:
        other = np.array(seen.class_names)[:, None] != np.array(class_names)[None]
        cost = cost + OTHER_CLASS_COST * (other & (cost < ALONE_COST - OTHER_CLASS_COST))
    cost[seen.visible <= 0] = ALONE_COST + 1
    return assign(cost, ALONE_COST)


def feet(boxes_xyxy: FloatArray) -> FloatArray:
    """(N, 4) -> (N, 2) bottom centres."""
    return np.stack([(boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2, boxes_xyxy[:, 3]], axis=1)


def is_inside_another(boxes_xyxy: FloatArray, others_xyxy: FloatArray, share: float) -> NDArray[np.bool_]:
    """(N,) whether at least `share` of a box lies in one of the others."""
    if not len(others_xyxy):
        return np.zeros(len(boxes_xyxy), bool)
    inside = pairwise_intersection(boxes_xyxy, others_xyxy).max(axis=1)
    return np.asarray(inside >= share * np.maximum(area_xyxy(boxes_xyxy), 1e-9))


def _sizes(names: Sequence[str], sizes: FloatArray) -> FloatArray:
    """(N, 3) length, width, height; what a track leaves at 0 is its class's usual size."""
    usual = np.array([USUAL_SIZE_M.get(name, UNKNOWN_SIZE_M) for name in names]).reshape(-1, 3)
    return np.where(sizes > 0, sizes, usual)


def _cuboids(place: FloatArray, sizes: FloatArray, heading: FloatArray) -> FloatArray:
    """(N, 8, 3) corners; `heading` in radians from the x axis, `place` is the middle of the footprint."""
    along = np.stack([np.cos(heading), np.sin(heading)], axis=1) * sizes[:, :1] / 2  # (N, 2)
    across = np.stack([-np.sin(heading), np.cos(heading)], axis=1) * sizes[:, 1:2] / 2
    corners = [place + i * along + j * across for i in (-1, 1) for j in (-1, 1)]
    ground = np.stack(corners, axis=1)  # (N, 4, 2)
    low = np.concatenate([ground, np.zeros((*ground.shape[:2], 1))], axis=2)
    high = np.concatenate([ground, np.broadcast_to(sizes[:, 2, None, None], (*ground.shape[:2], 1))], axis=2)
    return np.concatenate([low, high], axis=1)
