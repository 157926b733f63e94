"""A waterfall: what a model's numbers are at each stage from Darknet to DeepStream, and what each loss is due to.

Knows the outcome: stages, rules, gates, and what is said of them. `waterfall_stages` makes it.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.parity.agreement import Counts, Parity, compare
from traffic_yolo.deepstream.parity.limits import problems_of_boxes, problems_of_class_aps, problems_of_classes
from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import Groups, Interval, interval, resample_weights
from traffic_yolo.metrics.coco import ClassMetrics, evaluate_coco
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.operating_point import operating_point
from traffic_yolo.metrics.paired import NO_EVIDENCE, Difference, Sampled, differences_of, sampled

NUMBERS = ("ap", "ap50", "f1")
SHOWN = {"ap": "AP", "ap50": "AP50", "f1": "F1"}
UNIT = 10_000  # numbers are shown to the ten-thousandth
RESAMPLES = 1000  # for each of the dozen states; the limits of an interval move by less than a tenth of its width


@dataclass(frozen=True)
class State:
    """What is reported under one setting of the rules, and its numbers.

    `found`: detections from the floor up; those whose score is strictly above `thresholds` (C,) are reported at the
    operating point. `per_class`: AP of each class.
    """

    found: Detections
    thresholds: NDArray[np.float32]
    sampled: Sampled

    @property
    def values(self) -> Mapping[str, float]:
        """AP and AP50 (missing without truth) and F1, in [0, 1]."""
        return {name: self.sampled.values[name] for name in NUMBERS if name in self.sampled.values}

    @property
    def reported(self) -> Detections:
        """The detections at the operating point."""
        return self.found.select(self.found.scores > self.thresholds[self.found.class_ids])


class Judge:
    """The truth and the resamples that all states of one waterfall are judged by."""

    def __init__(self, truth: GroundTruth, groups: Groups, *, resamples: int = RESAMPLES) -> None:
        """`groups`: of the truth's pictures, which are resampled together."""
        self.truth, self.groups = truth, groups
        self._weights = resample_weights(groups, resamples=resamples)
        self._known: dict[bytes, Sampled] = {}

    def state(self, found: Detections, thresholds: Sequence[float] | NDArray[np.float32]) -> State:
        """The numbers of detections (from the floor up) at these thresholds (C,)."""
        limits = np.asarray(thresholds, np.float32)
        # A rule that moves nothing leaves the very same detections: their resamples are known
        arrays = (found.image_ids, found.boxes_xyxy, found.scores, found.class_ids, limits)
        key = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()
        if key not in self._known:
            self._known[key] = sampled(found, self.truth, limits, self._weights)
        return State(found, limits, self._known[key])

    def differences(self, first: State, second: State) -> tuple[Difference, ...]:
        """`NUMBERS` of the second less the first's, with intervals over the same resamples.

        A single group says nothing of others: its intervals are as wide as a number's range.
        """
        found = (each for each in differences_of(first.sampled, second.sampled, self.groups) if each.name in NUMBERS)
        if self.groups.count > 1:
            return tuple(found)
        return tuple(dataclasses.replace(each, difference=Interval(each.difference.value, -1, 1)) for each in found)

    def count(self, image_ids: NDArray[np.int64]) -> Interval:
        """How many boxes there are, given the picture of each, with the interval over the same resamples.

        The count is at least 0, so that its interval excludes 0 where boxes are found in so many groups that hardly a
        resample leaves all of these out: in four of many, say.
        """
        pictures = self.truth.picture_indices(image_ids)
        of_picture = np.bincount(pictures, minlength=len(self.truth.image_ids)).astype(np.int64)
        if self.groups.count < 2:
            return Interval(len(image_ids), 0, len(image_ids))
        return interval(len(image_ids), (self._weights @ of_picture).astype(np.float64), groups=self.groups.count)

    def boxes(self, first: State, second: State) -> Parity:
        """Which boxes that are reported in one state have a partner in the other."""
        return compare(
            first.reported,
            second.reported,
            num_classes=len(self.truth.classes),
            confidence_threshold=second.thresholds.tolist(),
        )

    def class_aps(self, state: State) -> tuple[ClassMetrics, ...]:
        """AP and AP50 of each class."""
        return evaluate_coco(self.truth, state.found).per_class

    def class_f1s(self, state: State) -> tuple[float, ...]:
        """F1 of each class at the operating point."""
        point = operating_point(
            match(state.found, self.truth),
            self.truth.classes,
            confidence_threshold=float(state.thresholds.min()),
            iou_threshold=0.0,
            class_thresholds=state.thresholds.tolist(),
        )
        return tuple(each.f1 for each in point.per_class)


@dataclass(frozen=True)
class RuleRow:
    """One rule of a stage: what it moves on top of the rules before it, and alone.

    `values`: the numbers once it is turned; `steps` their differences from the row before, `alone` from the stage that
    the rules start from (empty where the rule cannot be turned alone). `lost` and `gained`: how many boxes are reported
    before and not after, and the other way round. `is_expected`: a property of the deployment that the stage's gate
    leaves out.
    """

    cause: str
    meaning: str
    values: Mapping[str, float]
    steps: tuple[Difference, ...]
    alone: tuple[Difference, ...]
    lost: Interval
    gained: Interval
    is_expected: bool = False

    @property
    def named(self) -> tuple[Difference, ...]:
        """The numbers for which this is a cause: their intervals exclude 0, and as shown they move at all."""
        moved = (each for each in self.steps if round(each.difference.value * UNIT))
        return tuple(each for each in moved if each.verdict != NO_EVIDENCE)

    @property
    def named_boxes(self) -> tuple[tuple[str, Interval], ...]:
        """Of "lost" and "gained" those whose intervals, as shown, exclude 0: boxes change, whatever AP says."""
        counts = (("lost", self.lost), ("gained", self.gained))
        return tuple((word, count) for word, count in counts if round(count.low) > 0)

    @property
    def named_for(self) -> tuple[str, ...]:
        """What the rule is named as a cause of: names of numbers, then "lost" and "gained" boxes."""
        return (*(each.name for each in self.named), *(word for word, _ in self.named_boxes))


@dataclass(frozen=True)
class ClassNumbers:
    """One class in one stage; `lost` and `gained` against the stage before."""

    class_name: str
    ap: float | None
    ap50: float | None
    f1: float
    lost: int
    gained: int


@dataclass(frozen=True)
class Stage:
    """One way to run the model, against the one before it (`before`: its key; "" for the first).

    `values` of the stage; `start` those of the stage before, to which `rows` add up; `together`: all rules at once.
    `note`: what a reader must know of the numbers. `problems`: a sentence for each limit that is exceeded.
    """

    key: str
    name: str
    values: Mapping[str, float]
    start: Mapping[str, float]
    per_class: tuple[ClassNumbers, ...]
    before: str = ""
    rows: tuple[RuleRow, ...] = ()
    together: tuple[Difference, ...] = ()
    boxes: Counts = dataclasses.field(default_factory=lambda: Counts(0, 0, 0))
    problems: tuple[str, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the stage's gate lets it through."""
        return not self.problems


@dataclass(frozen=True)
class Waterfall:
    """All stages on the `pictures` of a split. `inferences`: how many were made of each picture for it."""

    split: str
    pictures: int
    groups: Groups
    stages: tuple[Stage, ...]
    max_drop: float
    inferences: int

    @property
    def passed(self) -> bool:
        """Whether every stage passed its gate."""
        return all(stage.passed for stage in self.stages)

    @property
    def problems(self) -> tuple[str, ...]:
        """Every limit that is exceeded, with its stage."""
        return tuple(f"{stage.name}: {problem}" for stage in self.stages for problem in stage.problems)

    @property
    def scalars(self) -> dict[str, float]:
        """What the Kubeflow UI lists: whether all passed, and how far AP50 and F1 of each stage lie below the first."""
        found = {"waterfall_passed": float(self.passed)}
        for stage in self.stages[1:]:
            for name in ("ap50", "f1"):
                moved = [each for each in stage.together if each.name == name]
                found |= {f"waterfall_{name}_{stage.key}": each.difference.value for each in moved}
        return found

    @property
    def text(self) -> str:
        """A line for each stage, and below it one for each cause; a failed gate says why."""
        lines = []
        for stage in self.stages:
            numbers = ", ".join(f"{SHOWN[name]} {value:.4f}" for name, value in stage.values.items())
            moved = f"; {stage.boxes.only_left} boxes lost, {stage.boxes.only_right} gained" if stage.before else ""
            lines.append(f"  {stage.name:<24} {numbers}{moved}")
            lines += [f"    {row.cause}: {_named(row)}" for row in stage.rows if row.named_for]
        if not self.passed:
            lines.append(f"WATERFALL FAILED: {'; '.join(self.problems)}")
        resampled = f"{self.groups.count} {self.groups.of}s"
        return f"waterfall on {self.pictures} pictures of {self.split}, causes by intervals over {resampled}:\n" + (
            "\n".join(lines)
        )

    def document(self) -> dict[str, Any]:
        """The content of waterfall.json."""
        return {
            "schema_version": 1,
            "passed": self.passed,
            "problems": list(self.problems),
            "split": self.split,
            "pictures": self.pictures,
            "inferences": self.inferences,
            "max_drop": self.max_drop,
            "groups": {"of": self.groups.of, "count": self.groups.count, "note": self.groups.note},
            "stages": [_stage_document(stage) for stage in self.stages],
        }


def in_units(values: Sequence[float]) -> list[int]:
    """Steps of a row of values in ten-thousandths: as shown, they add up to the whole way as shown."""
    whole = [round(value * UNIT) for value in values]
    return [after - before for before, after in itertools.pairwise(whole)]


def gate(
    judge: Judge,
    first: State,
    second: State,
    max_drop: float,
    *,
    hold_boxes: bool,
) -> tuple[str, ...]:
    """A sentence for each limit that `second` exceeds against `first`, like with like.

    AP, AP50 and F1 may fall by `max_drop`; every class is held to its boxes and its AP50, so that labels which are
    shifted or swapped fail; with `hold_boxes` all boxes together are held too.
    """
    problems = [
        f"{SHOWN[name]} falls from {before:.4f} to {second.values[name]:.4f}, expected by at most {max_drop:g}"
        for name, before in first.values.items()
        if before - second.values[name] > max_drop
    ]
    parity = judge.boxes(first, second)
    if hold_boxes or not parity.boxes:
        problems += problems_of_boxes(parity)
    problems += problems_of_classes(parity, judge.truth.classes)
    problems += problems_of_class_aps(judge.class_aps(first), judge.class_aps(second))
    return tuple(problems)


def rule_row(
    judge: Judge,
    cause: str,
    meaning: str,
    *,
    before: State,
    after: State,
    start: State,
    alone: State | None,
    is_expected: bool = False,
) -> RuleRow:
    """The row of a rule that turns `before` into `after`, and `start` into `alone`."""
    boxes = judge.boxes(before, after)
    return RuleRow(
        cause=cause,
        meaning=meaning,
        values=after.values,
        steps=judge.differences(before, after),
        alone=() if alone is None else judge.differences(start, alone),
        lost=judge.count(boxes.only_left_images),
        gained=judge.count(boxes.only_right_images),
        is_expected=is_expected,
    )


def stage_of(
    judge: Judge,
    key: str,
    name: str,
    state: State,
    *,
    before: tuple[str, State] | None = None,
    rows: Sequence[RuleRow] = (),
    problems: Sequence[str] = (),
    note: str = "",
) -> Stage:
    """A stage of `state`, against the key and state of the one before it."""
    boxes = judge.boxes(before[1], state) if before else None
    aps, f1s = judge.class_aps(state), judge.class_f1s(state)
    counts = boxes.per_class if boxes else (Counts(0, 0, 0),) * len(aps)
    return Stage(
        key=key,
        name=name,
        values=state.values,
        start=before[1].values if before else state.values,
        per_class=tuple(
            ClassNumbers(each.class_name, each.ap, each.ap50, f1, of_class.only_left, of_class.only_right)
            for each, f1, of_class in zip(aps, f1s, counts, strict=True)
        ),
        before=before[0] if before else "",
        rows=tuple(rows),
        together=judge.differences(before[1], state) if before else (),
        boxes=Counts(boxes.matched, boxes.only_left, boxes.only_right) if boxes else Counts(0, 0, 0),
        problems=tuple(problems),
        note=note,
    )


def _named(row: RuleRow) -> str:
    """As in `-0.0123 AP50 (-0.0190 to -0.0061), 61 (44 to 80) boxes lost`."""
    numbers = [
        f"{each.difference.value:+.4f} {SHOWN[each.name]} ({each.difference.low:+.4f} to {each.difference.high:+.4f})"
        for each in row.named
    ]
    return ", ".join([*numbers, *(f"{count_text(count)} boxes {word}" for word, count in row.named_boxes)])


def count_text(count: Interval) -> str:
    """As in `61 (44 to 80)`."""
    return f"{count.value:.0f} ({count.low:.0f} to {count.high:.0f})"


def _stage_document(stage: Stage) -> dict[str, Any]:
    return {
        "key": stage.key,
        "name": stage.name,
        "before": stage.before,
        "note": stage.note,
        "passed": stage.passed,
        "problems": list(stage.problems),
        "values": dict(stage.values),
        "start": dict(stage.start),
        "boxes": {"both": stage.boxes.matched, "lost": stage.boxes.only_left, "gained": stage.boxes.only_right},
        "rules": [
            {
                "cause": row.cause,
                "meaning": row.meaning,
                "expected": row.is_expected,
                "values": dict(row.values),
                "steps": _differences(row.steps),
                "alone": _differences(row.alone),
                "named_for": list(row.named_for),
                "lost": int(row.lost.value),
                "gained": int(row.gained.value),
                "boxes": {"lost": dataclasses.asdict(row.lost), "gained": dataclasses.asdict(row.gained)},
            }
            for row in stage.rows
        ],
        "together": _differences(stage.together),
        "per_class": [dataclasses.asdict(each) for each in stage.per_class],
    }


def _differences(found: Sequence[Difference]) -> dict[str, dict[str, float]]:
    return {each.name: dataclasses.asdict(each.difference) for each in found}
