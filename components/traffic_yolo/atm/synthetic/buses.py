"""City buses and coaches as meshes."""

import numpy as np

from traffic_yolo.atm.synthetic.bodywork import (
    DARK,
    GLASS,
    PLATE,
    cross_panel,
    lamps,
    scaled,
    side_panels,
    wheel_discs,
    wheels,
)
from traffic_yolo.atm.synthetic.mesh import Colour, Material, Mesh, MeshBuilder

BUS_PAINTS: tuple[tuple[Colour, Colour], ...] = (  # body, stripe
    ((176, 84, 28), (235, 235, 235)), ((70, 140, 52), (225, 232, 228)), ((48, 44, 178), (232, 232, 232)),
    ((44, 170, 222), (60, 60, 60)), ((232, 232, 230), (170, 90, 40)), ((60, 116, 216), (236, 236, 236)),
)  # fmt: skip


def bus(rng: np.random.Generator) -> Mesh:
    """A city bus or coach: 9.5 to 11.5 m long, 2.4 to 2.55 m wide, 3.0 to 3.4 m high."""
    length, width, height = rng.uniform(9.5, 11.5), rng.uniform(2.4, 2.55), rng.uniform(3.0, 3.4)
    half, front, back, floor = width / 2, length / 2, -length / 2, 0.32
    paint, stripe = BUS_PAINTS[int(rng.integers(len(BUS_PAINTS)))]
    roof = scaled((236, 236, 234), rng.uniform(0.85, 1.0)) if rng.random() < 0.6 else paint
    builder = MeshBuilder()
    axles = (back + 0.26 * length, front - 0.22 * length)
    wheels(builder, axles, half, 0.48)
    profile = [
        (back, floor), (back, height - 0.15), (back + 0.15, height), (front - 0.3, height),
        (front - 0.08, height - 0.25),
        (front, 0.45 * height), (front, floor),
    ]  # fmt: skip
    widths = [half * f for f in (1, 0.98, 0.93, 0.93, 0.98, 1, 1)]
    builder.prism(profile, widths, paint, strips={1: (roof, Material.MATT), 2: (roof, Material.MATT)})
    low, high = 0.46 * height, 0.84 * height
    side_panels(builder, [(back, front)], (floor, 0.24 * height), (half, half), stripe)
    side_panels(builder, [(back, front)], (floor, floor + 0.12), (half, half), DARK)
    panes = int(rng.integers(6, 9))
    step = (length - 0.9) / panes
    spans = [(back + 0.5 + i * step, back + 0.5 + (i + 1) * step - 0.1) for i in range(panes)]
    side_panels(builder, spans, (low, high), (half, half * 0.985), GLASS, Material.WINDOW)
    doors = [(front - 1.5, front - 0.4), (0.2, 1.4)]
    side_panels(
        builder, doors, (floor + 0.1, high), (half * 1.002, half * 0.986), (40, 36, 34), Material.GLASS, sides=[1]
    )
    side_panels(
        builder, [(d[0] + 0.52, d[0] + 0.58) for d in doors], (floor + 0.1, high), (half, half), paint, sides=[1]
    )
    wheel_discs(builder, axles, half, 0.48)
    brow = height - 0.28
    cross_panel(
        builder, (front, front - 0.075), (-half * 0.93, half * 0.93), (low - 0.1, brow - 0.3), GLASS, Material.GLASS
    )
    cross_panel(builder, (front - 0.075, front - 0.09), (-half * 0.7, half * 0.7), (brow - 0.24, brow), (30, 30, 30))
    sign = (50, 170, 240)
    cross_panel(builder, (front - 0.08, front - 0.09), (-0.5, 0.5), (brow - 0.2, brow - 0.05), sign, Material.WINDOW)
    cross_panel(builder, (front, front), (-half * 0.98, half * 0.98), (floor, floor + 0.22), DARK)
    lamps(builder, front, half * 0.92, (0.62, 0.86), width=0.4, front=True)
    cross_panel(builder, (front, front), (-0.3, 0.3), (0.42, 0.56), PLATE)
    cross_panel(builder, (back,) * 2, (-half * 0.8, half * 0.8), (0.56 * height, 0.82 * height), GLASS, Material.WINDOW)
    cross_panel(builder, (back,) * 2, (-half * 0.7, half * 0.7), (0.7, 1.2), scaled(paint, 0.4))
    lamps(builder, back, half * 0.97, (0.9, 1.35), width=0.2, front=False)
    cross_panel(builder, (back,) * 2, (-0.3, 0.3), (0.46, 0.6), PLATE)
    unit = rng.uniform(-0.25, 0.15) * length
    builder.box((unit, unit + 2.2), (-half * 0.62, half * 0.62), (height, height + 0.2), scaled(roof, 0.86), layer=2)
    return builder.build()
