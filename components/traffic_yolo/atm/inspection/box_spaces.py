"""In which order and in which space four columns are boxes: every convention is tried against every likely size.

A hypothesis is good when nearly all boxes lie inside the space and the space is not much larger than the boxes need:
everything lies inside a space that is large enough.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_iou

FloatArray = NDArray[np.float64]

# name -> the columns of x, y, width, height (or right, bottom) among the four, and what x and y are
CONVENTIONS: dict[str, tuple[tuple[int, int, int, int], str]] = {
    "x, y, w, h": ((0, 1, 2, 3), "top_left"),
    "x, y, h, w": ((0, 1, 3, 2), "top_left"),
    "h, w, x, y": ((2, 3, 1, 0), "top_left"),
    "w, h, x, y": ((2, 3, 0, 1), "top_left"),
    "y, x, h, w": ((1, 0, 3, 2), "top_left"),
    "cx, cy, w, h": ((0, 1, 2, 3), "centre"),
    "cx, cy, h, w": ((0, 1, 3, 2), "centre"),
    "h, w, cx, cy": ((2, 3, 1, 0), "centre"),
    "w, h, cx, cy": ((2, 3, 0, 1), "centre"),
    "x1, y1, x2, y2": ((0, 1, 2, 3), "corners"),
    "y1, x1, y2, x2": ((1, 0, 3, 2), "corners"),
}
SPACES_WH = (
    (1, 1), (100, 100), (300, 300), (320, 240), (320, 320), (416, 416), (512, 512), (608, 608), (640, 360), (640, 480),
    (640, 640), (704, 576), (800, 600), (960, 540), (1024, 576), (1024, 768), (1280, 720), (1280, 960), (1920, 1080),
    (2048, 1536), (2560, 1440), (3840, 2160),
)  # fmt: skip
TOLERANCE = 0.02  # of the space: detectors overshoot a little
FEWEST_BOXES = 8
EDGE_SHARE, TOUCHING_ENOUGH = 0.004, 0.05
# Measured on five real and three rendered recordings: with 0.1 and all four edges one of them got a larger space, with
# this none, and the second best space is further behind in each
TOUCHING_WEIGHT = 0.2
OVERLAP_WEIGHT, OVERLAP_SCANS = 0.6, 60
OVERLAP_BOXES = 64  # compared in one call: by far more, most pairs are of two scans; by far fewer, calls take the time
# Traffic in pictures: width over height of most boxes; from the reference recordings, cars at 1.0 to 1.5, people below
USUAL_ASPECT, ASPECT_SPREAD = 1.1, 0.9


@dataclass(frozen=True)
class BoxSpace:
    """A hypothesis: four columns, the convention they follow, the size of the space, and how well it holds.

    `inside` is the share of boxes inside the space, `fill` how much of the space they reach (1: to its edges), `valid`
    the share with a width and height above 0; `score` in [0, 1] ranks.
    """

    columns: tuple[str, str, str, str]
    convention: str
    space_wh: tuple[int, int]
    is_picture: bool
    inside: float
    valid: float
    fill: float
    score: float

    @property
    def role_of(self) -> dict[str, str]:
        """x, y, width, height (or right, bottom) -> column."""
        places, anchor = CONVENTIONS[self.convention]
        roles = ("x", "y", "right", "bottom") if anchor == "corners" else ("x", "y", "width", "height")
        return {role: self.columns[place] for role, place in zip(roles, places, strict=True)}

    @property
    def anchor(self) -> str:
        """top_left, centre or corners."""
        return CONVENTIONS[self.convention][1]


def rank_box_spaces(
    scans: Sequence[FloatArray], names: Sequence[str], picture_wh: tuple[int, int] | None, *, most: int = 8
) -> list[BoxSpace]:
    """The best hypotheses over all runs of four neighbouring columns of a table, best first.

    `scans`: the rows (n, C) of each scan. Boxes of one scan overlap little where they are boxes, and much where other
    numbers are taken for them.
    """
    table = np.concatenate(scans) if scans else np.zeros((0, len(names)))
    if len(table) < FEWEST_BOXES or table.shape[1] < 4:
        return []
    found = []
    for start in range(table.shape[1] - 3):
        if _may_be_boxes(table[:, start : start + 4]):
            columns = tuple(names[start : start + 4])
            fours = [rows[:, start : start + 4] for rows in scans]
            found += _of_columns(fours, columns, picture_wh)  # type: ignore[arg-type]  # four names
    found.sort(key=lambda one: (-round(one.score, 4), not one.is_picture, one.convention))
    return _distinct(found)[:most]


def _of_columns(
    scans: Sequence[FloatArray], columns: tuple[str, str, str, str], picture_wh: tuple[int, int] | None
) -> list[BoxSpace]:
    spaces = dict.fromkeys(SPACES_WH, False) | ({picture_wh: True} if picture_wh else {})
    four = np.concatenate(scans)
    four = four[np.isfinite(four).all(axis=1)]
    found = []
    for convention in CONVENTIONS:
        boxes = to_xyxy(four, convention)
        size = boxes[:, 2:] - boxes[:, :2]
        valid = float((size > 0).all(axis=1).mean())
        if valid < 0.5:
            continue
        apart = 1 - OVERLAP_WEIGHT * _overlap(scans, convention)
        nearer_is_larger = 0.8 + 0.2 * max(0.0, _correlation(boxes))
        named = _named(columns, convention)
        leftmost, reach = float(np.quantile(boxes[:, 0], 0.01)), np.quantile(boxes[:, 2:], 0.99, axis=0)
        for (space, is_picture), aspect in zip(spaces.items(), _aspects(size, spaces, picture_wh), strict=True):
            inside = _inside(boxes, space)
            fill = float(np.prod(np.clip(reach / space, 0, 1)))
            usual = _usual(aspect) * named * apart * nearer_is_larger
            edges = _edges(boxes, space, leftmost, float(reach[0]))
            score = inside * valid * (0.4 + 0.6 * np.sqrt(fill)) * usual * edges
            found.append(BoxSpace(columns, convention, space, is_picture, inside, valid, fill, float(score)))
    return found


def _aspects(size_wh: FloatArray, spaces: Iterable[tuple[int, int]], picture_wh: tuple[int, int] | None) -> list[float]:
    """Of each space the median width over height of boxes (N, 2), in pixels of the picture where its size is known."""
    scales = np.array([np.divide(picture_wh, space) if picture_wh else np.ones(2) for space in spaces])  # (S, 2)
    # All medians in one call: one at a time, the spaces took a fifth of an inspection
    aspects = size_wh[:, 0] * scales[:, :1] / np.maximum(size_wh[:, 1] * scales[:, 1:], 1e-9)  # (S, N)
    medians: list[float] = np.median(aspects, axis=1).tolist()
    return medians


def _edges(boxes: FloatArray, space_wh: tuple[int, int], leftmost: float, rightmost: float) -> float:
    """A factor for what the edges say: objects that leave the picture are cut there, on the left as on the right.

    Boxes that end just at the right or lower edge tell where it is; the others lie at 0 in every space. `leftmost` and
    `rightmost`: from where to where all boxes (N, 4) but the outer hundredths reach.
    """
    size = np.array(space_wh)
    near = np.abs(boxes[:, 2:] - size) < EDGE_SHARE * size
    touching = min(float(near.any(axis=1).mean()) / TOUCHING_ENOUGH, 1.0)
    left, right = leftmost / size[0], 1 - rightmost / size[0]
    return float((1 - TOUCHING_WEIGHT + TOUCHING_WEIGHT * touching) * (1 - min(abs(left - right), 0.5)))


def _overlap(scans: Sequence[FloatArray], convention: str) -> float:
    """The mean over boxes of the largest IoU with another box of the same scan, in [0, 1]."""
    finite = [rows[np.isfinite(rows).all(axis=1)] for rows in scans[:: max(1, len(scans) // OVERLAP_SCANS)]]
    largest: list[float] = []
    for group in _grouped([rows for rows in finite if len(rows) > 1]):
        boxes = to_xyxy(np.concatenate(group), convention)
        scan = np.repeat(np.arange(len(group)), [len(rows) for rows in group])
        others = scan[:, None] == scan
        np.fill_diagonal(others, False)
        largest += (pairwise_iou(boxes, boxes) * others).max(axis=1).tolist()
    return float(np.mean(largest)) if largest else 0.0


def _grouped(scans: Iterable[FloatArray]) -> list[list[FloatArray]]:
    """Scans in a row that have at most `OVERLAP_BOXES` boxes together; a scan of more is alone."""
    groups: list[list[FloatArray]] = []
    room = 0
    for rows in scans:
        if len(rows) > room:
            groups.append([])
            room = OVERLAP_BOXES
        groups[-1].append(rows)
        room -= len(rows)
    return groups


def _correlation(boxes: FloatArray) -> float:
    """Of the logarithm of the size with the row of the middle: on a road, what is lower in the picture is nearer."""
    size = boxes[:, 2:] - boxes[:, :2]
    good = (size > 0).all(axis=1)
    sizes, rows = np.log(size[good].prod(axis=1)), (boxes[good, 1] + boxes[good, 3]) / 2
    if good.sum() < FEWEST_BOXES or np.ptp(sizes) == 0 or np.ptp(rows) == 0:
        return 0.0
    return float(np.corrcoef(sizes, rows)[0, 1])


def to_xyxy(four: FloatArray, convention: str) -> FloatArray:
    """(N, 4) columns under a convention -> left, top, right, bottom in their own space."""
    places, anchor = CONVENTIONS[convention]
    x, y, a, b = (four[:, place] for place in places)
    if anchor == "corners":
        return np.stack([x, y, a, b], axis=1)
    if anchor == "centre":
        return np.stack([x - a / 2, y - b / 2, x + a / 2, y + b / 2], axis=1)
    return np.stack([x, y, x + a, y + b], axis=1)


def _inside(boxes: FloatArray, space_wh: tuple[int, int]) -> float:
    size = np.array(space_wh)
    slack = size * TOLERANCE
    return float(((boxes[:, :2] >= -slack) & (boxes[:, 2:] <= size + slack)).all(axis=1).mean())


def _may_be_boxes(four: FloatArray) -> bool:
    """No column constant, none mostly negative, and at least one fraction or a large number among them."""
    if not np.isfinite(four).all():
        four = four[np.isfinite(four).all(axis=1)]
    if len(four) < FEWEST_BOXES:
        return False
    varied = (np.ptp(four, axis=0) > 0).all()
    return bool(varied and (np.median(four, axis=0) >= 0).all() and np.abs(four).max() <= 1e5)


def _usual(aspect: float) -> float:
    """In (0, 1]: how usual this median aspect is; it tells width from height where nothing else does."""
    if aspect <= 0:
        return 0.1
    return float(np.exp(-0.5 * (np.log(aspect / USUAL_ASPECT) / ASPECT_SPREAD) ** 2) * 0.3 + 0.7)


X_WORDS, Y_WORDS = ("x", "left", "xmin", "x1", "cx", "u"), ("y", "top", "ymin", "y1", "cy", "v")
W_WORDS, H_WORDS = ("w", "width"), ("h", "height")
RIGHT_WORDS, BOTTOM_WORDS = ("x2", "xmax", "right"), ("y2", "ymax", "bottom")


def _named(columns: Sequence[str], convention: str) -> float:
    """A factor for what the columns' names say: half for each that contradicts the convention, 1 for mute ones."""
    places, anchor = CONVENTIONS[convention]
    last = (RIGHT_WORDS, BOTTOM_WORDS) if anchor == "corners" else (W_WORDS, H_WORDS)
    every = {*X_WORDS, *Y_WORDS, *W_WORDS, *H_WORDS, *RIGHT_WORDS, *BOTTOM_WORDS}
    factor = 1.0
    words_of_role: tuple[tuple[str, ...], ...] = (X_WORDS, Y_WORDS, *last)
    for words, place in zip(words_of_role, places, strict=True):
        word = columns[place].lower().rpartition("_")[2]
        if word in every and word not in words:
            factor /= 2
        if (word in ("cx", "cy")) != (anchor == "centre") and word in ("cx", "cy", "left", "top"):
            factor /= 2
        if columns[place].lower().startswith(("vel", "pos")) or word in ("id", "lane", "heading", "age", "state"):
            factor /= 2
    return factor


def _distinct(found: Sequence[BoxSpace]) -> list[BoxSpace]:
    """At most three spaces of one convention: the reader wants to see what else is likely."""
    kept: list[BoxSpace] = []
    for one in found:
        same = sum((other.columns, other.convention) == (one.columns, one.convention) for other in kept)
        if same < 3:
            kept.append(one)
    return kept
