"""How the magnitudes of batch-norm scales spread over a run: scales.csv, its picture, and what it comes to."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.errors import StorageError
from traffic_yolo.html_report import Html, draw_cells, figure_svg, paragraph
from traffic_yolo.messages import one_line
from traffic_yolo.storage import write_text

SCALES_NAME = "scales.csv"
LOWEST, HIGHEST, PER_DECADE = -5, 1, 8  # powers of ten of the bins, and bins of each
EDGES = np.logspace(LOWEST, HIGHEST, (HIGHEST - LOWEST) * PER_DECADE + 1)  # of |scale|
ROWS = 60  # of a run, about
SMALL = 0.01  # a scale that a pruning would take first

Counts = NDArray[np.int64]


def histogram(magnitudes: NDArray[np.float64]) -> Counts:
    """(n,) |scale| -> (bins,) counts; what lies beyond the edges is in the end bins."""
    return np.histogram(np.clip(magnitudes, EDGES[0], EDGES[-1]), EDGES)[0].astype(np.int64)


def share_below(counts: Counts, limit: float) -> float:
    """The share of the scales in bins that end at `limit` or below, in [0, 1]."""
    return float(counts[EDGES[1:] <= limit * 1.0001].sum() / max(counts.sum(), 1))


def median(counts: Counts) -> float:
    """The middle (in the logarithm) of the bin that holds the scale in the middle."""
    place = int(np.searchsorted(counts.cumsum(), counts.sum() / 2))
    return float(np.sqrt(EDGES[place] * EDGES[place + 1]))


class ScaleHistory:
    """Histograms by iteration, in a CSV file: one line each, a column for each bin named by its lower edge."""

    def __init__(self, path: Path, *, keep: int | None = None) -> None:
        """Starts the file, or goes on after iteration `keep` of the one that is there (later lines are taken out).

        Raises `StorageError` for a file that is none of these.
        """
        self.path = path
        self.rows = [row for row in _read(path) if row[0] <= keep] if keep is not None else []
        self._write()

    def add(self, iteration: int, magnitudes: NDArray[np.float64]) -> None:
        """A line more; the file is never half-written."""
        self.rows.append((iteration, histogram(magnitudes)))
        self._write()

    @property
    def text(self) -> str:
        """What became of the scales, for people."""
        (_, start), (_, end) = self.rows[0], self.rows[-1]
        return (
            f"{int(end.sum())} scales: median {median(start):.2g} at the start, {median(end):.2g} at the end; "
            f"{share_below(start, SMALL):.0%} below {SMALL:g} at the start, {share_below(end, SMALL):.0%} at the end"
        )

    def _write(self) -> None:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["iteration", *(f"{edge:.3g}" for edge in EDGES[:-1])])
        writer.writerows([iteration, *counts.tolist()] for iteration, counts in self.rows)
        write_text(self.path, buffer.getvalue())


def _read(path: Path) -> list[tuple[int, Counts]]:
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
        rows = [(int(line[0]), np.array(line[1:], np.int64)) for line in lines]
        if any(counts.shape != (len(EDGES) - 1,) or (counts < 0).any() for _, counts in rows):
            raise ValueError("another number of bins")
    except (OSError, ValueError, IndexError, OverflowError, csv.Error) as error:
        reason = one_line(str(error))[:200]
        raise StorageError(
            f"{path}: cannot be read as histograms of scales: {reason}; train into a new folder"
        ) from error
    return rows


def scales_html(history: ScaleHistory) -> Html:
    """What became of the scales, and their histograms over the iterations, for the report."""
    return Html(
        paragraph(history.text) + figure_svg(_figure(history.rows), title="Batch-norm scales over the training")
    )


def _figure(rows: Sequence[tuple[int, Counts]]) -> Figure:
    """Shares of the scales by magnitude (upwards, logarithmic); a line through the medians."""
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.98, bottom=0.15, top=0.97)
    iterations = np.array([iteration for iteration, _ in rows], np.float64)
    width = iterations[-1] - iterations[-2] if len(rows) > 1 else 1.0
    ends = np.append(iterations, iterations[-1] + width)
    shares = np.stack([counts / max(counts.sum(), 1) for _, counts in rows]).T  # (bins, rows)
    axes.set_yscale("log")
    draw_cells(axes, ends, EDGES, np.ma.masked_equal(shares, 0), "viridis", PowerNorm(0.5, vmin=0, vmax=shares.max()))
    axes.plot(ends[:-1] + width / 2, [median(counts) for _, counts in rows], color="#d55e00", linewidth=1.5)
    axes.set_ylabel("|scale|")
    axes.set_xlabel("iteration (yellow: many scales, dark: few; line: the median)")
    return figure
