"""Which of two things stands in front of the other, and the order in which to paint many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Footprint:
    """A rectangle on the ground with the picture box above it; the camera's foot is the ground's origin."""

    middle: tuple[float, float]
    along: tuple[float, float]  # unit vector of its length
    half: tuple[float, float]  # half length, half width
    box_xyxy: tuple[float, float, float, float]

    @property
    def distance(self) -> float:
        """From the camera's foot, metres."""
        return float(np.hypot(*self.middle))


def is_in_front(a: Footprint, b: Footprint) -> bool:
    """Whether `a` is nearer to the camera: it lies on the camera's side of a line that separates the two."""
    best_gap, answer = 0.0, a.distance < b.distance
    for owner in (a, b):
        for axis in (owner.along, (-owner.along[1], owner.along[0])):
            middle_a, reach_a = _extent(a, axis)
            middle_b, reach_b = _extent(b, axis)
            gap = abs(middle_a - middle_b) - reach_a - reach_b
            if gap > best_gap:
                best_gap = gap
                # The camera is at 0 on every axis; a is in front where the line between lies beyond it.
                low_is_a = middle_a < middle_b
                line = (
                    middle_a + reach_a + middle_b - reach_b if low_is_a else middle_b + reach_b + middle_a - reach_a
                ) / 2
                answer = low_is_a == (line > 0)
    return answer


def _extent(footprint: Footprint, axis: tuple[float, float]) -> tuple[float, float]:
    """Middle and half extent of a footprint along an axis."""
    u = footprint.along
    cosine = abs(axis[0] * u[0] + axis[1] * u[1])
    sine = abs(axis[1] * u[0] - axis[0] * u[1])
    middle = axis[0] * footprint.middle[0] + axis[1] * footprint.middle[1]
    return middle, footprint.half[0] * cosine + footprint.half[1] * sine


def painting_order(footprints: Sequence[Footprint]) -> list[int]:
    """Indices from back to front; only things whose picture boxes overlap constrain each other."""
    count = len(footprints)
    behind: list[set[int]] = [set() for _ in range(count)]  # behind[i]: to be painted before i
    for i in range(count):
        for j in range(i + 1, count):
            if _overlap(footprints[i].box_xyxy, footprints[j].box_xyxy):
                if is_in_front(footprints[i], footprints[j]):
                    behind[i].add(j)
                else:
                    behind[j].add(i)
    left = sorted(range(count), key=lambda index: -footprints[index].distance)
    order: list[int] = []
    painted: set[int] = set()
    while left:
        # Without a free one there is a cycle of overlaps; the farthest goes first then.
        chosen = next((index for index in left if behind[index] <= painted), left[0])
        left.remove(chosen)
        painted.add(chosen)
        order.append(chosen)
    return order


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
