"""`traffic-yolo zoo`: what each command prints and does, and what it refuses in one line."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from examples import slow

from traffic_yolo.cli import main
from traffic_yolo.registry.bundle import SUMS_NAME, verify_bundle
from traffic_yolo.registry.history import History
from traffic_yolo.registry.ledger import TIME_FORMAT
from traffic_yolo.registry.model_home import InUse
from traffic_yolo.registry.zoo import current_version, versions

MakeRun = Callable[..., dict[str, Path]]
Run = Callable[..., str]
ENGINE = "model.onnx_b1_gpu0_fp16.engine"


@pytest.fixture
def run(zoo: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `zoo <arguments> --zoo ZOO`, asserts the exit code, and gives what was printed."""

    def run_command(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["zoo", *arguments, "--zoo", str(zoo)])
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        if code == 2:
            assert printed.err.startswith("error: ")
            assert printed.err.count("\n") == 1
            return printed.err
        return printed.out

    return run_command


def names_of(zoo: Path, name: str = "small") -> list[str]:
    return [path.name for path in versions(zoo, name)]


def test_list_shows_models_and_versions_in_order_and_what_is_in_use(zoo: Path, run: Run) -> None:
    listed = json.loads(run("list", "--json"))["versions"]
    small, large = names_of(zoo), names_of(zoo, "large")
    assert [(row["model"], row["version"], row["state"]) for row in listed] == [
        ("large", large[0], ""),
        ("small", small[0], ""),
        ("small", small[1], "before"),
        ("small", small[2], "current"),
    ]
    assert [row["parity"] for row in listed] == [False, True, True, True]
    assert listed[1]["added"] == "20200101T000000Z"
    assert listed[3]["ap"] == pytest.approx(0.42)
    assert listed[3]["location"] == str(zoo / "small" / small[2])
    lines = run("list", "small").splitlines()
    assert lines[0].split() == ["model", "version", "state", "added", "ap", "ap50", "parity"]
    assert lines[3].split() == ["small", small[2], "current", "20220101T000000Z", "0.42", "0.47", "passed"]
    assert len(lines) == 4


def test_the_ten_thousandth_version_comes_after_the_one_before(zoo: Path, run: Run) -> None:
    for number, old in (("9999", names_of(zoo)[0]), ("10000", names_of(zoo)[1])):
        (zoo / "small" / old).rename(zoo / "small" / f"{number}-{old[-12:]}")
    listed = [row["version"][:5] for row in json.loads(run("list", "small", "--json"))["versions"]]
    assert listed == ["0003-", "9999-", "10000"]


def test_an_empty_zoo_lists_nothing(zoo: Path, run: Run) -> None:
    shutil.rmtree(zoo)
    assert f"model zoo not found: {zoo}" in run("list", code=2)
    zoo.mkdir()
    assert json.loads(run("list", "--json"))["versions"] == []
    assert "no model 'small'; found none" in run("show", "small", code=2)


def test_show_prints_the_card_of_the_version_in_use_or_of_one(zoo: Path, run: Run) -> None:
    newest, oldest = names_of(zoo)[2], names_of(zoo)[0]
    shown, card = json.loads(run("show", "small", "--json")), verify_bundle(zoo / "small" / newest)
    assert shown.pop("command").endswith("show")
    assert {**shown, "lineage": card["lineage"]} == {
        **card,
        "lineage": card["lineage"],
        "statement": shown["statement"],
        "publication": shown["publication"],
    }
    text = run("show", "small", oldest)
    assert text.startswith(f"# small {oldest}\n")
    assert "- metrics.ap: 0.4\n" in text
    assert "- confidence_threshold: 0.35\n" in text
    assert run("show", "small", "1") == run("show", "small", "0001") == text


@pytest.mark.parametrize("arguments", [("show", "small"), ("fetch", "small", "--out", "OUT"), ("verify", "small")])
@pytest.mark.parametrize("version", ["9", "0009-123456789abc", "x"])
def test_an_unknown_version_is_named_with_those_there_are(
    zoo: Path, run: Run, tmp_path: Path, arguments: tuple[str, ...], version: str
) -> None:
    command, name, *more = (str(tmp_path / "out") if word == "OUT" else word for word in arguments)
    line = run(command, name, version, *more, code=2)
    assert f"no version '{version}'; found {', '.join(names_of(zoo))}" in line
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_version_in_use_says_so(run: Run) -> None:
    assert "large: no version is in use; publish one, or set one current" in run("show", "large", code=2)
    assert "large: no version is in use" in run("rollback", "large", code=2)


def test_verify_says_what_is_whole_and_ends_with_1_where_something_is_not(zoo: Path, run: Run) -> None:
    (zoo / "small" / names_of(zoo)[2] / ENGINE).touch()
    assert run("verify").count(": whole\n") == 4
    damaged = names_of(zoo)[1]
    (zoo / "small" / damaged / "model.cfg").write_text("other")
    assert f"small {damaged}: DAMAGED: " in run("verify", code=1)
    assert "model.cfg was changed after publishing" in run("verify", "small", "2", code=1)
    assert run("verify", "large").count("\n") == 1
    assert run("verify", "small", "3").endswith(": whole\n")


def test_verify_finds_a_pointer_to_nothing_a_damaged_history_and_a_damaged_record(zoo: Path, run: Run) -> None:
    (zoo / "small" / "current").write_text("0009-123456789abc\n")
    (zoo / "small" / "history" / "000002.json").write_text("")
    record = next((zoo / "ledger").glob("2020*"))
    record.write_text("{")
    (zoo / "ledger" / "notes.txt").write_text("people may write here")
    text = run("verify", code=1)
    assert "small current: DAMAGED: it names '0009-123456789abc', which is not there" in text
    assert "small history/000002.json: DAMAGED: not valid JSON" in text
    assert f"ledger {record.name}: DAMAGED: corrupt: not valid JSON" in text
    assert text.count("DAMAGED") == 3


def test_set_current_and_rollback_move_the_pointer_and_keep_what_was_there(zoo: Path, run: Run) -> None:
    one, two, three = names_of(zoo)
    assert str(zoo / "small" / one) in run("set-current", "small", "1")
    assert current_version(zoo, "small") == one
    assert f"rolled back from {one}" in run("rollback", "small")
    assert current_version(zoo, "small") == three
    assert [(use.version, use.how) for use in History.read(zoo / "small").uses][3:] == [
        (one, "set-current"),
        (three, "rollback"),
    ]
    run("rollback", "small")
    assert current_version(zoo, "small") == two
    run("rollback", "small")
    assert current_version(zoo, "small") == one
    line = run("rollback", "small", code=2)
    assert f"before {one} no version was in use; choose one with `zoo set-current`; found {one}, {two}, {three}" in line
    assert current_version(zoo, "small") == one


def test_rollback_works_in_a_bundle_in_which_an_engine_was_built(zoo: Path, run: Run) -> None:
    for name in names_of(zoo):
        (zoo / "small" / name / ENGINE).write_bytes(b"built here")
    run("rollback", "small")
    assert current_version(zoo, "small") == names_of(zoo)[1]


def test_rollback_to_what_is_gone_or_damaged_changes_nothing(zoo: Path, run: Run) -> None:
    one, two, three = names_of(zoo)
    (zoo / "small" / two / "model.cfg").write_text("other")
    assert "model.cfg was changed" in run("rollback", "small", code=2)
    shutil.rmtree(zoo / "small" / two)
    assert f"before {three} '{two}', which is not there any more, was; choose one" in run("rollback", "small", code=2)
    assert current_version(zoo, "small") == three
    assert json.loads(run("list", "small", "--json"))["versions"][0]["version"] == one


def test_a_hand_that_edits_current_is_written_down(zoo: Path, run: Run) -> None:
    one, _, three = names_of(zoo)
    (zoo / "small" / "current").write_text(f"{one}\n")
    run("set-current", "small", "2")
    assert [(use.version, use.how) for use in History.read(zoo / "small").uses][3] == (one, "found")
    run("set-current", "small", "3")
    assert current_version(zoo, "small") == three


def test_fetch_copies_a_verified_bundle_without_engines(zoo: Path, run: Run, tmp_path: Path) -> None:
    name = names_of(zoo)[2]
    (zoo / "small" / name / ENGINE).write_bytes(b"of another machine")
    out = tmp_path / "deployed"
    assert run("fetch", "small", "--out", str(out)) == f"small {name}: {out}\n"
    verify_bundle(out)
    assert {path.name for path in out.iterdir()} == {path.name for path in (zoo / "small" / name).iterdir()} - {ENGINE}
    assert "output exists already" in run("fetch", "small", "--out", str(out), code=2)
    (zoo / "small" / name / "model.weights").write_text("other")
    assert "model.weights" in run("fetch", "small", "--out", str(tmp_path / "other"), code=2)
    assert not (tmp_path / "other").exists()


def test_a_zoo_that_may_only_be_read_can_be_read(zoo: Path, run: Run, tmp_path: Path) -> None:
    for lock in zoo.rglob(".lock"):
        lock.unlink()
    for path in (*zoo.rglob("*"), zoo):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = sorted(str(path) for path in zoo.rglob("*"))
    run("list")
    run("show", "small")
    run("verify")
    run("gc", "--dry-run")
    run("fetch", "small", "--out", str(tmp_path / "out"))
    assert sorted(str(path) for path in zoo.rglob("*")) == before


def fates_of(text: str) -> dict[str, str]:
    """Version -> "goes", or why it stays."""
    lines = text.splitlines()[:-1]
    return {line.split()[1]: line.split("stays: ")[-1] if "stays: " in line else line.split()[-1] for line in lines}


def test_gc_takes_old_versions_that_nothing_names(zoo: Path, run: Run) -> None:
    one, two, three = names_of(zoo)
    would = run("gc", "--dry-run")
    assert fates_of(would) == {
        one: "goes",
        two: "it was in use before, and a roll-back would take it",
        three: "it is in use",
        names_of(zoo, "large")[0]: "it is the newest",
    }
    assert would.splitlines()[-1].startswith("1 versions, ")
    assert would.endswith(" would go\n")
    assert names_of(zoo) == [one, two, three]
    assert fates_of(run("gc")) == fates_of(would)
    assert names_of(zoo) == [two, three]
    assert len(list((zoo / "ledger").iterdir())) == 4
    assert not list((zoo / "small").glob("*.removed"))
    run("verify")
    run("rollback", "small")


def test_gc_spares_what_a_record_or_a_use_of_the_last_days_names(zoo: Path, run: Run) -> None:
    days = (datetime.now(UTC) - datetime(2020, 1, 1, tzinfo=UTC)).days + 1
    first = names_of(zoo)[0]
    assert fates_of(run("gc", "--keep-days", str(days)))[first] == "its record is of 20200101T000000Z"
    for record in (zoo / "ledger").glob("2020*"):
        record.unlink()
    assert fates_of(run("gc", "--keep-days", str(days)))[first] == "it came into use at 20200101T000000Z"
    use = zoo / "small" / "history" / "000001.json"
    use.write_text(use.read_text().replace("20200101", "20190101"))
    assert fates_of(run("gc", "--keep-days", str(days)))[first] == "it was decided on at 20200101T000000Z"
    (decision,) = (zoo / "small" / "publications").glob("000001-*")
    decision.write_text(decision.read_text().replace("20200101", "20190101"))
    assert fates_of(run("gc", "--keep-days", str(days)))[first] == "it has no record and is that young itself"
    assert fates_of(run("gc", "--keep-days", "0"))[first] == "it has no record and is that young itself"
    sums = zoo / "small" / first / SUMS_NAME
    os.utime(sums, (sums.stat().st_mtime - 25 * 3600,) * 2)  # nobody is still writing its record
    assert fates_of(run("gc", "--keep-days", "0"))[first] == "goes"
    assert first not in names_of(zoo)


def test_gc_takes_nothing_while_a_young_record_cannot_be_read(zoo: Path, run: Run) -> None:
    (record,) = (zoo / "ledger").glob("2020*")
    record.write_text("{")
    assert fates_of(run("gc", "--dry-run"))[names_of(zoo)[0]] != "goes"  # unrecorded now, and just written
    young = record.with_name(datetime.now(UTC).strftime(TIME_FORMAT) + record.name[16:])
    record.rename(young)
    assert f"{young.name}: corrupt: not valid JSON" in run("gc", code=2)
    assert len(names_of(zoo)) == 3


def test_gc_keeps_so_many_of_the_newest(zoo: Path, run: Run) -> None:
    first = names_of(zoo)[0]
    assert fates_of(run("gc", "--keep-newest", "3", "--days", "0"))[first] == "it is one of the 3 newest"
    assert "--keep-newest: expected at least 1 version, found 0" in run("gc", "--keep-newest", "0", code=2)
    run("gc", "--keep-newest", "2", "--days", "0")
    assert first not in names_of(zoo)


def test_gc_takes_nothing_that_is_chosen_while_it_goes(zoo: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a share without locks: the other comes in right after the version was renamed."""
    first, *_ = names_of(zoo)
    really = os.replace

    def chosen_meanwhile(source: Path, target: Path) -> None:
        really(source, target)
        if str(target).endswith(".removed"):
            (zoo / "small" / "current").write_text(f"{first}\n")

    monkeypatch.setattr(os, "replace", chosen_meanwhile)
    assert fates_of(run("gc", "--days", "0"))[first] == "it was chosen or published again meanwhile"
    monkeypatch.undo()
    assert names_of(zoo)[0] == first
    run("verify")


def test_a_version_in_use_that_a_killed_gc_had_renamed_is_put_back(zoo: Path, run: Run) -> None:
    *_, third = names_of(zoo)
    (zoo / "small" / third).rename(zoo / "small" / f".{third}.removed")
    assert third not in names_of(zoo)
    run("gc")
    assert third in names_of(zoo)
    run("verify")


def test_a_version_that_went_while_it_was_chosen_is_not_in_use(
    zoo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traffic_yolo.registry.folder_home import FolderHome

    one, _, three = names_of(zoo)
    really, history = FolderHome.write_current, History.read(zoo / "small").uses

    def gone_meanwhile(home: FolderHome, version: str, before: InUse) -> None:
        shutil.rmtree(zoo / "small" / one, ignore_errors=True)
        really(home, version, before)

    monkeypatch.setattr(FolderHome, "write_current", gone_meanwhile)
    assert f"{one} is gone or being taken away by `zoo gc`" in run("set-current", "small", "1", code=2)
    assert current_version(zoo, "small") == three
    assert History.read(zoo / "small").uses == history


@pytest.mark.parametrize("days", ["-1", "99999999"])
def test_gc_refuses_days_that_are_none(run: Run, days: str) -> None:
    assert f"--keep-days: expected 0 to 36500 days, found {days}" in run("gc", "--keep-days", days, code=2)


@slow
def test_gc_that_was_killed_leaves_no_half_version(zoo: Path, run: Run, tmp_path: Path) -> None:
    from killing import at_each_point

    from traffic_yolo.registry.zoo_collection import collect

    start, (one, two, three) = tmp_path / "start", names_of(zoo)
    shutil.copytree(zoo, start)
    for _ in at_each_point(lambda: list(collect(zoo, keep_days=0, now=datetime.now(UTC))), below=zoo, step=3):
        assert names_of(zoo) in ([one, two, three], [two, three])
        for path in versions(zoo, "small"):
            verify_bundle(path)
        run("gc", "--keep-days", "0")
        assert sorted(path.name for path in (zoo / "small").iterdir()) == sorted(
            [".lock", "current", "history", "publications", two, three]
        )
        shutil.rmtree(zoo)
        shutil.copytree(start, zoo)


def test_a_checksum_file_is_part_of_every_version(zoo: Path, run: Run) -> None:
    (zoo / "small" / names_of(zoo)[2] / SUMS_NAME).unlink()
    assert "SHA256SUMS: file not found" in run("fetch", "small", "--out", str(zoo.parent / "out"), code=2)
