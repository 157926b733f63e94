"""Objects as flat coloured faces, built of convex parts: prisms, boxes, turned bodies, and decals painted onto them.

Local axes of an object: u forward, v to its right, w up, metres; the origin is on the ground below its middle. Colours
are BGR, 0 to 255, as seen in white light.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Colour = tuple[float, float, float]
Points = Sequence[Sequence[float] | FloatArray] | FloatArray  # (n, 3)


class Material(IntEnum):
    """How a face answers to light."""

    MATT = 0
    GLASS = 1  # dark, mirrors the sky a little
    HEADLIGHT = 2  # shines when the lights are on
    TAILLIGHT = 3
    WINDOW = 4  # of a building or a bus: lit from inside in the dark


def cross(a: Sequence[float] | FloatArray, b: Sequence[float] | FloatArray) -> FloatArray:
    """(3,) the cross product of two vectors, as numpy has it to the bit: its own is a third of a rendering."""
    (a0, a1, a2), (b0, b1, b2) = np.asarray(a).tolist(), np.asarray(b).tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


@dataclass(frozen=True)
class Mesh:
    """Faces of one object. Faces stand in painting order inside a part; parts are sorted for each view."""

    vertices: FloatArray  # (V, 3) u, v, w
    starts: NDArray[np.int64]  # (F + 1,): face f has the vertices starts[f] to starts[f + 1]
    normals: FloatArray  # (F, 3) unit, outward
    centres: FloatArray  # (F, 3)
    colours: FloatArray  # (F, 3) BGR
    materials: NDArray[np.int64]  # (F,)
    parts: NDArray[np.int64]  # (F,) index into part_centres
    part_centres: FloatArray  # (P, 3)
    part_layers: NDArray[np.int64]  # (P,) lower layers are painted first
    two_sided: NDArray[np.bool_]  # (F,)

    @property
    def size(self) -> FloatArray:
        """(3,) length, width and height in metres."""
        return np.asarray(self.vertices.max(axis=0) - self.vertices.min(axis=0))


@dataclass
class MeshBuilder:
    """Collects faces; a new part begins with `part`, and its faces are turned outward from its centre."""

    _points: list[FloatArray] = field(default_factory=list)
    _colours: list[Colour] = field(default_factory=list)
    _materials: list[int] = field(default_factory=list)
    _parts: list[int] = field(default_factory=list)
    _two_sided: list[bool] = field(default_factory=list)
    _part_centres: list[FloatArray] = field(default_factory=list)
    _part_layers: list[int] = field(default_factory=list)

    def part(self, centre: Sequence[float], *, layer: int = 1) -> None:
        """Begins a convex part around `centre` (u, v, w)."""
        self._part_centres.append(np.asarray(centre, float))
        self._part_layers.append(layer)

    def face(
        self, points: Points, colour: Colour, material: Material = Material.MATT,
        *, two_sided: bool = False,
    ) -> None:  # fmt: skip
        """A convex flat face (or decal) of the current part; `points` (n, 3) in order around it."""
        self._points.append(np.asarray(points, float))
        self._colours.append(colour)
        self._materials.append(int(material))
        self._parts.append(len(self._part_centres) - 1)
        self._two_sided.append(two_sided)

    def prism(
        self, profile: Sequence[tuple[float, float]], half_widths: Sequence[float], colour: Colour,
        *, v: float = 0.0, strips: dict[int, tuple[Colour, Material]] | None = None, layer: int = 1,
        side_material: Material = Material.MATT,
    ) -> None:  # fmt: skip
        """A part whose side view is the convex `profile` of (u, w), `half_widths[i]` wide on both sides at point i.

        `strips[i]` paints the strip from point i to point i + 1 otherwise than `colour`.
        """
        middle = np.asarray(profile, float).mean(axis=0)
        self.part((middle[0], v, middle[1]), layer=layer)
        sides = [
            np.array([(u, v + side * half, w) for (u, w), half in zip(profile, half_widths, strict=True)])
            for side in (-1, 1)
        ]
        for i in range(len(profile)):
            j = (i + 1) % len(profile)
            strip_colour, material = (strips or {}).get(i, (colour, Material.MATT))
            self.face([sides[0][i], sides[1][i], sides[1][j], sides[0][j]], strip_colour, material)
        for side in sides:
            self.face(side, colour, side_material)

    def box(
        self, u: tuple[float, float], v: tuple[float, float], w: tuple[float, float], colour: Colour, *, layer: int = 1
    ) -> None:
        """A part that is a box between two values of u, v and w."""
        half = (v[1] - v[0]) / 2
        profile = [(u[0], w[0]), (u[0], w[1]), (u[1], w[1]), (u[1], w[0])]
        self.prism(profile, [half] * 4, colour, v=(v[0] + v[1]) / 2, layer=layer)

    def beam(
        self,
        start: Sequence[float],
        end: Sequence[float],
        thickness: tuple[float, float],
        colour: Colour,
        *,
        layer: int = 1,
    ) -> None:
        """A part that is a bar with a square end from `start` to `end` (u, v, w), as thick as said at either."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        along = (b - a) / (np.linalg.norm(b - a) or 1.0)
        across = cross(along, (0.0, 1.0, 0.0) if abs(along[1]) < 0.9 else (1.0, 0.0, 0.0))
        across /= np.linalg.norm(across)
        other = cross(along, across)
        corners = [across + other, across - other, -across - other, -across + other]
        first = [a + corner * thickness[0] / 2 for corner in corners]
        second = [b + corner * thickness[1] / 2 for corner in corners]
        self.part((a + b) / 2, layer=layer)
        for i in range(4):
            j = (i + 1) % 4
            self.face([first[i], first[j], second[j], second[i]], colour)
        self.face(first, colour)
        self.face(second, colour)

    def turned(
        self, centre: Sequence[float], rings: Sequence[tuple[float, float]], axis: int, colour: Colour,
        *, sides: int = 8, layer: int = 1, caps: Colour | None = None,
    ) -> None:  # fmt: skip
        """A part turned about axis 0, 1 or 2 through `centre`; `rings` are (offset along the axis, radius)."""
        self.part(centre, layer=layer)
        angles = np.arange(sides) * 2 * np.pi / sides + np.pi / sides
        others = [index for index in range(3) if index != axis]
        circles = []
        for offset, radius in rings:
            circle = np.tile(np.asarray(centre, float), (sides, 1))
            circle[:, axis] += offset
            circle[:, others[0]] += radius * np.cos(angles)
            circle[:, others[1]] += radius * np.sin(angles)
            circles.append(circle)
        for first, second in pairwise(circles):
            for i in range(sides):
                j = (i + 1) % sides
                self.face([first[i], first[j], second[j], second[i]], colour)
        self.face(circles[0], caps or colour)
        self.face(circles[-1], caps or colour)

    def ball(self, centre: Sequence[float], radius: float, colour: Colour, *, layer: int = 1) -> None:
        """A part that is roughly a sphere."""
        rings = [(-0.92, 0.4), (-0.5, 0.87), (0.1, 1.0), (0.65, 0.76), (0.96, 0.28)]
        self.turned(centre, [(offset * radius, width * radius) for offset, width in rings], 2, colour, layer=layer)

    def build(self) -> Mesh:
        """The mesh of everything collected."""
        counts = np.array([len(points) for points in self._points])
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        vertices = np.concatenate(self._points)
        following = np.arange(1, len(vertices) + 1)
        following[starts[1:] - 1] = starts[:-1]  # the last corner of a face is followed by its first
        normals = np.add.reduceat(np.cross(vertices, vertices[following]), starts[:-1])  # Newell's method
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        centres = np.add.reduceat(vertices, starts[:-1]) / counts[:, None]
        parts, part_centres = np.array(self._parts, np.int64), np.array(self._part_centres)
        inward = (normals * (centres - part_centres[parts])).sum(axis=1) < 0
        normals[inward] *= -1
        return Mesh(
            vertices=vertices,
            starts=starts,
            normals=normals,
            centres=centres,
            colours=np.array(self._colours, float),
            materials=np.array(self._materials, np.int64),
            parts=parts,
            part_centres=part_centres,
            part_layers=np.array(self._part_layers, np.int64),
            two_sided=np.array(self._two_sided, bool),
        )
