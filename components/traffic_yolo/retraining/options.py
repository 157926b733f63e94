"""What a user may choose about the gate before a retraining; the names are those of command line and KFP component."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class NewDataOptions:
    """How much must be new before a retraining pays. Any one of the thresholds that are set opens the gate.

    Raises `OptionsError` for values that make no sense.
    """

    min_new_frames: int = option(
        100,
        "Training pictures newly labelled or corrected by humans that open the gate; 0: they never do.",
        least=0,
        headline=True,
    )
    min_new_sites: int = option(
        1, "New sites with labelled training pictures that open the gate; 0: they never do.", least=0, headline=True
    )
    min_class_shift: float = option(
        0.0,
        "Change of one class's share of the training boxes, in percentage points, that opens the gate; 0: it never "
        "does.",
        least=0,
        most=100,
        headline=True,
    )
    again: bool = option(
        False, "Train whatever the gate says: on data that was tried before, or with an attempt under way.",
        headline=True,
    )  # fmt: skip
    new_splits: bool = option(
        False,
        "Take the splits as they come now, though pictures change theirs or the test split loses a group: what was "
        "measured before is no measure any more.",
        headline=True,
    )
    under_way_hours: float = option(
        12.0,
        "Hours after which an attempt of which no end is known is taken to be cut off.",
        least=0,
        most=24 * 366,
        headline=True,
    )

    def __post_init__(self) -> None:
        check_options(self)
        if not (self.min_new_frames or self.min_new_sites or self.min_class_shift):
            raise OptionsError("no threshold is set, so nothing could open the gate; set min_new_frames, say")
