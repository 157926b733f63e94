"""medianstop as Katib has it: despite its name it compares with the mean of the other trials' means.

From earlystopping/v1beta1/medianstop/service.py and the metrics collector's `updateStopRules`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.algorithms import MEDIANSTOP_DEFAULTS


@dataclass
class MedianStop:
    """Knows the finished trials' first `start_step` objective values; says below what a new one is stopped.

    `maximise`: whether a higher objective is better.
    """

    maximise: bool
    min_trials_required: int = MEDIANSTOP_DEFAULTS["min_trials_required"]
    start_step: int = MEDIANSTOP_DEFAULTS["start_step"]
    _means: list[float] = field(default_factory=list)

    @classmethod
    def of_settings(cls, settings: Mapping[str, str], *, maximise: bool) -> "MedianStop":
        """Raises `OptionsError` for a setting that medianstop does not have."""
        if unknown := sorted(set(settings) - set(MEDIANSTOP_DEFAULTS)):
            raise OptionsError(f"medianstop: unknown setting {unknown[0]!r}; expected {', '.join(MEDIANSTOP_DEFAULTS)}")
        try:
            numbers = MEDIANSTOP_DEFAULTS | {name: int(value) for name, value in settings.items()}
        except ValueError as error:
            raise OptionsError(f"medianstop: expected whole numbers, found {dict(settings)}") from error
        return cls(maximise, numbers["min_trials_required"], numbers["start_step"])

    def add_finished(self, values: Sequence[float]) -> None:
        """Takes note of a trial that succeeded, by its objective's values in their order."""
        first = values[: self.start_step]
        if first:
            self._means.append(sum(first) / len(first))

    def limit(self) -> float | None:
        """What a trial that starts now is measured by, None as long as too few have finished."""
        if len(self._means) < self.min_trials_required:
            return None
        return sum(self._means) / len(self._means)

    def stops(self, limit: float | None, values: Sequence[float]) -> bool:
        """Whether a running trial is stopped: its best value so far, from report `start_step` on, is worse."""
        if limit is None or len(values) < self.start_step:
            return False
        best = max(values) if self.maximise else min(values)
        return best < limit if self.maximise else best > limit
