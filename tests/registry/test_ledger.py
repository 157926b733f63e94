"""The ledger: what stands in its table, in which groups and order, and what a damaged record does (a warning)."""

import csv
import dataclasses
import io
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from judged_runs import publish
from ledger_writer import write_some
from records import made_up_record
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo.commands.ledger import command
from traffic_yolo.errors import EvaluationError, OptionsError, StorageError
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.ledger import LedgerEntry, add_entry, read_ledger
from traffic_yolo.registry.ledger_table import COLUMNS, LedgerTable, differing
from traffic_yolo.registry.zoo import set_current

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
            publish(**run, zoo=location, name=name, rules=GateRules(gate="any"))  # what nobody judged on other data
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
    assert dict(zip(COLUMNS, undefined.strip("|").split("|"), strict=True))["ap"].strip() == "–"


def test_what_is_in_use_is_marked_where_the_zoo_is_asked(zoo: str) -> None:
    set_current(zoo, "small", "1")
    table = LedgerTable.read(zoo)
    states = {(entry.name, entry.version[:4]): table.row(entry)["state"] for entry in table.entries}
    assert states == {
        ("small", "0001"): "current",
        ("small", "0002"): "",
        ("large", "0001"): "current",
        ("empty", "0001"): "current",
    }
    assert "| current |" in table.markdown()
    assert table.html().count(">current</td>") == 3
    assert {row["state"] for row in csv.DictReader(io.StringIO(table.csv()))} == {"current", ""}
    alone = LedgerTable.of_ledger(f"{zoo}/ledger")
    assert {alone.row(entry)["state"] for entry in alone.entries} == {""}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("ap", ["d 1", "c 2", "b 10000", "b 9999"]),
        ("f1", ["b 9999", "c 2", "d 1", "b 10000"]),
        ("version", ["d 1", "c 2", "b 9999", "b 10000"]),
        ("model", ["b 10000", "b 9999", "c 2", "d 1"]),
        ("added", ["b 10000", "b 9999", "c 2", "d 1"]),
        ("state", ["b 10000", "d 1", "c 2", "b 9999"]),
    ],
)
def test_rows_are_sorted_by_any_column(column: str, expected: list[str]) -> None:
    entries = []
    for number, (name, version, ap, f1) in enumerate(
        [("d", 1, 0.9, 0.1), ("c", 2, 0.8, 0.2), ("b", 9999, None, 0.3), ("b", 10000, 0.4, None)]
    ):
        record = made_up_record(metrics={"ap": ap, "f1": f1})
        entry = LedgerEntry.of_record(name, f"{version:04d}-{'a' * 12}", record)
        entries.append(dataclasses.replace(entry, added_at=f"2026010{number + 1}T000000Z"))
    table = LedgerTable(tuple(reversed(entries)), (), in_use={"b": entries[3].version})
    found = table.sorted_by(column)
    assert [f"{entry.name} {int(entry.version.split('-')[0])}" for entry in found.entries] == expected
    assert list(found.groups().values()) == [list(found.entries)]


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionsError, match="--sort 'x': expected one of model, version, state"):
        LedgerTable((), ()).sorted_by("x")


def test_html_is_a_page_with_the_same_rows(zoo: str) -> None:
    text = LedgerTable.read(zoo).html()
    assert text.startswith("<!DOCTYPE html>")
    assert text.count('<table class="many">') == 2
    assert "large" in text


def test_csv_holds_every_row_in_full(zoo: str) -> None:
    rows = list(csv.DictReader(io.StringIO(LedgerTable.read(zoo).csv())))
    assert len(rows) == 4
    assert len({row["protocol"] for row in rows}) == 2
    assert {row["model"]: row["ap"] for row in rows if row["model"] != "small"} == {"large": "0.5", "empty": ""}


def test_groups_say_what_differs_and_are_never_ranked_together(zoo: str) -> None:
    text = LedgerTable.read(zoo).markdown()
    assert text.count("Not comparable with the first group") == 1
    assert "data_fingerprint eeeeeeeeeeee… instead of dddddddddddd…" in text
    # The best AP of all, 0.9, is of the other group, and stands below it
    assert text.index("| large ") < text.index("Not comparable") < text.rindex("| small ")


def test_differing_names_settings_at_any_depth() -> None:
    one = {"nms": {"kind": "default", "iou_threshold": 0.45}, "network_hw": [64, 96], "split": "test"}
    other = {"nms": {"kind": "greedynms", "iou_threshold": 0.45}, "network_hw": [64, 128], "split": "test"}
    assert differing(one, other) == [
        "network_hw 64, 128 instead of 64, 96",
        "nms.kind greedynms instead of default",
    ]


def test_different_confidence_thresholds_are_noted_within_a_group(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    for threshold in (0.25, 0.4):
        nms = {**made_up_record().nms, "confidence_threshold": threshold}
        add_entry(ledger, LedgerEntry.of_record("m", f"v{threshold}", made_up_record(nms=nms)))
    table = LedgerTable.of_ledger(ledger)
    assert len(table.groups()) == 1
    assert "stand at different confidence thresholds: 0.25, 0.4." in table.markdown()


def test_rows_whose_weights_may_have_seen_the_pictures_are_flagged(make_run: MakeRun, tmp_path: Path) -> None:
    location = str(tmp_path / "zoo")
    publish(**make_run(0), zoo=location, name="clean")
    publish(**make_run(1, verdict="seen"), zoo=location, name="leaky")
    text = LedgerTable.read(location).markdown()
    assert "| SEEN 9 of 9 |" in text
    assert "leaky 0001" in text
    assert "of the pictures: made up." in text
    assert "| no |" in next(line for line in text.splitlines() if line.startswith("| clean "))


def test_what_is_no_record_becomes_a_footnote_and_strict_fails(zoo: str, tmp_path: Path) -> None:
    ledger = tmp_path / "zoo" / "ledger"
    broken, changed = sorted(ledger.glob("*.json"))[:2]
    broken.write_text('{"half": ')
    changed.write_text(changed.read_text().replace('"recall": 0.7', '"recall": 0.9'))
    (ledger / "notes.json").write_text("[]")
    (ledger / "20260101T000000Z-0123456789abcdef.json").write_text('{"schema_version": 1}')
    table = LedgerTable.read(zoo)
    assert len(table.entries) == 2
    footnotes = table.markdown()
    assert f"**Left out**: {broken.name}: corrupt: not valid JSON" in footnotes
    assert f"**Left out**: {changed.name}: corrupt: its content does not have the time and hash" in footnotes
    assert "**Left out**: notes.json: foreign: not named as a record is" in footnotes
    assert "0123456789abcdef.json: foreign: not a ledger record of schema version 2" in footnotes
    assert broken.name in table.html()
    with pytest.raises(EvaluationError, match=r"ledger: .*foreign.*\(and 3 more\); remove it"):
        LedgerTable.of_ledger(str(ledger), strict=True)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("f1", float("nan"), "corrupt: not valid JSON (NaN is no JSON"),
        ("f1", "high", "foreign: point.f1 must be a number; found 'high'"),
        ("confidence_threshold", None, "foreign: point.confidence_threshold must be a number; found None"),
        ("iou_threshold", [1] * 5000, "foreign: point.iou_threshold must be a number; found [1, 1"),
    ],
)
def test_one_odd_record_hides_no_other(field: str, value: object, words: str, zoo: str, tmp_path: Path) -> None:
    ledger = tmp_path / "zoo" / "ledger"
    content = json.loads(next(ledger.glob("*.json")).read_text())
    content["point"][field] = value
    (ledger / "20260101T000000Z-0123456789abcdef.json").write_text(json.dumps(content))
    table = LedgerTable.read(zoo)
    assert len(table.entries) == 4
    (problem,) = table.problems
    assert problem.startswith(f"20260101T000000Z-0123456789abcdef.json: {words}")
    assert len(problem) < 300
    assert problem.split(": ")[0] in table.markdown()


def test_a_record_whose_numbers_are_out_of_range_is_foreign(tmp_path: Path) -> None:
    ledger = str(tmp_path)
    made_up = made_up_record()
    bad = dataclasses.replace(made_up, metrics={**made_up.metrics, "ap": 1.5})
    add_entry(ledger, LedgerEntry.of_record("m", "1", bad))
    entries, problems = read_ledger(ledger)
    assert entries == []
    assert "foreign: its record: metrics.ap: 1.5 is greater than the maximum of 1" in problems[0]


def test_an_entry_reads_back_equal(zoo: str) -> None:
    entry = LedgerTable.read(zoo).entries[0]
    assert LedgerEntry.parse(entry.object_name, entry.to_bytes()) == entry


def test_the_same_content_is_kept_once_under_its_first_time(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    entry = LedgerEntry.of_record("m", "1", made_up_record())
    later = dataclasses.replace(entry, added_at="20990101T000000Z")
    assert add_entry(ledger, entry) == (entry.object_name, True)
    assert add_entry(ledger, later) == (entry.object_name, False)
    (tmp_path / "ledger" / later.object_name).write_bytes(later.to_bytes())  # as a second writer in the same moment
    assert read_ledger(ledger) == ([entry], [])


@pytest.mark.long
def test_writers_in_parallel_processes_lose_no_record(tmp_path: Path) -> None:
    ledger, writers, count = str(tmp_path / "ledger"), 4, 15
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=write_some, args=(ledger, writer, count)) for writer in range(writers)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    entries, problems = read_ledger(ledger)
    assert problems == []
    assert {(entry.name, entry.version) for entry in entries} == {
        (f"writer {writer}", str(index)) for writer in range(writers) for index in range(count)
    }


def test_a_ledger_in_object_storage(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = f"s3://{use(moto, monkeypatch)}/ledger"
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda writer: write_some(ledger, writer, 3), range(3)))
    entries, problems = read_ledger(ledger)
    assert problems == []
    assert len(entries) == 9


def test_add_table_and_show_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "ev").mkdir()
    made_up_record().write(tmp_path / "ev" / "record.json")
    where = ["--ledger", str(tmp_path / "ledger")]

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command, [*arguments, *where])
        assert done.exit_code == 0, done.output
        return done.output

    add = ("add", "--evaluation", str(tmp_path / "ev"), "--model-name", "m", "--version", "v1")
    assert "added" in run(*add)
    assert "is there already" in run(*add)
    assert "| m | v1 |" in run("table")
    assert "| m | v1 |" in run("table", "--sort", "added")
    assert run("table", "--as", "csv").startswith("protocol,model,version")
    (group,) = (told := json.loads(run("table", "--json")))["groups"]
    assert [(row["model"], row["version"], row["ap"]) for row in group["rows"]] == [("m", "v1", 0.4)]
    assert (told["differences"], told["left_out"], told["out"]) == ([], [], None)
    assert json.loads(run("show", "v1"))["record"]["metrics"]["ap"] == 0.4
    run("table", "--as", "html", "--out", str(tmp_path / "t.html"))
    assert (tmp_path / "t.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(OptionsError, match="names 0 records, expected one; known: "):
        CliRunner().invoke(command, ["show", "v2", *where], catch_exceptions=False)
    with pytest.raises(OptionsError, match="either --ledger or --zoo"):
        CliRunner().invoke(command, ["table"], catch_exceptions=False)


def test_a_bar_in_a_name_does_not_break_the_table(zoo: str) -> None:
    entry = dataclasses.replace(LedgerTable.read(zoo).entries[0], name="a|b")
    assert "| a\\|b | " in LedgerTable((entry,), ()).markdown()


def test_an_empty_zoo_says_so(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    table = LedgerTable.read(str(tmp_path / "zoo"))
    assert table.markdown() == "The ledger has no records yet.\n"
    assert "no records yet" in table.html()
    assert table.csv().startswith("protocol,model,version")


def test_a_missing_zoo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="model zoo not found"):
        LedgerTable.read(str(tmp_path / "none"))
