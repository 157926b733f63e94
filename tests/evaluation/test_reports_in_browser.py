"""Every HTML report, opened in a real browser: no errors, no requests, every figure drawn, nothing cut off.

TRAFFIC_YOLO_SCREENSHOTS=folder keeps pictures of the pages, for people to look at.
"""

import csv
import os
from pathlib import Path

import pytest
from browser import Browser
from page_checks import FAINT_TEXT

EVALUATION_FIGURES = {
    "Precision over recall at IoU 0.50",
    "Precision, recall and F1 over confidence",
    "F1 of each class over confidence",
    "F1 over confidence and NMS IoU threshold",
    "Confusion matrix with background",
    "AP50 that each kind of error costs",
    "Recall and AP50 of each slice",
    "Counting error of the pictures",
}
# page -> figures that must be there, by the name that a screen reader says
FIGURES: dict[str, set[str]] = {
    "evaluation": EVALUATION_FIGURES,
    "many classes": EVALUATION_FIGURES - {"F1 over confidence and NMS IoU threshold"},
    "data set": {"Heat map of box centres", "Boxes in a picture"},
    "tuning": {"F1 over confidence and IoU threshold"},
    "validation": {"Score here over score in PyTorch"},
}

# What each check of a page answers: a list of what is wrong.
UNDRAWN = """[...document.querySelectorAll('svg')].filter(s => {
    const box = s.getBoundingClientRect();
    return box.width < 50 || box.height < 50 || !s.querySelector('path, rect, circle, line, text');
}).map(s => s.getAttribute('aria-label'))"""
UNNAMED = """[...document.querySelectorAll('svg')].filter(s =>
    s.getAttribute('role') !== 'img' || !s.getAttribute('aria-label') || !s.querySelector(':scope > title')
).length"""
CUT_OFF = """[...document.querySelectorAll('svg text')].filter(t => {
    const box = t.getBoundingClientRect(), all = t.closest('svg').getBoundingClientRect();
    return box.left < all.left - 2 || box.right > all.right + 2 || box.top < all.top - 2 || box.bottom > all.bottom + 2;
}).map(t => t.textContent + ' in ' + t.closest('svg').getAttribute('aria-label'))"""
EMPTY_PICTURES = """[...document.querySelectorAll('img:not(dialog img)')].filter(i => !i.complete || !i.naturalWidth || !i.alt)
    .map(i => i.alt)"""


@pytest.fixture(scope="module")
def reports(
    browser: Browser,
    small_data_set: Path,
    untrained_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """The reports of a whole run on rendered pictures, and an evaluation with many classes."""
    from traffic_yolo.deepstream.validate import validate
    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, evaluate
    from traffic_yolo.export.export_model import export_model
    from traffic_yolo.tuning.tune import tune

    folder = tmp_path_factory.mktemp("reports")
    export_model(untrained_model, folder / "model")
    evaluate(folder / "model", small_data_set, folder / "first", also=["val"], nms=NmsOptions(0.4, 0.5))
    tune(folder / "first", small_data_set, folder / "tuning")
    inputs = EvaluationInputs(detections=folder / "first", sweep=folder / "tuning")
    evaluate(folder / "model", small_data_set, folder / "evaluation", nms=NmsOptions(0.4, 0.5), inputs=inputs)
    point = folder / "tuning" / "operating_point.json"
    validate(folder / "model", small_data_set, point, folder / "validation", evaluation=folder / "first")
    (folder / "many").mkdir()
    (folder / "many" / "report.html").write_text(page_of_many_classes())
    paths = {name: folder / name / "report.html" for name in ("evaluation", "tuning", "validation")}
    return {**paths, "data set": small_data_set / "report.html", "many classes": folder / "many" / "report.html"}


def page_of_many_classes() -> str:
    """An evaluation of 120 classes and 30 sites with long names, on made-up boxes."""
    from many_classes import made_up_report

    return made_up_report(classes=120, sites=30)


@pytest.mark.parametrize(
    ("name", "dark"), [(name, number % 2 == 1) for number, name in enumerate(FIGURES)] + [("evaluation", True)]
)
def test_a_report_is_whole_in_a_browser(name: str, dark: bool, reports: dict[str, Path], browser: Browser) -> None:
    path = reports[name]
    assert path.stat().st_size < 1_000_000
    seen = browser.open(path.as_uri(), dark=dark)
    if folder := os.environ.get("TRAFFIC_YOLO_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.screenshot(Path(folder) / f"{name.replace(' ', '_')}_{'dark' if dark else 'light'}.png")
    assert seen.errors == []
    assert seen.requests == [path.as_uri()]
    for check in (UNDRAWN, CUT_OFF, EMPTY_PICTURES, FAINT_TEXT):
        assert browser.run(check) == [], check
    assert browser.run(UNNAMED) == 0
    drawn = set(browser.run("[...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label'))"))
    assert drawn >= FIGURES[name]
    assert browser.run("document.querySelectorAll('h1').length") == 1


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_report_fits_a_narrow_window(name: str, reports: dict[str, Path], browser: Browser) -> None:
    browser.open(reports[name].as_uri(), width=420)
    assert browser.run("document.documentElement.scrollWidth") <= 420


def test_the_surface_is_read_where_tune_writes_it(reports: dict[str, Path]) -> None:
    from traffic_yolo.evaluation.threshold_surface import read_surface
    from traffic_yolo.tuning import tune

    folder = reports["tuning"].parent
    assert (folder / tune.SWEEP_NAME).is_file()
    surface = read_surface(folder)
    with (folder / tune.SWEEP_NAME).open() as file:
        rows = list(csv.DictReader(file))
    assert surface.f1.size == len(rows)
    last = rows[-1]
    assert surface.f1[-1, -1] == float(last["f1"])
    assert surface.iou_thresholds[-1] == float(last["iou_threshold"])


def test_the_browser_sees_what_goes_wrong(browser: Browser, tmp_path: Path) -> None:
    """The checks above can fail."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<body style='background: #fff'><p style='color: #ccc'>faint</p><img src='none.png' alt='x'>"
        "<svg width='300' height='100'><text x='280' y='50'>cut off here</text></svg><svg aria-label='empty'></svg>"
        "<script>console.error('broken')</script></body>"
    )
    seen = browser.open(bad.as_uri())
    assert any("broken" in error for error in seen.errors)
    assert any("not loaded" in error for error in seen.errors)
    assert len(seen.requests) == 2
    assert browser.run(UNDRAWN) == ["empty"]
    assert browser.run(UNNAMED) == 2
    assert browser.run(CUT_OFF) == ["cut off here in null"]
    assert browser.run(EMPTY_PICTURES) == ["x"]
    assert browser.run(FAINT_TEXT) == ["P faint"]
