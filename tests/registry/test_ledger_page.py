"""The ledger's page in Chromium: whole at any width and on paper, nothing to scroll sideways, nothing cut off.

TRAFFIC_YOLO_SCREENSHOTS=folder keeps pictures of it, for people to look at.
"""

import dataclasses
import os
import re
from pathlib import Path

import pytest
from browser import Browser
from records import made_up_record

from traffic_yolo.registry.gates.gate import FAILED, PASSED, Gate
from traffic_yolo.registry.ledger import LedgerEntry
from traffic_yolo.registry.ledger_table import COLUMNS, LedgerTable

PAPER = 718  # pixels: A4 within its margins
WIDTHS = (320, 414, 768, 1024, 1280, 1281, 1920)
TOO_WIDE = """[...document.querySelectorAll('html, .wide, td, th, h2, p')].filter(e => e.offsetParent !== null
    && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'
    || e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(e => e.tagName + ' ' + e.textContent.slice(0, 30))"""
BROKEN_WORDS = """[...document.querySelectorAll('td:not(.long), th, th button')].flatMap(e => [...e.childNodes]
    .filter(n => n.nodeType === Node.TEXT_NODE).flatMap(n => [...n.data.matchAll(/[^ ]+/g)].filter(word => {
        const range = document.createRange();
        range.setStart(n, word.index); range.setEnd(n, word.index + word[0].length);
        return range.getClientRects().length > 1;
    }).map(word => word[0])))"""
UNNAMED = """[...document.querySelectorAll('td')].filter(e =>
    getComputedStyle(e, '::before').content !== JSON.stringify(e.dataset.name)).length"""


@pytest.fixture(scope="module")
def table() -> LedgerTable:
    """A ledger with long names, undefined numbers, and weights that have seen the pictures."""
    entries = []
    for number in range(1, 13):
        seen = {**made_up_record().provenance, "verdict": "seen" if number % 3 == 0 else "not seen", "pictures": 1234}
        record = made_up_record(
            metrics={"ap": 0.4123 + number / 1000, "ap50": 0.4567, "ap75": None, "ar100": 0.5123},
            provenance={**seen, "of": 56789},
        )
        name = "traffic-small" if number % 2 else "traffic-large-with-a-name-that-somebody-made-very-long"
        entry = LedgerEntry.of_record(name, f"{number:04d}-{'0a1b2c' * 2}", record)
        parity = {"passed": bool(number % 4), "agreement": 0.9876}
        verdict = FAILED if number % 4 == 0 else PASSED
        gates = () if number == 1 else (Gate("parity", verdict, 0.9876, "", "of the boxes agree"),)
        entries.append(dataclasses.replace(entry, parity=parity, gates=gates))
    return LedgerTable(tuple(entries), ("notes.json: foreign",), in_use={"traffic-small": entries[10].version})


@pytest.fixture(scope="module")
def page(table: LedgerTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.html"
    path.write_text(table.sorted_by("ap").html())
    return path


def keep(browser: Browser, name: str) -> None:
    if folder := os.environ.get("TRAFFIC_YOLO_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.screenshot(Path(folder) / f"ledger_{name}.png")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_any_width(browser: Browser, page: Path, width: int) -> None:
    seen = browser.open(page.as_uri(), width=width)
    keep(browser, str(width))
    assert seen.errors == []
    assert browser.run(TOO_WIDE) == []
    assert browser.run(BROKEN_WORDS) == []
    assert browser.run("document.querySelectorAll('td').length") == 12 * len(COLUMNS)
    if width <= 1280:
        assert browser.run(UNNAMED) == 0
    else:
        assert browser.run("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"


def test_the_page_fits_paper(browser: Browser, page: Path) -> None:
    browser.open(page.as_uri(), width=PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    keep(browser, "print")
    assert browser.run(TOO_WIDE) == []
    assert browser.run(BROKEN_WORDS) == []
    assert browser.run(UNNAMED) == 0
    assert browser.run("getComputedStyle(document.querySelector('tbody tr')).breakInside") == "avoid"
    assert browser.run("getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"
    assert browser.run("getComputedStyle(document.querySelector('thead')).display") == "none"


def versions_shown(browser: Browser) -> list[str]:
    return list(browser.run("[...document.querySelectorAll('td[data-name=version]')].map(e => e.textContent)"))


def click(browser: Browser, column: str) -> str:
    """Clicks a header as a mouse does, and gives what a screen reader is told of it."""
    place = COLUMNS.index(column)
    head = f"document.querySelectorAll('th')[{place}]"
    left, top = browser.run(
        f"(() => {{ const e = {head}.querySelector('button'); e.scrollIntoView({{block: 'center'}}); "
        "const r = e.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", clickCount=1)
    return str(browser.run(f"{head}.ariaSort"))


@pytest.mark.parametrize("width", [414, 1281])
def test_a_click_on_a_header_sorts_as_the_flag_does(
    browser: Browser, table: LedgerTable, page: Path, width: int
) -> None:
    seen = browser.open(page.as_uri(), width=width)
    for column in COLUMNS:
        way = click(browser, column)
        assert versions_shown(browser) == [entry.version for entry in table.sorted_by(column).entries], column
        stated = [entry for entry in table.sorted_by(column).entries if table.row(entry)[column] not in (None, "", "–")]
        assert click(browser, column) == {"ascending": "descending", "descending": "ascending"}[way]
        if len({table.row(entry)[column] for entry in stated}) == len(stated) > 1:
            shown = versions_shown(browser)
            assert shown[: len(stated)] == [entry.version for entry in reversed(stated)]
        assert browser.run("document.querySelectorAll('th[aria-sort]').length") == 1
    assert seen.errors == []
    keep(browser, f"sorted_{width}")


def test_the_page_asks_the_network_for_nothing(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"(?:src|href|action)=|url\(|@import|https?:|fetch|XMLHttpRequest|import\(", text) == []
