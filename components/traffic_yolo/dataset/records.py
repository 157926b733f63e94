"""The neutral records that every label format is read into and written from: a frame and its annotations."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from traffic_yolo.errors import LabelError

LABEL_SOURCES = ("human", "device", "model")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One box. `xywh` is left, top, width, height in the picture's pixels, possibly partly outside the picture.

    `label_source` says who drew it; a box that no human drew carries its confidence in [0, 1]. `is_crowd` marks a
    region of many objects, `ignore` an object that neither rewards nor punishes a detector (too small, hidden, of an
    ignored class). `area` is the object's own in square pixels where its outline is known, else None: the box's.
    `number` is the annotation's id or line in its label file, for messages. Raises `LabelError` for numbers that are
    no box.
    """

    class_name: str
    xywh: tuple[float, float, float, float]
    label_source: str = "human"
    confidence: float | None = None
    is_crowd: bool = False
    ignore: bool = False
    area: float | None = None
    number: int = field(default=0, compare=False)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.xywh) != 4 or not all(math.isfinite(value) for value in self.xywh):
            raise LabelError(f"box of class {self.class_name}: expected four finite numbers, found {self.xywh}")
        if self.xywh[2] <= 0 or self.xywh[3] <= 0:
            raise LabelError(f"box of class {self.class_name}: width and height must be above 0, found {self.xywh}")
        if self.label_source not in LABEL_SOURCES:
            raise LabelError(f"label_source: expected one of {', '.join(LABEL_SOURCES)}, found {self.label_source!r}")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise LabelError(f"confidence: expected a number in [0, 1], found {self.confidence}")
        if self.label_source != "human" and self.confidence is None:
            raise LabelError(f"a box drawn by the {self.label_source} carries its confidence; found none")
        if self.area is not None and not (math.isfinite(self.area) and self.area >= 0):
            raise LabelError(f"box of class {self.class_name}: area must be 0 or more, found {self.area}")

    @property
    def counts(self) -> bool:
        """Whether a detector is rewarded for finding it."""
        return not (self.ignore or self.is_crowd)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its annotations. Nothing of the picture is in memory until `picture` is called.

    `recording` and `scan` name the picture (`file_name` is made of them); `site`, `camera` and `day` are the groups
    that a split must not cut, "" where a source does not know them. `width` and `height` in pixels. `picture()` is
    the file's own bytes (JPEG, or PNG where `suffix` says so). `labelled`: whether a human looked at it; without, its
    annotations are the device's. `label_file` says where its labels are from, for messages.
    """

    recording: str
    scan: str
    width: int
    height: int
    annotations: tuple[Annotation, ...]
    picture: Callable[[], bytes]
    site: str = ""
    camera: str = ""
    day: str = ""
    suffix: str = ".jpg"
    labelled: bool = True
    label_file: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise LabelError(f"{self.recording}/{self.scan}: picture of {self.width}x{self.height} pixels")
        for part in (self.recording, self.scan):
            if not part or "\\" in part or "\0" in part or {"", ".", ".."} & set(part.split("/")):
                raise LabelError(f"{part!r} cannot name a recording or scan: it would leave the data set's folder")

    @property
    def file_name(self) -> str:
        """The picture's path below `images/`."""
        return f"{self.recording}/{self.scan}{self.suffix}"


class PictureKey(NamedTuple):
    """What decides the split of a labelled picture. `own_split` is the split that the source itself gives, or ""."""

    site: str
    recording: str
    scan: str
    own_split: str = ""
