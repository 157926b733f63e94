"""The training pictures that could not be used: named, counted by reason, and too many of them end the training."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from traffic_yolo.errors import TrainingError

log = logging.getLogger(__name__)

NAMED = 3  # files in the message of the error


@dataclass(frozen=True)
class SkippedPicture:
    """A picture of the data set, and why it was left out: `reason` in a word or two, `message` whole."""

    file_name: str
    reason: str
    message: str


class SkippedPictures:
    """Those of a run, each once, however many processes met it."""

    def __init__(self, num_pictures: int, *, most: float) -> None:
        """`most`: share of the `num_pictures` training pictures that may be skipped."""
        self._num_pictures, self._most = num_pictures, most
        self._found: dict[str, SkippedPicture] = {}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures by reason: missing, unreadable, damaged, of another size, too large."""
        return dict(sorted(Counter(picture.reason for picture in self._found.values()).items()))

    def add(self, pictures: Iterable[SkippedPicture]) -> None:
        """Logs the new ones; raises `TrainingError`, naming the first, where there are more than may be."""
        for picture in pictures:
            if picture.file_name not in self._found:
                self._found[picture.file_name] = picture
                log.warning("training picture skipped: %s", picture.message)
        if len(self._found) > self._most * self._num_pictures:
            first = ", ".join(f"{name} ({picture.reason})" for name, picture in list(self._found.items())[:NAMED])
            more = f" and {len(self._found) - NAMED} more" if len(self._found) > NAMED else ""
            raise TrainingError(
                f"{len(self._found)} of {self._num_pictures} training pictures cannot be used, more than "
                f"max_bad_pictures={self._most:g} of them: {first}{more}; mend the data set or raise max_bad_pictures"
            )
