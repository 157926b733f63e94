"""Paints one frame: shadows, objects from back to front, lamps, rain, sensor; and says what is where."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.synthetic.backdrop import Backdrop, lamp_light
from traffic_yolo.atm.synthetic.light import Light
from traffic_yolo.atm.synthetic.mesh import Material
from traffic_yolo.atm.synthetic.occlusion import Footprint, painting_order
from traffic_yolo.atm.synthetic.painter import SHIFT, Patch, Picture, View, ground_shadow, lay, paint, view
from traffic_yolo.atm.synthetic.sensor import Sensor
from traffic_yolo.atm.synthetic.site import Site
from traffic_yolo.atm.synthetic.traffic import Actor

FloatArray = NDArray[np.float64]
MASK_SCALE = 2  # shadows and light pools are soft: half the resolution is enough


@dataclass(frozen=True)
class SeenObject:
    """One object of a frame, with exact geometry.

    `box_xyxy` bounds the projected geometry, hidden parts included, and is clipped to the picture. `visible` is the
    share of its pixels inside the picture that nothing covers; `inside` the share of its box's area inside the picture.
    """

    actor: Actor
    box_xyxy: tuple[float, float, float, float]
    visible: float
    inside: float
    ground_xy: tuple[float, float]
    velocity_xy: tuple[float, float]
    size_lwh: tuple[float, float, float]


def paint_frame(
    site: Site, light: Light, backdrop: Backdrop, sensor: Sensor, actors: Sequence[Actor], time_s: float
) -> tuple[Picture, list[SeenObject]]:
    """The picture (H, W, 3) BGR as the sensor gives it, and the objects of which at least a pixel is in it."""
    present = _present(site, actors, time_s)
    picture = backdrop.picture.copy()
    views = [seen for _, seen in present]
    _lay_shadows(picture, views, site, light)
    if light.lights_on:
        _lay_light_pools(picture, present, site, light)
    visible = _paint_objects(picture, present, site, light, backdrop)
    objects = []
    for (actor, seen), share in zip(present, visible, strict=True):
        if share is not None:
            objects.append(_seen_object(actor, seen, share, site, time_s))
    return sensor.expose(picture), objects


def _present(site: Site, actors: Sequence[Actor], time_s: float) -> list[tuple[Actor, View]]:
    present = []
    for actor in actors:
        pose = actor.place(time_s)
        seen = view(actor.mesh(time_s), pose, site.camera) if pose is not None else None
        if seen is not None:
            present.append((actor, seen))
    return present


def _footprint(seen: View) -> Footprint:
    low, high = seen.mesh.vertices.min(axis=0), seen.mesh.vertices.max(axis=0)
    middle = seen.pose.to_world((low + high) / 2)
    left, top, right, bottom = seen.box_xyxy.tolist()
    return Footprint(
        middle=(float(middle[0]), float(middle[1])),
        along=(float(np.cos(seen.pose.heading)), float(np.sin(seen.pose.heading))),
        half=(float(high[0] - low[0]) / 2, float(high[1] - low[1]) / 2),
        box_xyxy=(left, top, right, bottom),
    )


def _paint_objects(
    picture: Picture, present: Sequence[tuple[Actor, View]], site: Site, light: Light, backdrop: Backdrop
) -> list[float | None]:
    """Paints objects and the props in front of them, in place. Each object's visible share, None where no pixel."""
    footprints = [_footprint(seen) for _, seen in present]
    footprints += [sprite.footprint for sprite in backdrop.sprites]
    owners = np.zeros(picture.shape[:2], np.int16)  # 1 + index of the object whose pixel it is
    painted: dict[int, tuple[Patch, int]] = {}
    for index in painting_order(footprints):
        if index >= len(present):
            sprite = backdrop.sprites[index - len(present)]
            if any(_touch(sprite.patch, patch) for patch, _ in painted.values()):
                lay(picture, sprite.patch)
                owners[sprite.patch.window][sprite.patch.bgra[..., 3] >= 128] = 0
            continue
        seen = present[index][1]
        glow = light.street_lamps * float(lamp_light(site.lamps, np.array(seen.pose.x), np.array(seen.pose.y)))
        patch = paint(seen, site.camera, light, glow=glow)
        if patch is None:
            continue
        if light.wetness:
            _lay_reflection(picture, patch, light.wetness)
        lay(picture, patch)
        if light.lights_on:
            _lay_lamps(picture, seen, site, light)
        solid = patch.bgra[..., 3] >= 128
        owners[patch.window][solid] = index + 1
        painted[index] = (patch, int(solid.sum()))
    shares: list[float | None] = [None] * len(present)
    for index, (patch, own) in painted.items():
        left = int((owners[patch.window] == index + 1).sum())
        shares[index] = left / own if own else None
    return shares


def _touch(a: Patch, b: Patch) -> bool:
    (rows_a, columns_a), (rows_b, columns_b) = a.window, b.window
    return bool(
        rows_a.start < rows_b.stop and rows_b.start < rows_a.stop
        and columns_a.start < columns_b.stop and columns_b.start < columns_a.stop
    )  # fmt: skip


def _seen_object(actor: Actor, seen: View, visible: float, site: Site, time_s: float) -> SeenObject:
    left, top, right, bottom = seen.clipped_box(site.camera.image_wh).tolist()
    full = (seen.box_xyxy[2] - seen.box_xyxy[0]) * (seen.box_xyxy[3] - seen.box_xyxy[1])
    velocity = actor.velocity(time_s)
    length, width, height = seen.mesh.size.tolist()
    return SeenObject(
        actor=actor,
        box_xyxy=(left, top, right, bottom),
        visible=visible,
        inside=float((right - left) * (bottom - top) / full),
        ground_xy=(seen.pose.x, seen.pose.y),
        velocity_xy=(float(velocity[0]), float(velocity[1])),
        size_lwh=(length, width, height),
    )


def _lay_shadows(picture: Picture, views: Sequence[View], site: Site, light: Light) -> None:
    """Darkens the ground under objects and where they keep the sun off, in place."""
    height, width = picture.shape[:2]
    mask = np.zeros((height // MASK_SCALE, width // MASK_SCALE), np.uint8)
    cast = int(255 * light.shadow)
    contact = 150 if light.shadow else 120
    straight_down = np.array([0.0, 0.0, 1.0])
    if cast:
        for seen in views:
            outline = ground_shadow(seen, site.camera, light.sun_direction)
            if outline is not None:
                cv2.fillConvexPoly(mask, outline // MASK_SCALE, cast, cv2.LINE_8, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), width / 960 * 0.9)
    below = np.zeros_like(mask)
    for seen in views:
        outline = ground_shadow(seen, site.camera, straight_down)
        if outline is not None:
            cv2.fillConvexPoly(below, outline // MASK_SCALE, contact, cv2.LINE_8, SHIFT)
    below = cv2.GaussianBlur(below, (0, 0), width / 960 * 1.6)
    keep = cv2.bitwise_not(cv2.max(mask, below))
    keep = cv2.resize(keep, (width, height), interpolation=cv2.INTER_LINEAR)
    cv2.multiply(picture, cv2.merge([keep] * 3), dst=picture, scale=1 / 255)


def _lay_light_pools(picture: Picture, present: Sequence[tuple[Actor, View]], site: Site, light: Light) -> None:
    """Brightens the road before headlights, in place; the darker it is the more."""
    strength = float(np.clip(0.75 - light.ambient.mean(), 0, 0.4))
    if strength < 0.05:
        return
    height, width = picture.shape[:2]
    mask = np.zeros((height // MASK_SCALE, width // MASK_SCALE), np.uint8)
    for actor, seen in present:
        if actor.class_name == "PEDESTRIAN":
            continue
        front, half = seen.mesh.vertices[:, 0].max(), seen.mesh.size[1] / 2
        cone = np.array(
            [(front + 0.4, -half, 0), (front + 0.4, half, 0), (front + 9, half * 1.9, 0), (front + 9, -half * 1.9, 0)]
        )
        pixels, depth = site.camera.project(seen.pose.to_world(cone))
        if depth.min() > 2:
            outline = np.round((pixels - 0.5) / MASK_SCALE * (1 << SHIFT)).astype(np.int32)
            cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_8, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), width / 960 * 5)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    lit = cv2.multiply(picture, cv2.merge([mask] * 3), scale=1.9 * strength / 255)
    cv2.add(picture, lit, dst=picture)
    warm = cv2.merge([cv2.convertScaleAbs(mask, alpha=share * strength * 0.3) for share in (0.6, 0.85, 1.0)])
    cv2.add(picture, warm, dst=picture)


def _lay_reflection(picture: Picture, patch: Patch, wetness: float) -> None:
    """Mirrors an object on the wet road below it, in place: its patch upside down, faint and smeared downwards."""
    height = picture.shape[0]
    top = patch.top + patch.bgra.shape[0] - 3
    rows = min(patch.bgra.shape[0], height - top)
    if rows <= 2:
        return
    mirrored = cv2.blur(patch.bgra[::-1][:rows], (3, 9))
    lay(picture, Patch(patch.left, top, cv2.convertScaleAbs(mirrored, alpha=0.34 * wetness)))


def _lay_lamps(picture: Picture, seen: View, site: Site, light: Light) -> None:
    """Adds the glare of the lamps that point at the camera, in place."""
    mesh, camera = seen.mesh, site.camera
    glare = 1.0 if light.ambient.mean() < 0.4 else 0.55
    for material, colour, size_m in (
        (Material.HEADLIGHT, (210.0, 240.0, 255.0), 0.85), (Material.TAILLIGHT, (30.0, 24.0, 230.0), 0.45),
    ):  # fmt: skip
        faces = np.flatnonzero(mesh.materials == material)
        if len(faces) == 0:
            continue
        centres = seen.pose.to_world(mesh.centres[faces])
        towards = camera.position - centres
        distance = np.linalg.norm(towards, axis=1)
        cosine = (seen.pose.turn(mesh.normals[faces]) * towards).sum(axis=1) / distance
        pixels, _ = camera.project(centres)
        for pixel, share, metres in zip(pixels.tolist(), cosine.tolist(), distance.tolist(), strict=True):
            if share > 0.15:
                radius = round(max(camera.fx * size_m / metres, 3.0))
                _add_glow(picture, pixel, radius, np.array(colour) * glare * share * 0.75)


def _add_glow(picture: Picture, middle: list[float], radius: int, colour: FloatArray) -> None:
    """Adds a soft round spot, in place."""
    height, width = picture.shape[:2]
    column, row = int(middle[0]), int(middle[1])
    left, right = max(column - radius, 0), min(column + radius + 1, width)
    top, bottom = max(row - radius, 0), min(row + radius + 1, height)
    if left >= right or top >= bottom:
        return
    offsets_x, offsets_y = np.arange(left, right) - column, np.arange(top, bottom) - row
    squared = (offsets_x[None, :] ** 2 + offsets_y[:, None] ** 2) / radius**2
    spot = np.exp(-7 * squared) * (1 - np.minimum(squared, 1))  # (h, w)
    target = picture[top:bottom, left:right]
    cv2.add(target, (spot[..., None] * colour).astype(np.uint8), dst=target)
