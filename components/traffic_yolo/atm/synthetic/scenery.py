"""What stands beside the road: buildings, trees, lamp posts, signs; and the sky behind it all."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.camera import Camera
from traffic_yolo.atm.synthetic.light import Light
from traffic_yolo.atm.synthetic.mesh import Colour, Material, Mesh, MeshBuilder, cross
from traffic_yolo.atm.synthetic.painter import Pose
from traffic_yolo.atm.synthetic.road import Road

FloatArray = NDArray[np.float64]

FACADES: tuple[Colour, ...] = (
    (168, 178, 190), (140, 150, 166), (196, 200, 204), (110, 130, 160), (150, 146, 140), (120, 118, 120),
    (176, 190, 200),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = ((46, 104, 74), (40, 88, 66), (56, 112, 96), (44, 78, 62))
LAMP_SPACING_M = 26.0


@dataclass(frozen=True)
class Prop:
    """A thing that stands still. `footprint_m` is the half size of the square it occupies on the ground."""

    mesh: Mesh
    pose: Pose
    footprint_m: float
    casts_shadow: bool


def make_props(road: Road, rng: np.random.Generator) -> tuple[tuple[Prop, ...], FloatArray]:
    """The props of a site, and (N, 2) the ground points that its street lamps light."""
    props: list[Prop] = []
    lamps: list[tuple[float, float]] = []
    reserve = road.half_width_m + road.pavement_m
    for side in (-1, 1):
        props += _buildings(road, side, reserve, rng)
        props += _trees(road, side, reserve, rng)
    lamp_side = int(rng.choice([-1, 1]))
    for y in np.arange(rng.uniform(30, 40), 150, LAMP_SPACING_M):
        if _in_side_street(road, float(y), 2):
            continue
        x = float(road.axis(y)) + lamp_side * (road.half_width_m + 0.5)
        props.append(Prop(_lamp_post(lamp_side), Pose(x, float(y), 0.0), 0.12, True))
        lamps.append((x - lamp_side * 2.2, float(y)))
    for _ in range(int(rng.integers(1, 4))):
        side, y = int(rng.choice([-1, 1])), rng.uniform(32, 70)
        x = float(road.axis(y)) + side * (road.half_width_m + 0.6)
        props.append(Prop(_sign(rng), Pose(x, y, -np.pi / 2), 0.1, False))
    return tuple(props), np.array(lamps).reshape(-1, 2)


def _in_side_street(road: Road, y: float, margin: float) -> bool:
    return road.side_street_y is not None and abs(y - road.side_street_y) < road.side_street_half_m + margin


def _buildings(road: Road, side: int, reserve: float, rng: np.random.Generator) -> list[Prop]:
    props = []
    y = rng.uniform(45, 70)
    density = rng.uniform(0.35, 0.9)
    while y < 320:
        depth, breadth, height = (
            rng.uniform(10, 24),
            rng.uniform(10, 22),
            rng.choice([6, 9, 12, 18, 27]) * rng.uniform(0.9, 1.2),
        )
        if rng.random() < density and not _in_side_street(road, y, depth / 2 + 3):
            x = float(road.axis(y)) + side * (reserve + rng.uniform(5, 16) + breadth / 2)
            props.append(Prop(_building(breadth, depth, height, rng), Pose(x, y, np.pi / 2), breadth / 2, False))
        y += depth + rng.uniform(2, 16)
    return props


def _building(breadth: float, depth: float, height: float, rng: np.random.Generator) -> Mesh:
    facade = FACADES[int(rng.integers(len(FACADES)))]
    builder = MeshBuilder()
    u, v = (-depth / 2, depth / 2), (-breadth / 2, breadth / 2)
    builder.box(u, v, (0, height), facade)
    rows, storey = max(1, int(height // 3)), height / max(1, int(height // 3))
    pane = rng.uniform(1.1, 1.9)
    for row in range(rows):
        low, high = row * storey + 0.9, row * storey + storey - 0.5
        for v0 in np.arange(v[0] + 0.8, v[1] - pane, pane + 0.9):
            builder.face(
                [(u[0], v0, low), (u[0], v0 + pane, low), (u[0], v0 + pane, high), (u[0], v0, high)], *_pane(rng)
            )
        for u0 in np.arange(u[0] + 0.8, u[1] - pane, pane + 0.9):
            for v0 in v:
                builder.face([(u0, v0, low), (u0 + pane, v0, low), (u0 + pane, v0, high), (u0, v0, high)], *_pane(rng))
    return builder.build()


def _pane(rng: np.random.Generator) -> tuple[Colour, Material]:
    dark = rng.uniform(0.7, 1.4)
    return (88 * dark, 74 * dark, 64 * dark), Material.WINDOW if rng.random() < 0.35 else Material.MATT


def _trees(road: Road, side: int, reserve: float, rng: np.random.Generator) -> list[Prop]:
    props = []
    near, far = [_tree(rng, coarse=False) for _ in range(2)], [_tree(rng, coarse=True) for _ in range(2)]
    y = rng.uniform(26, 40)
    spacing = rng.uniform(8, 26)
    while y < 260:
        if not _in_side_street(road, y, 4):
            x = float(road.axis(y)) + side * (reserve + rng.uniform(1.5, 5 + y / 20))
            mesh = (far if y > 80 else near)[int(rng.integers(2))]
            props.append(Prop(mesh, Pose(x, y, rng.uniform(0, 6)), 0.4, True))
        y += spacing * rng.uniform(0.5, 1.5)
    return props


def _tree(rng: np.random.Generator, *, coarse: bool) -> Mesh:
    """A trunk and a crown of leaf clumps; distant trees need few."""
    height, radius = rng.uniform(4.5, 8.5), rng.uniform(1.3, 2.4)
    leaf = np.asarray(LEAVES[int(rng.integers(len(LEAVES)))], float)
    builder = MeshBuilder()
    builder.beam((0, 0, 0), (0, 0, height * 0.6), (0.32, 0.2), (52, 66, 84), layer=0)
    clumps = 70 if coarse else 420
    directions = rng.standard_normal((clumps, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reaches = rng.uniform(0.35, 1.0, clumps) ** 0.5
    middle = np.array([0, 0, height - radius * 1.1])
    places = middle + directions * reaches[:, None] * (radius, radius, radius * 1.15)
    # Inner and lower clumps first and darker; the sun side is brightened by the faces' own normals.
    for index in np.argsort(reaches + 0.3 * directions[:, 2]):
        builder.part(middle.tolist(), layer=1)
        size = radius * rng.uniform(0.1, 0.22) * (1.9 if coarse else 1.0)
        facing = directions[index] + rng.normal(0, 0.5, 3)  # leaves do not all lie on the crown like tiles
        first = cross(facing, (0.3, 0.5, 0.81))
        first /= np.linalg.norm(first)
        second = cross(facing / np.linalg.norm(facing), first)
        angles = np.arange(6) * np.pi / 3 + rng.uniform(0, 1)
        spread = size * rng.uniform(0.7, 1.2, 6)
        ring = places[index] + np.outer(np.cos(angles) * spread, first) + np.outer(np.sin(angles) * spread, second)
        blue, green, red = np.clip(leaf * rng.uniform(0.55, 1.25) * (0.5 + 0.5 * reaches[index]), 0, 255)
        builder.face(ring, (blue, green, red), two_sided=True)
    return builder.build()


def _lamp_post(side: int) -> Mesh:
    """A post 8 m high with an arm over the road."""
    builder = MeshBuilder()
    grey = (140.0, 142.0, 144.0)
    builder.beam((0, 0, 0), (0, 0, 8), (0.2, 0.12), grey)
    builder.beam((0, 0, 7.9), (-side * 2.2, 0, 8.25), (0.12, 0.1), grey)
    builder.box((-side * 2.2 - 0.4, -side * 2.2 + 0.4), (-0.16, 0.16), (8.12, 8.3), grey)
    low, high = -side * 2.2 - 0.35, -side * 2.2 + 0.35
    glass = [(low, -0.13, 8.11), (high, -0.13, 8.11), (high, 0.13, 8.11), (low, 0.13, 8.11)]
    builder.face(glass, (235, 240, 240), Material.HEADLIGHT, two_sided=True)
    return builder.build()


def _sign(rng: np.random.Generator) -> Mesh:
    """A traffic sign on a thin pole, its face towards the camera."""
    builder = MeshBuilder()
    builder.beam((0, 0, 0), (0, 0, 2.6), (0.08, 0.08), (150, 150, 150), layer=0)
    round_sign = rng.random() < 0.5
    rim: Colour = (44, 40, 188) if round_sign else (168, 92, 30)
    sides = 12 if round_sign else 4
    angles = np.arange(sides) * 2 * np.pi / sides + np.pi / 4
    builder.part((-0.1, 0, 2.5))
    for radius, colour in ((0.4, rim), (0.28, (228.0, 230.0, 230.0))):
        builder.face([(0.03, radius * np.cos(a), 2.5 + radius * np.sin(a)) for a in angles], colour, two_sided=True)
    return builder.build()


def sky(camera: Camera, light: Light, rng: np.random.Generator) -> FloatArray:
    """(H, W, 3) BGR of the sky with clouds and a line of hills, for every pixel; the ground is laid over it later."""
    width, height = camera.image_wh
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = camera.rays(np.stack([columns, rows], axis=-1))
    elevation = np.degrees(np.arcsin(np.clip(rays[..., 2], -1, 1)))
    azimuth = np.degrees(np.arctan2(rays[..., 0], rays[..., 1]))
    share = np.clip(elevation / 14, 0, 1)[..., None] ** 0.7
    colours = light.sky_horizon * (1 - share) + light.sky_top * share
    raw = rng.standard_normal((32, 64)).astype(np.float32)
    clouds = cv2.resize(raw, (256, 128), interpolation=cv2.INTER_CUBIC)
    clouds += 0.5 * cv2.resize(
        rng.standard_normal((64, 128)).astype(np.float32), (256, 128), interpolation=cv2.INTER_CUBIC
    )
    sampled = cv2.remap(clouds, ((azimuth + 60) * 1.6).astype(np.float32), (elevation * 6 + 20).astype(np.float32),
                        cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    bright = np.clip(sampled, 0, 2)[..., None] * 0.22 * (light.condition != "night")
    colours = colours * (1 - bright) + np.minimum(light.sky_horizon * 1.08, 255) * bright
    ridge_knots = rng.uniform(0.3, 2.6, 24)
    ridge = np.interp(azimuth, np.linspace(-70, 70, 24), ridge_knots)
    ridge = ridge + 0.12 * np.sin(azimuth * 3.1) + 0.06 * np.sin(azimuth * 9.7)
    hills = light.sky_horizon * 0.6 + np.array([70.0, 78.0, 64.0]) * 0.4 * light.ambient
    return np.asarray(np.where((elevation < ridge)[..., None], hills, colours))
