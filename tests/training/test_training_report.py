"""The page of a training, and the fit of anchors that it shows."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.page_origin import About
from traffic_yolo.training.anchor_report import anchor_section, fit_anchors
from traffic_yolo.training.batch_pictures import BATCH_BYTES, ShownPicture
from traffic_yolo.training.curves import curves_svg
from traffic_yolo.training.report import ClassResult, TrainingReport, training_report


@pytest.fixture(autouse=True)
def figures_drawn_once() -> None:
    """Here every figure is drawn."""


def image_of(sizes: list[tuple[float, float]], *, ignored: int = 0, wh: tuple[int, int] = (640, 320)) -> LabelledImage:
    """A picture with boxes of these sizes; the last `ignored` do not count."""
    boxes = np.array([(0, 0, width, height) for width, height in sizes], np.float32).reshape(-1, 4)
    ignore = np.arange(len(sizes)) >= len(sizes) - ignored
    return LabelledImage(
        1, Path("x"), "x.jpg", *wh, "A", "r", boxes, np.zeros(len(sizes), np.int64), ignore, np.zeros(len(sizes), bool)
    )


ANCHORS = np.array([[10.0, 10.0], [100.0, 100.0]])


def test_boxes_are_measured_in_network_pixels_as_the_network_gets_them() -> None:
    fit = fit_anchors([image_of([(20, 10), (200, 100)])], ANCHORS, (320, 320), letterbox=False)
    assert fit is not None
    assert (fit.boxes, fit.average_iou, fit.good_share) == (2, 1.0, 1.0)  # 20 x 10 of 640 x 320 is 10 x 10 of 320 x 320
    letterboxed = fit_anchors([image_of([(20, 10), (200, 100)])], ANCHORS, (320, 320), letterbox=True)
    assert letterboxed is not None
    assert letterboxed.average_iou == 0.5
    assert "they fit about as well as others would" in fit.text


def test_better_anchors_are_proposed_with_what_they_would_reach() -> None:
    image = image_of([(4, 4), (5, 4), (60, 20), (62, 20)], wh=(320, 320))
    fit = fit_anchors([image], ANCHORS, (320, 320), letterbox=False)
    assert fit is not None
    assert fit.is_worth_changing
    assert fit.proposal is not None
    assert fit.proposal == pytest.approx(np.array([[4.5, 4.0], [61.0, 20.0]]))
    assert fit.proposed_iou > 0.9 > 0.3 > fit.average_iou
    assert "at 320x320, 0% of them at 0.5 or more; 4,4, 61,20 would reach 0.9" in fit.text
    assert "4 x 4" in anchor_section(fit)


def test_boxes_that_do_not_count_or_have_no_area_are_left_out() -> None:
    fit = fit_anchors([image_of([(20, 10), (0, 5), (300, 300)], ignored=1)], ANCHORS, (320, 320), letterbox=False)
    assert fit is not None
    assert fit.boxes == 1
    assert fit.proposal is None  # one size for two anchors
    assert "<table" in anchor_section(fit)
    assert fit_anchors([image_of([])], ANCHORS, (320, 320), letterbox=False) is None
    assert fit_anchors([], ANCHORS, (320, 320), letterbox=False) is None


def test_many_boxes_take_no_longer_than_a_sample() -> None:
    sizes = [(float(w), float(h)) for w, h in np.random.default_rng(0).uniform(5, 200, (50_000, 2))]
    fit = fit_anchors([image_of(sizes)], ANCHORS, (320, 320), letterbox=False)
    assert fit is not None
    assert (fit.boxes, len(fit.sizes_wh)) == (50_000, 1000)
    assert fit.proposed_iou > fit.average_iou


@dataclass(frozen=True)
class Row:
    """A row of a history."""

    iteration: int
    loss: float
    ap50: float | None = None


ROWS = [Row(0, float("nan"), 0.3), Row(1, 2.0), Row(2, 1.0, 0.4)]


def shown(name: str, size: int = 0) -> ShownPicture:
    jpeg = cv2.imencode(".jpg", np.full((8, 8, 3), 99, np.uint8))[1].tobytes()
    return ShownPicture(name, jpeg + bytes(max(0, size - len(jpeg))), f"picture {name}")


def full(size: int = 0) -> TrainingReport:
    return TrainingReport(
        verdicts=["val: better: map50 +0.10 (0.05 to 0.15)", "test: <no difference> shown"],
        is_improvement=True,
        curves=curves_svg(ROWS, best_iteration=2),
        settings={"batch": 16, "learning_rate": 0.001, "width": None},
        numbers=[("AP50 on val", 0.4), ("iterations", 2)],
        classes=[ClassResult("car", 100, 0.25, 0.5), ClassResult("tram", 3, None, 0.125)],
        batches=[shown("000001", size), shown("000002", size), shown("000003", size)],
        predictions=[shown(f"{n:02d}", min(size, 60_000)) for n in range(6)],
        anchors=fit_anchors([image_of([(20, 10), (200, 100)])], ANCHORS, (320, 320), letterbox=False),
        size_advice=["12 % of the objects are under 8 pixels at 320x320; 640x384 costs 2.4 times as much"],
        dropped={"without area": 3, "unknown": 0},
        skipped={"cannot be decoded": 1},
    )


def test_the_page_holds_everything_in_order_and_escapes_it() -> None:
    text = training_report(full(), About())
    parts = [
        "val: better: map50 +0.10", "test: &lt;no difference&gt; shown", "AP50 on val", "Curves", "mAP50 of the start, 0.300",
        "car", "0.25", "Worst pictures of val", "picture 00", "What it was given", "picture 000001", "Network size",
        "12 % of the objects", "Anchors", "average IoU 1.00", "without area", "cannot be decoded", "learning_rate",
    ]  # fmt: skip
    place = 0
    for part in parts:
        place = text.index(part, place)  # each after the one before
    assert "unknown" not in text
    assert 'class="callout good"' in text
    assert text.count("<script") == 1
    assert text == training_report(full(), About())


def test_the_page_stays_below_a_megabyte_with_the_largest_pictures() -> None:
    assert len(training_report(full(BATCH_BYTES), About())) < 1_000_000


def test_what_there_is_not_has_no_section() -> None:
    text = training_report(TrainingReport(["no baseline"], None, curves_svg(ROWS[1:], best_iteration=2), {}), About())
    assert "no baseline" in text
    assert [heading for heading in ("Classes", "Anchors", "Network size", "What it was given") if heading in text] == []
    bad = training_report(TrainingReport(["val: worse"], False, curves_svg(ROWS, best_iteration=2), {}), About())
    assert 'class="callout warning"' in bad
