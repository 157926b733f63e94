"""The report: what it counts, that it stays small, that its anchors' fit is the one computed by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.dataset.pictures.drawn_boxes import DrawnBox
from traffic_yolo.dataset.policy import DataPolicy
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.report.anchor_fit import DEFAULT_CFG, AnchorObserver, anchors_of, best_ious
from traffic_yolo.dataset.report.page import report_page
from traffic_yolo.dataset.report.picture_observer import PictureObserver
from traffic_yolo.dataset.report.report import ReportBuilder, report_markdown
from traffic_yolo.dataset.report.samples import draw_boxes

CLASSES = ("CAR", "BUS")


def noise(width: int = 1920, height: int = 1080) -> bytes:
    """The picture that compresses worst."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def frame(number: int, *annotations: Annotation, picture: bytes = b"", site: str = "A") -> Frame:
    return Frame("r", f"SCAN_{number:05d}", 1920, 1080, annotations, lambda: picture, site=site)


def car(width: float, height: float, **options: object) -> Annotation:
    return Annotation("CAR", (100, 100, width, height), **options)  # type: ignore[arg-type]


def test_counts_and_reasons() -> None:
    builder = ReportBuilder(CLASSES)
    builder.add(frame(0, car(50, 50), car(9, 9, ignore=True, attributes={"ignore_reason": "tiny: 2x2"})), "train")
    builder.add(frame(1, car(50, 50, is_crowd=True), Annotation("OTHERS", (1, 1, 9, 9), ignore=True)), "train")
    builder.add(frame(2, car(50, 50, ignore=True), site="B"), "val")
    report = builder.report([])
    assert report.counts["train"] == {"images": 2, "empty_images": 0, "boxes": 1, "ignored": 3, "device": 0}
    assert report.ignored_by_reason == {"class OTHERS": 1, "crowd": 1, "labelled so": 1, "tiny": 1}
    assert report.sites == {"train": ["A"], "val": ["B"], "test": []}
    assert any("train split has no box of BUS" in note for note in report.notes)
    assert "| CAR | 1 | 0 | 0 |" in report_markdown(report)


def test_a_rare_class_is_named() -> None:
    builder = ReportBuilder(CLASSES)
    builder.add(frame(0, *[car(50, 50)] * 300, Annotation("BUS", (1, 1, 9, 9))), "train")
    assert "fewer than 1% of the boxes are of BUS" in builder.report([]).notes


def page_of(builder: ReportBuilder, left_out: dict[str, int] | None = None) -> str:
    report = builder.report([])
    return report_page(report, builder.distributions, builder.samples(), title="Data set", left_out=left_out or {})


def test_the_page_stays_below_two_megabytes_with_thousands_of_sites_and_pictures_of_noise() -> None:
    builder, data = ReportBuilder(CLASSES), noise()
    for number in range(3000):
        split = ("train", "val", "test")[number % 3]
        builder.add(frame(number, car(50 + number % 400, 60), picture=data, site=f"site{number}"), split)
    html = page_of(builder, left_out={"things": 3})
    assert 300_000 < len(html.encode()) < 2_000_000
    assert html.count("<img") == 12
    assert "2900 more sites are in report.json" in html


def test_an_empty_set_has_a_page_too() -> None:
    builder = ReportBuilder(CLASSES)
    assert "No pictures." in page_of(builder)


def test_a_sample_that_does_not_decode_is_left_out() -> None:
    assert draw_boxes(b"no picture", [DrawnBox((0, 0, 5, 5), (1, 2, 3))], "x") is None


def test_best_iou_is_the_one_computed_by_hand() -> None:
    sizes, anchors = np.array([[10.0, 20.0], [30.0, 30.0]]), np.array([[10.0, 10.0], [20.0, 40.0]])
    assert best_ious(sizes, anchors).tolist() == pytest.approx([0.5, 600 / (900 + 800 - 600)])


def test_anchors_are_those_that_the_masks_use() -> None:
    cfg = Cfg.parse("[net]\n[yolo]\nmask=1\nanchors=1,2, 30,40, 5,6\n[yolo]\nmask=0\nanchors=1,2, 30,40, 5,6\n")
    assert anchors_of(cfg).tolist() == [[1, 2], [30, 40]]
    assert len(anchors_of(Cfg.read(DEFAULT_CFG))) == 9


@pytest.mark.parametrize(("rule", "scale"), [("stretch", (0.5, 1.0)), ("letterbox", (0.5, 0.5))])
def test_the_fit_of_anchors_is_exact_but_for_its_grid(tmp_path: Path, rule: str, scale: tuple[float, float]) -> None:
    (tmp_path / "n.cfg").write_text("[net]\nwidth=960\nheight=1080\n[yolo]\nmask=0,1\nanchors=20,30, 60,50\n")
    observer = AnchorObserver(DataPolicy(report_cfg=str(tmp_path / "n.cfg"), resize_rule=rule))
    rng = np.random.default_rng(2)
    sizes = rng.uniform(20, 300, (500, 2))
    for number, (width, height) in enumerate(sizes.tolist()):
        observer.collect(frame(number, car(width, height)), "train", None)
        observer.collect(frame(number, car(width, height)), "test", None)  # not what anchors are fitted to
    found = observer.finish(tmp_path)
    expected = best_ious(sizes * scale, np.array([[20.0, 30.0], [60.0, 50.0]]))
    assert found.report["boxes"] == 500
    assert found.report["average_iou"] == pytest.approx(expected.mean(), abs=0.003)
    assert found.report["recall_at_iou"]["0.5"] == pytest.approx((expected >= 0.5).mean(), abs=0.02)
    assert json.dumps(found.report)


def test_day_and_night_are_told_by_site(tmp_path: Path) -> None:
    observer = PictureObserver(DataPolicy(leak_check="off"))
    observer.collect(frame(0, site="day"), "train", [1, 140.0, 40.0])
    observer.collect(frame(1, site="night"), "train", [2, 30.0, 20.0])
    observer.collect(frame(2, site="night"), "val", None)
    sites = observer.finish(tmp_path).report["sites"]
    assert sites == {
        "day": {"pictures": 1, "mean": 140.0, "dark": 0},
        "night": {"pictures": 1, "mean": 30.0, "dark": 1},
    }
