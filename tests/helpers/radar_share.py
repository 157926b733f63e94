"""A small share with a radar: cars on hand-made places, seen through a level camera, all labelled."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray
from small_shares import HEIGHT, WIDTH, Share

from traffic_yolo.atm.camera import Camera
from traffic_yolo.atm.layouts import load_layout

LAYOUT = load_layout("atm220-2021")
assert LAYOUT.tracks is not None
COLUMNS = LAYOUT.tracks.columns
CAR = next(number for number, name in LAYOUT.classes.items() if name == "CAR")
# Four metres high and level: a point on the ground y metres away is seen 400 / y pixels below the middle
CAMERA = Camera(
    image_wh=(WIDTH, HEIGHT),
    fx=100.0,
    fy=100.0,
    cx=48.0,
    cy=36.0,
    k1=0.0,
    k2=0.0,
    height_m=4.0,
    pitch_deg=0.0,
    yaw_deg=0.0,
)
PLACES = ((2.1, 20.0), (-2.1, 20.0), (0.0, 24.0))
DISTANCES = (20.1, 20.1, 24.0)  # metres from the foot of the camera


def tracks(*places: tuple[float, float]) -> NDArray[np.float64]:
    """(N, columns): a car of 4 x 2 x 1.5 m that drives along the road, at each place."""
    size = {"length": 4.0, "width": 2.0, "height": 1.5, "heading": 90.0, "class": CAR, "alive_age": 30, "mov_state": 1}
    rows = [[{**size, "xpos": x, "ypos": y}.get(name, 0.0) for name in COLUMNS] for x, y in places]
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def seen_box(x: float, y: float) -> list[float]:
    """left, top, width, height of the car at a place in the picture, to the pixels of a person's mouse."""
    across = [48 + 100 * (x + side) / (y + end) for side in (-1, 1) for end in (-2, 2)]
    top, bottom = 36 + 100 * 2.5 / (y + 2), 36 + 100 * 4 / (y - 2)
    left, right = round(min(across), 1), round(max(across), 1)
    return [left, round(top, 1), round(right - left, 1), round(bottom - top, 1)]


def radar_share(root: Path) -> Share:
    """Site A: eight frames with three cars each, on the radar and labelled. Site B: two more, for another camera."""
    share = Share(root)
    for number, (site, frames) in enumerate((("A", 8), ("B", 2))):
        recording = share.site(site, number, frames=frames)
        for scan in range(frames):
            set_tracks(recording, scan, PLACES)
            share.label(recording, scan, [(3, seen_box(x, y)) for x, y in PLACES])
    return share.save()


def set_tracks(recording: Path, scan: int, places: tuple[tuple[float, float], ...]) -> None:
    """Replaces what the radar saw in one scan."""
    with h5py.File(recording, "a") as file:
        group = file[f"SCAN_{scan:05d}"]
        del group["Object"]
        group["Object"] = tracks(*places)
