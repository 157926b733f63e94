"""Pictures of what checks found: a few frames of each check, the boxes that it objects to in its colour.

Only findings of single frames have one: what a check finds at the end, over all frames, names its pictures instead.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.pictures.choice import BLURRED, NONE
from traffic_yolo.dataset.pictures.drawn_boxes import QUIET, DrawnBox
from traffic_yolo.dataset.report.samples import NO_PICTURES, draw_boxes
from traffic_yolo.finding import worst_first
from traffic_yolo.html_report import Html, paragraph, pictures
from traffic_yolo.severity import rank

FRAMES_OF_A_CHECK = 2
MOST_SHOWN = 12
FRAME_PIXELS = 640 * 360
# Told apart by colour-blind readers, on dark and bright asphalt
SEVERITY_RGB = {"error": (230, 60, 30), "warning": (240, 228, 66), "info": (86, 180, 233)}


@dataclass(frozen=True)
class FoundIn:
    """A frame with what was found in it."""

    observation: Observation
    findings: tuple[DataFinding, ...]

    @property
    def rank(self) -> int:
        """The worst severity, 0 for an error."""
        return min(rank(finding.severity) for finding in self.findings)


class FindingPictures:
    """Keeps the first frames of each check while a source is read: at most `FRAMES_OF_A_CHECK` times the checks."""

    def __init__(self) -> None:
        self._of_check: Counter[str] = Counter()
        self._kept: list[FoundIn] = []

    def show(self, observation: Observation, findings: Sequence[DataFinding]) -> None:
        """Keeps the frame where it has a picture and a check that has few."""
        checks = {finding.rule for finding in findings}
        if observation.picture is None or all(self._of_check[check] >= FRAMES_OF_A_CHECK for check in checks):
            return
        self._of_check.update(checks)
        self._kept.append(FoundIn(observation, tuple(findings)))

    def result(self) -> tuple[FoundIn, ...]:
        """The worst `MOST_SHOWN`, in the order of the source where they are equally bad."""
        return tuple(sorted(self._kept, key=lambda one: one.rank)[:MOST_SHOWN])


def found_pictures(found: Sequence[FoundIn], pictures_shown: str = BLURRED) -> Html:
    """The frames side by side; `pictures_shown`: a word of `PictureChoice`."""
    if pictures_shown == NONE:
        return paragraph(NO_PICTURES)
    shown = [drawn for one in found if (drawn := _drawn(one, pictures_shown)) is not None]
    legend = paragraph("Red: an error; yellow: a warning; blue: worth a look; grey: boxes that nothing is wrong with.")
    return Html(legend + pictures(shown)) if shown else paragraph("No picture of a finding can be shown.")


def _drawn(one: FoundIn, pictures_shown: str) -> Html | None:
    observation = one.observation
    assert observation.picture is not None, "only frames with pictures are kept"
    worst: dict[str, DataFinding] = {}
    for finding in worst_first(one.findings):
        worst.setdefault(finding.box, finding)
    boxes, known = [], []
    for box in observation.boxes:
        if not box.is_box:
            continue
        known.append((box.xyxy, box.class_name or ""))
        wrong = worst.get(box.name)
        boxes.append(
            DrawnBox(box.xyxy, QUIET)
            if wrong is None
            else DrawnBox(box.xyxy, SEVERITY_RGB[wrong.severity], wrong.rule, width=2)
        )
    boxes.sort(key=lambda box: bool(box.text))  # what is wrong lies on top
    told = Counter(finding.rule for finding in one.findings)
    caption = f"{observation.frame}: " + ", ".join(f"{count} {check}" for check, count in sorted(told.items()))
    severities: list[str] = sorted({finding.severity for finding in one.findings})
    return draw_boxes(
        observation.picture,
        boxes,
        caption,
        known=known,
        pictures_shown=pictures_shown,
        pixels=FRAME_PIXELS,
        marks={"check": sorted(told), "severity": severities},
    )
