"""What a reader leaves out or mends: counted for the report, and told as a problem, so that a check can judge it."""

from collections import Counter

from traffic_yolo.dataset.formats.shapes import Box, ordered_xywh
from traffic_yolo.dataset.problems import About, Problem, ProblemSink, already_told

FLAT = "boxes without area left out"
REVERSED = "boxes with reversed corners taken in order"


class LeftOut(Counter[str]):
    """Counts by what the report says after the number. Call `begin` before a pass, `picture` before each picture."""

    def __init__(self, on_problem: ProblemSink = already_told) -> None:
        super().__init__()
        self._on_problem = on_problem
        self._lost = ""
        self.about: About | None = None  # of what is told: None for the picture being read

    def begin(self, on_problem: ProblemSink) -> None:
        """Counts from nothing; problems go to `on_problem` from here on."""
        self.clear()
        self._on_problem = on_problem

    def picture(self) -> None:
        """A new picture begins: no box of it is lost yet."""
        self._lost = ""

    def sound(self, xywh: Box, where: str, *, turned: bool = False) -> Box | None:
        """The box in order (a negative size reaches back from its corner); None, and left out, for one without area.

        `where` names its place. `turned`: its corners were put in order already.
        """
        box = ordered_xywh(xywh)
        flat = box[2] <= 0 or box[3] <= 0
        if not flat:
            if turned or box != xywh:
                self.turned(xywh, where)
            return box
        self[FLAT] += 1
        self._lost = self._lost or where
        self._on_problem(Problem("box-without-area", flat_box_message(where, shown_xywh(xywh)), self.about))
        return None

    def turned(self, xywh: Box, where: str) -> None:
        """A box whose corners were exchanged, and were put in order."""
        self[REVERSED] += 1
        self._on_problem(Problem("box-reversed", reversed_box_message(where, shown_xywh(xywh)), self.about))

    def shape(self, what: str, where: str) -> None:
        """A drawn object that cannot be taken for a box."""
        self[f"shapes {what} left out"] += 1
        message = f"{where}: expected a box or an outline, found a shape {what}; left out"
        self._on_problem(Problem("shape-left-out", message, self.about))

    def end_picture(self, where: str, num_boxes: int) -> None:
        """Tells of a picture that lost every box that it had."""
        if self._lost and not num_boxes:
            self._on_problem(Problem("picture-emptied", emptied_message(where)))


def flat_box_message(where: str, found: str) -> str:
    """The line about a box without area."""
    return f"{where}: expected width and height above 0, found {found}; left out"


def reversed_box_message(where: str, found: str) -> str:
    """The line about a box whose corners were exchanged."""
    return f"{where}: expected corners from top left to bottom right, found {found}; taken in order"


def emptied_message(where: str) -> str:
    """The line about a picture without a box that could be kept."""
    return f"{where}: expected a box with area, found none among its boxes; it would pass for a picture without objects"


def shown_xywh(xywh: tuple[float, ...]) -> str:
    """A box for a message."""
    return "x, y, w, h = " + ", ".join(f"{value:g}" for value in xywh)
