"""What two looks at the data of a model differ in, as far as a retraining would notice."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from traffic_yolo.dataset.splits.pins import SplitPins
from traffic_yolo.dataset.used_frames import HUMAN, UsedFrame
from traffic_yolo.errors import DatasetError
from traffic_yolo.messages import shown_names

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class NewData:
    """Training pictures that humans labelled since (`labelled`), labelled anew (`corrected`), and took away (`gone`).

    `judging`: pictures of the other splits with other labels than before. `sites`: those that train now and did not.
    `shift`: class -> its share of the training boxes in percent before and now, of classes whose share changed.
    """

    labelled: int
    corrected: int
    gone: int
    judging: int
    sites: tuple[str, ...]
    shift: Mapping[str, tuple[float, float]]

    @property
    def frames(self) -> int:
        """How many training pictures are newly labelled or corrected."""
        return self.labelled + self.corrected

    @property
    def largest_shift(self) -> tuple[str, float]:
        """The class whose share changed most, and by how many percentage points; ("", 0) where none did."""
        changes = ((name, abs(now - before)) for name, (before, now) in self.shift.items())
        return max(changes, key=lambda item: item[1], default=("", 0.0))


@dataclass(frozen=True)
class Data:
    """The data of one look: its pictures, and the training split's boxes of each class."""

    frames: Sequence[UsedFrame]
    training_boxes: Mapping[str, int]


def new_data(before: Data | None, now: Data) -> NewData:
    """What `now` has that `before` had not; against None everything is new."""
    known = {frame.name: frame for frame in before.frames} if before else {}
    labelled = corrected = judging = 0
    for frame in now.frames:
        other = known.get(frame.name)
        is_new = other is None or other.by != HUMAN
        if frame.by != HUMAN or (other is not None and not is_new and other.labels == frame.labels):
            continue
        if frame.split != TRAIN:
            judging += 1
        elif is_new:
            labelled += 1
        else:
            corrected += 1
    names = {frame.name for frame in now.frames if frame.by == HUMAN}
    trained = [frame for frame in known.values() if frame.split == TRAIN and frame.by == HUMAN]
    sites = _sites(now.frames) - {frame.site for frame in trained}
    return NewData(
        labelled,
        corrected,
        sum(frame.name not in names for frame in trained),
        judging,
        tuple(sorted(sites)),
        _shift(before.training_boxes if before else {}, now.training_boxes),
    )


def check_splits(
    before: Sequence[UsedFrame], now: Sequence[UsedFrame], pins: SplitPins | None, *, attempt: str
) -> None:
    """Raises `DatasetError` where a picture changed its split, or the test split lost a group.

    `pins`: the groups of `before`, None where only single pictures were kept whole; `attempt`: which one that was, for
    the message. A test split that loses a site measures something else, and one that gains what weights have seen
    flatters.
    """
    splits = {frame.name: frame.split for frame in now}
    moved = [frame for frame in before if splits.get(frame.name, frame.split) != frame.split]
    if moved:
        first = moved[0]
        raise DatasetError(
            f"{len(moved)} pictures would change their split, such as {first.recording}/{first.scan} of site "
            f"{first.site or 'unknown'} from {first.split} to {splits[first.name]}: {attempt} kept them where they "
            f"were; name no other val_sites or test_sites than it did, or give new_splits"
        )
    lost = _groups(before, pins) - _groups(now, pins)
    if lost:
        what = pins.level if pins is not None else "every picture of"
        raise DatasetError(
            f"the test split would lose {what} {shown_names(sorted(lost))}, which {attempt} had there: recordings or "
            f"labels are gone; bring them back, or give new_splits"
        )


def _groups(frames: Collection[UsedFrame], pins: SplitPins | None) -> set[str]:
    """The groups of the test split; where single pictures are all that is kept whole, the split itself is one."""
    return {frame.group(pins.level) if pins is not None else TEST for frame in frames if frame.split == TEST}


def _sites(frames: Collection[UsedFrame]) -> set[str]:
    return {frame.site for frame in frames if frame.split == TRAIN and frame.by == HUMAN and frame.site}


def _shift(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    shares = [{name: 100 * count / max(sum(one.values()), 1) for name, count in one.items()} for one in (before, now)]
    both = {name: (shares[0].get(name, 0.0), shares[1].get(name, 0.0)) for name in sorted({*before, *now})}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}
