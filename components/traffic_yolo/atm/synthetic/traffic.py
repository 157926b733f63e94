"""Who moves through a recording: vehicles in lanes and side streets, people on pavements and crossings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.synthetic import buses, cars, people, trucks
from traffic_yolo.atm.synthetic.mesh import Mesh
from traffic_yolo.atm.synthetic.painter import Pose
from traffic_yolo.atm.synthetic.road import Lane, Road

FloatArray = NDArray[np.float64]

NEAR_Y_M, FAR_Y_M = 8.0, 70.0  # vehicles exist between these
FAR_WALKER_M = 50.0  # people farther away would be too small to label
SIDE_STREET_REACH_M = 42.0
STEPS_PER_S = 1.9 / 4  # whole strides of a walker a second

MESHES: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "BUS": buses.bus, "TRUCK": trucks.truck, "LONG_TRUCK": trucks.long_truck, "CAR": cars.car,
    "MOTORCYCLE": people.motorcycle,
}  # fmt: skip
# Dealt like cards, so that every class is frequent in every recording, as no real road would have it.
DECK = ("CAR",) * 6 + ("MOTORCYCLE",) * 6 + ("TRUCK",) * 4 + ("BUS",) * 3 + ("LONG_TRUCK",) * 3


@dataclass(frozen=True)
class Actor:
    """Somebody or something on the move. `place(t)` is its pose at t seconds, None while it is not there."""

    number: int
    class_name: str
    meshes: tuple[Mesh, ...]  # shown in turn
    place: Callable[[float], Pose | None]
    lane: int  # index into the road's lanes, -1 for none

    def mesh(self, time_s: float) -> Mesh:
        """The mesh to show at this time."""
        phase = int(time_s * STEPS_PER_S * len(self.meshes) * 2 + self.number)
        return self.meshes[phase % len(self.meshes)]

    def velocity(self, time_s: float) -> FloatArray:
        """(2,) m/s along x and y; zeros where it is not there."""
        before, after = self.place(time_s - 0.05), self.place(time_s + 0.05)
        if before is None or after is None:
            return np.zeros(2)
        return np.array([after.x - before.x, after.y - before.y]) / 0.1


@dataclass(frozen=True)
class LaneMotion:
    """Along the road at a distance from its axis, at an almost constant speed."""

    road: Road
    offset_m: float
    direction: int
    start_y: float
    speed_m_s: float
    sway_m: float
    phase: float
    far_m: float

    def __call__(self, time_s: float) -> Pose | None:
        y = self.start_y + self.direction * self.speed_m_s * time_s + self.sway_m * np.sin(0.5 * time_s + self.phase)
        if not NEAR_Y_M <= y <= self.far_m:
            return None
        return Pose(float(self.road.axis(y)) + self.offset_m, float(y), self.road.heading(y, self.direction))


@dataclass(frozen=True)
class CrossingMotion:
    """Across the road at one y."""

    start_x: float
    direction: int
    y: float
    speed_m_s: float
    low_x: float
    high_x: float

    def __call__(self, time_s: float) -> Pose | None:
        x = self.start_x + self.direction * self.speed_m_s * time_s
        if not self.low_x <= x <= self.high_x:
            return None
        return Pose(x, self.y, 0.0 if self.direction > 0 else np.pi)


class Traffic:
    """Collects the actors of one recording; those that would stand in another at one of `times_s` are turned away."""

    def __init__(self, road: Road, times_s: FloatArray, rng: np.random.Generator) -> None:
        self.road = road
        self.actors: list[Actor] = []
        self._times_s = times_s
        self._rng = rng
        self._circles: list[list[FloatArray]] = [[] for _ in times_s]  # each (3, 3): x, y, radius
        self._deck: list[str] = []

    def fill(self) -> tuple[Actor, ...]:
        """Everybody: lanes first, then side street, crossing and pavements."""
        for index, lane in enumerate(self.road.lanes):
            self._fill_lane(index, lane)
        if self.road.side_street_y is not None:
            self._fill_side_street(self.road.side_street_y)
        if self.road.crossing_y is not None:
            self._fill_crossing(self.road.crossing_y)
        self._fill_pavements()
        return tuple(self.actors)

    def _deal(self) -> str:
        if not self._deck:
            self._deck = [str(name) for name in self._rng.permutation(DECK)]
        return self._deck.pop()

    def _positions(
        self, low: float, high: float, gap_m: tuple[float, float], lengths: Iterator[float]
    ) -> Iterator[float]:
        """Middles of a queue from `low` to `high`, with free space of `gap_m` between its members."""
        position = low + self._rng.uniform(0, gap_m[1])
        for length in lengths:
            position += length / 2
            if position > high:
                return
            yield position
            position += length / 2 + self._rng.uniform(*gap_m)

    def _fill_lane(self, index: int, lane: Lane) -> None:
        travel = lane.speed_m_s * float(self._times_s[-1])
        low, high = (NEAR_Y_M - travel, FAR_Y_M) if lane.direction > 0 else (NEAR_Y_M, FAR_Y_M + travel)
        dealt: list[tuple[str, Mesh]] = []
        for position in self._positions(low, high, (7.0, 30.0), self._lengths(dealt)):
            class_name, mesh = dealt[-1]
            loose = 0.8 if class_name == "MOTORCYCLE" else 0.2
            motion = LaneMotion(
                self.road, lane.offset_m + self._rng.uniform(-loose, loose), lane.direction, position, lane.speed_m_s,
                self._rng.uniform(0, 1.2), self._rng.uniform(0, 6), FAR_Y_M,
            )  # fmt: skip
            self._admit(class_name, (mesh,), motion, lane=index)

    def _lengths(self, dealt: list[tuple[str, Mesh]]) -> Iterator[float]:
        """Deals vehicles into `dealt` and yields their lengths."""
        while True:
            class_name = self._deal()
            mesh = MESHES[class_name](self._rng)
            dealt.append((class_name, mesh))
            yield float(mesh.size[0])

    def _fill_side_street(self, street_y: float) -> None:
        for direction in (-1, 1):
            speed = self._rng.uniform(6, 10)
            travel = speed * float(self._times_s[-1])
            y = street_y + direction * self.road.side_street_half_m / 2
            middle = float(self.road.axis(street_y))
            low_x, high_x = middle - SIDE_STREET_REACH_M, middle + SIDE_STREET_REACH_M
            dealt: list[tuple[str, Mesh]] = []
            for position in self._positions(0.0, travel + 2 * SIDE_STREET_REACH_M, (18.0, 60.0), self._lengths(dealt)):
                start = high_x - position if direction > 0 else low_x + position
                class_name, mesh = dealt[-1]
                motion = CrossingMotion(start, direction, y + self._rng.uniform(-0.3, 0.3), speed, low_x, high_x)
                self._admit(class_name, (mesh,), motion)

    def _fill_crossing(self, crossing_y: float) -> None:
        reach = self.road.half_width_m + self.road.pavement_m * 0.6
        middle = float(self.road.axis(crossing_y))
        time_s = -8.0
        while time_s < self._times_s[-1]:
            time_s += self._rng.uniform(0.8, 4.5)
            direction, speed = int(self._rng.choice([-1, 1])), self._rng.uniform(1.1, 1.6)
            start = middle - direction * (reach + speed * time_s)
            y = crossing_y + self._rng.uniform(-1.6, 1.6)
            motion = CrossingMotion(start, direction, y, speed, middle - reach, middle + reach)
            self._admit("PEDESTRIAN", people.pedestrian(self._rng), motion)

    def _fill_pavements(self) -> None:
        duration = float(self._times_s[-1])
        for side in (-1, 1):
            for share, direction in ((0.3, 1), (0.7, -1)):
                speed = self._rng.uniform(1.1, 1.6)
                travel = speed * duration
                low, high = (NEAR_Y_M - travel, FAR_WALKER_M) if direction > 0 else (NEAR_Y_M, FAR_WALKER_M + travel)
                for position in self._positions(low, high, (3.0, 55.0), iter(lambda: 0.6, None)):
                    offset = side * (self.road.half_width_m + 0.4 + share * (self.road.pavement_m - 0.6))
                    offset += self._rng.uniform(-0.25, 0.25)
                    motion = LaneMotion(self.road, offset, direction, position, speed, 0.0, 0.0, FAR_WALKER_M)
                    self._admit("PEDESTRIAN", people.pedestrian(self._rng), motion)

    def _admit(
        self, class_name: str, meshes: tuple[Mesh, ...], place: Callable[[float], Pose | None], *, lane: int = -1
    ) -> None:
        length, width, _ = meshes[0].size
        radius = max(width / 2, length / 6) + 0.15
        taken: list[tuple[int, FloatArray]] = []
        for index, time_s in enumerate(self._times_s.tolist()):
            pose = place(time_s)
            if pose is None:
                continue
            along = np.array([np.cos(pose.heading), np.sin(pose.heading)])
            points = np.array([pose.x, pose.y]) + np.outer([-length / 3, 0, length / 3], along)
            circles = np.column_stack([points, np.full(3, radius)])
            if self._circles[index]:
                others = np.concatenate(self._circles[index])
                distances = np.linalg.norm(points[:, None] - others[None, :, :2], axis=-1)
                if (distances < radius + others[:, 2]).any():
                    return
            taken.append((index, circles))
        for index, circles in taken:
            self._circles[index].append(circles)
        if taken:
            self.actors.append(Actor(len(self.actors) + 1, class_name, meshes, place, lane))
