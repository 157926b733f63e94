"""The script of pages in Chromium: filters, pictures enlarged, frames as the Kubeflow UI has them, and no script at all."""

import html
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser

from traffic_yolo.html_report import details, page, picture, pictures, table
from traffic_yolo.page_origin import About, Subject

SHOWN = "[...document.querySelectorAll('figure')].filter(e => e.offsetParent).map(e => e.innerText.trim())"


def document() -> str:
    jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), 99, np.uint8))[1].tobytes()
    shown = [
        picture(jpeg, "one", marks={"class": ["CAR", "BUS"], "error": ["missed"]}),
        picture(jpeg, "two", marks={"class": ["CAR"], "error": ["background"]}),
        picture(jpeg, "three", marks={"class": ["BUS"], "error": ["missed"]}),
    ]
    names = [f"column {number}" for number in range(12)]  # wider than a telephone
    rows = [[f"check-{number % 3}", number, *[1] * 12] for number in range(9)]
    folded = details("folded", table(["check", "n", *names], rows, filter_by=("check",)))
    about = About((Subject("model", "a model", "../model/report.html"),))
    return page("Page", [("Pictures", pictures(shown)), ("Findings", folded), ("c", ""), ("d", "")], about=about)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(document())
    return path.as_uri()


def choose(browser: Browser, place: int, value: str) -> None:
    select = f"document.querySelectorAll('select')[{place}]"
    browser.run(f"(() => {{ {select}.value = {value!r}; {select}.dispatchEvent(new Event('change')); }})()")


def test_pictures_are_filtered_by_class_and_error_together(browser: Browser, address: str) -> None:
    seen = browser.open(address)
    assert browser.run("[...document.querySelectorAll('.controls')].map(e => e.innerText.replace(/\\s+/g, ' '))")[
        0
    ].startswith("class all BUS (2) CAR (2) error all background (1) missed (2) 3 of 3 shown")
    choose(browser, 0, "CAR")
    assert browser.run(SHOWN) == ["one", "two"]
    choose(browser, 1, "missed")
    assert browser.run(SHOWN) == ["one"]
    assert browser.run("document.querySelector('[role=status]').textContent") == "1 of 3 shown"
    choose(browser, 0, "")
    assert browser.run(SHOWN) == ["one", "three"]
    assert seen.errors == []


def test_rows_of_a_folded_table_are_filtered(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.run("document.querySelector('details').open = true")
    choose(browser, 2, "check-1")
    assert browser.run(
        "[...document.querySelectorAll('tbody tr')].filter(e => !e.hidden).map(e => e.cells[1].textContent)"
    ) == ["1", "4", "7"]


def test_a_picture_is_enlarged_and_the_keys_go_on_among_those_that_are_shown(browser: Browser, address: str) -> None:
    browser.open(address)
    choose(browser, 1, "missed")
    browser.run("document.querySelector('button.zoom').click()")
    assert browser.run("document.querySelector('dialog').open")
    told = "document.querySelector('dialog p').textContent"
    assert browser.run(told) == "one"
    for key, now in (("ArrowRight", "three"), ("ArrowRight", "one"), ("ArrowLeft", "three")):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert browser.run(told) == now
    browser.run("document.querySelectorAll('dialog button')[2].click()")
    assert not browser.run("document.querySelector('dialog').open")


def test_in_the_frame_of_the_kubeflow_ui_it_works_and_has_no_link_that_leads_nowhere(
    browser: Browser, tmp_path: Path
) -> None:
    frame = f'<iframe sandbox="allow-scripts" width="900" height="600" srcdoc="{html.escape(document())}"></iframe>'
    (tmp_path / "ui.html").write_text(f"<title>UI</title>{frame}")
    seen = browser.open((tmp_path / "ui.html").as_uri())
    assert seen.errors == []
    tree = browser.call("Page.getFrameTree")["frameTree"]["childFrames"][0]["frame"]["id"]
    world = browser.call("Page.createIsolatedWorld", frameId=tree)["executionContextId"]

    def run(expression: str) -> object:
        return browser.call("Runtime.evaluate", expression=expression, contextId=world, returnByValue=True)["result"][
            "value"
        ]

    assert run("document.querySelectorAll('select').length") == 3
    assert run("[...document.querySelectorAll('a')].map(e => e.getAttribute('href')[0]).join('')") == "####"
    assert run("document.querySelector('.about dd').textContent") == "a model"
    assert run("document.querySelectorAll('button.zoom').length") == 3


def test_without_the_script_all_is_there(browser: Browser, address: str) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(address)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.run(SHOWN) == ["one", "two", "three"]
    assert browser.run("document.querySelectorAll('select, button, dialog').length") == 0
    assert browser.run("document.querySelector('.about a').getAttribute('href')") == "../model/report.html"


def test_a_box_that_scrolls_is_reached_by_the_keyboard(browser: Browser, address: str) -> None:
    browser.open(address, width=380)
    browser.run("document.querySelector('details').open = true")
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run("document.querySelector('.wide').tabIndex") == 0
    assert browser.run("document.querySelector('.wide').getAttribute('aria-label')") == "Findings (scrolls)"
    assert browser.run("document.documentElement.scrollWidth") <= 380
