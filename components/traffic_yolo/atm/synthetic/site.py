"""Imaginary sites: each has a camera on a pole, a road in front of it, and scenery of its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.camera import Camera
from traffic_yolo.atm.synthetic.road import Lane, Road
from traffic_yolo.atm.synthetic.scenery import Prop, make_props

FloatArray = NDArray[np.float64]

AIM_M = 33.0  # the camera looks at the road's axis at this distance
LAYOUTS = ("atm220-2021", "atm-2024")  # sites take turns
ASPHALTS = ((112, 110, 108), (96, 95, 94), (128, 126, 124), (104, 106, 110))
PAVEMENTS = ((168, 172, 176), (150, 152, 154), (126, 142, 170), (160, 170, 182))
VERGES = ((62, 112, 88), (70, 118, 104), (104, 138, 150), (84, 124, 96), (112, 128, 136))
LANE_PLANS = ((-1, 1), (-1, -1, 1), (-1, 1, 1), (1, 1, 1), (-1, -1, 1, 1), (-1, -1))


@dataclass(frozen=True)
class Site:
    """A site. `jpeg_quality` is its device's setting; latitude and longitude are invented."""

    name: str
    index: int
    camera: Camera
    road: Road
    props: tuple[Prop, ...]
    lamps: FloatArray  # (N, 2) ground points below street lamps
    layout_name: str
    ip: str
    latitude: float
    longitude: float
    jpeg_quality: int


def site_name(index: int) -> str:
    """A, B ... Z, AA, AB ..."""
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


def make_site(index: int, image_wh: tuple[int, int], rng: np.random.Generator) -> Site:
    """The site of this index; the same generator state gives the same site."""
    road = _road(index, rng)
    camera = _camera(road, image_wh, rng)
    props, lamps = make_props(road, rng)
    return Site(
        name=site_name(index),
        index=index,
        camera=camera,
        road=road,
        props=props,
        lamps=lamps,
        layout_name=LAYOUTS[index % len(LAYOUTS)],
        ip=f"10.0.{index // 25}.{index % 25 * 10 + 1}",
        latitude=round(37.4 + 0.01 * index, 6),
        longitude=round(127.1 + 0.002 * index, 6),
        jpeg_quality=int(rng.integers(72, 93)),
    )


def _road(index: int, rng: np.random.Generator) -> Road:
    directions = LANE_PLANS[(index + int(rng.integers(2))) % len(LANE_PLANS)]
    lane_width = rng.uniform(3.1, 3.6)
    middle = (len(directions) - 1) / 2
    lanes = tuple(
        Lane((position - middle) * lane_width, direction, rng.uniform(6.5, 12.0))
        for position, direction in enumerate(directions)
    )
    shoulder = rng.uniform(0.4, 1.4)
    half = len(lanes) * lane_width / 2 + shoulder
    has_side_street = index % 2 == 1
    return Road(
        axis_x=float(rng.choice([-1, 1]) * (half + rng.uniform(-2.0, 2.5))),
        slope=rng.uniform(-0.03, 0.03),
        bend=rng.uniform(-0.0018, 0.0018),
        lanes=lanes,
        lane_width_m=lane_width,
        shoulder_m=shoulder,
        pavement_m=rng.uniform(2.2, 3.4),
        crossing_y=rng.uniform(25, 35) if rng.random() < 0.75 else None,
        side_street_y=rng.uniform(46, 56) if has_side_street else None,
        side_street_half_m=rng.uniform(4.0, 5.5),
        asphalt=np.asarray(ASPHALTS[int(rng.integers(len(ASPHALTS)))], float) * rng.uniform(0.9, 1.08),
        pavement=np.asarray(PAVEMENTS[int(rng.integers(len(PAVEMENTS)))], float) * rng.uniform(0.9, 1.05),
        verge=np.asarray(VERGES[int(rng.integers(len(VERGES)))], float) * rng.uniform(0.9, 1.1),
        wear=rng.uniform(0.2, 1.0),
        texture_seed=int(rng.integers(1 << 31)),
    )


def _camera(road: Road, image_wh: tuple[int, int], rng: np.random.Generator) -> Camera:
    width, height = image_wh
    focal = width * rng.uniform(1.02, 1.22)
    yaw = np.degrees(np.arctan2(float(road.axis(AIM_M)), AIM_M)) + rng.uniform(-3, 3)
    return Camera(
        image_wh=image_wh,
        fx=focal,
        fy=focal * rng.uniform(0.998, 1.002),
        cx=width * rng.uniform(0.48, 0.52),
        cy=height * rng.uniform(0.49, 0.53),
        k1=rng.uniform(-0.08, -0.02),
        k2=rng.uniform(0.0, 0.01),
        height_m=rng.uniform(8.0, 10.0),
        pitch_deg=rng.uniform(9.5, 12.5),
        yaw_deg=float(yaw),
    )
