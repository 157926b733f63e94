"""What a user may choose about a comparison of two data sets."""

from dataclasses import dataclass

from traffic_yolo.options import check_options, option

MOST_DRAWN = 200


@dataclass(frozen=True)
class DiffOptions:
    """One comparison. Raises `OptionsError` when made with values that make no sense."""

    least_iou: float = option(0.5, "Least IoU of a box with itself elsewhere or of another class.", least=0.01, most=1)
    drawn: int = option(12, "Pictures drawn on the page: those with most changes.", least=0, most=MOST_DRAWN)

    def __post_init__(self) -> None:
        check_options(self)
