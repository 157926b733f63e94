"""The ledger: what stands in its table, in which groups and order, and what a damaged record does (a warning)."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo.errors import StorageError
from traffic_yolo.registry.ledger import COLUMNS, LedgerEntry, LedgerTable
from traffic_yolo.registry.zoo import publish

MakeRun = Callable[..., dict[str, Path]]


@pytest.fixture
def zoo(make_run: MakeRun, tmp_path: Path) -> str:
    """Four versions: three comparable ones (one without AP), and one on other data."""
    location = str(tmp_path / "zoo")
    for name, run in (
        ("b|small", None),
        ("small", make_run(0, ap=0.3)),
        ("large", make_run(1, ap=0.5)),
        ("empty", make_run(2, ap=None)),
        ("small", make_run(3, ap=0.9, data="e" * 64)),
    ):
        if run is not None:
            publish(**run, zoo=location, name=name)
    return location


def test_rows_are_grouped_by_protocol_and_sorted_by_ap(zoo: str) -> None:
    groups = LedgerTable.read(zoo).groups()
    assert sorted(len(entries) for entries in groups.values()) == [1, 3]
    comparable = next(entries for entries in groups.values() if len(entries) == 3)
    assert [entry.name for entry in comparable] == ["large", "small", "empty"]


def test_network_size_makes_another_group(make_run: MakeRun, tmp_path: Path) -> None:
    location = str(tmp_path / "other")
    publish(**make_run(0), zoo=location, name="m")
    publish(**make_run(0, network_size=128), zoo=location, name="m")
    assert len(LedgerTable.read(location).groups()) == 2


def test_markdown_has_a_table_for_each_group(zoo: str) -> None:
    text = LedgerTable.read(zoo).markdown()
    assert text.count("### Split test of data") == 2
    assert f"| {' | '.join(COLUMNS)} |" in text
    row = next(line for line in text.splitlines() if line.startswith("| large "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    values = dict(zip(COLUMNS, cells, strict=True))
    assert values["ap"] == "0.5"
    assert values["ap50"] == "0.55"
    assert (values["confidence_threshold"], values["iou_threshold"], values["f1"]) == ("0.35", "0.5", "0.75")
    assert values["parity"] == "passed"
    undefined = next(line for line in text.splitlines() if line.startswith("| empty "))
    assert undefined.split("|")[3].strip() == "–"


def test_html_is_a_page_with_the_same_rows(zoo: str) -> None:
    text = LedgerTable.read(zoo).html()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("<table>") == 2
    assert "large" in text


def test_csv_holds_every_row_in_full(zoo: str) -> None:
    rows = list(csv.DictReader(io.StringIO(LedgerTable.read(zoo).csv())))
    assert len(rows) == 4
    assert len({row["protocol"] for row in rows}) == 2
    assert {row["model"]: row["ap"] for row in rows if row["model"] != "small"} == {"large": "0.5", "empty": ""}


def test_a_damaged_record_becomes_a_warning_that_names_it(
    zoo: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = tmp_path / "zoo" / "ledger"
    broken, changed = sorted(ledger.glob("*.json"))[:2]
    broken.write_text('{"half": ')
    changed.write_text(changed.read_text().replace('"recall": 0.7', '"recall": 0.9'))
    (ledger / "notes.json").write_text("[]")
    table = LedgerTable.read(zoo)
    assert len(table.entries) == 2
    assert len(table.warnings) == 3
    assert any(broken.name in warning and "not valid JSON" in warning for warning in table.warnings)
    assert any(changed.name in warning and "it was changed" in warning for warning in table.warnings)
    assert broken.name in caplog.text
    assert "**Warning**" in table.markdown()
    assert broken.name in table.html()


def test_an_entry_reads_back_equal(zoo: str, tmp_path: Path) -> None:
    entry = LedgerTable.read(zoo).entries[0]
    assert LedgerEntry.read(entry.write(tmp_path / "copy")) == entry


def test_a_bar_in_a_name_does_not_break_the_table(zoo: str) -> None:
    import dataclasses

    entry = dataclasses.replace(LedgerTable.read(zoo).entries[0], name="a|b")
    row = LedgerTable((entry,), ()).markdown().splitlines()[4]
    assert row.startswith("| a\\|b | ")


def test_an_empty_zoo_says_so(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    table = LedgerTable.read(str(tmp_path / "zoo"))
    assert table.markdown() == "The ledger has no records yet.\n"
    assert "no records yet" in table.html()
    assert table.csv().startswith("protocol,model,version")


def test_a_missing_zoo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="model zoo not found"):
        LedgerTable.read(str(tmp_path / "none"))
