"""HTML pages: escaping, tables, and figures that share a page without clashing."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from traffic_yolo.html_report import (
    Html,
    figure_svg,
    format_cell,
    page,
    paragraph,
    picture,
    pictures,
    table,
    table_of_many_columns,
)
from traffic_yolo.page_origin import About


def curve(height: float = 1.0) -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0, 1], [0, height], "o-", label="CAR")
    axes.pcolormesh(np.linspace(0, 1, 3), np.linspace(0, 1, 3), np.eye(2))
    axes.set_xlim(0, 1)
    axes.legend()
    return figure


def test_text_is_escaped_and_html_is_not() -> None:
    document = page("A & B", [("x < y", paragraph("1 < 2")), ("", table(["<name>"], [["<b>"], [Html("<i>ok</i>")]]))], about=About())
    assert "<title>A &amp; B</title>" in document
    assert '<h2 id="s0">x &lt; y</h2>' in document
    assert "<p>1 &lt; 2</p>" in document
    assert "&lt;name&gt;" in document
    assert "&lt;b&gt;" in document
    assert "<i>ok</i>" in document
    assert document.count("<h2") == 1


def test_a_page_loads_nothing_and_runs_its_own_script_alone() -> None:
    document = page("Report", [("Figure", figure_svg(curve())), ("Picture", picture(b"\xff\xd8", "one"))], about=About())
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
