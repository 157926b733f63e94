"""Self-contained HTML pages for reports: headings, tables, pictures and matplotlib figures as inline SVG.

A page asks the network for nothing, so it opens from a NAS and in the Kubeflow UI's sandboxed frame alike; it follows
the reader's light or dark mode. It runs no script but `sorting_by_click`, without which it says the same. The same
input gives the same bytes.
"""

import base64
import hashlib
import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as MatplotlibPath
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

CELL_COLOURS = 64  # of a heat map: neighbours differ by less than an eye can tell side by side
LONG_WORD = 12  # characters

STYLE = """
:root { color-scheme: light dark;
  --page: #ffffff; --text: #1c2127; --quiet: #5b6673; --line: #d5dae0; --band: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181d; --text: #e4e8ec; --quiet: #9aa5b1; --line: #363e47; --band: #1d232a; }
}
body { background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 70rem; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { max-width: 50rem; } .quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { caption-side: bottom; color: var(--quiet); font-size: .9em; padding: .3rem 0; text-align: left; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: left; vertical-align: top; }
th { font-weight: 600; } tbody tr:nth-child(even) { background: var(--band); }
td.number, th.number { text-align: right; }
body:has(table.many) { max-width: 110rem; }
table.many { font-size: .8em; width: 100%; }
.many th, .many td { padding: .25rem .3rem; } .many td.long { min-width: 5rem; overflow-wrap: anywhere; }
@media (max-width: 80rem) {
  .many, .many tbody { display: block; } .many thead { display: none; }
  .many tr { border: 1px solid var(--line); break-inside: avoid; display: grid; margin: .5rem 0; padding: .4rem;
    grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
  .many td, .many td.number { border: 0; text-align: left; }
  .many td::before { color: var(--quiet); content: attr(data-name); display: block; font-size: .9em; }
}
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: "\\2191"; }
th[aria-sort=descending] button::after { content: "\\2193"; }
@media screen and (max-width: 80rem) {
  .many.sorts thead, .many.sorts thead tr { border: 0; display: flex; flex-wrap: wrap; gap: 0 .6rem; padding: 0; }
  .many.sorts thead th { border: 0; text-align: left; }
}
@media print {
  th[aria-sort] button::after { content: none !important; }
  body { max-width: none; padding: 0; } .wide { overflow: visible; } h2 { break-after: avoid; }
  tr, figure, svg.figure { break-inside: avoid; }
}
svg.figure { display: block; height: auto; margin: .5rem 0; max-width: 100%; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures figure { flex: 1 1 20rem; margin: 0; max-width: 30rem; }
figcaption { color: var(--quiet); font-size: .9em; }
.tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: .8rem 0; }
.tile { background: var(--band); border-radius: 6px; min-width: 6.5rem; padding: .5rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: .85em; }
.callout { border-left: 4px solid var(--line); padding: .1rem 0 .1rem .9rem; }
.callout.warning { border-color: #d55e00; } .callout.good { border-color: #009e73; }
.key { display: inline-block; border: 1px solid var(--quiet); height: .8em; margin: 0 .3em 0 .9em; width: .8em; }
p.keys { max-width: none; } p.keys span:first-child { margin-left: 0; }
summary { cursor: pointer; margin: .5rem 0; }
img { height: auto; max-width: 100%; }
"""

# Each header becomes a button. The first click brings what a reader looks for to the top, the second one the other end;
# what a row does not state stays last, and ties stay in the order of the page.
SORTING = """
for (const table of document.querySelectorAll("table.many")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const number = text => Number((text.match(/^-?[0-9.]+(e[-+]?[0-9]+)?/) || [NaN])[0]);
  const compare = { text: (a, b) => a < b ? -1 : a > b ? 1 : 0,
    number: (a, b) => number(a) - number(b), version: (a, b) => number(a) - number(b) || (a < b ? -1 : a > b ? 1 : 0) };
  table.classList.add("sorts");
  heads.forEach((head, column) => {
    const button = document.createElement("button"), [kind, first] = head.dataset.sort.split(" ");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const value = row => row.cells[column].textContent;
    button.addEventListener("click", () => {
      const other = { ascending: "descending", descending: "ascending" }, way = other[head.ariaSort] || first;
      const there = rows.filter(row => !["", "\u2013"].includes(value(row)));
      const sign = way === "ascending" ? 1 : -1;
      there.sort((a, b) => sign * compare[kind](value(a), value(b)));
      body.append(...there, ...rows.filter(row => !there.includes(row)));
      heads.forEach(each => each.removeAttribute("aria-sort"));
      head.ariaSort = way;
    });
  });
}
"""
SORT_KINDS = ("text", "number", "version")  # version: by the number in front, then as text

Cell = str | int | float | None


class Html(str):
    """Text that is HTML already; everything else is escaped where it enters a page."""

    __slots__ = ()


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole HTML document: `title` as its heading, then each section's heading (plain text) and body (HTML).

    An empty heading gives a section without one.
    """
    parts = []
    for heading, body in sections:
        shown = f"<h2>{html.escape(heading)}</h2>\n" if heading else ""
        parts.append(f"<section>\n{shown}{body}\n</section>\n")
    name = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        f"{''.join(parts)}</body>\n</html>\n"
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "") -> Html:
    """An HTML table. A column whose cells are all numbers (or None) is aligned right, written by `format_cell`.

    Raises `ValueError` for a row whose length is not that of `headers`.
    """
    return _table(headers, rows, caption, kind="")


def table_of_many_columns(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", sort: Mapping[str, str] | None = None
) -> Html:
    """A `table` that needs no scrolling: up to 1,280 pixels, and on paper, each row is a block of names and values.

    `sort`: header -> how `sorting_by_click` sorts by it, one of `SORT_KINDS` and what the first click gives
    ("number descending"); all headers have one, or none.
    """
    return _table(headers, rows, caption, kind="many", sort=sort or {})


def sorting_by_click() -> Html:
    """What makes the headers of a page's tables of many columns buttons that sort; put it behind the last of them."""
    return Html(f"<script>{SORTING}</script>")


def _table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str,
    *,
    kind: str,
    sort: Mapping[str, str] = MappingProxyType({}),
) -> Html:
    body = [tuple(row) for row in rows]
    for row in body:
        if len(row) != len(headers):
            raise ValueError(f"table row has {len(row)} cells, expected {len(headers)}: {row!r}")
    numeric = [bool(body) and all(not isinstance(row[column], str) for row in body) for column in range(len(headers))]
    marks = [' class="number"' if right else "" for right in numeric]
    names = [f' data-name="{html.escape(name)}"' for name in headers] if kind else [""] * len(headers)
    shown_headers = [_cell_html(name).replace("_", "_<wbr>") if kind else _cell_html(name) for name in headers]
    sorts = [f' data-sort="{sort[name]}"' if sort else "" for name in headers]
    head = "".join(f"<th{a}{b}>{name}</th>" for a, b, name in zip(marks, sorts, shown_headers, strict=True))
    lines = []
    for row in body:
        row_marks = [' class="long"' if kind and _has_long_word(cell) else "" for cell in row]
        cells = zip(marks, row_marks, names, row, strict=True)
        lines.append(
            "<tr>" + "".join(f"<td{a or b}{name}>{_cell_html(cell)}</td>" for a, b, name, cell in cells) + "</tr>"
        )
    shown = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    content = f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>"
    opening = f'<table class="{kind}">' if kind else "<table>"
    return Html(f'<div class="wide">{opening}{shown}{content}</table></div>')


def paragraph(text: str, *, quiet: bool = False) -> Html:
    """One paragraph of plain text."""
    mark = ' class="quiet"' if quiet else ""
    return Html(f"<p{mark}>{_cell_html(text)}</p>")


def tiles(shown: Iterable[tuple[str, Cell]]) -> Html:
    """A row of large numbers, each with its name below."""
    inner = "".join(
        f'<div class="tile"><b>{_cell_html(value)}</b><span>{html.escape(name)}</span></div>' for name, value in shown
    )
    return Html(f'<div class="tiles">{inner}</div>')


def callout(text: str, *, kind: str = "") -> Html:
    """A paragraph of plain text that stands out; `kind`: "", "good" or "warning"."""
    return Html(f'<p class="callout {kind}">{_cell_html(text)}</p>'.replace(' "', '"'))


def details(summary: str, body: str) -> Html:
    """HTML that a reader unfolds; `summary` is plain text."""
    return Html(f"<details><summary>{html.escape(summary)}</summary>{body}</details>")


def colour_key(colours: Iterable[tuple[str, tuple[int, int, int]]]) -> Html:
    """A line that says what colours mean: (what, RGB) each."""
    inner = "".join(
        f'<span class="key" style="background: rgb({red}, {green}, {blue})"></span>{html.escape(name)}'
        for name, (red, green, blue) in colours
    )
    return Html(f'<p class="quiet keys">{inner}</p>')


def picture(jpeg: bytes, caption: str) -> Html:
    """A JPEG inside the page (a data URI) with its caption; place several inside `pictures`."""
    data = base64.b64encode(jpeg).decode("ascii")
    text = html.escape(caption)
    return Html(
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'
    )


def pictures(shown: Iterable[str]) -> Html:
    """Pictures side by side, wrapping with the width of the window."""
    return Html(f'<div class="pictures">{"".join(shown)}</div>')


def format_cell(value: Cell) -> str:
    """A table cell as plain text: None is a dash, a float has up to four decimals, an int keeps all its digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{round(value, 4):.8g}"
    return str(value)


def log_scale(axis: Axis, ticks: Sequence[float]) -> None:
    """Makes an axis logarithmic with ticks at these values alone, labelled as people write them.

    matplotlib's own labels are powers of ten in mathematical notation, which take most of the time of a small figure.
    """
    axis.axes.set(**{f"{'x' if axis is axis.axes.xaxis else 'y'}scale": "log"})
    axis.set_major_locator(FixedLocator(list(ticks)))  # unlike set_ticks, leaves the limits to the data
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis between two numbers above 0: 1, 2 and 5 of each decade, or 1 alone of many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 4 else (1,)
    ticks = [step * 10.0**decade for decade in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def standalone_svg(figure: str) -> str:
    """A figure of `figure_svg` as a file of its own, in black on white."""
    return str(figure).replace("currentColor", "#000000").replace("var(--page)", "#ffffff")


def draw_cells(
    axes: Axes,
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
    values: NDArray[Any],
    cmap: str,
    norm: Normalize,
) -> None:
    """What `axes.pcolormesh` draws of values (rows, columns) between edges (columns + 1,) and (rows + 1,).

    Cells of one colour are one shape, in `CELL_COLOURS` colours: a twentieth of the time and of the size of a shape for
    each cell. Values that are masked or not finite stay blank.
    """
    shares = np.ma.masked_invalid(np.ma.asarray(norm(values), np.float64))
    levels = np.clip(np.floor(shares.filled(-1) * CELL_COLOURS), -1, CELL_COLOURS - 1)
    colour_map = colormaps[cmap]
    for level in np.unique(levels[levels >= 0]):
        rows, columns = np.nonzero(levels == level)
        left, right, bottom, top = x_edges[columns], x_edges[columns + 1], y_edges[rows], y_edges[rows + 1]
        corners = np.stack([left, bottom, right, bottom, right, top, left, top], axis=1).reshape(-1, 4, 2)
        colour = colour_map((level + 0.5) / CELL_COLOURS)
        # Edges of the face's colour: without, the page shows through between the cells
        outline = MatplotlibPath.make_compound_path_from_polys(corners)
        axes.add_artist(PathPatch(outline, fc=colour, ec=colour, linewidth=0.3))  # the limits are set below
    axes.set(xlim=(x_edges[0], x_edges[-1]), ylim=(y_edges[0], y_edges[-1]))


def figure_svg(figure: Figure, *, title: str = "") -> Html:
    """The figure as inline SVG that scales with the page and follows light and dark mode.

    `title` is what a screen reader says and a mouse that rests on the figure shows. Black turns into the page's text
    colour and white into its background, so draw what must keep its colour in anything else (`#111111`, `#fefefe`).
    Give a figure its margins (`subplots_adjust`): a layout engine draws everything once more to find them. Draw images
    by `draw_cells`, not `imshow`: the latter embeds a PNG. Ids carry a hash of the figure, so that several
    figures can share a page. No date, no version of matplotlib: equal figures give equal text. The figure itself is not
    changed.
    """
    buffer = io.StringIO()
    # Text stays text: a tenth of the size of outlines, and a reader can search it.
    with rc_context({"svg.hashsalt": "traffic-yolo", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # matplotlib's own style element says `* {…}`, which inside a page would hit the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href").replace("#000000", "currentColor").replace("#ffffff", "var(--page)")
    return Html(_root_element(text, title) + _salted_ids(text[text.index(">") + 1 :], title).strip())


def _root_element(text: str, title: str) -> str:
    opening = text[: text.index(">")]
    view_box = re.search(r'viewBox="[^"]*"', opening)
    width = re.search(r'width="([\d.]+)pt"', opening)
    if view_box is None or width is None:
        raise AssertionError("matplotlib wrote an SVG without viewBox or width")
    label = f' aria-label="{html.escape(title)}"' if title else ""
    name = f"<title>{html.escape(title)}</title>" if title else ""
    # 1 pt is 4/3 CSS pixels; max-width in the page's style lets it shrink on a narrow screen.
    return (
        f'<svg class="figure" role="img"{label} xmlns="http://www.w3.org/2000/svg" {view_box.group(0)} '
        f'width="{float(width.group(1)) * 4 / 3:.0f}" fill="currentColor" '
        f'stroke-linejoin="round" stroke-linecap="butt">{name}'
    )


def _salted_ids(text: str, title: str) -> str:
    salt = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:10]
    text = re.sub(r'\bid="([^"]+)"', rf'id="f{salt}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#f{salt}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#f{salt}-\1)", text)


def _has_long_word(cell: Cell) -> bool:
    """Whether a narrow column has to break one of its words."""
    return isinstance(cell, str) and any(len(word) > LONG_WORD for word in cell.split())


def _cell_html(value: Cell) -> str:
    if isinstance(value, Html):
        return str(value)
    return html.escape(format_cell(value))
