"""HTML pages: escaping, tables, and figures that share a page without clashing."""

import ast
import base64
import hashlib
import html
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from traffic_yolo._version import __version__
from traffic_yolo.html_report import (
    Html,
    badge,
    figure_svg,
    format_cell,
    page,
    paragraph,
    picture,
    pictures,
    style,
    table,
    table_of_many_columns,
)
from traffic_yolo.page_origin import About, Subject, stated_command


def curve(height: float = 1.0) -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0, 1], [0, height], "o-", label="CAR")
    axes.pcolormesh(np.linspace(0, 1, 3), np.linspace(0, 1, 3), np.eye(2))
    axes.set_xlim(0, 1)
    axes.legend()
    return figure


def test_text_is_escaped_and_html_is_not() -> None:
    document = page(
        "A & B", [("x < y", paragraph("1 < 2")), ("", table(["<name>"], [["<b>"], [Html("<i>ok</i>")]]))], about=About()
    )
    assert "<title>A &amp; B</title>" in document
    assert '<h2 id="s0">x &lt; y</h2>' in document
    assert "<p>1 &lt; 2</p>" in document
    assert "&lt;name&gt;" in document
    assert "&lt;b&gt;" in document
    assert "<i>ok</i>" in document
    assert document.count("<h2") == 1


def test_a_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    document = page(
        "Report", [("Figure", figure_svg(curve())), ("Picture", picture(b"\xff\xd8", "one"))], about=About()
    )
    assert document.count("<script") == 1
    assert "prefers-color-scheme: dark" in document
    for target in re.findall(r'(?:src|href)="([^"]*)"', document):
        assert target.startswith(("#", "data:image/jpeg;base64,"))
    assert not re.search(r"@import|url\((?!#)", document)


def test_columns_of_numbers_are_aligned_right() -> None:
    markup = table(["class", "AP", "count"], [["CAR", 0.51239, 3], ["BUS", None, 12345]], caption="per class")
    assert '<th scope="col">class</th><th scope="col" class="number">AP</th>' in markup
    assert '<td class="number">0.5124</td><td class="number">3</td>' in markup
    assert '<td class="number">–</td><td class="number">12,345</td>' in markup
    assert "<caption>per class</caption>" in markup


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="table row has 1 cells, expected 2"):
        table(["a", "b"], [["x"]])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.25, "0.25"), (1 / 3, "0.3333"), (1234.56789, "1,234.6"), (7, "7"), ("x", "x")],
)
def test_cells_as_text(value: str | int | float | None, shown: str) -> None:
    assert format_cell(value) == shown


def test_a_figure_is_well_formed_and_the_same_every_time() -> None:
    first, second = figure_svg(curve(), title="F1"), figure_svg(curve(), title="F1")
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.attrib["aria-label"] == "F1"
    assert "metadata" not in first
    assert "<style" not in first
    assert "<image" not in first


def test_ids_of_two_figures_never_meet_and_every_reference_resolves() -> None:
    ids = []
    for figure in (figure_svg(curve(1.0)), figure_svg(curve(0.5))):
        own = set(re.findall(r'\bid="([^"]+)"', figure))
        referred = set(re.findall(r'href="#([^"]+)"', figure)) | set(re.findall(r"url\(#([^)]+)\)", figure))
        assert referred
        assert referred <= own
        ids.append(own)
    assert not ids[0] & ids[1]


def test_black_and_white_follow_the_reader_mode() -> None:
    markup = figure_svg(curve())
    assert "#000000" not in markup
    assert "#ffffff" not in markup
    assert "currentColor" in markup


def test_drawing_leaves_the_figure_as_it_was() -> None:
    figure = curve()
    before = figure.get_facecolor()
    figure_svg(figure)
    assert figure.get_facecolor() == before


def test_pictures_stand_side_by_side() -> None:
    markup = pictures([picture(b"\xff\xd8\xff", 'a "quoted" name')])
    assert markup.startswith('<div class="pictures"><figure><img src="data:image/jpeg;base64,/9j/"')
    assert 'alt="a &quot;quoted&quot; name"' in markup


def test_a_table_of_many_columns_names_every_value_for_narrow_pages() -> None:
    text = table_of_many_columns(["model", "iou_threshold"], [["a<b", 0.5]])
    assert '<td data-name="model">a&lt;b</td><td class="number" data-name="iou_threshold">0.5</td>' in text
    assert "iou_<wbr>threshold</th>" in text
    assert "data-name" not in table(["model"], [["a"]])


def test_the_header_says_what_when_by_which_version_and_by_which_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    about = About((Subject("model", "a <b>", "../m/report.html"), Subject("data set", "d")))
    with stated_command(["tune", "<x>"]):
        document = page("Title", [], about=about)
    header = document[document.index("<header>") : document.index("</header>")]
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", header) == [
        ("model", '<a href="../m/report.html">a &lt;b&gt;</a>'),
        ("data set", "d"),
        ("made", "1970-01-01 00:00 UTC"),
        ("by", f"traffic-yolo {__version__}"),
        ("command", "<code>traffic-yolo tune &#x27;&lt;x&gt;&#x27;</code>"),
    ]


def test_the_security_policy_names_the_script_of_the_page_and_nothing_else() -> None:
    document = page("Title", [("", Html("<script>alert(1)</script>"))], about=About())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', document)
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert f"'sha256-{digests[1]}'" in policy[1]
    assert digests[0] not in policy[1]
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe-eval" not in policy[1]


def test_a_long_page_has_links_to_its_sections() -> None:
    document = page("Title", [(name, "") for name in "abcd"], about=About())
    links = re.findall(r'<nav aria-label="Sections">(.*?)</nav>', document)
    assert re.findall(r'href="#(\w+)"', links[0]) == re.findall(r'<h2 id="(\w+)"', document)
    assert "<nav" not in page("Title", [(name, "") for name in "abc"], about=About())


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_colour_of_text_can_be_read_on_every_ground(mode: str) -> None:
    found = re.findall(r":root \{(.*?)\}", style(), re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", found[0 if mode == "light" else 1]))
    assert set(colours) >= {"page", "band", "text", "quiet", "link", "error", "warning", "info", "good"}
    for name in set(colours) - {"page", "band", "line"}:
        for ground in ("page", "band"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_the_style_has_no_width_that_a_telephone_has_not_but_in_boxes_that_scroll() -> None:
    for selector, rules in re.findall(r"([^{}]+)\{([^{}]*)\}", style()):
        for name, number, unit in re.findall(r"(?<![-\w])(min-width|width): *([\d.]+)(px|rem|em)\b", rules):
            pixels = float(number) * (1 if unit == "px" else 15)
            assert pixels <= 320, (selector, name)
    assert "overflow-x: auto" in re.findall(r"\.wide \{(.*?)\}", style())[0]


def test_every_table_lies_in_a_box_that_scrolls_and_is_set_smaller_on_paper() -> None:
    for made in (table(["a"], [["b"]]), table_of_many_columns(["a"], [["b"]])):
        assert made.startswith('<div class="wide"><table')
    assert '<table style="--columns: 3">' in table(["a", "b", "c"], [])
    paper = style()[style().index("@media print") :]
    assert "font-size: clamp(4pt, calc(70pt / var(--columns, 8)), 9pt)" in paper
    assert ".wide, .figure-box { overflow: visible; }" in paper
    assert "details::details-content" in paper


def test_a_column_of_a_table_has_one_number_of_decimals() -> None:
    shown = table(["AP", "share", "mixed"], [[0.5, "50.0%", "x"], [1 / 3, "–", 1234]])
    assert re.findall(r"<td[^>]*>([^<]*)</td>", shown) == ["0.5000", "50.0%", "x", "0.3333", "–", "1,234"]
    assert shown.count('<td class="number">') == 4  # numbers, and texts that are numbers; not where a word is


def test_rows_and_pictures_carry_what_they_can_be_chosen_by() -> None:
    shown = table(["check", "n"], [[badge("a<b", "error"), 1], ["c", 2]], filter_by=("check",))
    marks = [json.loads(html.unescape(text)) for text in re.findall(r'data-marks="([^"]*)"', shown)]
    assert marks == [{"check": ["a<b"]}, {"check": ["c"]}]
    assert "data-filters" in shown
    assert "data-filters" not in table(["check"], [["c"]], filter_by=("check",))
    with pytest.raises(ValueError, match=r"filter_by has \['x'\], expected some of \['check'\]"):
        table(["check"], [], filter_by=("x",))
    marked = pictures([picture(b"x", "one", marks={"class": ["CAR"]}), picture(b"x", "two")])
    assert "data-filters" in marked
    assert "data-filters" not in pictures([picture(b"x", "two")])


def test_a_figure_lies_in_a_box_that_scrolls_once() -> None:
    document = page(
        "Title", [("", figure_svg(curve(), title="one") + figure_svg(curve(2.0), title="two"))], about=About()
    )
    assert document.count('<div class="figure-box"><svg') == 2
    assert document.count("</svg></div>") == 2


def test_every_page_of_the_library_says_what_it_is_about() -> None:
    """A call of `page` without `about` is refused; one whose `about` says nothing is for where nobody knows."""
    library = Path(__file__).resolve().parents[1] / "components" / "traffic_yolo"
    calls = [
        ast.unparse(node)
        for path in sorted(library.rglob("*.py"))
        if "html_report import" in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "page"
    ]
    assert len(calls) >= 15
    assert [call for call in calls if "about=" not in call or "about=About()" in call] == []
