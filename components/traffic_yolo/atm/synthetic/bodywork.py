"""Pieces that all vehicles are made of: wheels, panels, lamps, and paints that vary a little."""

from collections.abc import Sequence

import numpy as np

from traffic_yolo.atm.synthetic.mesh import Colour, Material, MeshBuilder

GLASS: Colour = (52, 44, 38)
TYRE: Colour = (34, 32, 32)
HUB: Colour = (132, 130, 128)
DARK: Colour = (48, 46, 45)
PLATE: Colour = (228, 232, 230)
HEADLIGHT: Colour = (238, 240, 240)
TAILLIGHT: Colour = (38, 30, 168)


def pick(rng: np.random.Generator, choices: Sequence[Colour]) -> Colour:
    """One of the colours, a little darker or brighter."""
    colour = np.asarray(choices[int(rng.integers(len(choices)))], float) * rng.uniform(0.92, 1.06)
    blue, green, red = np.clip(colour, 0, 250)
    return float(blue), float(green), float(red)


def scaled(colour: Colour, factor: float) -> Colour:
    """The colour `factor` times as bright."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def wheels(builder: MeshBuilder, axles: Sequence[float], half_width: float, radius: float) -> None:
    """A wheel on either side of each axle at u, parts of their own."""
    for u in axles:
        for side in (-1, 1):
            centre = (u, side * (half_width - 0.13), radius)
            builder.turned(centre, [(-0.12, radius), (0.12, radius)], 1, TYRE, sides=10, layer=0)


def wheel_discs(builder: MeshBuilder, axles: Sequence[float], half_width: float, radius: float) -> None:
    """Wheels as seen from the side, painted onto the sides of the current part."""
    angles = np.arange(12) * np.pi / 6
    for u in axles:
        for side in (-1, 1):
            v = side * (half_width + 0.01)
            for factor, colour in ((1.16, (26.0, 25.0, 25.0)), (1.0, TYRE), (0.58, HUB), (0.2, DARK)):
                lowest = 0.0 if factor <= 1 else 0.12  # the arch ends above the ground
                reach = factor * radius
                ring = [(u + reach * np.cos(a), v, max(radius + reach * np.sin(a), lowest)) for a in angles]
                builder.face(ring, colour)


def side_panels(
    builder: MeshBuilder, spans: Sequence[tuple[float, float]], w: tuple[float, float],
    half_widths: tuple[float, float],
    colour: Colour, material: Material = Material.MATT, *, sides: Sequence[int] = (-1, 1), slant: float = 0.0,
) -> None:  # fmt: skip
    """Upright panels on the sides of the current part; `slant` narrows each towards its top."""
    for u0, u1 in spans:
        for side in sides:
            low, high = side * half_widths[0], side * half_widths[1]
            builder.face(
                [(u0, low, w[0]), (u1, low, w[0]), (u1 - slant, high, w[1]), (u0 + slant, high, w[1])], colour, material
            )


def cross_panel(
    builder: MeshBuilder, u: tuple[float, float], v: tuple[float, float], w: tuple[float, float], colour: Colour,
    material: Material = Material.MATT,
) -> None:  # fmt: skip
    """A panel across the front or the back: from (u[0], w[0]) below to (u[1], w[1]) above, between two values of v."""
    builder.face([(u[0], v[0], w[0]), (u[0], v[1], w[0]), (u[1], v[1], w[1]), (u[1], v[0], w[1])], colour, material)


def lamps(
    builder: MeshBuilder, u: float, half_width: float, w: tuple[float, float], *, width: float, front: bool
) -> None:
    """Two head or tail lamps on the current part, across it at u, out to `half_width`."""
    colour, material = (HEADLIGHT, Material.HEADLIGHT) if front else (TAILLIGHT, Material.TAILLIGHT)
    for side in (-1, 1):
        cross_panel(builder, (u, u), (side * (half_width - width), side * half_width), w, colour, material)
