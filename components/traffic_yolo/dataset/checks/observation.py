"""What a check is shown of a frame: the label's and the recording's own words, with nothing yet refused or mended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.jpeg import jpeg_size
from traffic_yolo.boxes import pairwise_iou
from traffic_yolo.dataset.pictures.headers import PNG_SIGNATURE
from traffic_yolo.dataset.pictures.look import PictureLook, look_once, look_or_why_not
from traffic_yolo.dataset.records import Frame
from traffic_yolo.errors import RecordingError

SAME_BOX_IOU = 0.95
FEW_BOXES = 32  # are looked at one by one first: nearly always no two are alike, and a matrix costs more


@dataclass(frozen=True, slots=True)
class RawBox:
    """One box as its file has it: `xywh` (left, top, width, height, picture pixels) may be anything, even NaN.

    `class_name` is None where the file's class is none of the source's; `class_text` says what stood there.
    """

    class_name: str | None
    xywh: tuple[float, float, float, float]
    number: int = 0
    class_text: str = ""
    is_crowd: bool = False
    ignore: bool = False
    label_source: str = "human"

    @property
    def counts(self) -> bool:
        """Whether a detector is rewarded for finding it."""
        return not (self.ignore or self.is_crowd)

    @property
    def name(self) -> str:
        """How a message calls the box: its number where it has one, and its class."""
        name = self.class_name if self.class_name is not None else self.class_text
        return f"box {self.number} {name}".replace("box 0 ", "box ") if name else f"box {self.number}"

    @property
    def is_box(self) -> bool:
        """Whether the numbers are those of a box."""
        return all(map(math.isfinite, self.xywh)) and self.xywh[2] > 0 and self.xywh[3] > 0

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        x, y, width, height = self.xywh
        return x, y, x + width, y + height


@dataclass(frozen=True)
class Observation:
    """One frame. `picture` None: there is a label, but no picture; `picture_trouble` says why, where it is known.

    `label_file` "": there is a picture, but no label. `stated_wh` is the size that the label gives, None where it
    gives none. `scan_number` and `time_s` (seconds of any clock) are None where a source does not know them. `tracks`
    is (N, columns) with `track_columns` naming the columns, None without a radar. `decode`: the picture's pixels may be
    looked at.
    """

    file: str
    frame: str
    picture: bytes | None
    boxes: tuple[RawBox, ...] = ()
    label_file: str = ""
    picture_trouble: str = ""
    stated_wh: tuple[int, int] | None = None
    site: str = ""
    camera: str = ""
    recording: str = ""
    scan_number: int | None = None
    time_s: float | None = None
    track_columns: tuple[str, ...] = ()
    tracks: NDArray[np.float64] | None = field(default=None, compare=False)
    decode: bool = True

    @classmethod
    def of_frame(cls, frame: Frame, picture: bytes | None) -> "Observation":
        """A frame that a source has read and found sound; `picture` None where nobody is to look at it again."""
        digits = frame.scan.rpartition("_")[2]
        label_file = frame.label_file.partition(": ")[0]  # a reader adds the place in the file
        return cls(
            file=label_file or frame.recording,
            frame=frame.file_name,
            picture=picture,
            boxes=tuple(
                RawBox(a.class_name, a.xywh, a.number, "", a.is_crowd, a.ignore, a.label_source)
                for a in frame.annotations
            ),
            label_file=label_file if frame.labelled else "",
            stated_wh=(frame.width, frame.height),
            site=frame.site,
            camera=frame.camera,
            recording=frame.recording,
            scan_number=int(digits) if frame.scan.startswith("SCAN_") and digits.isdecimal() else None,
            time_s=time_of(frame.attributes.get("time")),
        )

    @property
    def place(self) -> str:
        """The camera that took it, as far as it is known: frames of one place are seen alike."""
        return "/".join(filter(None, (self.site, self.camera))) or self.recording

    @property
    def damage(self) -> str:
        """Why the picture does not decode; "" where it does, where there is none, and where nobody is to decode it."""
        return look_or_why_not(self.picture)[1] if self.picture and self.decode else ""

    @cached_property
    def look(self) -> PictureLook | None:
        """A look at the picture; None where there is none, it does not decode, or nobody is to decode it."""
        return look_once(self.picture) if self.picture and self.decode else None

    @cached_property
    def size_wh(self) -> tuple[int, int] | None:
        """(width, height) by the picture's header, without a picture by the label; None where neither says."""
        if self.picture is None:
            return self.stated_wh
        if self.picture.startswith(PNG_SIGNATURE) and len(self.picture) >= 24:
            return int.from_bytes(self.picture[16:20], "big"), int.from_bytes(self.picture[20:24], "big")
        try:
            return jpeg_size(self.picture)
        except RecordingError:
            return None

    @cached_property
    def sound_boxes(self) -> tuple[RawBox, ...]:
        """The boxes whose numbers are those of a box."""
        return tuple(box for box in self.boxes if box.is_box)

    @cached_property
    def boxes_xyxy(self) -> NDArray[np.float64]:
        """(N, 4) the sound boxes."""
        return np.array([box.xyxy for box in self.sound_boxes], np.float64).reshape(-1, 4)

    @cached_property
    def same_places(self) -> tuple[tuple[RawBox, RawBox, float], ...]:
        """Pairs of sound boxes, none of them a crowd's, that overlap by more than `SAME_BOX_IOU`; with their IoU."""
        boxes = self.sound_boxes
        if len(boxes) < 2 or (len(boxes) <= FEW_BOXES and not _may_be_same(boxes)):
            return ()
        overlaps = np.triu(pairwise_iou(self.boxes_xyxy, self.boxes_xyxy), 1)
        pairs = [(boxes[i], boxes[j], float(overlaps[i, j])) for i, j in np.argwhere(overlaps > SAME_BOX_IOU).tolist()]
        return tuple(pair for pair in pairs if not (pair[0].is_crowd or pair[1].is_crowd))


def _may_be_same(boxes: Sequence[RawBox]) -> bool:
    """Whether two of a few boxes may be the same: an IoU is at most the share that they have in common of a side."""
    corners = [box.xyxy for box in boxes]
    for index, (left, top, right, bottom) in enumerate(corners):
        width, height = right - left, bottom - top
        for other_left, other_top, other_right, other_bottom in corners[:index]:
            across = min(right, other_right) - max(left, other_left)
            down = min(bottom, other_bottom) - max(top, other_top)
            # Half of the limit, so that no rounding decides
            if across > SAME_BOX_IOU / 2 * width and down > SAME_BOX_IOU / 2 * height:
                return True
    return False


def time_of(value: object) -> float | None:
    """Seconds of a time given as a number or as ISO 8601 text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value) if math.isfinite(value) else None
        except OverflowError:  # a whole number of hundreds of digits
            return None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
