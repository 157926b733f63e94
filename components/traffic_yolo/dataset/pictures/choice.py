"""How pictures of streets are shown to people: the option of every step that writes some; loads nothing heavy."""

from dataclasses import dataclass

from traffic_yolo.options import option

NONE, BLURRED, FULL = "none", "blurred", "full"
PICTURES = (NONE, BLURRED, FULL)


@dataclass(frozen=True)
class PictureChoice:
    """The pictures of reports, logs and artifacts for people. The pictures of a data set itself are never changed.

    Left unchecked here: the options that have it among theirs check it with them.
    """

    pictures: str = option(
        BLURRED,
        "Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.",
        choices=PICTURES,
        headline=True,
    )
