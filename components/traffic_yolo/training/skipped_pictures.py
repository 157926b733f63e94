"""The training pictures that could not be used: named, counted by reason, and too many of them end the training."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from traffic_yolo.errors import TrainingError
from traffic_yolo.training.distributed import Processes

log = logging.getLogger(__name__)

NAMED = 3  # files in the message of the error


@dataclass(frozen=True)
class SkippedPicture:
    """A picture of the data set, and why it was left out: `reason` in a word or two, `message` whole."""

    file_name: str
    reason: str
    message: str


class SkippedPictures:
    """Those of a run from its first start on, each once, however many processes met it."""

    def __init__(self, num_pictures: int, *, most: float, processes: Processes | None = None) -> None:
        """`most`: share of the `num_pictures` training pictures that may be skipped."""
        self._num_pictures, self._most = num_pictures, most
        self._processes = processes or Processes()
        self._found: dict[str, SkippedPicture] = {}

    def __len__(self) -> int:
        return len(self._found)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures by reason: missing, unreadable, damaged, of another size."""
        return dict(sorted(Counter(picture.reason for picture in self._found.values()).items()))

    def add(self, pictures: Sequence[SkippedPicture]) -> None:
        """Takes in what this process met, and what those that train with it did: each calls this once an update.

        The first one logs what is new. Raises `TrainingError` as `check` does, in all of them alike.
        """
        for picture in self._processes.joined(pictures):
            if picture.file_name not in self._found:
                self._found[picture.file_name] = picture
                if self._processes.is_first:
                    log.warning("training picture skipped: %s", picture.message)
        self.check(self._found.values())

    def check(self, pictures: Collection[SkippedPicture]) -> None:
        """Raises `TrainingError`, naming the first, where these are more than may be, or all."""
        count = len(pictures)
        if count <= self._most * self._num_pictures and not 0 < self._num_pictures == count:
            return
        first = ", ".join(f"{picture.file_name} ({picture.reason})" for picture in list(pictures)[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        beyond = f", more than max_bad_pictures={self._most:g} of them" if count < self._num_pictures else ""
        advice = " or raise --max-bad-pictures" if count < self._num_pictures else ""
        raise TrainingError(
            f"{count} of {self._num_pictures} training pictures cannot be used{beyond}: {first}{more}; mend the data "
            f"set{advice}"
        )

    def state(self) -> list[dict[str, str]]:
        """The pictures as texts, for a checkpoint."""
        return [dataclasses.asdict(picture) for picture in self._found.values()]

    def restore(self, state: Sequence[Mapping[str, str]]) -> None:
        """Takes over what `state` gave, in place; nothing is logged anew."""
        self._found = {entry["file_name"]: SkippedPicture(**entry) for entry in state}
