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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.checked_values import CheckedValue, read_checked
from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.report.tiny_boxes import REASON
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown_names

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
        document = read_checked(path, what="regions", error=OptionsError)
        entries = document.section(("regions",), required=("regions",))["regions"]
        regions = tuple(_region(entry) for entry in entries.items("a list of one or more", least=1))
        twice = [name for name, count in Counter(region.named for region in regions).items() if count > 1]
        if twice:
            raise entries.refusal("one for each", found=f"{twice[0]} twice", advice="put its polygons together")
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


def _region(entry: CheckedValue) -> Region:
    given = entry.section(KEYS, required=("image_wh",), defaults={"site": "", "camera": "", "ignored": []})
    site, camera = (given[key].text(empty=True) for key in ("site", "camera"))
    if not site and not camera:
        raise entry.fault("expected a site or a camera, found neither")
    inside = _polygon(given["inside"]) if "inside" in given else None
    ignored = tuple(_polygon(each) for each in given["ignored"].items("a list of polygons"))
    if inside is None and not ignored:
        raise entry.fault("expected 'inside' or 'ignored', found neither")
    return Region(site, camera, given["image_wh"].size_wh(), inside, ignored)


def _polygon(value: CheckedValue) -> Polygon:
    expected = "three points [x, y] or more"
    rows = [point.items("[x, y]") for point in value.items(expected, least=3)]
    if any(len(row) != 2 for row in rows):
        raise value.refusal(expected)
    points = np.array([[number.number() for number in row] for row in rows], np.float32)
    if cv2.contourArea(points.reshape(-1, 1, 2)) == 0:
        raise value.fault("expected a polygon with an area, found its points on one line")
    return points
