"""Reads a trial's metrics out of its log by Katib's rule, and sums them up as Katib's controller does.

From metricscollector/v1beta1/file-metricscollector/file-metricscollector.go and controller.v1beta1/trial/util.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from traffic_yolo.cluster.access import mapping_at, text_at, texts_at
from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.spec.constants import DEFAULT_METRICS_FORMAT, TIMESTAMP_KEY, UNAVAILABLE
from traffic_yolo.katib.spec.defaults import strategies
from traffic_yolo.katib.spec.go_regexp import compile_go
from traffic_yolo.storage import json_value

# time.RFC3339Nano, which is what the first word of a line must be to count as its time
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_NO_TIME = "0001-01-01T00:00:00Z"  # Go's zero time


@dataclass(frozen=True)
class Reading:
    """One value of one metric as it stands in the log; `time` is RFC 3339, Go's zero time where the log has none."""

    time: str
    name: str
    value: str


@dataclass(frozen=True)
class ObservedMetric:
    """A metric over a whole trial, as texts: `latest` by time, `least` and `most` "unavailable" without a number."""

    name: str
    latest: str
    least: str
    most: str

    def by(self, strategy: str) -> float | None:
        """Its number under min, max or latest; None where that is no number."""
        text = {"min": self.least, "max": self.most, "latest": self.latest}[strategy]
        return _number(text)

    def to_status(self) -> dict[str, str]:
        """As it stands in a Trial's status."""
        return {"name": self.name, "latest": self.latest, "max": self.most, "min": self.least}


@dataclass(frozen=True)
class LogFormat:
    """How metrics stand in a log: `metrics` with the objective first, `file_format` TEXT or JSON, `expressions`."""

    metrics: tuple[str, ...]
    strategies: Mapping[str, str]
    file_format: str = "TEXT"
    expressions: tuple[str, ...] = field(default=(DEFAULT_METRICS_FORMAT,))

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> "LogFormat":
        """Of an experiment's spec with Katib's defaults; `OptionsError` for an expression that Go does not take."""
        source = mapping_at(spec, "metricsCollectorSpec", "source")
        expressions = tuple(texts_at(source, "filter", "metricsFormat")) or (DEFAULT_METRICS_FORMAT,)
        for expression in expressions:
            try:
                compile_go(expression)
            except ValueError as error:
                raise OptionsError(f"metricsFormat {expression!r}: {error}") from error
        objective = mapping_at(spec, "objective")
        names = (text_at(objective, "objectiveMetricName"), *texts_at(objective, "additionalMetricNames"))
        file_format = text_at(source, "fileSystemPath", "format") or "TEXT"
        return cls(names, strategies(spec), file_format, expressions)

    def read(self, log: str) -> list[Reading]:
        """Every reading of a log, in its order. Raises `OptionsError` for a line of a JSON log that is no JSON."""
        return list(self._read_json(log) if self.file_format == "JSON" else self._read_text(log))

    def _read_text(self, log: str) -> Sequence[Reading]:
        found = []
        for line in log.split("\n"):
            if not any(name in line for name in self.metrics):
                continue
            first = line.split(" ", 1)
            time = first[0] if len(first) == 2 and _RFC3339.fullmatch(first[0]) else _NO_TIME
            for expression in self.expressions:
                for match in compile_go(expression).finditer(line):
                    groups = match.groups(default="")
                    if len(groups) < 2 or (name := groups[0].strip()) not in self.metrics:
                        continue
                    found.append(Reading(time, name, groups[1].strip()))
        return found

    def _read_json(self, log: str) -> Sequence[Reading]:
        found = []
        for number, line in enumerate(log.split("\n"), start=1):
            if not line:
                continue
            try:
                values = json_value(line, keys_once=False)  # Go takes the last
            except ValueError as error:
                raise OptionsError(f"metrics log line {number}: not JSON ({error}); Katib's collector stops") from error
            if not isinstance(values, dict):
                raise OptionsError(f"metrics log line {number}: expected a JSON object; Katib's collector stops")
            time = _json_time(values.get(TIMESTAMP_KEY))
            # A number that is no text is passed over by Katib without a word
            texts = [(name, values.get(name)) for name in self.metrics]
            found += [Reading(time, name, value) for name, value in texts if isinstance(value, str)]
        return found

    def observe(self, readings: Sequence[Reading]) -> list[ObservedMetric] | None:
        """Every metric over a trial; None where the objective was never reported, which makes the trial unavailable."""
        if not any(reading.name == self.metrics[0] for reading in readings):
            return None
        return [_observed(name, [reading for reading in readings if reading.name == name]) for name in self.metrics]

    def objective_of(self, observation: Sequence[ObservedMetric] | None) -> float | None:
        """The number by which trials are compared, or None."""
        if observation is None:
            return None
        name = self.metrics[0]
        found = next(metric for metric in observation if metric.name == name)
        return found.by(self.strategies.get(name, "latest"))


def _observed(name: str, readings: Sequence[Reading]) -> ObservedMetric:
    latest, newest = UNAVAILABLE, _moment(_NO_TIME)
    numbers = []
    for reading in readings:
        value = _number(reading.value)
        if value is not None:
            numbers.append((value, reading.value))
        if (moment := _moment(reading.time)) >= newest:
            latest, newest = reading.value, moment
    least = min(numbers)[1] if numbers else UNAVAILABLE
    most = max(numbers)[1] if numbers else UNAVAILABLE
    return ObservedMetric(name, latest, least, most)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _json_time(value: Any) -> str:
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    return _NO_TIME


def _moment(time: str) -> datetime:
    """A time with microseconds: finer parts of RFC 3339 make no difference to the order of our lines."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", time))
    except ValueError:  # 31 February and the like
        return datetime.fromisoformat(_NO_TIME)
