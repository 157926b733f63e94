"""What a conversion can start from, behind one small interface: streams of frames, and the groups they come in."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from traffic_yolo.dataset.records import Frame, PictureKey


class Source(Protocol):
    """A source of frames.

    `classes` in the source's own order; `default_classes`: those that stay where no class map is given; `apart`: those
    of boxes that do not count, which are ignored then.
    `may_split_pictures`: whether pictures of one recording may go into different splits where nothing better is known
    (never those of a video). `num_frames` counts what `frames()` yields at most. `notes` are lines for the report that
    are known once the source is open; `tally` counts what `frames()` leaves out, by what the report says after the
    number.
    """

    classes: tuple[str, ...]
    default_classes: frozenset[str]
    apart: frozenset[str]
    may_split_pictures: bool
    num_frames: int
    notes: list[str]
    tally: Counter[str]

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        ...

    def keys(self) -> Iterator[PictureKey]:
        """Every picture that humans labelled, in a stable order and without reading a picture. May be called again."""
        ...

    def recordings(self) -> Iterable[str]:
        """The names of all recordings, each once."""
        ...

    def frames(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Frame]:
        """The frames of one shard (index from 0, count), one at a time, in a stable order.

        The shards' frames one after another are those of the whole; a recording is in one shard. Each frame is read
        once: what `frame.picture` gives is in memory only while the caller holds the frame.
        """
        ...
