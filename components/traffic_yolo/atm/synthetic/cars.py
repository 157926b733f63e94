"""Cars as meshes, each a little different in size, shape and colour."""

from dataclasses import dataclass

import numpy as np

from traffic_yolo.atm.synthetic.bodywork import (
    DARK,
    GLASS,
    PLATE,
    cross_panel,
    lamps,
    pick,
    scaled,
    side_panels,
    wheel_discs,
    wheels,
)
from traffic_yolo.atm.synthetic.mesh import Colour, Material, Mesh, MeshBuilder

# White, silver, grey and black before colours, as on a road.
CAR_PAINTS: tuple[Colour, ...] = (
    (238, 238, 236), (232, 232, 230), (188, 186, 182), (160, 158, 155), (112, 110, 108), (46, 44, 44), (60, 56, 54),
    (120, 66, 34), (164, 96, 40), (42, 36, 150), (34, 30, 108), (56, 92, 60), (60, 130, 196), (70, 84, 110),
)  # fmt: skip


@dataclass(frozen=True)
class _Shape:
    """A kind of car: its height in metres, and as shares of its length where roof and glass begin and end."""

    height_m: float
    belt: float  # lower edge of the windows, share of the height
    rear: float
    roof_rear: float
    roof_front: float
    nose: float


SHAPES = {
    "saloon": (_Shape(1.42, 0.6, -0.42, -0.25, 0.06, 0.22), 0.4),  # and how many of all cars are one
    "hatchback": (_Shape(1.46, 0.6, -0.49, -0.42, 0.06, 0.24), 0.22),
    "utility": (_Shape(1.66, 0.6, -0.49, -0.44, 0.08, 0.23), 0.26),
    "van": (_Shape(1.88, 0.54, -0.495, -0.46, 0.2, 0.36), 0.12),
}
GROUND_M = 0.2


def car(rng: np.random.Generator) -> Mesh:
    """A saloon, hatchback, sport utility vehicle or van: 3.7 to 4.4 m long, 1.6 to 1.8 m wide, 1.4 to 1.9 m high."""
    kind = str(rng.choice(list(SHAPES), p=[share for _, share in SHAPES.values()]))
    shape = SHAPES[kind][0]
    length, half = rng.uniform(3.7, 4.4), rng.uniform(0.8, 0.9)
    height = shape.height_m * rng.uniform(0.97, 1.03)
    paint = pick(rng, CAR_PAINTS)
    builder = MeshBuilder()
    _body(builder, shape, length, half, shape.belt * height, paint)
    _cabin(builder, shape, length, half, shape.belt * height, height, paint)
    return builder.build()


def _body(builder: MeshBuilder, shape: _Shape, length: float, half: float, belt: float, paint: Colour) -> None:
    """Wheels, and everything below the windows; `belt` in metres."""
    axles = (-0.3 * length, 0.31 * length)
    wheels(builder, axles, half, 0.31)
    front, back = 0.5 * length, -0.5 * length
    profile = [
        (back, GROUND_M), (back, 0.82 * belt), (back + 0.05, belt), (shape.nose * length, belt),
        (front - 0.14, 0.84 * belt),
        (front, 0.66 * belt), (front, GROUND_M),
    ]  # fmt: skip
    builder.prism(profile, [half * f for f in (0.95, 0.99, 0.95, 0.95, 0.93, 0.95, 0.95)], paint)
    side_panels(builder, [(back, front)], (GROUND_M, 0.32), (half * 0.95, half * 0.96), scaled(paint, 0.45))
    side_panels(builder, [(0.0, 0.025)], (0.34, belt * 0.97), (half * 0.98, half * 0.96), scaled(paint, 0.6))
    wheel_discs(builder, axles, half * 0.98, 0.31)
    cross_panel(builder, (front, front), (-half * 0.94, half * 0.94), (GROUND_M, 0.34), scaled(paint, 0.4))
    cross_panel(builder, (front, front), (-half * 0.45, half * 0.45), (0.36, 0.56 * belt), DARK)
    cross_panel(builder, (front, front), (-0.24, 0.24), (0.33, 0.44), PLATE)
    lamps(builder, front, half * 0.92, (0.46 * belt, 0.64 * belt), width=0.34, front=True)
    cross_panel(builder, (back, back), (-half * 0.94, half * 0.94), (GROUND_M, 0.36), scaled(paint, 0.42))
    cross_panel(builder, (back, back), (-0.26, 0.26), (0.46, 0.58), PLATE)
    lamps(builder, back, half * 0.96, (0.56 * belt, 0.8 * belt), width=0.3, front=False)


def _cabin(
    builder: MeshBuilder, shape: _Shape, length: float, half: float, belt: float, height: float, paint: Colour
) -> None:
    """Roof and windows; `belt` and `height` in metres."""
    glass = (GLASS, Material.GLASS)
    rear, nose = shape.rear * length, shape.nose * length
    profile = [(rear, belt), (shape.roof_rear * length, height), (shape.roof_front * length, height), (nose, belt)]
    low, high = half * 0.92, half * 0.76
    builder.prism(profile, [low, high, high, low], paint, strips={0: glass, 2: glass}, layer=2)
    bottom, top = belt + 0.04, height - 0.08
    near_top = low + (high - low) * (top - belt) / (height - belt)
    pillar = (shape.roof_front + shape.rear) / 2 * length
    # Front windows lean with the windscreen, rear ones with the back.
    lean_front = 0.9 * (shape.nose - shape.roof_front) * length
    lean_rear = 0.9 * (shape.roof_rear - shape.rear) * length
    panes = (
        (pillar + 0.06, nose - 0.14, nose - 0.14 - lean_front, pillar + 0.06),
        (rear + 0.14, pillar - 0.06, pillar - 0.06, rear + 0.14 + lean_rear),
    )
    for side in (-1, 1):
        v_low, v_high = side * low, side * near_top
        for a, b, c, d in panes:
            builder.face([(a, v_low, bottom), (b, v_low, bottom), (c, v_high, top), (d, v_high, top)], *glass)
