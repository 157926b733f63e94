"""The pinhole camera of a site: world metres to picture pixels and back to the ground.

World axes: x to the right across the road, y along the road away from the camera, z up; the origin is the foot of the
camera's pole, where the radar sits too. Pixels are continuous: pixel i covers i to i + 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NEAR_M = 1.5  # nothing nearer is drawn
FARTHEST_BEND = 4.0  # squared tangent of the angle beyond which distortion grows no further (well outside the picture)
UNDISTORT_ITERATIONS = 8


@dataclass(frozen=True)
class Camera:
    """Intrinsics in pixels, radial distortion k1 and k2, pose in metres and degrees (pitch down, yaw to the right)."""

    image_wh: tuple[int, int]
    fx: float
    fy: float
    cx: float
    cy: float
    k1: float
    k2: float
    height_m: float
    pitch_deg: float
    yaw_deg: float

    @property
    def axes(self) -> FloatArray:
        """(3, 3): the camera's right, down and forward directions in the world, one a row."""
        pitch, yaw = np.radians(self.pitch_deg), np.radians(self.yaw_deg)
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    @property
    def position(self) -> FloatArray:
        """(3,) where the camera is in the world."""
        return np.array([0.0, 0.0, self.height_m])

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(..., 3) world points -> (..., 2) pixels and (...) depth along the optical axis in metres.

        Pixels of points nearer than `NEAR_M` mean nothing; look at the depth first.
        """
        seen = (points - self.position) @ self.axes.T  # (..., 3) right, down, forward
        depth = seen[..., 2]
        flat = seen[..., :2] / np.maximum(depth, NEAR_M)[..., None]
        flat = flat * self._bend(flat)[..., None]
        return flat * (self.fx, self.fy) + (self.cx, self.cy), depth

    def ground_points(self, pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(..., 2) pixels -> (..., 2) x, y on the ground and (...) distance, infinite above the horizon."""
        rays = self.rays(pixels)
        down = -rays[..., 2]
        reach = np.divide(self.height_m, down, out=np.full(down.shape, np.inf), where=down > 1e-6)
        return rays[..., :2] * np.where(np.isfinite(reach), reach, 0.0)[..., None], reach

    def rays(self, pixels: FloatArray) -> FloatArray:
        """(..., 2) pixels -> (..., 3) unit directions in the world."""
        bent = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        flat = bent
        for _ in range(UNDISTORT_ITERATIONS):
            flat = bent / self._bend(flat)[..., None]
        rays = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], axis=-1) @ self.axes
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))

    def _bend(self, flat: FloatArray) -> FloatArray:
        squared = np.minimum((flat**2).sum(axis=-1), FARTHEST_BEND)
        return np.asarray(1 + squared * (self.k1 + squared * self.k2))

    def calibration(self) -> dict[str, Any]:
        """What `camera_calibration.json` says; distortion in OpenCV's order k1, k2, p1, p2, k3."""
        return {
            "schema_version": 1,
            "image_wh": list(self.image_wh),
            "fx": self.fx,
            "fy": self.fy,
            "cx": self.cx,
            "cy": self.cy,
            "distortion": [self.k1, self.k2, 0.0, 0.0, 0.0],
            "height_m": self.height_m,
            "pitch_deg": self.pitch_deg,
            "yaw_deg": self.yaw_deg,
            "axes": "x right across the road, y along it, z up; origin at the camera's foot; pitch down, yaw right",
        }


def camera_of_calibration(calibration: dict[str, Any]) -> Camera:
    """The camera that `Camera.calibration` described."""
    k1, k2, *_ = calibration["distortion"]
    width, height = calibration["image_wh"]
    names = ("fx", "fy", "cx", "cy", "height_m", "pitch_deg", "yaw_deg")
    return Camera(image_wh=(width, height), k1=k1, k2=k2, **{name: calibration[name] for name in names})
