"""What the labels say about pictures and boxes beyond class and place: site, weather, lane, distance, occlusion.

Reads the same COCO file as `ground_truth` and stands in the same order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traffic_yolo.dataset.coco_entries import CocoEntries
from traffic_yolo.dataset.distance import stated_distance
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.storage import AnyPath, input_path, read_json

NOT_STATED = "not stated"
OCCLUSION_KEYS = ("occluded", "occlusion")
# KITTI's degrees; CVAT, Datumaro and our renderer say true or false, which are 1 and 0
OCCLUSION_NAMES = {0: "visible", 1: "occluded", 2: "largely occluded", 3: "unknown"}
WEATHER_KEYS = ("weather", "condition")


@dataclass(frozen=True)
class PictureLabels:
    """Of one picture; "" where its file does not say."""

    site: str
    camera: str
    recording: str
    weather: str


@dataclass(frozen=True)
class BoxLabels:
    """Of one true box; "" or NaN where its file does not say."""

    lane: str
    occlusion: str
    distance_m: float


@dataclass(frozen=True)
class LabelAttributes:
    """`pictures`: one for each of the M pictures of a `GroundTruth`; `boxes`: one for each of its T boxes."""

    pictures: tuple[PictureLabels, ...]
    boxes: tuple[BoxLabels, ...]

    @property
    def sites(self) -> list[str]:
        """The site of each picture."""
        return [picture.site for picture in self.pictures]

    @property
    def groups(self) -> list[str]:
        """What each picture stands and falls with: its recording, or itself where no recordings are told apart."""
        recordings = [picture.recording for picture in self.pictures]
        if len(set(recordings) - {""}) > 1:
            return recordings
        return [str(index) for index in range(len(recordings))]

    @classmethod
    def without(cls, truth: GroundTruth) -> "LabelAttributes":
        """Nothing is known, of as many pictures and boxes as `truth` has."""
        picture, box = PictureLabels("", "", "", ""), BoxLabels("", "", math.nan)
        return cls((picture,) * len(truth.image_ids), (box,) * len(truth.class_ids))


def read_label_attributes(path: AnyPath, truth: GroundTruth) -> LabelAttributes:
    """Reads the attributes of the COCO file that `truth` was read from.

    Raises `StorageError` where the file cannot be read, `DatasetError` for no JSON or an entry that is not as it should
    be (`CocoEntries`), `EvaluationError` where it is not the file of `truth`.
    """
    path = input_path(path, what="ground truth")
    coco = CocoEntries.of(read_json(path, what="ground truth", error=DatasetError), path)
    order = np.argsort(coco.pictures, kind="stable")
    same = np.array_equal(coco.image_ids, truth.image_ids) and np.array_equal(coco.boxes_xywh[order], truth.boxes_xywh)
    if not same:
        raise EvaluationError(f"{path}: its boxes are not those of the ground truth; it was changed meanwhile")
    return LabelAttributes(
        tuple(_picture_labels(image) for image in coco.images),
        tuple(_box_labels(coco.annotations[index].get("attributes") or {}) for index in order.tolist()),
    )


def _picture_labels(image: Mapping[str, Any]) -> PictureLabels:
    attributes = image.get("attributes") or {}
    weather = next((_word(attributes[key]) for key in WEATHER_KEYS if attributes.get(key) is not None), "")
    names = {key: _word(image.get(key, "")) for key in ("site", "camera", "recording")}
    return PictureLabels(weather=weather, **names)


def _box_labels(attributes: Mapping[str, Any]) -> BoxLabels:
    occlusion = next((attributes[key] for key in OCCLUSION_KEYS if attributes.get(key) is not None), None)
    lane = attributes.get("lane")
    return BoxLabels(
        lane="" if lane is None else _word(lane),
        occlusion=_occlusion(occlusion),
        distance_m=stated_distance(attributes),
    )


def _occlusion(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return OCCLUSION_NAMES.get(int(value), str(int(value)))
    return _word(value)


def _word(value: Any) -> str:
    """A name as one word of text; a whole number without its ".0": radars count lanes in floats."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())
