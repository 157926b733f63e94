"""Curves: what is drawn is what the rows hold, on axes that fit it, for histories old and new."""

import dataclasses
import math
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import pytest

from traffic_yolo.html_report import standalone_svg
from traffic_yolo.training.curves import MOST_POINTS, curves_figure, curves_svg, series


@pytest.fixture(autouse=True)
def figures_drawn_once() -> None:
    """Here every figure is drawn."""


@dataclass(frozen=True)
class Row:
    """A row of a history as it may become."""

    iteration: int
    learning_rate: float
    loss: float
    box: float
    objectness: float
    classes: float
    ap50: float | None = None
    ap: float | None = None
    f1: float | None = None
    images_per_s: float | None = None


ROWS = [
    Row(0, 0.0, math.nan, math.nan, math.nan, math.nan, ap50=0.354, ap=0.2),
    *(
        Row(
            n, 0.001 * n, 40.0 / n, 0.05, 30.0 / n, 0.0, ap50=0.36 + 0.001 * n if n % 10 == 0 else None,
            ap=0.21 if n % 10 == 0 else None, images_per_s=50.0,
        )
        for n in range(1, 41)
    ),
]  # fmt: skip


def labels(figure: object) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes]  # type: ignore[attr-defined]


@pytest.mark.long
def test_every_part_of_the_loss_the_rate_and_the_metrics_have_their_panels() -> None:
    figure = curves_figure(ROWS)
    assert labels(figure) == ["loss per picture", "parts of the loss", "on val", "learning rate", "images/s"]
    assert [line.get_label() for line in figure.axes[1].lines] == ["box", "objectness", "classes"]
    assert [line.get_label() for line in figure.axes[2].lines] == [
        "mAP50", "mAP50 of the start, 0.354", "mAP", "mAP of the start, 0.200",
    ]  # fmt: skip


def test_axes_fit_what_is_in_them() -> None:
    loss, parts, metrics, rate, _ = curves_figure(ROWS).axes
    assert (loss.get_yscale(), rate.get_yscale()) == ("log", "log")  # 40 to 1, and 0.04 to 0.001
    assert parts.get_yscale() == "log"
    low, high = parts.get_ylim()
    assert low < 0.05 < 30 < high < 60
    low, high = metrics.get_ylim()
    assert 0.15 < low < 0.2 < 0.4 < high < 0.45
    low, high = curves_figure([dataclasses.replace(row, ap=None) for row in ROWS]).axes[2].get_ylim()
    assert 0.3 < low < 0.354 < 0.4 < high < 0.45


def test_a_steady_curve_is_drawn_from_zero() -> None:
    figure = curves_figure([Row(n, 0.1, 2.0, 0.5, 1.0, 0.5) for n in range(1, 5)])
    assert figure.axes[0].get_yscale() == "linear"
    assert figure.axes[0].get_ylim()[0] == 0
    assert labels(figure) == ["loss per picture", "parts of the loss", "learning rate"]


def test_a_given_baseline_is_drawn_and_the_best_is_marked() -> None:
    figure = curves_figure(ROWS[1:], baseline={"ap50": 0.5}, best_iteration=30)
    lines = {line.get_label(): line for line in figure.axes[2].lines}
    assert set(lines["mAP50 of the start, 0.500"].get_ydata()) == {0.5}
    assert figure.axes[2].get_ylim()[1] > 0.5
    assert all(30 in list(axes.lines[-1].get_xdata()) for axes in figure.axes)


def test_rows_of_an_older_history_are_drawn_too() -> None:
    @dataclass(frozen=True)
    class Old:
        iteration: int
        loss: float

    assert labels(curves_figure([Old(1, 2.0), Old(2, 1.0)])) == ["loss per picture"]
    assert labels(curves_figure([])) == []


def test_values_that_are_no_numbers_are_left_out() -> None:
    rows = [Row(1, 0.1, math.nan, 1.0, 1.0, 1.0), Row(2, 0.1, math.inf, 1.0, 1.0, 1.0), Row(3, 0.1, 3.0, 1.0, 1.0, 1.0)]
    assert series(rows, "loss").iterations.tolist() == [3]


def test_a_long_run_is_drawn_as_means_of_bins() -> None:
    rows = [Row(n, 0.1, float(n % 2), 1.0, 1.0, 1.0) for n in range(1, 2_001)]
    figure = curves_figure(rows)
    drawn = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert len(drawn) == MOST_POINTS
    assert drawn == pytest.approx(np.full(MOST_POINTS, 0.5))
    assert len(curves_svg(rows)) < 150_000


def test_the_file_is_svg_with_its_text_and_the_same_each_time() -> None:
    text, again = (standalone_svg(curves_svg(ROWS, best_iteration=40)) for _ in range(2))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert all(words in text for words in ("mAP50 of the start, 0.354", "parts of the loss", "learning rate", "dotted"))
    assert text == again
    assert "currentColor" not in text
    assert curves_svg([]) == ""
