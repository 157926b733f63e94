"""Of a compression's trials those that no other beats in both AP and cost, and which of them to take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.storage import AnyPath, input_path
from traffic_yolo.tuning.compression_record import CompressionRecord, JudgedBy, read_records
from traffic_yolo.tuning.front_options import FrontOptions
from traffic_yolo.tuning.latency_limit import LatencyLimit

ROUNDING = 1e-9  # of a difference: .4 - .3 is not at most .1
TITLES = {"map": "AP", "map50": "AP50", "latency_ms": "ms a picture", "bflops": "BFLOPs", "weights": "weights"}


@dataclass(frozen=True)
class CompressionFront:
    """Trials with one judgement, cheapest first. `on_front` and `chosen` are places in `records`; `chosen` None: no
    trial is within the limit. `most_ms`: the limit, None without one; `why`: what the choice went by, in words.
    """

    judged_by: JudgedBy
    records: tuple[CompressionRecord, ...]
    options: FrontOptions
    most_ms: float | None
    on_front: tuple[int, ...]
    chosen: int | None
    why: str

    @property
    def text(self) -> str:
        """For people: the front, and which trial to take."""
        metric, cost = TITLES[self.options.metric], TITLES[self.options.cost_of]
        lines = [f"{len(self.records)} trials, {len(self.on_front)} on the front of {metric} against {cost}"]
        lines.append(f"{'AP':>7}{'AP50':>7}{'ms':>10}{'BFLOPs':>9}{'weights':>12}  pruning; what was trained")
        for place in self.on_front:
            record = self.records[place]
            of = record.metrics
            lines.append(
                f"{of['map']:>7.3f}{of['map50']:>7.3f}{of['latency_ms']:>10.2f}{of['bflops']:>9.4f}"
                f"{of['weights']:>12,.0f}  {record.what}{'  <- take' if place == self.chosen else ''}"
            )
        return "\n".join([*lines, self.why])

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: every trial, whether it is on the front, and the one to take (null for none)."""
        trials = [
            {"what": record.what, "run": record.run, **record.metrics, "on_front": place in self.on_front}
            for place, record in enumerate(self.records)
        ]
        chosen = None if self.chosen is None else trials[self.chosen]
        return {"judged_by": self.judged_by.text, "most_ms": self.most_ms, "chosen": chosen, "trials": trials}


def read_front(store: AnyPath, options: FrontOptions, limit: LatencyLimit) -> CompressionFront:
    """The front of the trials of a store.

    Raises `OptionsError` where there is none, or where trials of several judgements lie there and none is named.
    """
    place = input_path(store, what="store of trials")
    records = list(read_records(place))
    judgements = {record.judged_by.name: record.judged_by for record in records}
    listed = "; ".join(judgement.text for judgement in judgements.values())
    if not records:
        raise OptionsError(f"{store}: no trial of a compression; give the folder that the trials have as --store")
    if options.judged_by and options.judged_by not in judgements:
        raise OptionsError(f"judged_by: {store} has no trials of {options.judged_by}, but of {listed}")
    if len(judgements) > 1 and not options.judged_by:
        raise OptionsError(f"judged_by: {store} has trials that cannot be compared; name one: {listed}")
    name = options.judged_by or next(iter(judgements))
    return front_of([record for record in records if record.judged_by.name == name], options, limit)


def front_of(found: Sequence[CompressionRecord], options: FrontOptions, limit: LatencyLimit) -> CompressionFront:
    """The front of trials with one judgement, one or more."""
    records = sorted(found, key=lambda each: (each.metrics[options.cost_of], -each.metrics[options.metric], each.run))
    costs = [record.metrics[options.cost_of] for record in records]
    values = [record.metrics[options.metric] for record in records]
    most_ms = limit.milliseconds(records[0].whole["latency_ms"])
    chosen, why = _choice(records, values, options, most_ms)
    return CompressionFront(records[0].judged_by, tuple(records), options, most_ms, pareto(costs, values), chosen, why)


def pareto(costs: Sequence[float], values: Sequence[float]) -> tuple[int, ...]:
    """The places that no other beats: none costs at most as much and has a higher value, or less and as high a one.

    `costs` must rise, and of equal costs the highest value come first. Of equals the first one counts.
    """
    found: list[int] = []
    for place, value in enumerate(values):
        if not found or value > values[found[-1]]:
            assert not found or costs[place] > costs[found[-1]]
            found.append(place)
    return tuple(found)


def _choice(
    records: Sequence[CompressionRecord], values: Sequence[float], options: FrontOptions, most_ms: float | None
) -> tuple[int | None, str]:
    """Which place to take, and why. `records` from the cheapest on: of equal values the first one is the cheapest."""
    title, cost = TITLES[options.metric], TITLES[options.cost_of]
    if most_ms is None:
        best = max(values)
        place = next(place for place, value in enumerate(values) if best - value <= options.tolerance + ROUNDING)
        return place, (
            f"take {records[place].what}: {title} {values[place]:.3f}, the lowest {cost} of those at most "
            f"{options.tolerance:g} below the best, {best:.3f}"
        )
    whole = records[0].whole["latency_ms"]
    told = f"{most_ms:.2f} ms a picture (the whole network: {whole:.2f})"
    within = [place for place, record in enumerate(records) if record.metrics["latency_ms"] <= most_ms]
    if not within:
        fastest = min(record.metrics["latency_ms"] for record in records)
        return None, f"take none: no trial is within {told}, the fastest takes {fastest:.2f}; prune more"
    place = max(within, key=lambda each: values[each])
    return place, f"take {records[place].what}: {title} {values[place]:.3f}, the best of those within {told}"
