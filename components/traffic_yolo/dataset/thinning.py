"""Which frames to leave out: those that come too soon or show nothing new, and empty ones beyond a wanted share.

Frames go one at a time and one recording at a time; what is remembered is of the recording alone, so that shards of
whole recordings come to the same. A frame is kept when it is the first of its recording, or holds a class that is
always kept or rare, or comes late enough *and* looks new enough.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from traffic_yolo.dataset.checks.observation import time_of
from traffic_yolo.dataset.pictures.look import PictureLook, hash_distance, look_once
from traffic_yolo.dataset.records import ALL, Frame
from traffic_yolo.dataset.splits.assignment import hash_position
from traffic_yolo.errors import OptionsError

LIMITED = ("train", ALL)  # a set without splits is what somebody will train on, or split
SCAN_DIGITS = 18  # more are no number of a scan
SCANS_A_SECOND = 15.0  # ATM units log up to 15 frames a second; used where frames carry no time


@dataclass(frozen=True)
class ThinningOptions:
    """`min_gap_s` seconds and `min_distance` bits between the hashes of kept frames; 0 asks for nothing.

    `keep_classes`: frames with one of these stay. `rare_boxes`: a frame stays while fewer boxes of one of its classes
    were kept in its recording; 0 for no such rule. `max_negatives`: the largest share of frames without objects in the
    training split; 1 for any.
    """

    min_gap_s: float = 0.0
    min_distance: int = 0
    keep_classes: frozenset[str] = frozenset()
    rare_boxes: int = 0
    max_negatives: float = 1.0
    scans_a_second: float = SCANS_A_SECOND

    def __post_init__(self) -> None:
        if self.min_gap_s < 0 or self.min_distance < 0 or self.rare_boxes < 0:
            raise OptionsError("thinning: gap, distance and rare boxes must be 0 or more")
        if self.min_distance > 64:
            raise OptionsError(f"thin_distance: hashes have 64 bits; found {self.min_distance}")
        if not 0 <= self.max_negatives <= 1:
            raise OptionsError(f"max_negatives: expected a share in [0, 1]; found {self.max_negatives}")
        if self.scans_a_second <= 0:
            raise OptionsError(f"scans_a_second: expected a number above 0; found {self.scans_a_second}")

    @property
    def thins(self) -> bool:
        """Whether frames are dropped for coming too soon or showing nothing new."""
        return self.min_gap_s > 0 or self.min_distance > 0


@dataclass
class _Kept:
    """What is remembered of a recording: its last kept frame, and the boxes kept so far."""

    recording: str = ""
    time_s: float | None = None
    look: PictureLook | None = None
    boxes: Counter[str] = field(default_factory=Counter)


class FrameThinner:
    """Filter of a conversion (`observers.FrameFilter`)."""

    def __init__(self, options: ThinningOptions) -> None:
        self._options = options
        self._kept = _Kept()

    def keep(self, frame: Frame, split: str, picture: bytes) -> str:
        """Why the frame goes; "" to keep it."""
        del split
        if self._options.min_distance and not picture:
            raise OptionsError("thin_distance compares pictures, and labels_only reads none; leave one of them out")
        if frame.recording != self._kept.recording:
            self._kept = _Kept(frame.recording)
        time_s = self._time_s(frame)
        reason = "" if self._is_wanted(frame) else self._why_not(time_s, picture)
        if not reason:
            self._kept.time_s = time_s
            self._kept.look = look_once(picture) if self._options.min_distance else None
            self._kept.boxes.update(annotation.class_name for annotation in frame.annotations if annotation.counts)
        return reason

    def _time_s(self, frame: Frame) -> float | None:
        """The frame's own time, or its scan number at the sensor's rate; None where it has neither."""
        stated = time_of(frame.attributes.get("time"))
        if stated is not None:
            return stated
        digits = frame.scan.rpartition("_")[2]
        return int(digits) / self._options.scans_a_second if digits.isdecimal() and len(digits) <= SCAN_DIGITS else None

    def _is_wanted(self, frame: Frame) -> bool:
        names = {annotation.class_name for annotation in frame.annotations if annotation.counts}
        if names & self._options.keep_classes:
            return True
        return any(self._kept.boxes[name] < self._options.rare_boxes for name in names)

    def _why_not(self, time_s: float | None, picture: bytes) -> str:
        options, last = self._options, self._kept
        if last.time_s is not None and time_s is not None and 0 <= time_s - last.time_s < options.min_gap_s:
            return f"pictures thinned: less than {options.min_gap_s:g} s after the last that was kept"
        if not options.min_distance or last.look is None:
            return ""
        look = look_once(picture)
        if look is not None and hash_distance(look.hash, last.look.hash) < options.min_distance:
            return f"pictures thinned: look like the last that was kept (below {options.min_distance} bits)"
        return ""


class NegativeLimit:
    """Filter over the whole set (`observers.RecordFilter`): drops training pictures without objects above a share.

    Those whose names have the smallest hashes stay, so that a set that grows keeps what it had, as far as the share
    allows.
    """

    def __init__(self, max_share: float) -> None:
        self._max_share = max_share
        self._limit: float | None = None  # of the hash's position, from which negatives go

    def plan(self, frames: Iterable[tuple[Frame, str]]) -> None:
        """Counts positives, and finds the last negative that may stay."""
        positives = 0
        negatives = array("d")  # eight bytes a picture
        for frame, split in frames:
            if split in LIMITED:
                if _is_negative(frame):
                    negatives.append(hash_position(frame.file_name))
                else:
                    positives += 1
        allowed = len(negatives)
        if self._max_share < 1:
            allowed = int(positives * self._max_share / (1 - self._max_share) + 1e-9)
        self._limit = None
        if allowed < len(negatives):
            self._limit = float(np.sort(np.frombuffer(negatives))[allowed])

    def keep(self, frame: Frame, split: str) -> str:
        """Why the frame goes; "" to keep it."""
        if self._limit is None or split not in LIMITED or not _is_negative(frame):
            return ""
        if hash_position(frame.file_name) < self._limit:
            return ""
        return f"pictures thinned: no objects, beyond {self._max_share:.0%} of the training pictures"


def _is_negative(frame: Frame) -> bool:
    """Whether nothing in the picture counts: ignored boxes and crowds make no positive."""
    return not any(annotation.counts for annotation in frame.annotations)
