"""The limits of parity, and which of them boxes, classes and AP50s exceed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from traffic_yolo.deepstream.parity.agreement import Counts, Parity
from traffic_yolo.metrics.coco import ClassMetrics

# Measured on 164 COCO pictures with two COCO-pretrained networks at confidence 0.10 and 0.25: the resize rules alone
# (corners aligned in Darknet, half-pixel centres in the hardware) leave 0.973 to 0.976. At 0.25, nearest instead of
# bilinear gives 0.922, a swapped colour order or the wrong aspect rule 0.798.
MIN_EXPLAINED_AGREEMENT = 0.95
MAX_AP50_DROP = 0.02
# A class alone has few boxes: it fails where chance explains the boxes without partner in less than one case of a
# hundred. On the same pictures the worst healthy class with 20 boxes or more reaches 0.80, a swapped one 0.33.
MIN_CLASS_AGREEMENT = 0.85
CHANCE = 0.01
# One box more or less moves a class's AP50 by about one over its true boxes; two of them are no fault yet. Measured:
# 0.078 with 19 true boxes, 0.017 with 77; a swapped class 0.31 with 40.
MAX_CLASS_AP50_DROP = 0.05
BOXES_OF_CHANCE = 2
CLASSES_FALL = "AP50 of single classes falls"  # how that problem begins
NAMED = 5  # classes named in a message


def problems_of_boxes(parity: Parity) -> tuple[str, ...]:
    """The limits that need no truth: what a run on a GPU node is held to as well."""
    problems = []
    if not parity.boxes:
        problems.append("neither side reports a single box, so nothing was compared")
    if parity.explained_agreement < MIN_EXPLAINED_AGREEMENT:
        problems.append(
            f"{parity.unexplained} of {parity.boxes} boxes have no partner "
            f"(agreement {parity.explained_agreement:.3f}, expected at least {MIN_EXPLAINED_AGREEMENT})"
        )
    return tuple(problems)


def problems_of_classes(parity: Parity, classes: Sequence[str]) -> tuple[str, ...]:
    """One sentence that names the classes whose boxes agree too little, the worst first; empty where there are none.

    Labels that are shifted or swapped show here first: a class that is rare moves no number over all classes.
    """
    bad = [
        (counts.explained_agreement, name, counts)
        for name, counts in zip(classes, parity.per_class, strict=True)
        if beyond_chance(counts)
    ]
    if not bad:
        return ()
    bad.sort(key=lambda one: one[:2])
    named = [f"{name} ({counts.unexplained} of {counts.boxes})" for _, name, counts in bad]
    return (
        f"boxes without partner in {_listed(named)}: a class's agreement is expected to be at least "
        f"{MIN_CLASS_AGREEMENT}; look whether labels are shifted or swapped",
    )


@dataclass(frozen=True)
class ClassFall:
    """How far the AP50 of a class falls from one side to the other, in [-1, 1], and by how much it may (`most`)."""

    class_name: str
    before: float
    after: float
    most: float

    @property
    def lost(self) -> float:
        """AP50 before less AP50 after."""
        return self.before - self.after

    @property
    def is_too_far(self) -> bool:
        """Whether more is lost than may be."""
        return self.lost > self.most


def class_falls(before: Sequence[ClassMetrics], after: Sequence[ClassMetrics]) -> list[ClassFall]:
    """Each class with truth on both sides; first the one that is farthest beyond what it may lose, or nearest to it."""
    falls = [
        ClassFall(one.class_name, one.ap50, other.ap50, MAX_CLASS_AP50_DROP + BOXES_OF_CHANCE / one.num_truths)
        for one, other in zip(before, after, strict=True)
        if one.ap50 is not None and other.ap50 is not None
    ]
    return sorted(falls, key=lambda each: each.most - each.lost)


def problems_of_class_aps(before: Sequence[ClassMetrics], after: Sequence[ClassMetrics]) -> tuple[str, ...]:
    """One sentence that names the classes whose AP50 falls too far, the worst first; empty where there are none."""
    bad = sorted((each for each in class_falls(before, after) if each.is_too_far), key=lambda each: -each.lost)
    if not bad:
        return ()
    listed = _listed([f"{each.class_name} from {each.before:.4f} to {each.after:.4f}" for each in bad])
    most = f"{MAX_CLASS_AP50_DROP} and what {BOXES_OF_CHANCE} boxes are worth"
    return (f"{CLASSES_FALL}: {listed}; expected by at most {most}",)


def beyond_chance(counts: Counts) -> bool:
    """Whether a class that truly agrees by `MIN_CLASS_AGREEMENT` leaves so many boxes alone in under 1 % of cases."""
    alone, places = counts.unexplained, counts.boxes - counts.matched
    if counts.explained_agreement >= MIN_CLASS_AGREEMENT:
        return False
    # A matched pair is one place and two boxes: the share of places that one side alone reports
    share = 2 * (1 - MIN_CLASS_AGREEMENT) / (2 - MIN_CLASS_AGREEMENT)
    return 1 - sum(_binomial(places, k, share) for k in range(alone)) < CHANCE


def _binomial(n: int, k: int, share: float) -> float:
    """The probability of k in n; by logarithms, since n is a number of boxes."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(share) + (n - k) * math.log(1 - share))


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more
