"""Paints one mesh: which faces are seen, their colours in the light, the patch of pixels they cover, the exact box."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.camera import NEAR_M, Camera
from traffic_yolo.atm.synthetic.light import Light
from traffic_yolo.atm.synthetic.mesh import Material, Mesh

FloatArray = NDArray[np.float64]
Picture = NDArray[np.uint8]

SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
MARGIN_PX = 2


@dataclass(frozen=True)
class Pose:
    """Where an object stands: ground position in metres and the angle of its u axis from the x axis, radians."""

    x: float
    y: float
    heading: float

    def to_world(self, points: FloatArray) -> FloatArray:
        """(..., 3) u, v, w -> (..., 3) x, y, z."""
        return np.asarray(self.turn(points) + np.array([self.x, self.y, 0.0]))

    def turn(self, directions: FloatArray) -> FloatArray:
        """(..., 3) directions of the object -> directions in the world."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        axes = np.array([[cos, sin, 0.0], [sin, -cos, 0.0], [0.0, 0.0, 1.0]])  # u, v (to the right), w
        return np.asarray(directions @ axes)


@dataclass(frozen=True)
class View:
    """A mesh seen by the camera: its vertices in the picture, and the tight box around them."""

    mesh: Mesh
    pose: Pose
    world: FloatArray  # (V, 3)
    pixels: FloatArray  # (V, 2)
    box_xyxy: FloatArray  # (4,) not clipped

    def clipped_box(self, image_wh: tuple[int, int]) -> FloatArray:
        """(4,) left, top, right, bottom inside the picture; without area where nothing of the object is."""
        limits = np.array([*image_wh, *image_wh], float)
        return np.asarray(np.clip(self.box_xyxy, 0, limits))


@dataclass(frozen=True)
class Patch:
    """Painted pixels: premultiplied BGRA (h, w, 4) uint8 whose first pixel is `left`, `top` of the picture."""

    left: int
    top: int
    bgra: Picture

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture under the patch."""
        height, width = self.bgra.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def view(mesh: Mesh, pose: Pose, camera: Camera) -> View | None:
    """The mesh as the camera sees it; None where some of it is behind the camera or all of it outside the picture."""
    world = pose.to_world(mesh.vertices)
    pixels, depth = camera.project(world)
    if depth.min() <= NEAR_M:
        return None
    box = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    width, height = camera.image_wh
    if box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height:
        return None
    return View(mesh, pose, world, pixels, box)


def paint(seen: View, camera: Camera, light: Light, *, glow: float = 0.0) -> Patch | None:
    """The object's pixels without its surroundings; None where it covers none. `glow` = lamp light around it."""
    width, height = camera.image_wh
    left, top = np.maximum(np.floor(seen.box_xyxy[:2]).astype(int) - MARGIN_PX, 0)
    right, bottom = np.minimum(np.ceil(seen.box_xyxy[2:]).astype(int) + MARGIN_PX, (width, height))
    if right <= left or bottom <= top:
        return None
    largest = max(right - left, bottom - top)
    scale = 4 if largest < 64 else 3 if largest < 160 else 2  # small objects need the most samples for a pixel
    order = _painting_order(seen, camera)
    if len(order) == 0:
        return None
    mesh = seen.mesh
    normals = seen.pose.turn(mesh.normals[order])
    colours = light.shade(mesh.colours[order], normals, mesh.materials[order], glow)
    distance = float(np.linalg.norm(seen.world.mean(axis=0) - camera.position))
    fade = float(light.fade(distance))
    own_light = np.isin(mesh.materials[order], (Material.HEADLIGHT, Material.TAILLIGHT)) & light.lights_on
    fades = np.where(own_light, 0.3 * fade, fade)[:, None]
    colours = colours * (1 - fades) + light.sky_horizon * fades
    canvas = np.zeros(((bottom - top) * scale, (right - left) * scale, 4), np.uint8)
    # Continuous coordinates to those of pixel centres, in the enlarged patch, in fixed point.
    fixed = np.round(((seen.pixels - (left, top)) * scale - 0.5) * (1 << SHIFT)).astype(np.int32)
    starts = mesh.starts
    for face, (blue, green, red) in zip(order.tolist(), colours.tolist(), strict=True):
        points = fixed[starts[face] : starts[face + 1]]
        cv2.fillConvexPoly(canvas, points, (blue, green, red, 255), cv2.LINE_8, SHIFT)
    small = cv2.resize(canvas, (int(right - left), int(bottom - top)), interpolation=cv2.INTER_AREA)
    return Patch(int(left), int(top), small)


def _painting_order(seen: View, camera: Camera) -> NDArray[np.int64]:
    """Indices of the faces that look at the camera: lower layers first, then far parts before near ones."""
    mesh, pose = seen.mesh, seen.pose
    towards = camera.position - pose.to_world(mesh.centres)  # (F, 3)
    facing = (pose.turn(mesh.normals) * towards).sum(axis=1) > 0
    distances = np.linalg.norm(camera.position - pose.to_world(mesh.part_centres), axis=1)  # (P,)
    faces = np.flatnonzero(facing | mesh.two_sided)
    parts = mesh.parts[faces]
    return np.asarray(faces[np.lexsort((faces, -distances[parts], mesh.part_layers[parts]))])


def lay(picture: Picture, patch: Patch) -> None:
    """Lays a patch over the picture, in place."""
    target = picture[patch.window]
    covered = cv2.merge([patch.bgra[..., 3]] * 3)
    rest = cv2.multiply(target, cv2.bitwise_not(covered), scale=1 / 255)
    cv2.add(rest, patch.bgra[..., :3], dst=target)


def ground_shadow(seen: View, camera: Camera, direction: FloatArray) -> NDArray[np.int32] | None:
    """Outline (n, 1, 2) in fixed-point pixels of the object's shadow on the ground, light coming from `direction`."""
    points = seen.world - direction * (seen.world[:, 2:] / direction[2])
    points[:, 2] = 0.0
    pixels, depth = camera.project(points)
    if depth.min() <= NEAR_M:
        return None
    hull = cv2.convexHull(pixels.astype(np.float32))
    return np.asarray(np.round((hull - 0.5) * (1 << SHIFT)), np.int32)
