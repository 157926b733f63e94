"""The verdict on a model's parity: the limits, and which of them a model exceeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traffic_yolo.deepstream.parity import Counts, Parity
from traffic_yolo.errors import GateError
from traffic_yolo.metrics.coco import ClassMetrics

if TYPE_CHECKING:
    from traffic_yolo.deepstream.waterfall import Waterfall  # whose gates use the limits below

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
AP_NAMES = ("ap", "ap50", "ap75")
SINGLE_LABEL = "pytorch_single_label"  # PyTorch's boxes with their best class alone, as DeepStream-Yolo parses them


@dataclass(frozen=True)
class ValidationSummary:
    """The outcome. `problems`: one sentence for each limit that is exceeded; `metrics`: side -> name -> AP or None.

    `left`: what nvinfer's rules are compared with, as people call it: PyTorch, or another runtime that ran the model.
    `waterfall`: where one was asked for; its gates are its own, and not in `problems`.
    """

    path: Path
    split: str
    pictures: int
    parity: Parity
    metrics: dict[str, dict[str, float | None]]
    problems: tuple[str, ...]
    left: str = "PyTorch"
    waterfall: "Waterfall | None" = None

    @property
    def passed(self) -> bool:
        """Whether the model may be deployed."""
        return not self.problems

    @property
    def scalars(self) -> dict[str, float]:
        """The few numbers that the Kubeflow UI lists; one that is undefined is left out."""
        parity = {
            "parity_passed": float(self.passed),
            "parity_agreement": self.parity.agreement,
            "parity_explained_agreement": self.parity.explained_agreement,
        }
        metrics = {f"{name}_{side}": values[name] for name in AP_NAMES[:2] for side, values in self.metrics.items()}
        found = parity | {name: value for name, value in metrics.items() if value is not None}
        return found | (self.waterfall.scalars if self.waterfall else {})

    @property
    def text(self) -> str:
        """A line or two for people; a failure says why."""
        shown = {side: _shown(values["ap50"]) for side, values in self.metrics.items()}
        line = (
            f"parity on {self.pictures} pictures of {self.split}: {self.parity.agreement:.3f} of the boxes agree "
            f"({self.parity.explained_agreement:.3f} less second labels and scores at the threshold), "
            f"AP50 {shown['pytorch']} in {self.left}, {shown[SINGLE_LABEL]} with one class a box (as DeepStream-Yolo's "
            f"parser has it), {shown['deepstream']} under nvinfer's rules"
        )
        if not self.passed:
            line += f"\nPARITY FAILED: {'; '.join(self.problems)}"
        return f"{line}\n{self.waterfall.text}" if self.waterfall else line

    def check_waterfall(self) -> None:
        """Raises `GateError` where a stage of the waterfall is beyond its limits."""
        if self.waterfall and not self.waterfall.passed:
            raise GateError("; ".join(self.waterfall.problems))


def problems_of(parity: Parity, metrics: dict[str, dict[str, float | None]]) -> tuple[str, ...]:
    """One sentence for each limit over all classes that is exceeded; empty when the model may be deployed."""
    # Like with like: what a second class for a box is worth is a property of the parser, and reported beside
    before, after = metrics[SINGLE_LABEL]["ap50"], metrics["deepstream"]["ap50"]
    problems = list(problems_of_boxes(parity))
    if before is not None and after is not None and before - after > MAX_AP50_DROP:
        problems.append(
            f"AP50 with one class a box falls from {before:.4f} to {after:.4f}, expected by at most {MAX_AP50_DROP}"
        )
    return tuple(problems)


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


def problems_of_class_aps(before: Sequence[ClassMetrics], after: Sequence[ClassMetrics]) -> tuple[str, ...]:
    """One sentence that names the classes whose AP50 falls too far, the worst first; empty where there are none."""
    bad = []
    for one, other in zip(before, after, strict=True):
        if one.ap50 is None or other.ap50 is None:
            continue
        if one.ap50 - other.ap50 > MAX_CLASS_AP50_DROP + BOXES_OF_CHANCE / one.num_truths:
            bad.append((other.ap50 - one.ap50, f"{one.class_name} from {one.ap50:.4f} to {other.ap50:.4f}"))
    if not bad:
        return ()
    return (
        f"{CLASSES_FALL}: {_listed([text for _, text in sorted(bad)])}; expected by at most "
        f"{MAX_CLASS_AP50_DROP} and what {BOXES_OF_CHANCE} boxes are worth",
    )


def cause_of_padding(black: Parity, grey: Parity) -> tuple[str, ...]:
    """A sentence where the colour of the padding costs a letterbox model agreement; empty where it does not.

    `black`: parity as nvinfer pads; `grey`: as it would be with Darknet's grey, everything else alike.
    """
    if grey.explained_agreement <= black.explained_agreement:
        return ()
    return (
        f"letter_box=1: nvinfer pads in black, Darknet in grey, and with grey the agreement would be "
        f"{grey.explained_agreement:.3f} for {black.explained_agreement:.3f}; train on stretched pictures "
        f"(letter_box=0), or give DeepStream frames whose grey border brings them to the network's aspect already",
    )


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


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
