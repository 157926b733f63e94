"""The verdict on a model's parity: the limits, and which of them a model exceeds."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.deepstream.parity import Parity

# Measured on 164 COCO pictures with two COCO-pretrained networks at confidence 0.10 and 0.25: the resize rules alone
# (corners aligned in Darknet, half-pixel centres in the hardware) leave 0.973 to 0.976. At 0.25, nearest instead of
# bilinear gives 0.922, a swapped colour order or the wrong aspect rule 0.798.
MIN_EXPLAINED_AGREEMENT = 0.95
MAX_AP50_DROP = 0.02
AP_NAMES = ("ap", "ap50", "ap75")
SINGLE_LABEL = "pytorch_single_label"  # PyTorch's boxes with their best class alone, as DeepStream-Yolo parses them


@dataclass(frozen=True)
class ValidationSummary:
    """The outcome. `problems`: one sentence for each limit that is exceeded; `metrics`: side -> name -> AP or None.

    `left`: what nvinfer's rules are compared with, as people call it: PyTorch, or another runtime that ran the model.
    """

    path: Path
    split: str
    pictures: int
    parity: Parity
    metrics: dict[str, dict[str, float | None]]
    problems: tuple[str, ...]
    left: str = "PyTorch"

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
        return parity | {name: value for name, value in metrics.items() if value is not None}

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
        return line if self.passed else f"{line}\nPARITY FAILED: {'; '.join(self.problems)}"


def problems_of(parity: Parity, metrics: dict[str, dict[str, float | None]]) -> tuple[str, ...]:
    """One sentence for each limit that is exceeded; empty when the model may be deployed."""
    problems = []
    if not parity.matched + parity.only_left + parity.only_right:
        problems.append("neither side reports a single box, so nothing was compared")
    if parity.explained_agreement < MIN_EXPLAINED_AGREEMENT:
        boxes = 2 * parity.matched + parity.only_left + parity.only_right
        problems.append(
            f"{parity.unexplained} of {boxes} boxes have no partner "
            f"(agreement {parity.explained_agreement:.3f}, expected at least {MIN_EXPLAINED_AGREEMENT})"
        )
    # Like with like: what a second class for a box is worth is a property of the parser, and reported beside
    before, after = metrics[SINGLE_LABEL]["ap50"], metrics["deepstream"]["ap50"]
    if before is not None and after is not None and before - after > MAX_AP50_DROP:
        problems.append(
            f"AP50 with one class a box falls from {before:.4f} to {after:.4f}, expected by at most {MAX_AP50_DROP}"
        )
    return tuple(problems)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
