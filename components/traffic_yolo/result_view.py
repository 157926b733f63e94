"""How a result of the Python API shows itself: as text in a terminal, as a table in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass

from traffic_yolo.messages import one_line

Cell = str | int | float | None
MOST_ROWS = 100  # of a table in a terminal or notebook; the reports have them all


@dataclass(frozen=True)
class ResultView:
    """A heading, a few sentences, and a table of `rows` under `headers` (each row one cell for each header)."""

    title: str
    lines: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[Sequence[Cell], ...] = ()

    @property
    def _shown(self) -> tuple[Sequence[Cell], ...]:
        return self.rows[:MOST_ROWS]

    @property
    def _notes(self) -> tuple[str, ...]:
        left = len(self.rows) - MOST_ROWS
        return (*self.lines, f"{left} more rows are not shown") if left > 0 else self.lines

    def text(self) -> str:
        """Lines for a terminal: the heading, the sentences, and the table in columns, numbers aligned right."""
        return "\n".join([one_line(self.title), *(one_line(line) for line in self._notes), *self._columns()])

    def _columns(self) -> list[str]:
        if not self.rows:
            return []
        body = [[one_line(cell_text(cell)) for cell in row] for row in self._shown]
        cells = [list(self.headers), *body]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.headers))]
        right = [all(not isinstance(row[column], str) for row in self._shown) for column in range(len(widths))]
        return [
            "  ".join(
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in cells
        ]

    def html(self) -> str:
        """The same as HTML that needs no style sheet; everything is escaped."""
        from traffic_yolo.html_report import paragraph, table  # loads matplotlib, which a terminal does not need

        parts = [paragraph(self.title), *(paragraph(line, quiet=True) for line in self._notes)]
        if self.rows:
            shown = [[cell_text(cell) if isinstance(cell, float) else cell for cell in row] for row in self._shown]
            parts.append(table(self.headers, shown))
        return "".join(parts)


class Viewable:
    """A result that shows its `view` in a terminal and in a notebook."""

    def view(self) -> ResultView:
        """What is shown of it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.view().text()

    def _repr_html_(self) -> str:
        return self.view().html()


def cell_text(cell: Cell) -> str:
    """A cell as text: a dash for None, four decimals for a float, thousands apart in a whole number."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
