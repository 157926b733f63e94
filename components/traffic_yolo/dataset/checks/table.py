"""The one table of checks: name, severity unless the user chooses another, what it objects to, how it is made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from traffic_yolo.atm.calibration import Calibration
from traffic_yolo.dataset.checks import box_checks, picture_checks
from traffic_yolo.dataset.checks.finding import Objection
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.checks.sequence_checks import FrozenPicture, MissingScan, NearDuplicate, TimeBackwards
from traffic_yolo.dataset.checks.size_outliers import SizeOutlier
from traffic_yolo.dataset.splits.leaks import MAX_DISTANCE


@dataclass(frozen=True)
class CheckContext:
    """What checks may know beyond the frame: calibrations of cameras, `nominal_sizes_m` (length, width) by class."""

    calibrations: Sequence[Calibration] = ()
    nominal_sizes_m: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    near_distance: int = MAX_DISTANCE


class Check(Protocol):
    """Shown every frame in turn; yields what is wrong with it. One with an `end` may find more when all were shown."""

    def __call__(self, observation: Observation) -> Iterator[Objection]:
        """Problems of this frame."""
        ...


@dataclass(frozen=True)
class CheckEntry:
    """A row of the table. `needs_pixels`: the picture is decoded for it."""

    severity: str
    summary: str
    make: Callable[[CheckContext], Check]
    needs_pixels: bool = False


def _stateless(severity: str, check: Check, *, needs_pixels: bool = False) -> CheckEntry:
    summary = " ".join((check.__doc__ or "").split())
    return CheckEntry(severity, summary, lambda _: check, needs_pixels)


def _stateful(
    severity: str, kind: type[Check], make: Callable[[CheckContext], Check], *, needs_pixels: bool = False
) -> CheckEntry:
    return CheckEntry(severity, (kind.__doc__ or "").split("\n\n")[0].replace("\n", " "), make, needs_pixels)


def _found_elsewhere(severity: str, summary: str) -> CheckEntry:
    """A check that the readers, the leak check or the cross-check make; it has a name and a severity here."""
    return CheckEntry(severity, summary, lambda _: _silent)


def _silent(observation: Observation) -> Iterator[Objection]:
    del observation
    return iter(())


CHECKS: dict[str, CheckEntry] = {
    "unreadable-file": _found_elsewhere("error", "A recording, or a scan of one, that cannot be read."),
    "unfinished-recording": _found_elsewhere(
        "warning", "A recording that is still being written, or was cut off: shorter than its own header says."
    ),
    "broken-label": _found_elsewhere("error", "A label that cannot be read."),
    "labelled-twice": _found_elsewhere("error", "A frame with two labels."),
    "split-leak": _found_elsewhere("error", "A group, or two pictures that look alike, in two splits of the source."),
    "empty-split": _found_elsewhere("warning", "A split of a conversion that gets no picture, and was to have some."),
    "unreadable-picture": _stateless("error", picture_checks.unreadable_picture, needs_pixels=True),
    "truncated-picture": _stateless("error", picture_checks.truncated_picture),
    "turned-picture": _found_elsewhere("error", "A picture that its EXIF orientation turns: labels may be either way."),
    "size-mismatch": _stateless("error", picture_checks.size_mismatch),
    "picture-left-out": _found_elsewhere("error", "A picture of a kind that is not read, or one behind a link."),
    "label-without-picture": _stateless("error", picture_checks.label_without_picture),
    "few-labels": _found_elsewhere("error", "A YOLO set of which fewer than half of the pictures have a label file."),
    "unknown-class": _stateless("error", box_checks.unknown_class),
    "not-a-number": _stateless("error", box_checks.not_a_number),
    "no-area": _stateless("error", box_checks.no_area),
    "emptied-picture": _stateless("error", box_checks.emptied_picture),
    "reversed-corners": _found_elsewhere("warning", "A box whose corners, or sizes, are the wrong way round."),
    "mixed-origins": _found_elsewhere("warning", "A VOC file whose corners count from another pixel than the others."),
    "alike-classes": _found_elsewhere("warning", "Two classes whose names differ in case, blanks, - or _ alone."),
    "shape-left-out": _found_elsewhere("warning", "A drawn object that cannot be taken for a box."),
    "outside-picture": _stateless("warning", box_checks.outside_picture),
    "sticks-out": _stateless("warning", box_checks.sticks_out),
    "duplicate-box": _stateless("warning", box_checks.duplicate_box),
    "two-classes": _stateless("warning", box_checks.two_classes),
    "size-outlier": _stateful(
        "warning", SizeOutlier, lambda context: SizeOutlier(context.calibrations, context.nominal_sizes_m)
    ),
    "time-backwards": _stateful("warning", TimeBackwards, lambda _: TimeBackwards()),
    "frozen-picture": _stateful("warning", FrozenPicture, lambda _: FrozenPicture()),
    "missing-scan": _stateful("info", MissingScan, lambda _: MissingScan()),
    "scan-without-picture": _stateless("info", picture_checks.scan_without_picture),
    "picture-without-label": _stateless("info", picture_checks.picture_without_label),
    "empty-frame": _stateless("info", box_checks.empty_frame),
    "implausible-calibration": _found_elsewhere("warning", "A camera whose tracks and boxes do not fit each other."),
    "track-without-box": _found_elsewhere("info", "A radar track in sight of the camera that no box belongs to."),
    "box-without-track": _found_elsewhere("info", "A box that no radar track belongs to."),
    "near-duplicate": _stateful(
        "info", NearDuplicate, lambda context: NearDuplicate(context.near_distance), needs_pixels=True
    ),
}
