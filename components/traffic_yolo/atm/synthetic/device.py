"""What the device itself reports of a frame: its detector's boxes and its radar's tracks, with believable faults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.layouts import Layout
from traffic_yolo.atm.recording import DeviceDetection
from traffic_yolo.atm.synthetic.frame import SeenObject
from traffic_yolo.atm.synthetic.traffic import Actor

FloatArray = NDArray[np.float64]

# Rates of the made-up detector: close to those of the recordings that this project was measured on.
MISS_RATE = 0.12
WRONG_CLASS_RATE = 0.05
FALSE_RATE = 0.25  # false detections a frame
JITTER = 0.04  # standard deviation of each box edge, as a share of the box's side
SEEN_FROM = 0.25  # objects less visible than this are always missed

RADAR_MISS_RATE = 0.08
RADAR_GHOST_RATE = 0.2  # ghosts a frame
RADAR_RANGE_M = (8.0, 90.0)
RADAR_HALF_ANGLE_DEG = 38.0
POSITION_NOISE_M = 0.25
VELOCITY_NOISE_M_S = 0.2
STANDING_M_S = 0.3
CONFUSED_WITH = {
    "BUS": "LONG_TRUCK", "LONG_TRUCK": "TRUCK", "TRUCK": "CAR", "CAR": "TRUCK", "MOTORCYCLE": "PEDESTRIAN",
    "PEDESTRIAN": "MOTORCYCLE",
}  # fmt: skip


@dataclass(frozen=True)
class DeviceReport:
    """Detections strongest first, and tracks (N, track columns of the layout)."""

    detections: tuple[DeviceDetection, ...]
    tracks: FloatArray


def report(
    layout: Layout, objects: Sequence[SeenObject], actors: Sequence[Actor], time_s: float, image_wh: tuple[int, int],
    rng: np.random.Generator,
) -> DeviceReport:  # fmt: skip
    """The device's view of one frame. Detections name their actor's track where the layout has a column for it."""
    tracks, numbers = _tracks(layout, actors, time_s, rng)
    found = [*_true_detections(objects, image_wh, rng), *_false_detections(image_wh, rng)]
    found.sort(key=lambda entry: -entry[0].confidence)
    detections = []
    for order, (detection, actor) in enumerate(found):
        row = numbers.index(actor.number) if actor is not None and actor.number in numbers else -1
        values = _matched(actor, row, order, time_s)
        kept = {name: values.get(name, 0.0) for name in layout.detections.columns}
        detections.append(DeviceDetection(detection.class_name, detection.xywh, detection.confidence, kept))
    return DeviceReport(tuple(detections), tracks)


def _true_detections(
    objects: Sequence[SeenObject], image_wh: tuple[int, int], rng: np.random.Generator
) -> list[tuple[DeviceDetection, Actor | None]]:
    found: list[tuple[DeviceDetection, Actor | None]] = []
    for seen in objects:
        missed, confused = rng.random() < MISS_RATE + 0.5 * (1 - seen.visible), rng.random() < WRONG_CLASS_RATE
        shifts = rng.normal(0, JITTER, 4)
        confidence = float(np.clip(rng.beta(7, 2), 0.2, 0.99))
        left, top, right, bottom = seen.box_xyxy
        width, height = right - left, bottom - top
        if missed or seen.visible < SEEN_FROM or min(width, height) < image_wh[1] / 90:
            continue
        edges = np.array(seen.box_xyxy) + shifts * (width, height, width, height)
        name = CONFUSED_WITH[seen.actor.class_name] if confused else seen.actor.class_name
        box = (float(edges[0]), float(edges[1]), float(edges[2] - edges[0]), float(edges[3] - edges[1]))
        found.append((DeviceDetection(name, box, confidence), seen.actor))
    return found


def _false_detections(
    image_wh: tuple[int, int], rng: np.random.Generator
) -> list[tuple[DeviceDetection, Actor | None]]:
    found: list[tuple[DeviceDetection, Actor | None]] = []
    width, height = image_wh
    for _ in range(int(rng.poisson(FALSE_RATE))):
        name = str(rng.choice(list(CONFUSED_WITH)))
        side = rng.uniform(0.02, 0.1) * width
        box = (
            rng.uniform(-side / 2, width - side / 2),
            rng.uniform(0.2, 0.9) * height,
            side,
            side * rng.uniform(0.5, 1.6),
        )
        found.append((DeviceDetection(name, box, float(np.clip(rng.beta(2, 4), 0.1, 0.95))), None))
    return found


def _matched(actor: Actor | None, row: int, order: int, time_s: float) -> Mapping[str, float]:
    """Further columns of a detection: which track it belongs to, and what that track says."""
    values = {"id": float(order), "match_robj_id": float(row), "status": 1.0, "lane": 0.0}
    pose = actor.place(time_s) if actor is not None else None
    if actor is None or pose is None or row < 0:
        return values
    velocity = actor.velocity(time_s)
    length, width, _ = actor.mesh(time_s).size.tolist()
    moving = float(np.hypot(*velocity)) > STANDING_M_S
    return {
        **values, "move_state": 1.0 if moving else 2.0, "alive_age": float(_age(actor, time_s)), "posx": pose.x,
        "posy": pose.y, "velx": float(velocity[0]), "vely": float(velocity[1]), "width": width, "length": length,
        "lane": actor.lane + 1.0, "heading": float(np.degrees(pose.heading)),
    }  # fmt: skip


def _age(actor: Actor, time_s: float) -> int:
    """Scans at 15 a second since the actor appeared, at most 255; a coarse search is enough for a report."""
    for back in range(1, 17):
        if actor.place(time_s - back) is None:
            return back * 15
    return 255


def _tracks(
    layout: Layout, actors: Sequence[Actor], time_s: float, rng: np.random.Generator
) -> tuple[FloatArray, list[int]]:
    """Tracks (N, columns) and the actor's number for each, 0 for a ghost."""
    if layout.tracks is None:
        return np.zeros((0, 0)), []
    ids = {name: class_id for class_id, name in layout.classes.items()}
    rows, numbers = [], []
    for actor in actors:
        pose = actor.place(time_s)
        missed, noise = rng.random() < RADAR_MISS_RATE, rng.standard_normal(4)
        if pose is None or missed or not _in_view(pose.x, pose.y):
            continue
        velocity = actor.velocity(time_s) + noise[2:] * VELOCITY_NOISE_M_S
        length, width, height = actor.mesh(time_s).size.tolist()
        moving = float(np.hypot(*velocity)) > STANDING_M_S
        rows.append({
            "upd_state": 1, "mov_state": 1 if moving else 2, "alive_age": _age(actor, time_s),
            "xpos": pose.x + noise[0] * POSITION_NOISE_M, "ypos": pose.y + noise[1] * POSITION_NOISE_M,
            "xvel": velocity[0], "yvel": velocity[1], "heading": np.degrees(pose.heading),
            "power": _power(pose.x, pose.y, length * width), "width": width, "length": length,
            "class": ids[actor.class_name], "fusion_type": 1, "height": height, "lane": actor.lane + 1,
        })  # fmt: skip
        numbers.append(actor.number)
    for _ in range(int(rng.poisson(RADAR_GHOST_RATE))):
        y = rng.uniform(15, 80)
        rows.append({
            "upd_state": 1, "mov_state": 2, "alive_age": int(rng.integers(1, 6)), "xpos": rng.uniform(-0.4, 0.4) * y,
            "ypos": y, "xvel": rng.normal(0, 0.5), "yvel": rng.normal(0, 0.5), "power": rng.uniform(4, 14),
            "width": 1.0, "length": 1.0,
            "class": ids.get("UNKNOWN", max(ids.values())),
        })  # fmt: skip
        numbers.append(0)
    rows, numbers = rows[: layout.tracks.max_rows], numbers[: layout.tracks.max_rows]
    table = np.zeros((len(rows), len(layout.tracks.columns)))
    for index, row in enumerate(rows):
        row |= {"idx": index, "refxpos": row["xpos"], "refypos": row["ypos"]}
        table[index] = [row.get(name, 0.0) for name in layout.tracks.columns]
    return table, numbers


def _in_view(x: float, y: float) -> bool:
    near, far = RADAR_RANGE_M
    return near <= float(np.hypot(x, y)) <= far and abs(np.degrees(np.arctan2(x, y))) <= RADAR_HALF_ANGLE_DEG


def _power(x: float, y: float, area_m2: float) -> float:
    """Echo in dB: grows with the area, falls with the square of the distance."""
    return float(30 + 10 * np.log10(area_m2) - 20 * np.log10(np.hypot(x, y) / 20))
