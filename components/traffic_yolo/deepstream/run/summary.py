"""The outcome of a run of the real deepstream-app."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from traffic_yolo.deepstream.parity.agreement import Parity
from traffic_yolo.deepstream.verdict import AP_NAMES

SIMULATED = "simulated"


@dataclass(frozen=True)
class GpuRunSummary:
    """The outcome. `precision`: what ran, as far as log and engine say; `problems`: a sentence each, empty: passed.

    `metrics`: "simulated" and "deepstream" -> name -> AP or None. `engine`: the engine's file name. `seconds`: of
    deepstream-app, the building of the engine included.
    """

    path: Path
    split: str
    pictures: int
    parts: int
    precision: str
    engine: str
    seconds: float
    parity: Parity
    metrics: Mapping[str, Mapping[str, float | None]]
    problems: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether the run is within the limits."""
        return not self.problems

    @property
    def scalars(self) -> dict[str, float]:
        """The few numbers that the Kubeflow UI lists."""
        found = {"deepstream_passed": float(self.passed), "deepstream_agreement": self.parity.explained_agreement}
        named = {f"{name}_{side}": values[name] for side, values in self.metrics.items() for name in AP_NAMES[:2]}
        return found | {name: value for name, value in named.items() if value is not None}

    @property
    def text(self) -> str:
        """A line or two for people; a failure says why."""
        shown = {
            side: "–" if values["ap50"] is None else f"{values['ap50']:.4f}" for side, values in self.metrics.items()
        }
        line = (
            f"DeepStream on {self.pictures} pictures of {self.split} in {self.parts} sizes, {self.precision}, "
            f"{self.seconds:.0f} s: {self.parity.explained_agreement:.3f} of the boxes agree with nvinfer's rules "
            f"simulated, AP50 {shown['deepstream']} for {shown[SIMULATED]}"
        )
        return line if self.passed else f"{line}\nFAILED: {'; '.join(self.problems)}"
