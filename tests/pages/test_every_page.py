"""Every page of the product in Chromium: nothing broken, nothing too wide, nothing too faint, nothing lost on paper.

Slow (TRAFFIC_YOLO_SLOW=1): it runs the whole product on a few rendered recordings. With TRAFFIC_YOLO_AXE=axe.min.js
axe-core looks too; `make pages` keeps pictures of what is tested here.
"""

import os
from pathlib import Path

import pytest
from browser import Browser
from every_page import NAMES, make_every_page
from examples import SLOW
from page_checks import FAINT_TEXT, TOO_WIDE, axe_findings, is_serious

pytestmark = pytest.mark.skipif(not SLOW, reason="minutes; TRAFFIC_YOLO_SLOW=1 runs it")
WIDTHS = (380, 900, 1600)
PAPER = 703  # pixels: A4 less its margins of 12 mm


@pytest.fixture(scope="module")
def pages(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = make_every_page(tmp_path_factory.mktemp("pages") / "all")
    assert set(made) == set(NAMES)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_at_every_width_in_both_modes(name: str, pages: dict[str, Path], browser: Browser) -> None:
    url = pages[name].resolve().as_uri()
    assert pages[name].stat().st_size < 1_200_000
    for width in WIDTHS:
        for dark in (False, True):
            seen = browser.open(url, width=width, dark=dark)
            assert (seen.errors, seen.requests) == ([], [url])
            assert browser.run(TOO_WIDE) == [], (width, dark)
            assert browser.run(FAINT_TEXT) == [], (width, dark)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_loses_nothing_on_paper(name: str, pages: dict[str, Path], browser: Browser) -> None:
    browser.open(pages[name].resolve().as_uri(), width=PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(TOO_WIDE) == []
    assert (
        browser.run("[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1).length")
        == 0
    )


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing_serious(name: str, pages: dict[str, Path], browser: Browser) -> None:
    axe = os.environ.get("TRAFFIC_YOLO_AXE")
    if not axe:
        pytest.skip("TRAFFIC_YOLO_AXE names no axe.min.js (`make pages` brings one to build/axe)")
    for dark in (False, True):
        browser.open(pages[name].resolve().as_uri(), dark=dark)
        assert [str(one) for one in axe_findings(browser, Path(axe)) if is_serious(one)] == []
