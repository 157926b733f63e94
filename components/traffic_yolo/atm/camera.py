"""The pinhole camera of an ATM unit: world metres to picture pixels, and back to the ground.

World axes: x to the right across the road, y along the road away from the camera, z up; the origin is the foot of the
camera's pole, where the radar sits too. Pixels are continuous: pixel i covers i to i + 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

NEAR_M = 1.5  # nothing nearer is drawn
FARTHEST_BEND = 4.0  # squared tangent of the angle beyond which distortion grows no further (well outside the picture)
UNDISTORT_ITERATIONS = 8


@dataclass(frozen=True)
class Camera:
    """Intrinsics in pixels, distortion in OpenCV's terms, pose in metres and degrees.

    Radial distortion k1, k2, k3, tangential p1, p2; `skew` is the pixels that a column leans for each unit of y. Pitch
    is down, yaw to the right, roll clockwise as the camera sees it (the scene turns anticlockwise in the picture).
    """

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
    roll_deg: float = 0.0
    skew: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    @property
    def axes(self) -> FloatArray:
        """(3, 3): the camera's right, down and forward directions in the world, one a row."""
        pitch, yaw, roll = np.radians(self.pitch_deg), np.radians(self.yaw_deg), np.radians(self.roll_deg)
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        down = np.cross(forward, right)
        turned = np.cos(roll) * right + np.sin(roll) * down
        return np.stack([turned, np.cross(forward, turned), forward])

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
        bent = flat * self._bend(flat)[..., None] + self._lean(flat)
        pixels = bent * (self.fx, self.fy) + (self.cx, self.cy)
        if self.skew:
            pixels[..., 0] += self.skew * bent[..., 1]
        return pixels, depth

    def ground_points(self, pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(..., 2) pixels -> (..., 2) x, y on the ground and (...) distance, infinite above the horizon."""
        rays = self.rays(pixels)
        down = -rays[..., 2]
        reach = np.divide(self.height_m, down, out=np.full(down.shape, np.inf), where=down > 1e-6)
        return rays[..., :2] * np.where(np.isfinite(reach), reach, 0.0)[..., None], reach

    def rays(self, pixels: FloatArray) -> FloatArray:
        """(..., 2) pixels -> (..., 3) unit directions in the world."""
        bent = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.skew:
            bent[..., 0] -= self.skew / self.fx * bent[..., 1]
        flat = bent
        for _ in range(UNDISTORT_ITERATIONS):
            flat = (bent - self._lean(flat)) / self._bend(flat)[..., None]
        rays = np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], axis=-1) @ self.axes
        return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True))

    def _bend(self, flat: FloatArray) -> FloatArray:
        squared = np.minimum((flat**2).sum(axis=-1), FARTHEST_BEND)
        return np.asarray(1 + squared * (self.k1 + squared * (self.k2 + squared * self.k3)))

    def _lean(self, flat: FloatArray) -> FloatArray | float:
        """Tangential distortion (..., 2)."""
        if not (self.p1 or self.p2):
            return 0.0
        x, y = flat[..., 0], flat[..., 1]
        squared = np.minimum(x * x + y * y, FARTHEST_BEND)
        lean_x = 2 * self.p1 * x * y + self.p2 * (squared + 2 * x * x)
        lean_y = self.p1 * (squared + 2 * y * y) + 2 * self.p2 * x * y
        return np.stack([lean_x, lean_y], axis=-1)
