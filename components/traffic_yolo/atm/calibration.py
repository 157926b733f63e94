"""Calibration files: one camera each, YAML (or JSON, which is YAML too); read, checked and written here.

schema_version: 1
site: A                          # optional: where it stands
camera: 10.0.0.11                # optional: which camera; recordings of this camera use the file
image_wh: [1920, 1080]           # the picture that the numbers below are for
fx: 2119.0                       # focal lengths and principal point, pixels
fy: 2120.0
cx: 925.0
cy: 564.0
skew: 0.0                        # optional
distortion: [k1, k2, p1, p2, k3] # OpenCV's order
height_m: 9.0                    # of the camera above the ground
pitch_deg: 10.0                  # down
yaw_deg: 0.0                     # to the right
roll_deg: 0.0                    # optional; clockwise as the camera sees it
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.atm.camera import Camera
from traffic_yolo.checked_values import CheckedValue
from traffic_yolo.errors import RecordingError, StorageError
from traffic_yolo.storage import read_yaml

FILE_NAMES = ("camera_calibration.yaml", "camera_calibration.yml", "camera_calibration.json")
SCHEMA_VERSION = 1
NUMBERS = ("fx", "fy", "cx", "cy", "height_m", "pitch_deg", "yaw_deg")
OPTIONAL_NUMBERS = ("skew", "roll_deg")
OTHER_KEYS = ("schema_version", "image_wh", "distortion", "site", "camera", "axes")
DISTORTION = ("k1", "k2", "p1", "p2", "k3")
BENDS = "[k1, k2, p1, p2] or [k1, k2, p1, p2, k3]"


@dataclass(frozen=True)
class Calibration:
    """A camera, and what the file says of where it belongs; "" where it says nothing."""

    camera_model: Camera
    site: str = ""
    camera: str = ""
    path: str = ""

    def scaled_to(self, image_wh: tuple[int, int]) -> Camera:
        """The camera for pictures of another size of the same shape; `RecordingError` for another shape."""
        model = self.camera_model
        if image_wh == model.image_wh:
            return model
        across, along = image_wh[0] / model.image_wh[0], image_wh[1] / model.image_wh[1]
        if abs(across / along - 1) > 0.01:
            stated, found = ("x".join(map(str, size)) for size in (model.image_wh, image_wh))
            raise RecordingError(f"calibration {self.path}: made for {stated} pictures; found {found}, another shape")
        return dataclasses.replace(
            model,
            image_wh=image_wh,
            fx=model.fx * across,
            cx=model.cx * across,
            skew=model.skew * across,
            fy=model.fy * along,
            cy=model.cy * along,
        )


def read_calibration(path: Path) -> Calibration:
    """The calibration in a file; `RecordingError` names the file, the key, and what was expected there."""
    try:
        value = read_yaml(path, what="calibration", error=RecordingError)
    except StorageError as error:
        raise RecordingError(str(error)) from error
    return calibration_of(value, where=str(path))


def calibration_of(value: Any, *, where: str) -> Calibration:
    """The calibration in a YAML or JSON value; `RecordingError` as for a file."""
    document = CheckedValue(value, f"calibration {where}", RecordingError)
    given = document.section(
        (*OTHER_KEYS, *NUMBERS, *OPTIONAL_NUMBERS),
        required=("image_wh", "distortion", *NUMBERS),
        defaults={"schema_version": SCHEMA_VERSION, "site": "", "camera": "", **dict.fromkeys(OPTIONAL_NUMBERS, 0.0)},
    )
    if given["schema_version"].value != SCHEMA_VERSION:
        raise given["schema_version"].refusal(str(SCHEMA_VERSION))
    bends = [bend.number() for bend in given["distortion"].items(BENDS)]
    if len(bends) not in (4, 5):
        raise given["distortion"].refusal(BENDS)
    numbers = {key: given[key].number() for key in (*NUMBERS, *OPTIONAL_NUMBERS)}
    for key in ("fx", "fy", "height_m"):
        given[key].number(above=0)
    if abs(numbers["pitch_deg"]) > 90:
        raise given["pitch_deg"].refusal("-90 to 90 degrees")
    model = Camera(
        image_wh=given["image_wh"].size_wh(), **numbers, **dict(zip(DISTORTION, [*bends, 0.0][:5], strict=True))
    )
    return Calibration(model, site=str(given["site"].value), camera=str(given["camera"].value), path=where)


def calibration_value(camera: Camera, *, site: str = "", name: str = "") -> dict[str, Any]:
    """The content of a calibration file; `calibration_of` reads it back."""
    labels = {key: text for key, text in (("site", site), ("camera", name)) if text}
    return {
        "schema_version": SCHEMA_VERSION,
        **labels,
        "image_wh": list(camera.image_wh),
        **{key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy", "skew")},
        "distortion": [getattr(camera, key) for key in DISTORTION],
        **{key: getattr(camera, key) for key in ("height_m", "pitch_deg", "yaw_deg", "roll_deg")},
        "axes": "x right across the road, y along it, z up; origin at the camera's foot; pitch down, yaw right",
    }


def calibration_text(camera: Camera, *, site: str = "", name: str = "") -> str:
    """A calibration file as YAML."""
    return yaml.safe_dump(calibration_value(camera, site=site, name=name), sort_keys=False, default_flow_style=None)


def find_calibrations(root: Path, *, every_yaml: bool = False) -> list[Calibration]:
    """The calibration in the file `root`, or those below the folder by their usual names (`FILE_NAMES`).

    `every_yaml`: also every *.yaml directly in the folder, for a folder that holds nothing but calibrations.
    """
    return [read_calibration(path) for path in calibration_files(root, every_yaml=every_yaml)]


def calibration_files(root: Path, *, every_yaml: bool = False) -> list[Path]:
    """The files that `find_calibrations` reads, sorted."""
    if root.is_file():
        return [root]
    found = {path for name in FILE_NAMES for path in root.rglob(name)}
    if every_yaml:
        found |= {path for suffix in ("*.yaml", "*.yml") for path in root.glob(suffix)}
    return sorted(found)


def calibration_for(calibrations: Iterable[Calibration], *, camera: str, site: str) -> Calibration | None:
    """The calibration of a camera: by the camera's name, else by the site's, else the only one that names neither."""
    known = list(calibrations)
    for matches in (
        [found for found in known if camera and found.camera == camera and found.site in ("", site)],
        [found for found in known if site and found.site == site and not (found.camera and camera)],
        [found for found in known if not found.camera and not found.site],
    ):
        if matches:
            return matches[0]
    return None
