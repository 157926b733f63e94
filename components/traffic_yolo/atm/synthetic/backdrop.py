"""The picture of a site in one light with nobody in it, painted once and used for all frames of a recording."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.synthetic.light import Light
from traffic_yolo.atm.synthetic.occlusion import Footprint
from traffic_yolo.atm.synthetic.painter import SHIFT, Patch, Picture, ground_shadow, lay, paint, view
from traffic_yolo.atm.synthetic.scenery import Prop, sky
from traffic_yolo.atm.synthetic.site import Site

FloatArray = NDArray[np.float64]

FARTHEST_GROUND_M = 1500.0
FARTHEST_SPRITE_M = 80.0  # props beyond it stand behind all traffic
LAMP_REACH_M = 8.5
LAMP_COLOUR = np.array([0.62, 0.82, 1.0])  # BGR of sodium light, paled


@dataclass(frozen=True)
class Sprite:
    """A prop that traffic may pass behind: its pixels and where it stands."""

    patch: Patch
    footprint: Footprint


@dataclass(frozen=True)
class Backdrop:
    """The empty picture (H, W, 3) BGR, and the props that have to be painted again over what passes behind them."""

    picture: Picture
    sprites: tuple[Sprite, ...]


def lamp_light(lamps: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """How much light of street lamps (N, 2) falls on the ground at x, y, 0 to 1."""
    light = np.zeros(np.shape(x))
    for lamp_x, lamp_y in lamps:
        light = light + np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / LAMP_REACH_M**2)
    return np.asarray(np.minimum(light, 1.0))


def make_backdrop(site: Site, light: Light, rng: np.random.Generator) -> Backdrop:
    """Sky, ground, shadows of props, then the props from back to front."""
    colours = sky(site.camera, light, rng)
    _lay_ground(colours, site, light)
    picture = np.clip(colours, 0, 255).astype(np.uint8)
    sprites = []
    for prop in sorted(site.props, key=lambda prop: -np.hypot(prop.pose.x, prop.pose.y)):
        glow = light.street_lamps * float(lamp_light(site.lamps, np.array(prop.pose.x), np.array(prop.pose.y)))
        sprite = _paint_prop(prop, site, light, glow)
        if sprite is None:
            continue
        lay(picture, sprite.patch)
        if sprite.footprint.distance < FARTHEST_SPRITE_M:
            sprites.append(sprite)
    return Backdrop(picture, tuple(sprites))


def _paint_prop(prop: Prop, site: Site, light: Light, glow: float) -> Sprite | None:
    seen = view(prop.mesh, prop.pose, site.camera)
    patch = paint(seen, site.camera, light, glow=glow) if seen is not None else None
    if seen is None or patch is None:
        return None
    left, top, right, bottom = seen.box_xyxy.tolist()
    half = (prop.footprint_m, prop.footprint_m)
    return Sprite(patch, Footprint((prop.pose.x, prop.pose.y), (1.0, 0.0), half, (left, top, right, bottom)))


def _lay_ground(colours: FloatArray, site: Site, light: Light) -> None:
    """Paints the lit ground over the lower part of `colours` (H, W, 3), in place."""
    width, height = site.camera.image_wh
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    points, reach = site.camera.ground_points(np.stack([columns, rows], axis=-1))
    on_ground = reach < FARTHEST_GROUND_M
    first = int(np.flatnonzero(on_ground.any(axis=1))[0])  # rows above it are sky
    x, y, distance = points[first:, :, 0], points[first:, :, 1], np.minimum(reach[first:], FARTHEST_GROUND_M)
    pixel_m = distance / site.camera.fx
    albedo = site.road.colours(x, y, distance, pixel_m)
    level = light.ambient + light.sun * light.sun_direction[2]  # (3,)
    lit = albedo * level
    if light.shadow:
        lit *= (1 - light.shadow * _prop_shadows(site, light)[first:])[..., None]
    if light.street_lamps:
        lit += albedo * LAMP_COLOUR * (light.street_lamps * 1.2 * lamp_light(site.lamps, x, y))[..., None]
    if light.wetness:
        grazing = np.clip(distance / 90, 0.1, 0.62)[..., None] * light.wetness
        lit = lit * (1 - 0.3 * light.wetness) * (1 - grazing) + light.sky_horizon * 0.92 * grazing
    fade = light.fade(distance)[..., None]
    lit = lit * (1 - fade) + light.sky_horizon * fade
    below = on_ground[first:, :, None]
    colours[first:] = np.where(below, lit, colours[first:])


def _prop_shadows(site: Site, light: Light) -> FloatArray:
    """(H, W) 0 to 1 where props shade the ground."""
    width, height = site.camera.image_wh
    mask = np.zeros((height, width), np.uint8)
    for prop in site.props:
        if prop.casts_shadow:
            seen = view(prop.mesh, prop.pose, site.camera)
            outline = ground_shadow(seen, site.camera, light.sun_direction) if seen is not None else None
            if outline is not None:
                cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_8, SHIFT)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), width / 500), float) / 255
