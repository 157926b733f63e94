"""Light and long trucks as meshes, with the kinds of cargo they carry."""

from collections.abc import Callable

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

CAB_PAINTS: tuple[Colour, ...] = (
    (236, 236, 234), (228, 228, 226), (150, 84, 34), (176, 110, 52), (40, 40, 160), (92, 90, 88), (60, 150, 206),
    (84, 120, 56),
)  # fmt: skip
BOX_PAINTS: tuple[Colour, ...] = (
    (234, 234, 232), (222, 222, 220), (196, 194, 190), (168, 104, 44), (58, 96, 196), (52, 48, 150), (96, 132, 60),
    (180, 178, 170),
)  # fmt: skip
TARPAULINS: tuple[Colour, ...] = ((150, 92, 36), (66, 92, 48), (70, 70, 66), (64, 128, 190))


def _cab(builder: MeshBuilder, u: tuple[float, float], half: float, w: tuple[float, float], paint: Colour) -> None:
    """A cab over the engine between two values of u, with windscreen, doors and lights; w = floor, roof."""
    back, front = u
    floor, roof = w
    belt, brow = floor + 0.46 * (roof - floor), floor + 0.9 * (roof - floor)
    lean = 0.1 * (roof - floor)
    profile = [
        (back, floor),
        (back, roof),
        (front - lean - 0.1, roof),
        (front - lean, brow),
        (front, belt),
        (front, floor),
    ]
    glass = (GLASS, Material.GLASS)
    builder.prism(profile, [half, half * 0.94, half * 0.92, half * 0.94, half, half], paint, strips={3: glass})
    cross_panel(builder, (front, front), (-half * 0.97, half * 0.97), (floor, floor + 0.2 * (belt - floor)), DARK)
    cross_panel(
        builder, (front, front), (-half * 0.6, half * 0.6),
        (floor + 0.42 * (belt - floor), floor + 0.78 * (belt - floor)), DARK,
    )  # fmt: skip
    cross_panel(builder, (front, front), (-0.25, 0.25), (floor + 0.05, floor + 0.18), PLATE)
    lamp = (floor + 0.3 * (belt - floor), floor + 0.6 * (belt - floor))
    lamps(builder, front, half * 0.95, lamp, width=min(0.34, half * 0.4), front=True)
    span = (back + 0.3 * (front - back), front - 0.12)
    side_panels(builder, [span], (belt + 0.04, brow), (half, half * 0.95), GLASS, Material.GLASS, slant=0.06)
    side_panels(
        builder, [(span[0] - 0.05, span[0] - 0.01)], (floor + 0.1, brow), (half, half * 0.95), scaled(paint, 0.6)
    )


def truck(rng: np.random.Generator) -> Mesh:
    """A light truck: 5.0 to 6.0 m long, 1.6 to 1.9 m wide; open bed, tarpaulin or box, 1.9 to 2.7 m high."""
    length, width = rng.uniform(5.0, 6.0), rng.uniform(1.6, 1.9)
    half, cab_length, roof = width / 2, rng.uniform(1.45, 1.7), rng.uniform(1.9, 2.05)
    front, back = length / 2, -length / 2
    builder = MeshBuilder()
    axles = (back + 0.22 * length, front - 0.75)
    wheels(builder, axles, half, 0.34)
    builder.box((back + 0.1, front - 0.2), (-half * 0.7, half * 0.7), (0.42, 0.7), DARK, layer=0)
    paint = pick(rng, CAB_PAINTS)
    _cab(builder, (front - cab_length, front), half * 0.95, (0.38, roof), paint)
    wheel_discs(builder, axles[1:], half * 0.95, 0.34)
    bed_end = front - cab_length - 0.08
    kind = rng.choice(["bed", "tarpaulin", "box"], p=[0.4, 0.25, 0.35])
    if kind == "bed":
        _open_bed(builder, rng, (back, bed_end), half, paint)
    else:
        high = rng.uniform(2.3, 2.7)
        colour = pick(rng, TARPAULINS if kind == "tarpaulin" else BOX_PAINTS)
        _cargo_box(builder, (back, bed_end), half, (0.72, high), colour, ribs=0 if kind == "box" else 4)
    wheel_discs(builder, axles[:1], half, 0.34)
    lamps(builder, back - 0.01, half * 0.96, (0.56, 0.7), width=0.26, front=False)
    cross_panel(builder, (back - 0.01,) * 2, (-0.25, 0.25), (0.54, 0.66), PLATE)
    return builder.build()


def _open_bed(
    builder: MeshBuilder, rng: np.random.Generator, u: tuple[float, float], half: float, paint: Colour
) -> None:
    """A bed with low sides and a load that stands out of it."""
    side_top = rng.uniform(1.02, 1.16)
    builder.box(u, (-half, half), (0.7, side_top), scaled(paint, 0.92))
    back, front = u
    v, u0, u1 = half - 0.08, back + 0.08, front - 0.08
    builder.face([(u0, -v, side_top), (u0, v, side_top), (u1, v, side_top), (u1, -v, side_top)], (70, 74, 78))
    third = (front - back) / 3
    side_panels(
        builder, [(back + i * third, back + i * third + 0.05) for i in (0, 1, 2)], (0.7, side_top), (half, half), DARK
    )
    if rng.random() < 0.75:
        load = pick(rng, (*TARPAULINS, (96, 140, 170), (140, 140, 140)))
        load_top = side_top + rng.uniform(0.15, 0.6)
        end = back + rng.uniform(0.5, 0.95) * (front - back)
        inner = half * rng.uniform(0.6, 0.85)
        builder.box((back + 0.15, end), (-inner, inner), (side_top - 0.1, load_top), load, layer=2)


def _cargo_box(
    builder: MeshBuilder, u: tuple[float, float], half: float, w: tuple[float, float], colour: Colour, *, ribs: int
) -> None:
    """A closed body; `ribs` upright lines on its sides (a container has many, a box van none)."""
    back, front = u
    builder.prism(
        [(back, w[0]), (back, w[1]), (front, w[1]), (front, w[0])], [half, half * 0.98, half * 0.98, half], colour
    )
    edge, rail = scaled(colour, 0.6), 0.09 * (w[1] - w[0])
    side_panels(builder, [(back, front)], (w[0], w[0] + rail), (half, half), edge)
    side_panels(builder, [(back, front)], (w[1] - rail / 2, w[1]), (half * 0.98, half * 0.98), edge)
    if ribs:
        step = (front - back) / (ribs + 1)
        spans = [(back + i * step, back + i * step + min(0.09, step / 3)) for i in range(1, ribs + 1)]
        side_panels(builder, spans, (w[0] + rail, w[1] - rail), (half, half * 0.98), scaled(colour, 0.82))
    low, high = w[0] + rail, w[1] - rail
    for v in (-half * 0.94, -0.02, half * 0.94 - 0.04):  # frame and gap of the rear doors
        cross_panel(builder, (back - 0.005,) * 2, (v, v + 0.05), (low, high), edge)
    for v in (-half * 0.5, half * 0.45):
        cross_panel(builder, (back - 0.005,) * 2, (v, v + 0.05), (low, high), (120, 120, 120))


def long_truck(rng: np.random.Generator) -> Mesh:
    """A long truck: 9 to 11.5 m long, 2.3 to 2.5 m wide, 3.2 to 3.8 m high; box, container, tank, flatbed or tipper."""
    length, width = rng.uniform(9.0, 11.5), rng.uniform(2.3, 2.5)
    half, cab_length, roof = width / 2, rng.uniform(1.9, 2.3), rng.uniform(2.75, 3.05)
    front, back = length / 2, -length / 2
    builder = MeshBuilder()
    axles = (back + 1.1, back + 2.4, front - cab_length - 1.0, front - 1.3)
    wheels(builder, axles, half, 0.5)
    builder.box((back + 0.2, front - 0.4), (-half * 0.65, half * 0.65), (0.6, 1.05), DARK, layer=0)
    paint = pick(rng, CAB_PAINTS)
    _cab(builder, (front - cab_length, front), half * 0.98, (0.5, roof), paint)
    wheel_discs(builder, axles[3:], half * 0.98, 0.5)
    kind = str(rng.choice(list(CARGOES), p=[share for _, share in CARGOES.values()]))
    CARGOES[kind][0](builder, rng, (back, front - cab_length - 0.35), half)
    side_panels(builder, [(back + 3.2, axles[2] - 0.7)], (0.55, 0.95), (half * 0.9, half * 0.9), (120, 120, 122))
    wheel_discs(builder, axles[:3], half, 0.5)
    lamps(builder, back - 0.01, half * 0.95, (0.8, 1.0), width=0.34, front=False)
    cross_panel(builder, (back - 0.01,) * 2, (-0.3, 0.3), (0.72, 0.86), PLATE)
    return builder.build()


def _box_cargo(builder: MeshBuilder, rng: np.random.Generator, u: tuple[float, float], half: float) -> None:
    """A smooth box, often with a stripe."""
    _cargo_box(builder, u, half, (1.08, rng.uniform(3.4, 3.8)), pick(rng, BOX_PAINTS), ribs=0)
    if rng.random() < 0.6:
        low = rng.uniform(1.4, 2.2)
        span = (u[0] + 0.3, u[1] - 0.3)
        side_panels(builder, [span], (low, low + rng.uniform(0.25, 0.7)), (half, half), pick(rng, BOX_PAINTS[3:]))


def _container(builder: MeshBuilder, rng: np.random.Generator, u: tuple[float, float], half: float) -> None:
    _cargo_box(builder, u, half, (1.08, rng.uniform(3.4, 3.8)), pick(rng, BOX_PAINTS), ribs=14)


def _tank(builder: MeshBuilder, _: np.random.Generator, u: tuple[float, float], half: float) -> None:
    radius, reach = half * 0.92, (u[1] - u[0]) / 2
    rings = [(-reach, radius * 0.6), (-reach + 0.3, radius), (reach - 0.3, radius), (reach, radius * 0.6)]
    middle = ((u[0] + u[1]) / 2, 0.0, 1.08 + radius)
    builder.turned(middle, rings, 0, (198, 198, 196), sides=12, caps=(150, 150, 150))


def _flatbed(builder: MeshBuilder, rng: np.random.Generator, u: tuple[float, float], half: float) -> None:
    builder.box(u, (-half, half), (1.0, 1.2), (96, 100, 104))
    load = pick(rng, (*BOX_PAINTS, (60, 100, 140), (110, 130, 150)))
    top = rng.uniform(2.0, 2.9)
    builder.box((u[0] + 0.4, u[1] - 0.5), (-half * 0.8, half * 0.8), (1.2, top), load, layer=2)


def _tipper(builder: MeshBuilder, rng: np.random.Generator, u: tuple[float, float], half: float) -> None:
    """An open body with ribs, earth inside."""
    back, front = u
    colour, top = pick(rng, CAB_PAINTS), rng.uniform(2.3, 2.7)
    profile = [(back, 1.25), (back + 0.15, top), (front, top), (front, 1.1)]
    builder.prism(profile, [half * 0.94, half, half, half * 0.94], colour)
    ribs = [(back + 0.5 + i * 1.1, back + 0.62 + i * 1.1) for i in range(int((front - back - 0.6) / 1.1))]
    side_panels(builder, ribs, (1.2, top), (half * 0.96, half), scaled(colour, 0.7))
    v, u0, u1 = half * 0.86, back + 0.3, front - 0.2
    builder.face([(u0, -v, top), (u0, v, top), (u1, v, top), (u1, -v, top)], (76, 94, 112))


Cargo = Callable[[MeshBuilder, np.random.Generator, tuple[float, float], float], None]
CARGOES: dict[str, tuple[Cargo, float]] = {  # and how many of all long trucks carry it
    "box": (_box_cargo, 0.34),
    "container": (_container, 0.22),
    "tank": (_tank, 0.14),
    "flatbed": (_flatbed, 0.14),
    "tipper": (_tipper, 0.16),
}
