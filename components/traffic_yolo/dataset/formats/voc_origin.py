"""From which pixel a folder of VOC files counts: decided by all its files, so that an odd corner shifts no other file.

A corner at 0 cannot count from 1, and one at 1 is what a box at the left or upper edge has that does. A fraction shows
a tool that does not count pixels; but VOC2012 itself, which counts from 1, has two files of 17,125 with fractions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

AUTO = "auto"
FEWEST_AT_ZERO = 2  # files, unless these are half of all
LEAST_SHARE_AT_ZERO = 0.01


class Shows(Enum):
    """What a file's corners show."""

    NOTHING = "nothing"
    ZERO = "a corner at 0"
    FRACTION = "a corner between two pixels"
    ONE = "a corner at 1"


def shown_by(boxes: Iterable[tuple[float, float, float, float]]) -> Shows:
    """What the boxes (left, top, right, bottom as they stand there) of one file show; the strongest evidence counts."""
    found = set()
    for box in boxes:
        least = min(box)  # reversed corners are put in order later
        if not all(corner.is_integer() for corner in box):
            found.add(Shows.FRACTION)
        if least < 1:
            found.add(Shows.ZERO)
        elif least == 1:
            found.add(Shows.ONE)
    strongest = (Shows.ZERO, Shows.FRACTION, Shows.ONE)
    return next((shows for shows in strongest if shows in found), Shows.NOTHING)


@dataclass(frozen=True)
class Origin:
    """The pixel that a folder counts from. `from_one`: VOC's rule; `forced`: the user says so, whatever files show.

    `files` have boxes; `mixed` says of a folder that counts from 0 that many of its files look as if they did not.
    """

    from_one: bool
    files: int = 0
    forced: bool = False
    mixed: bool = False

    @classmethod
    def of(cls, counts: dict[Shows, int], forced: str = AUTO) -> "Origin":
        """By how many files show what: from 0 where half show fractions, or more are at 0 than at 1 and no odd ones."""
        files = sum(counts.values())
        if forced != AUTO:
            return cls(forced == "1", files, forced=True)
        zero, fraction, one = (counts.get(shows, 0) for shows in (Shows.ZERO, Shows.FRACTION, Shows.ONE))
        many = 2 * zero >= files or zero >= max(FEWEST_AT_ZERO, LEAST_SHARE_AT_ZERO * files)
        from_zero = files > 0 and ((2 * (fraction + zero) >= files and fraction > 0) or (zero > one and many))
        return cls(not from_zero, files, mixed=from_zero and 2 * one >= zero + fraction)

    def first_pixel(self, shows: Shows) -> float:
        """What to take off the lower corner of a file's boxes and add to their sizes: 1, or 0 for counts from 0."""
        return 1.0 if self.from_one and (self.forced or shows is not Shows.ZERO) else 0.0

    def disagrees(self, shows: Shows) -> bool:
        """Whether a file shows what the others do not."""
        return self.from_one and not self.forced and shows in (Shows.ZERO, Shows.FRACTION)
