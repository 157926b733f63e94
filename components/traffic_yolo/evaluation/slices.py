"""Which pictures and which true boxes a slice holds: by site, camera, light, weather, size, distance, lane, occlusion.

A slice of pictures takes whole pictures out. A slice of boxes keeps every picture and treats the boxes outside it as
COCO treats boxes of another size: they may be found, which neither rewards nor punishes. docs/slices.md says what
follows for the numbers.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.decode import decode_file
from traffic_yolo.errors import DatasetError
from traffic_yolo.metrics.coco_settings import COCO_AREAS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.label_attributes import NOT_STATED, LabelAttributes

# Median of the luma (0 to 255) of a picture in eighths of its size. The median, since lamps lift the mean of a night
# road. 47 parts 116 pictures of five real sites, one of them at night, with the fewest mistakes (13, all of pictures
# whose brightness their publisher had changed), and lies between rendered nights (39 to 42) and dusks (68 to 79).
NIGHT_BELOW_LUMA = 47.0
DISTANCE_EDGES_M = (0.0, 25.0, 50.0, 100.0, 150.0)  # the last one is open; a unit sees some 200 m of road
READERS = 2

SIZE, NETWORK_SIZE = "size", "size in network pixels"


@dataclass(frozen=True)
class Slice:
    """`pictures` (M,) and `truths` (T,) bool: what counts. `dimension` "site", `value` "A", say. `of`: "pictures"
    where whole pictures are taken out (all of `truths` is true then), else "boxes".

    `area_range`: for slices by size, least and most square pixels (both included) after `area_scale` (M,): detections
    outside it that match nothing do not count either, as COCO has it.
    """

    dimension: str
    value: str
    of: str
    pictures: NDArray[np.bool_]
    truths: NDArray[np.bool_]
    area_range: tuple[float, float] | None = None
    area_scale: NDArray[np.float64] | None = None


def slices_of(
    truth: GroundTruth,
    labels: LabelAttributes,
    *,
    light: Sequence[str] = (),
    network_area_scale: NDArray[np.float64] | None = None,
) -> list[Slice]:
    """Every slice that parts the pictures or boxes, dimension by dimension.

    A dimension that nothing states, or in which all are alike, gives none. Pictures and boxes of which it is not
    stated make a slice of their own. `light`: "day" or "night" for each picture (`measure_light`).
    """
    found = [
        *_picture_slices(truth, "site", [picture.site for picture in labels.pictures]),
        *_picture_slices(truth, "camera", [picture.camera for picture in labels.pictures]),
        *_picture_slices(truth, "light", list(light)),
        *_picture_slices(truth, "weather", [picture.weather for picture in labels.pictures]),
        *_size_slices(truth, SIZE, None),
    ]
    if network_area_scale is not None:
        found += _size_slices(truth, NETWORK_SIZE, network_area_scale)
    names, order = _distance_bins(np.array([box.distance_m for box in labels.boxes], np.float64))
    found += _box_slices(truth, "distance", names, order)
    found += _box_slices(truth, "lane", [box.lane for box in labels.boxes])
    found += _box_slices(truth, "occlusion", [box.occlusion for box in labels.boxes])
    return found


def measure_light(paths: Sequence[Path]) -> list[str]:
    """Whether each picture shows "day" or "night", by its median luma; `DatasetError` for one that does not decode."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(_light, paths))


def _light(path: Path) -> str:
    grey = decode_file(path, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    if grey is None:
        raise DatasetError(f"picture cannot be decoded: {path}; convert the data set again")
    return "night" if float(np.median(grey)) < NIGHT_BELOW_LUMA else "day"


def _picture_slices(truth: GroundTruth, dimension: str, values: Sequence[str]) -> Iterator[Slice]:
    everything = np.ones(len(truth.class_ids), np.bool_)
    for value, mask in _parts(values):
        yield Slice(dimension, value, "pictures", mask, everything)


def _box_slices(
    truth: GroundTruth, dimension: str, values: Sequence[str], order: Sequence[str] | None = None
) -> Iterator[Slice]:
    """Boxes that do not count anyway have no say in whether there is something to part."""
    counted = [value if counts else "" for value, counts in zip(values, ~truth.ignore, strict=True)]
    everything = np.ones(len(truth.image_ids), np.bool_)
    for value, mask in _parts(counted, order, optional=truth.ignore):
        yield Slice(dimension, value, "boxes", everything, mask & ~truth.ignore)


def _parts(
    values: Sequence[str], order: Sequence[str] | None = None, *, optional: NDArray[np.bool_] | None = None
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    names = np.array(values, dtype=object)
    asked = np.ones(len(names), np.bool_) if optional is None else ~optional
    stated = set(names[asked].tolist()) - {""}
    if not stated or (len(stated) == 1 and not (asked & (names == "")).any()):
        return
    known = [name for name in order if name in stated] if order is not None else sorted(stated, key=_natural)
    for name in known:
        yield name, names == name
    if (rest := asked & (names == "")).any():
        yield NOT_STATED, rest


def _natural(name: str) -> tuple[int, float, str]:
    """Lane 10 after lane 9."""
    return (0, float(name), "") if name.replace(".", "", 1).isdigit() else (1, 0.0, name)


def _size_slices(truth: GroundTruth, dimension: str, scale: NDArray[np.float64] | None) -> Iterator[Slice]:
    areas = truth.areas if scale is None else truth.areas * scale[truth.truth_pictures]
    everything = np.ones(len(truth.image_ids), np.bool_)
    for name, (least, most) in COCO_AREAS.items():
        inside = (areas >= least) & (areas <= most) & ~truth.ignore
        if name != "all" and inside.any():
            yield Slice(dimension, name, "boxes", everything, inside, (least, most), scale)


def _distance_bins(distances: NDArray[np.float64]) -> tuple[list[str], list[str]]:
    """The bin of each distance by name ("" for NaN), and the names in order. A bin holds its lower edge."""
    uppers = [*(f"–{upper:g}" for upper in DISTANCE_EDGES_M[1:]), " or more"]
    names = [f"{lower:g}{upper} m" for lower, upper in zip(DISTANCE_EDGES_M, uppers, strict=True)]
    bins = np.searchsorted(DISTANCE_EDGES_M, distances, side="right") - 1
    return [names[index] if np.isfinite(value) else "" for index, value in zip(bins, distances, strict=True)], names
