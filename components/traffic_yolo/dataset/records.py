"""The neutral records that every label format is read into and written from: a frame and its annotations."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from traffic_yolo.errors import LabelError
from traffic_yolo.messages import shown, shown_names

if TYPE_CHECKING:
    from traffic_yolo.atm.recording import Scan

LABEL_SOURCES = ("human", "device", "model")
SPLITS = ("train", "val", "test")
ALL = "all"  # the one split of a data set that was converted without splits
LEAST_SIDE_PX = 1e-4  # of a box that our files can say
SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)")  # a split in the (lower-case) name of a file or folder


def rounded_xywh(xywh: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box (pixels) as our files say it: to 1/10,000 pixel, so that it stays the same however often it is read again.

    Edges are rounded, not sizes: a box that ends at the picture's edge ends there still.
    """
    x, y, width, height = xywh
    left, top, right, bottom = round(x, 4), round(y, 4), round(x + width, 4), round(y + height, 4)
    return left, top, max(round(right - left, 4), LEAST_SIDE_PX), max(round(bottom - top, 4), LEAST_SIDE_PX)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One box. `xywh` is left, top, width, height in the picture's pixels, possibly partly outside the picture.

    `label_source` says who drew it; a box that no human drew carries its confidence in [0, 1] where it is known.
    `is_crowd` marks a region of many objects, `ignore` an object that neither rewards nor punishes a detector (too
    small, hidden, of an ignored class). `area` is the object's own in square pixels where its outline is known, else
    None: the box's. `number` is the annotation's id or line in its label file, for messages. Raises `LabelError` for
    numbers that are no box.
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
        x, y, width, height = self.xywh
        if not math.isfinite(x + y + width + height):  # one call for four: millions of boxes are made
            raise LabelError(f"{self._named}: expected four finite numbers, found {self.xywh}")
        if width <= 0 or height <= 0:
            raise LabelError(f"{self._named}: width and height must be above 0, found {self.xywh}")
        if self.label_source not in LABEL_SOURCES:
            raise LabelError(
                f"label_source: expected one of {', '.join(LABEL_SOURCES)}, found {shown(self.label_source)}"
            )
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise LabelError(f"confidence: expected a number in [0, 1], found {self.confidence}")
        if self.area is not None and not (math.isfinite(self.area) and self.area >= 0):
            raise LabelError(f"{self._named}: area must be 0 or more, found {self.area}")

    @property
    def _named(self) -> str:
        return f"box of class {shown_names([self.class_name])}"

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        x, y, width, height = self.xywh
        return x, y, x + width, y + height

    @property
    def counts(self) -> bool:
        """Whether a detector is rewarded for finding it."""
        return not (self.ignore or self.is_crowd)

    def is_sure(self, floor: float) -> bool:
        """Whether it is a human's, or as confident as `floor`; a confidence that nobody knows is none (0)."""
        return self.label_source == "human" or (self.confidence or 0.0) >= floor


class _Blank:
    """An annotation before it is frozen; it has the same slots."""

    __slots__ = Annotation.__slots__


def checked_annotation(
    class_name: str,
    xywh: tuple[float, float, float, float],
    label_source: str,
    confidence: float | None,
    is_crowd: bool,
    ignore: bool,
    area: float | None,
    number: int,
    attributes: Mapping[str, Any],
) -> Annotation:
    """An annotation of values that are known to be good, in a fifth of the constructor's time.

    For millions of boxes whose values were checked all at once, or when they were written. A frozen class sets each of
    its fields by a call; here they are set plainly, and then the object becomes an `Annotation`.
    """
    blank: Any = _Blank()
    blank.class_name = class_name
    blank.xywh = xywh
    blank.label_source = label_source
    blank.confidence = confidence
    blank.is_crowd = is_crowd
    blank.ignore = ignore
    blank.area = area
    blank.number = number
    blank.attributes = attributes
    blank.__class__ = Annotation
    annotation: Annotation = blank
    return annotation


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture with its annotations. Nothing of the picture is in memory until `picture` is called.

    `recording` and `scan` name the picture (`file_name` is made of them); `site`, `camera` and `day` are the groups
    that a split must not cut, "" where a source does not know them. `width` and `height` in pixels. `picture()` is the
    file's own bytes (JPEG, or PNG where `suffix` says so), b"" where only labels are read. `labelled`: whether a human
    looked at it; without, its annotations are the device's. `label_file` says where its labels are from, for messages.
    `recorded` is what the sensor logged beside the picture (tracks, status), for checks; None where the source is no
    recording. `stated` are the annotations as the source has them, once a conversion has mapped and cut them; both are
    None in frames that come back from a `FrameSpool`.
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
    recorded: "Scan | None" = field(default=None, compare=False)
    stated: tuple[Annotation, ...] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise LabelError(f"{self.recording}/{self.scan}: picture of {self.width}x{self.height} pixels")
        for part in (self.recording, self.scan):
            if not part or "\\" in part or "\0" in part or {"", ".", ".."} & set(part.split("/")):
                raise LabelError(f"{shown(part)} cannot name a recording or scan: it would leave the data set's folder")

    @property
    def file_name(self) -> str:
        """The picture's path below `images/`."""
        return f"{self.recording}/{self.scan}{self.suffix}"


class PictureKey(NamedTuple):
    """What decides the split of a labelled picture.

    `own_split` is the split that the source itself gives, or "". `boxes` counts its boxes that count, by the source's
    class names.
    """

    site: str
    recording: str
    scan: str
    own_split: str = ""
    boxes: Mapping[str, int] = {}
    camera: str = ""
    day: str = ""


class VideoFrame(NamedTuple):
    """A frame of a video file by its number from 0. `num_frames`: of the video by its labels, None if untold."""

    path: Path
    number: int
    num_frames: int | None = None


@dataclass(frozen=True, slots=True)
class PictureLabels:
    """What a label file says of one picture; the picture itself is not read.

    `name` is the picture as the file names it (a file name, or a path with '/'). `annotations` are in the picture's
    pixels, or in shares of its size where `relative` is true. `image_wh` is the size that the file states, if it does.
    `path` is where the picture lies, where the format knows it. `recording`, `scan`, `site`, `camera`, `day` and
    `own_split` are "" where the file does not say them. `where` names the place in the file, for messages. An `implied`
    picture is one that the file does not name (a frame of a video where nothing is drawn): it may be missing.
    `embedded` gives the bytes of the picture where the label file itself holds them; it raises `LabelError` for what is
    none. `by_machine`: a machine looked at the picture, so that no box in it is no human's word that it is empty.
    `renamed`: its file is called otherwise than `scan`, whose name it gets. `video` is the frame that the picture is. A
    picture in a file counts before both.
    """

    name: str
    annotations: tuple[Annotation, ...]
    where: str
    image_wh: tuple[int, int] | None = None
    relative: bool = False
    path: Path | None = None
    recording: str = ""
    scan: str = ""
    site: str = ""
    camera: str = ""
    day: str = ""
    own_split: str = ""
    implied: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)
    by_machine: bool = False
    renamed: bool = False
    embedded: Callable[[], bytes] | None = field(default=None, compare=False)
    video: VideoFrame | None = field(default=None, compare=False)

    @property
    def labelled(self) -> bool:
        """Whether nothing but human labels is in it; no box is a human's statement too, unless a machine looked."""
        return not self.by_machine and all(annotation.label_source == "human" for annotation in self.annotations)

    def in_pixels(self, image_wh: tuple[int, int]) -> tuple[Annotation, ...]:
        """The annotations in pixels of the picture, whose width and height are given."""
        if not self.relative:
            return self.annotations
        width, height = image_wh
        scaled = []
        for annotation in self.annotations:
            x, y, w, h = annotation.xywh
            area = None if annotation.area is None else annotation.area * width * height
            scaled.append(replace(annotation, xywh=(x * width, y * height, w * width, h * height), area=area))
        return tuple(scaled)

    @property
    def counted(self) -> dict[str, int]:
        """How many boxes that count there are of each class."""
        counts: dict[str, int] = {}
        for annotation in self.annotations:
            if annotation.counts:
                counts[annotation.class_name] = counts.get(annotation.class_name, 0) + 1
        return counts
