"""Motorcycles with their riders, and pedestrians at four moments of a step, as meshes."""

import numpy as np

from traffic_yolo.atm.synthetic.bodywork import GLASS, HEADLIGHT, PLATE, TAILLIGHT, cross_panel
from traffic_yolo.atm.synthetic.mesh import Colour, Material, Mesh, MeshBuilder

STEP_PHASES = 4  # meshes of a pedestrian; a step shown in fewer looks stiff, in more nobody sees

SKINS: tuple[Colour, ...] = ((150, 180, 222), (132, 164, 210), (96, 130, 180), (66, 92, 136))
HAIRS: tuple[Colour, ...] = ((28, 26, 26), (36, 40, 52), (44, 70, 104), (120, 122, 124))
TOPS: tuple[Colour, ...] = (
    (40, 38, 38), (226, 226, 226), (60, 52, 170), (150, 80, 36), (76, 120, 60), (60, 170, 214), (120, 116, 112),
    (130, 70, 120), (196, 170, 120), (80, 110, 220),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((44, 40, 40), (96, 66, 44), (74, 72, 72), (120, 138, 156), (122, 88, 62))
HELMETS: tuple[Colour, ...] = ((30, 30, 30), (232, 232, 232), (40, 40, 180), (160, 90, 40), (40, 160, 220))
BIKES: tuple[Colour, ...] = ((36, 34, 34), (40, 36, 168), (158, 82, 34), (210, 210, 210), (60, 120, 60), (40, 150, 210))


def _pick(rng: np.random.Generator, choices: tuple[Colour, ...]) -> Colour:
    return choices[int(rng.integers(len(choices)))]


def motorcycle(rng: np.random.Generator) -> Mesh:
    """A motorcycle or scooter with a helmeted rider: 1.7 to 2.0 m long, 0.7 to 0.9 m wide, about 1.6 m high."""
    length, lean = rng.uniform(1.7, 2.0), rng.uniform(0.05, 0.28)
    bars = rng.uniform(0.33, 0.42)
    paint, jacket, trousers, helmet = (_pick(rng, c) for c in (BIKES, TOPS, TROUSERS, HELMETS))
    builder = MeshBuilder()
    radius = 0.29
    for u in (-length / 2 + radius, length / 2 - radius):
        builder.turned((u, 0, radius), [(-0.07, radius), (0.07, radius)], 1, (30, 29, 29), sides=10, layer=0,
                       caps=(64, 64, 66))  # fmt: skip
    rear, front = -length / 2, length / 2
    builder.prism(
        [(rear + 0.1, 0.5), (rear + 0.1, 0.8), (0.05, 0.78), (0.3, 0.9), (0.45, 0.6), (0.2, 0.28), (-0.3, 0.3)],
        [0.1, 0.15, 0.15, 0.13, 0.1, 0.14, 0.14], paint,
    )  # fmt: skip
    cross_panel(builder, (rear + 0.1,) * 2, (-0.09, 0.09), (0.62, 0.74), TAILLIGHT, Material.TAILLIGHT)
    cross_panel(builder, (rear + 0.1,) * 2, (-0.1, 0.1), (0.5, 0.6), PLATE)
    builder.beam((front - radius, 0, radius), (front - 0.5, 0, 1.0), (0.1, 0.12), (90, 90, 92))
    fairing = [(front - 0.52, 0.62), (front - 0.56, 1.06), (front - 0.42, 1.0), (front - 0.3, 0.62)]
    builder.prism(fairing, [0.17, 0.13, 0.14, 0.19], paint)
    cross_panel(builder, (front - 0.34, front - 0.4), (-0.1, 0.1), (0.74, 0.92), HEADLIGHT, Material.HEADLIGHT)
    builder.beam((front - 0.56, -bars, 1.04), (front - 0.56, bars, 1.04), (0.05, 0.05), (40, 40, 40))
    seat, shoulder = -0.16, -0.16 + lean
    for side in (-1, 1):
        builder.beam((seat, side * 0.12, 0.8), (0.2, side * 0.24, 0.72), (0.19, 0.16), trousers)
        builder.beam((0.2, side * 0.24, 0.74), (0.08, side * 0.2, 0.3), (0.15, 0.1), trousers)
        builder.beam(
            (shoulder, side * 0.22, 1.28), (front - 0.58, side * bars * 0.94, 1.06), (0.13, 0.09), jacket, layer=2
        )
    torso = [(seat - 0.14, 0.76), (shoulder - 0.12, 1.34), (shoulder + 0.1, 1.36), (seat + 0.14, 0.78)]
    builder.prism(torso, [0.17, 0.24, 0.22, 0.17], jacket, layer=2)
    builder.ball((shoulder + 0.06, 0, 1.5), 0.145, helmet, layer=3)
    visor = (shoulder + 0.2, shoulder + 0.18)
    cross_panel(builder, visor, (-0.09, 0.09), (1.47, 1.56), GLASS, Material.GLASS)
    if rng.random() < 0.4:  # a delivery box
        builder.box((rear - 0.02, rear + 0.44), (-0.23, 0.23), (0.84, 1.26), _pick(rng, TOPS), layer=2)
    return builder.build()


def pedestrian(rng: np.random.Generator) -> tuple[Mesh, ...]:
    """A walking person, 1.5 to 1.85 m high, about 0.5 m wide: `STEP_PHASES` meshes of one step, to be shown in turn."""
    height = rng.uniform(1.5, 1.85)
    top, trousers, hair, skin = (_pick(rng, c) for c in (TOPS, TROUSERS, HAIRS, SKINS))
    bag = _pick(rng, TOPS) if rng.random() < 0.35 else None
    skirt = bool(rng.random() < 0.2)
    sway = rng.uniform(0.75, 1.1)
    swings = [np.sin(2 * np.pi * phase / STEP_PHASES + 0.6) * sway for phase in range(STEP_PHASES)]
    return tuple(_walker(height, swing, top, trousers, hair, skin, bag, skirt) for swing in swings)


def _walker(
    height: float,
    swing: float,
    top: Colour,
    trousers: Colour,
    hair: Colour,
    skin: Colour,
    bag: Colour | None,
    skirt: bool,
) -> Mesh:
    builder = MeshBuilder()
    hip, shoulder = 0.5 * height, 0.82 * height
    stride = 0.2 * height * swing
    for side in (-1, 1):
        foot, knee = side * stride, side * stride * 0.6 + 0.03
        lift = 0.03 * height * max(0.0, -side * swing)
        builder.beam((0, side * 0.09, hip + 0.04), (knee, side * 0.1, 0.27 * height), (0.17, 0.13), trousers)
        builder.beam((knee, side * 0.1, 0.27 * height + lift), (foot, side * 0.1, 0.05 + lift), (0.13, 0.1), trousers)
        builder.box(
            (foot - 0.08, foot + 0.17),
            (side * 0.1 - 0.05, side * 0.1 + 0.05),
            (lift, 0.08 + lift),
            (40, 40, 44),
            layer=0,
        )
        hand = -side * stride * 0.75
        builder.beam(
            (0, side * 0.23, shoulder - 0.03), (hand * 0.4 - 0.02, side * 0.27, 0.64 * height), (0.1, 0.09), top
        )
        builder.beam(
            (hand * 0.4 - 0.02, side * 0.27, 0.64 * height), (hand, side * 0.27, 0.48 * height), (0.09, 0.07), skin
        )
    if skirt:
        builder.prism(
            [(-0.2, 0.3 * height), (-0.12, hip), (0.12, hip), (0.2, 0.3 * height)], [0.24, 0.17, 0.17, 0.24], trousers
        )
    torso = [
        (-0.12, hip - 0.05), (-0.13, shoulder - 0.06), (-0.06, shoulder + 0.03), (0.06, shoulder + 0.03),
        (0.13, shoulder - 0.08), (0.12, hip - 0.05),
    ]  # fmt: skip
    builder.prism(torso, [0.18, 0.23, 0.14, 0.14, 0.22, 0.18], top, layer=2)
    if bag is not None:
        builder.box((-0.3, -0.12), (-0.17, 0.17), (0.58 * height, shoulder - 0.02), bag, layer=2)
    builder.turned((0, 0, shoulder + 0.04), [(-0.03, 0.055), (0.06, 0.055)], 2, skin, sides=6, layer=2)
    radius = 0.066 * height
    builder.ball((0.015, 0, height - radius * 1.05), radius, skin, layer=3)
    builder.ball((-0.018, 0, height - radius * 0.96), radius * 0.96, hair, layer=3)
    return builder.build()
