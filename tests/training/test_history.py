"""history.csv."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from traffic_yolo.errors import StorageError
from traffic_yolo.training.history import History, HistoryRow, read_history

ROWS = [HistoryRow(n, 16 * n, 0.1 / n, 3.0 / n, 1.0, 1.0, 1.0, 0.5 * n, 0.25 if n == 2 else None) for n in (1, 2, 3)]


def test_rows_read_back_the_same(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv")
    for row in ROWS:
        history.append(row)
    assert read_history(tmp_path / "history.csv") == ROWS


def test_going_on_takes_out_later_rows_and_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = History(path)
    for row in ROWS:
        history.append(row)
    with path.open("a") as file:
        file.write("4,64,0.0")
    history = History(path, keep=2)
    history.append(ROWS[2])
    assert read_history(path) == ROWS


def test_validation_is_put_into_the_row_of_its_update(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = History(path)
    for row in ROWS:
        history.append(row)
    history.amend(replace(ROWS[2], ap50=0.5, ap=0.25, f1=0.125))
    assert read_history(path) == [*ROWS[:2], replace(ROWS[2], ap50=0.5, ap=0.25, f1=0.125)]
    with pytest.raises(ValueError, match="expected iteration 3, found 2"):
        history.amend(ROWS[1])


def test_start_has_a_row_without_losses(tmp_path: Path) -> None:
    nan = math.nan
    History(tmp_path / "history.csv").append(HistoryRow(0, 0, 0.0, nan, nan, nan, nan, 1.5, 0.25))
    (row,) = read_history(tmp_path / "history.csv")
    assert (row.iteration, row.ap50, math.isnan(row.loss)) == (0, 0.25, True)
    assert History(tmp_path / "history.csv", keep=0).rows[0].ap50 == 0.25


def test_missing_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="history cannot be read"):
        History(tmp_path / "history.csv", keep=3)


@pytest.mark.parametrize(
    "line",
    ["inf,16,0.1,1,1,1,1,1,,,,", "1.5,16,0.1,1,1,1,1,1,,,,", "4,-16,0.1,1,1,1,1,1,,,,", "4,nan,0.1,1,1,1,1,1,,,,",
     "junk,16,0.1,1,1,1,1,1,,,,", "4,,0.1,1,1,1,1,1,,,,", "4,64", "\x00\x00", "4,64,\ufffd,1,1,1,1,1"],
)  # fmt: skip
def test_a_line_that_is_no_row_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history.csv"
    history = History(path)
    for row in ROWS:
        history.append(row)
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(
        StorageError, match=r"history.csv line 5: expected numbers under iteration,seen,learning_rate,…; found '"
    ):
        read_history(path)


def test_a_field_without_end_is_refused_by_its_line(tmp_path: Path) -> None:
    History(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open("a") as file:
        file.write('1,"' + "9" * 200_000 + "\n")
    with pytest.raises(StorageError, match=r"history\.csv line 2: longer than 4096 characters, so no row"):
        read_history(tmp_path / "history.csv")


def test_bytes_that_are_no_text_are_a_line_that_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    History(path).append(ROWS[0])
    with path.open("ab") as file:
        file.write(b"2,\xff\n")
    with pytest.raises(StorageError, match="history.csv line 3: expected numbers"):
        read_history(path)
