"""The cells that were measured as one table: car AP50 and mAP50 over the sites, with intervals; what is empty."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cells import UNTOUCHED, Cell
from measure import Judged, kept_detections
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import groups_of, interval, resample_weights
from traffic_yolo.metrics.coco_settings import CocoSettings
from traffic_yolo.metrics.match_table import MatchTable, match_table

CAR = "CAR"
RESAMPLES = 1000
SETTINGS = CocoSettings(iou_thresholds=(0.5,))


@dataclass(frozen=True)
class Line:
    """One recipe at one size and length: values, and gains over the untouched weights, over `seeds` seeds.

    `minutes` of the clock and of processors are means over the cells; the latter "" where a cell has none.
    """

    network: str
    size: str
    iterations: int
    recipe: str
    seeds: int
    car: str
    car_gain: str
    mean: str
    mean_gain: str
    minutes: float
    cpu_minutes: str


def ap50s(table: MatchTable, weights: NDArray[np.int64] | None = None) -> tuple[float, float]:
    """AP50 of cars, and the mean over the classes with truth, of pictures that count `weights` times."""
    curves = table.accumulate(weights, only_ap=True).precision[0, :, :, 0, 0]  # (R, C)
    by_class = [float(curve.mean()) for curve in curves.T if curve[0] >= 0]
    car = curves[:, table.classes.index(CAR)]
    return float(car.mean()), float(np.mean(by_class))


def resamples(
    sites: Sequence[str], counted: NDArray[np.bool_], *, count: int = RESAMPLES, seed: int = 0
) -> NDArray[np.int64]:
    """(count, M): how often a picture counts when sites are drawn, and pictures within each drawn site.

    `counted` (M,): which pictures there are to draw from; the others count 0 times.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((count, len(sites)), np.int64)
    found[:, counted] = _resamples(np.array(sites)[counted].tolist(), rng, count=count, seed=seed)
    return found


def _resamples(sites: list[str], rng: np.random.Generator, *, count: int, seed: int) -> NDArray[np.int64]:
    groups = groups_of(sites, of="site", least=2)
    by_site = resample_weights(groups, resamples=count, seed=seed)  # (count, M)
    weights = np.zeros_like(by_site)
    for place in range(groups.count):
        members = np.flatnonzero(groups.places == place)
        times = by_site[:, members[0]]
        drawn = [rng.multinomial(len(members) * int(n), np.full(len(members), 1 / len(members))) for n in times]
        weights[:, members] = np.stack(drawn)
    return weights


@dataclass(frozen=True)
class _Scores:
    """(car AP50, mAP50), and the same of every resample (B, 2)."""

    values: NDArray[np.float64]
    samples: NDArray[np.float64]


def lines(
    done: Mapping[Cell, Mapping[str, float]], folder: Path, judged: Judged, sites: Sequence[str]
) -> Iterable[Line]:
    """A line over the pictures of `sites` for each recipe that has all of them for at least one seed."""
    groups: dict[tuple[str, str, int, str], dict[int, dict[str, Cell]]] = defaultdict(lambda: defaultdict(dict))
    for cell in done:
        if cell.site in sites:
            groups[cell.network, cell.size, cell.iterations, cell.recipe][cell.seed][cell.site] = cell
    counted = np.isin(judged.sites, sites)
    # The first row is the pictures as they are
    weights = np.concatenate([counted[None].astype(np.int64), resamples(judged.sites, counted)])
    scores: dict[tuple[str, str, int, str], _Scores] = {}
    seeds: dict[tuple[str, str, int, str], int] = {}
    for group, by_seed in groups.items():
        whole = [
            _scores(cells.values(), folder, judged, weights) for cells in by_seed.values() if len(cells) == len(sites)
        ]
        if whole:
            scores[group] = _Scores(
                np.mean([one.values for one in whole], axis=0), np.mean([one.samples for one in whole], axis=0)
            )
            seeds[group] = len(whole)
    for group, found in sorted(scores.items()):
        base = scores.get((group[0], group[1], 0, UNTOUCHED))
        spent = [done[cell] for cells in groups[group].values() for cell in cells.values()]
        known = all("cpu_seconds" in entry for entry in spent)
        yield Line(
            *group,
            seeds[group],
            *(
                text
                for index in (0, 1)
                for text in (_shown(found, index, len(sites)), _gain(found, base, index, group[3], len(sites)))
            ),
            float(np.mean([entry["seconds"] for entry in spent])) / 60,
            f"{np.mean([entry['cpu_seconds'] for entry in spent]) / 60:.1f}" if known else "",
        )


def _scores(cells: Iterable[Cell], folder: Path, judged: Judged, weights: NDArray[np.int64]) -> _Scores:
    found = Detections.concatenate([kept_detections(folder / f"{cell.key}.npz", judged) for cell in cells])
    table = match_table(found, judged.truth, SETTINGS)
    rows = np.array([ap50s(table, row) for row in weights])
    return _Scores(rows[0], rows[1:])


def _shown(scores: _Scores, index: int, sites: int) -> str:
    found = interval(float(scores.values[index]), scores.samples[:, index], groups=sites)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _gain(scores: _Scores, base: _Scores | None, index: int, recipe: str, sites: int) -> str:
    if base is None or recipe == UNTOUCHED:
        return ""
    samples = scores.samples[:, index] - base.samples[:, index]
    found = interval(float(scores.values[index] - base.values[index]), samples, groups=sites)
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def markdown(found: Iterable[Line], wanted: Iterable[Cell]) -> str:
    """The table, and below it which lines of the selection are still empty."""
    rows = list(found)
    text = [
        "| network | size | iterations | recipe | seeds | car AP50 | gain | mAP50 | gain | min | CPU min |",
        "|---|---|---:|---|---:|---|---|---|---|---:|---:|",
    ]
    for row in rows:
        text.append(
            f"| {row.network} | {row.size} | {row.iterations} | {row.recipe} | {row.seeds} | {row.car} | {row.car_gain} "
            f"| {row.mean} | {row.mean_gain} | {row.minutes:.1f} | {row.cpu_minutes} |"
        )
    filled = {(row.network, row.size, row.iterations, row.recipe) for row in rows}
    for group in dict.fromkeys((cell.network, cell.size, cell.iterations, cell.recipe) for cell in wanted):
        if group not in filled:
            text.append(f"| {' | '.join(map(str, group))} | 0 | empty | | empty | | | |")
    return "\n".join(text)
