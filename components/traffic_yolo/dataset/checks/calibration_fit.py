"""Tests a camera's calibration on matched tracks and boxes, and fits its pose where it is off.

The residual is the distance, in the picture, from the foot (bottom centre) of a label's box to that of the projected
track.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.camera import Camera
from traffic_yolo.dataset.checks.radar import SeenTracks, feet, match_boxes, project_cuboids

FloatArray = NDArray[np.float64]

FITTED = ("pitch_deg", "yaw_deg", "height_m")
STEPS = np.array([1e-3, 1e-3, 1e-3])  # for the numerical derivative
FEWEST_PAIRS = 20
ROUNDS, NEWTON_STEPS = 4, 6
HUBER_SIGMAS = 1.5
# Starting points of the search, degrees away from the file's pose
PITCHES = np.arange(-6, 6.1, 1.0)
YAWS = np.arange(-10, 10.1, 2.0)
NEAR_FOOT = 3.0  # box heights beyond which a foot is nobody's
# A calibration is implausible when feet are off by a third of a box, or a better pose halves their distance
IMPLAUSIBLE_SHARE = 0.35
BETTER_BY = 0.5
NOTED_PITCH_DEG, NOTED_YAW_DEG, NOTED_HEIGHT = 0.5, 0.75, 0.1


@dataclass(frozen=True)
class TracksAndBoxes:
    """One frame: the tracks that should be seen, and the labels' boxes (M, 4) that end inside the picture."""

    seen: SeenTracks
    boxes_xyxy: FloatArray


@dataclass(frozen=True)
class CalibrationVerdict:
    """How well tracks and boxes agree under a calibration; residuals in pixels.

    `shift_px` is the median residual (x, y): label minus projection. `residual_share` is the median distance over the
    box's height. `fitted` is the pose that fits best, with its own residual; equal to the file's where nothing was to
    fit.
    """

    pairs: int
    matched_share: float
    shift_px: tuple[float, float]
    residual_px: float
    residual_share: float
    fitted: Camera
    fitted_residual_px: float
    fitted_matched_share: float
    plausible: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The verdict as JSON values; None for what no pair could tell."""
        numbers = {
            "residual_px": self.residual_px,
            "residual_share_of_box_height": self.residual_share,
            "shift_x_px": self.shift_px[0],
            "shift_y_px": self.shift_px[1],
            "fitted_residual_px": self.fitted_residual_px,
        }
        return {
            "plausible": self.plausible,
            "reason": self.reason,
            "pairs": self.pairs,
            "matched_share": round(self.matched_share, 4),
            **{name: round(value, 3) if np.isfinite(value) else None for name, value in numbers.items()},
            "fitted_pose": {name: round(float(getattr(self.fitted, name)), 4) for name in FITTED},
            "fitted_matched_share": round(self.fitted_matched_share, 4),
        }


def judge_calibration(camera: Camera, frames: Sequence[TracksAndBoxes]) -> CalibrationVerdict:
    """The verdict over some dozens of frames (more cost time and tell little)."""
    pairs, share = _pairs(camera, frames)
    residual = _median_distance(camera, pairs)
    start = camera
    if share < 0.6:
        start = _search(camera, frames)
    fitted, fitted_pairs, fitted_share = start, *_pairs(start, frames)
    for _ in range(ROUNDS):
        if len(fitted_pairs) < FEWEST_PAIRS:
            break
        fitted = _refine(fitted, fitted_pairs)
        fitted_pairs, fitted_share = _pairs(fitted, frames)
    fitted_residual = _median_distance(fitted, fitted_pairs)
    # Two poses are compared on what both explain: a pose that matches nothing has no residual
    if len(fitted_pairs) < max(FEWEST_PAIRS, len(pairs)) and len(pairs) >= FEWEST_PAIRS:
        fitted, fitted_residual, fitted_share = camera, residual, share
    heights = np.array([box[3] - box[1] for _, box in pairs])
    offsets = _residuals(camera, pairs)
    relative = float(np.median(np.hypot(*offsets.T) / heights)) if len(pairs) else float("nan")
    shift = np.median(offsets, axis=0) if len(pairs) else np.full(2, np.nan)
    plausible, reason = _judge(camera, fitted, (len(pairs), share, residual, relative), (fitted_residual, fitted_share))
    return CalibrationVerdict(
        pairs=len(pairs),
        matched_share=share,
        shift_px=(float(shift[0]), float(shift[1])),
        residual_px=residual,
        residual_share=relative,
        fitted=fitted,
        fitted_residual_px=fitted_residual,
        fitted_matched_share=fitted_share,
        plausible=plausible,
        reason=reason,
    )


Pair = tuple[FloatArray, FloatArray]  # a track's cuboid (8, 3) and the box (4,) that it was matched with


def _pairs(camera: Camera, frames: Sequence[TracksAndBoxes]) -> tuple[list[Pair], float]:
    """Matched pairs under a camera, and the share of the boxes that have one."""
    pairs: list[Pair] = []
    boxes = 0
    for frame in frames:
        projected, visible = project_cuboids(camera, frame.seen.cuboids)
        seen = replace(frame.seen, boxes_xyxy=projected, visible=visible)
        boxes += len(frame.boxes_xyxy)
        for track, box in match_boxes(seen, frame.boxes_xyxy):
            pairs.append((frame.seen.cuboids[track], frame.boxes_xyxy[box]))
    return pairs, len(pairs) / max(boxes, 1)


def _residuals(camera: Camera, pairs: Sequence[Pair]) -> FloatArray:
    """(P, 2) foot of the box minus foot of the projection."""
    if not pairs:
        return np.zeros((0, 2))
    projected, _ = project_cuboids(camera, np.stack([cuboid for cuboid, _ in pairs]))
    return feet(np.stack([box for _, box in pairs])) - feet(projected)


def _median_distance(camera: Camera, pairs: Sequence[Pair]) -> float:
    return float(np.median(np.hypot(*_residuals(camera, pairs).T))) if pairs else float("nan")


def _moved(camera: Camera, change: FloatArray) -> Camera:
    return replace(camera, **{name: getattr(camera, name) + float(by) for name, by in zip(FITTED, change, strict=True)})


def _refine(camera: Camera, pairs: Sequence[Pair]) -> Camera:
    """Gauss-Newton on pitch, yaw and height; Huber weights, so that wrong pairs have little say."""
    for _ in range(NEWTON_STEPS):
        residual = _residuals(camera, pairs)  # (P, 2)
        slopes = [
            (_residuals(_moved(camera, np.eye(3)[i] * step), pairs) - residual) / step for i, step in enumerate(STEPS)
        ]
        jacobian = np.stack([slope.ravel() for slope in slopes], axis=1)  # (2 P, 3)
        length = np.hypot(*residual.T)
        sigma = max(1.4826 * float(np.median(length)), 0.1)
        weight = np.repeat(np.sqrt(np.minimum(1, HUBER_SIGMAS * sigma / np.maximum(length, 1e-9))), 2)
        change, *_ = np.linalg.lstsq(jacobian * weight[:, None], -residual.ravel() * weight, rcond=None)
        change = np.clip(change, -2, 2)
        height = camera.height_m + float(change[2])
        if not np.isfinite(change).all() or height <= 1:
            return camera
        camera = _moved(camera, change)
        if np.abs(change).max() < 1e-4:
            break
    return camera


def _search(camera: Camera, frames: Sequence[TracksAndBoxes]) -> Camera:
    """The pose on a coarse grid under which most boxes have a track's foot nearby."""
    best, best_score = camera, -1.0
    for pitch in PITCHES:
        for yaw in YAWS:
            tried = replace(camera, pitch_deg=camera.pitch_deg + float(pitch), yaw_deg=camera.yaw_deg + float(yaw))
            score = sum(_near_feet(tried, frame) for frame in frames)
            if score > best_score + 1e-9:
                best, best_score = tried, score
    return best


def _near_feet(camera: Camera, frame: TracksAndBoxes) -> float:
    if not len(frame.boxes_xyxy) or not len(frame.seen):
        return 0.0
    projected, visible = project_cuboids(camera, frame.seen.cuboids)
    projected = projected[visible > 0]
    if not len(projected):
        return 0.0
    apart = np.linalg.norm(feet(frame.boxes_xyxy)[:, None] - feet(projected)[None], axis=-1).min(axis=1)
    height = frame.boxes_xyxy[:, 3] - frame.boxes_xyxy[:, 1]
    return float(np.clip(1 - apart / (NEAR_FOOT * height), 0, None).sum())


def _judge(
    camera: Camera, fitted: Camera, found: tuple[int, float, float, float], after: tuple[float, float]
) -> tuple[bool, str]:
    pairs, share, residual, relative = found
    fitted_residual, fitted_share = after
    moved = {name: getattr(fitted, name) - getattr(camera, name) for name in FITTED}
    pose = f"pitch {moved['pitch_deg']:+.2f}, yaw {moved['yaw_deg']:+.2f} degrees, height {moved['height_m']:+.2f} m"
    far = (
        abs(moved["pitch_deg"]) > NOTED_PITCH_DEG
        or abs(moved["yaw_deg"]) > NOTED_YAW_DEG
        or abs(moved["height_m"]) > NOTED_HEIGHT * camera.height_m
    )
    if far and (fitted_residual < BETTER_BY * residual or fitted_share > share + 0.15):
        better = f"{fitted_residual:.1f} px and {fitted_share:.0%} matched instead of {residual:.1f} px and {share:.0%}"
        return False, f"another pose fits far better ({pose}: {better}); measure the camera's pose again"
    if pairs < FEWEST_PAIRS:
        return True, f"only {pairs} tracks and boxes agree: too few to judge"
    if relative > IMPLAUSIBLE_SHARE:
        return False, f"feet of boxes are off by {relative:.0%} of a box's height; check focal length and height"
    return True, f"feet agree within {residual:.1f} px ({relative:.0%} of a box's height)"
