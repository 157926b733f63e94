"""The verdict on a model's parity: what is exceeded, and the numbers beside it."""

from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.deepstream.parity.agreement import Parity
from traffic_yolo.deepstream.parity.limits import MAX_AP50_DROP, ClassFall, problems_of_boxes
from traffic_yolo.deepstream.waterfall.waterfall import Waterfall
from traffic_yolo.errors import GateError

AP_NAMES = ("ap", "ap50", "ap75")
SINGLE_LABEL = "pytorch_single_label"  # PyTorch's boxes with their best class alone, as DeepStream-Yolo parses them


@dataclass(frozen=True)
class ValidationSummary:
    """The outcome. `problems`: one sentence for each limit that is exceeded; `metrics`: side -> name -> AP or None.

    `left`: what nvinfer's rules are compared with, as people call it: PyTorch, or another runtime that ran the model.
    `waterfall`: where one was asked for; its gates are its own, and not in `problems`. `worst_fall`: of the class whose
    AP50 falls most for what it may, None where no class has truth.
    """

    path: Path
    split: str
    pictures: int
    parity: Parity
    metrics: dict[str, dict[str, float | None]]
    problems: tuple[str, ...]
    left: str = "PyTorch"
    waterfall: Waterfall | None = None
    worst_fall: ClassFall | None = None

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

    def check_waterfall(self, on_failed_stage: str) -> None:
        """Raises `GateError` where a stage of the waterfall is beyond its limits and `on_failed_stage` is "stop"."""
        if on_failed_stage == "stop" and self.waterfall and not self.waterfall.passed:
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


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
