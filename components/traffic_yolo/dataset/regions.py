"""Regions of interest: polygons in a camera's picture that say where objects count.

    regions:
      - site: A
        camera: 10.0.0.11            # optional; without it, every camera of the site
        image_wh: [1920, 1080]       # the picture that the points are for; others of the same shape are scaled
        inside: [[0, 1080], [0, 500], [1920, 500], [1920, 1080]]
        ignored: [[[100, 700], [300, 700], [300, 900]]]

A box whose foot (the middle of its lower edge) lies outside `inside`, or in one of the `ignored` polygons, does not
count: it stays, with `ignore` and the reason. Objects that nobody labelled there are background as before.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.report.tiny_boxes import REASON
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.storage import read_yaml

OUTSIDE, WITHIN = "outside the region of interest", "in an ignored area"
SHAPE_TOLERANCE = 0.01  # by which the aspect of a picture may differ from that of the region's
KEYS = ("site", "camera", "image_wh", "inside", "ignored")

Polygon = NDArray[np.float32]  # (n, 2): x, y in the pixels of `image_wh`


@dataclass(frozen=True)
class Region:
    """The polygons of one camera, or of all cameras of a site; "" for whichever is not stated."""

    site: str
    camera: str
    image_wh: tuple[int, int]
    inside: Polygon | None
    ignored: tuple[Polygon, ...]

    def is_of(self, frame: Frame) -> bool:
        """Whether the frame is of its site and camera."""
        return self.site in ("", frame.site) and self.camera in ("", frame.camera)

    @property
    def named(self) -> str:
        """The site and camera, for messages."""
        words = (("site", self.site), ("camera", self.camera))
        return " ".join(f"{word} {name}" for word, name in words if name)


@dataclass(frozen=True)
class RegionMasks:
    """A `FrameChange`: boxes outside of their camera's region do not count."""

    regions: tuple[Region, ...]

    @classmethod
    def read(cls, path: Path) -> "RegionMasks":
        """The regions of a YAML file; `OptionsError` with file and place for what is none."""
        value = read_yaml(path, what="regions", error=OptionsError)
        entries = value.get("regions") if isinstance(value, dict) else None
        if not isinstance(value, dict) or set(value) != {"regions"} or not isinstance(entries, list) or not entries:
            found = shown_names(value) if isinstance(value, dict) else shown(value)
            raise OptionsError(f"{path}: expected 'regions', a list of one or more, and nothing else; found {found}")
        regions = tuple(_region(entry, f"{path}: regions[{index}]") for index, entry in enumerate(entries))
        twice = [name for name, count in Counter(region.named for region in regions).items() if count > 1]
        if twice:
            raise OptionsError(
                f"{path}: expected one region for each, found {twice[0]} twice; put its polygons together"
            )
        return cls(regions)

    def region_of(self, frame: Frame) -> Region | None:
        """The region of a frame's camera, or else of its site; None where there is neither."""
        found = [region for region in self.regions if region.is_of(frame)]
        return max(found, key=lambda region: (bool(region.camera), bool(region.site)), default=None)

    def change(self, frame: Frame) -> Frame:
        """The frame with boxes that do not count ignored; ignored ones and crowds stay as they are.

        Raises `OptionsError` for a picture of another shape than the region is for.
        """
        region = self.region_of(frame)
        if region is None or not frame.annotations:
            return frame
        across, along = frame.width / region.image_wh[0], frame.height / region.image_wh[1]
        if abs(across / along - 1) > SHAPE_TOLERANCE:
            stated = "x".join(map(str, region.image_wh))
            raise OptionsError(
                f"regions: {region.named}: expected pictures of the shape of {stated}, found {frame.width}x"
                f"{frame.height} ({frame.file_name}); draw the region anew, or give the cameras apart"
            )
        changed = tuple(_judged(annotation, region, (across, along)) for annotation in frame.annotations)
        if all(new is old for new, old in zip(changed, frame.annotations, strict=True)):
            return frame
        return replace(frame, annotations=changed)


class RegionCounts:
    """Observer of a conversion: pictures and boxes that each region had, so that a misspelled site is seen."""

    name = "regions"
    needs: frozenset[str] = frozenset()

    def __init__(self, masks: RegionMasks) -> None:
        self._masks = masks
        self._counts: dict[str, Counter[str]] = {region.named: Counter() for region in masks.regions}
        self._without: Counter[str] = Counter()

    def measure(self, frame: Frame, split: str, picture: bytes) -> None:
        """Nothing."""
        del frame, split, picture

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Counts the frame for its region."""
        del split, measured
        region = self._masks.region_of(frame)
        if region is None:
            self._without[frame.site or "of no site"] += 1
            return
        counts = self._counts[region.named]
        counts["pictures"] += 1
        for annotation in frame.annotations:
            reason = str(annotation.attributes.get(REASON, ""))
            if reason in (OUTSIDE, WITHIN):
                counts[reason] += 1

    def finish(self, folder: Path) -> ObserverOutcome:
        """A line for each region, and for sites without one."""
        del folder
        notes = [
            f"region of {name}: {counts['pictures']} pictures, boxes {OUTSIDE} {counts[OUTSIDE]}, {WITHIN} "
            f"{counts[WITHIN]}: ignored" if counts["pictures"] else f"region of {name}: NO picture is of it"
            for name, counts in self._counts.items()
        ]  # fmt: skip
        if self._without:
            sites = shown_names(sorted(self._without))
            notes.append(f"{self._without.total()} pictures have no region of interest (sites: {sites})")
        return ObserverOutcome(notes, report={name: dict(counts) for name, counts in self._counts.items()})


def _judged(annotation: Annotation, region: Region, scale: tuple[float, float]) -> Annotation:
    if not annotation.counts:
        return annotation
    x, y, width, height = annotation.xywh
    foot = ((x + width / 2) / scale[0], (y + height) / scale[1])
    reason = ""
    if region.inside is not None and not _holds(region.inside, foot):
        reason = OUTSIDE
    elif any(_holds(polygon, foot) for polygon in region.ignored):
        reason = WITHIN
    if not reason:
        return annotation
    return replace(annotation, ignore=True, attributes={**annotation.attributes, REASON: reason})


def _holds(polygon: Polygon, point: tuple[float, float]) -> bool:
    """Whether a point lies in a polygon or on its edge."""
    return cv2.pointPolygonTest(polygon.reshape(-1, 1, 2), point, False) >= 0


def _region(entry: Any, where: str) -> Region:
    if not isinstance(entry, dict) or set(entry) - set(KEYS):
        found = shown_names(key for key in entry if key not in KEYS) if isinstance(entry, dict) else shown(entry)
        raise OptionsError(f"{where}: unknown: {found}; expected some of {', '.join(KEYS)}")
    site, camera = (_text(entry, key, where) for key in ("site", "camera"))
    if not site and not camera:
        raise OptionsError(f"{where}: expected a site or a camera, found neither")
    size = entry.get("image_wh")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise OptionsError(f"{where}: image_wh: expected [width, height] in pixels, found {shown(size)}")
    ignored = entry.get("ignored", [])
    if not isinstance(ignored, list):
        raise OptionsError(f"{where}: ignored: expected a list of polygons, found {shown(ignored)}")
    inside = _polygon(entry["inside"], f"{where}: inside") if "inside" in entry else None
    polygons = tuple(_polygon(each, f"{where}: ignored[{index}]") for index, each in enumerate(ignored))
    if inside is None and not polygons:
        raise OptionsError(f"{where}: expected 'inside' or 'ignored', found neither")
    return Region(site, camera, (size[0], size[1]), inside, polygons)


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise OptionsError(f"{where}: {key}: expected a text, found {shown(value)}; put it in quotes")
    return value


def _polygon(value: Any, where: str) -> Polygon:
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    numbers = isinstance(value, list) and all(
        isinstance(point, list) and all(type(one) in (int, float) for one in point) for point in value
    )
    if not numbers or points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3 or not np.isfinite(points).all():
        raise OptionsError(f"{where}: expected three points [x, y] or more, found {shown(value)}")
    if cv2.contourArea(points.astype(np.float32).reshape(-1, 1, 2)) == 0:
        raise OptionsError(f"{where}: expected a polygon with an area, found its points on one line")
    return points.astype(np.float32)
