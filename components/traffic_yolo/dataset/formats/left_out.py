"""What a reader leaves out: counted for the report, boxes without area also named for a check."""

from collections import Counter

from traffic_yolo.dataset.problems import Problem, ProblemSink

NAMED = 200  # boxes without area that are named, not only counted
FLAT = "boxes without area left out"


class LeftOut(Counter[str]):
    """Counts by what the report says after the number."""

    def __init__(self) -> None:
        super().__init__()
        self._named: list[str] = []

    def flat_box(self, where: str, found: str) -> None:
        """Counts a box without area; `where` names its place, `found` says what stands there."""
        self[FLAT] += 1
        if len(self._named) < NAMED:
            self._named.append(flat_box_message(where, found))

    def tell(self, on_problem: ProblemSink) -> None:
        """Names the boxes without area that came since the last call."""
        for message in self._named:
            on_problem(Problem("box-without-area", message))
        self._named.clear()


def flat_box_message(where: str, found: str) -> str:
    """The line about a box without area."""
    return f"{where}: expected width and height above 0, found {found}; left out"


def shown_xywh(xywh: tuple[float, ...]) -> str:
    """A box for a message."""
    return "x, y, w, h = " + ", ".join(f"{value:g}" for value in xywh)
