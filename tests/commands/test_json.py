"""`--json`: on every command that has a result, one object on stdout and nothing else there, which names its command."""

import json
import math
from pathlib import Path

import click
import pytest
from location_flags import EVERY

from traffic_yolo.cli import main
from traffic_yolo.commands.json_result import json_option, print_json

# Commands without it, and why
WITHOUT = {
    "atm layout-schema": "prints JSON in any case",
    "ledger table": "a table for people, and --as csv for programs",
    "katib run": "tells of trials as they end; its results are files",
    "pipeline compile": "its result are files",
    "pipeline terminate": "says that it told the server",
    "schedule create": "says what the server answered",
    "schedule emit-cronjob": "prints a manifest",
    "schedule pause": "says that it told the server",
    "schedule remove": "says that it told the server",
    "schedule resume": "says that it told the server",
    "compress run": "ends in a table, as run does here; its results are files",
    "trial compression": "prints name=value lines, which Katib reads",
    "trial fine-tuning": "prints name=value lines, which Katib reads",
    "trial thresholds": "prints name=value lines, which Katib reads",
}
JSON_OF_SERVERS = ("run", "retrain")  # with --submit; here they end in a table


def test_every_command_with_a_result_has_it() -> None:
    commands = {" ".join(flag.command) for flag in EVERY} | {"atm layout-schema"}  # which has no flag at all
    having = {" ".join(flag.command) for flag in EVERY if flag.name == "--json"}
    assert commands - having == set(WITHOUT)
    assert set(JSON_OF_SERVERS) <= having


def test_its_help_is_the_same_everywhere() -> None:
    assert len({flag.parameter.help for flag in EVERY if flag.name == "--json"}) == 1  # type: ignore[attr-defined]


def test_the_object_names_the_command_and_has_values_of_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command("inner")
    @json_option
    def inner(as_json: bool) -> None:
        assert as_json
        print_json({"a": math.nan, "b": [Path("x"), (1, math.inf)], "c": {1: None, "d": True}, "é": "ü"})

    group = click.Group("group", commands={"inner": inner})
    click.Group("root", commands={"group": group}).main(["group", "inner", "--json"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "command": "group inner",
        "a": None,
        "b": ["x", [1, None]],
        "c": {"1": None, "d": True},
        "é": "ü",
    }
    assert "ü" in printed


def test_nothing_but_the_object_is_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    share, page = tmp_path / "share", tmp_path / "page.html"
    calls = [
        ["atm", "synthesize", "--out", str(share), "--sites", "1", "--recordings-per-site", "1",
         "--frames-per-recording", "4", "--picture-width", "160", "--picture-height", "96", "--processes", "1"],
        ["atm", "inspect", str(share / "recordings"), "--html", str(page)],
        ["snapshot", "--source", str(share / "recordings"), "--out", str(tmp_path / "s.json")],
        ["check", str(share / "recordings"), "--labels", str(share / "human_labels.json"), "--out", str(tmp_path / "c"),
         "--fail-on", "never"],
        ["convert", "--source", str(share / "recordings"), "--labels", str(share / "human_labels.json"), "--splits",
         "test", "--out", str(tmp_path / "d"), "--processes", "1"],
        ["storage", "ls", str(tmp_path / "d")],
        ["pipeline", "list"],
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(SystemExit) as ended:
            main([*call, "--json"])
        printed = capsys.readouterr()
        assert not ended.value.code, (call, printed.err)
        assert call[0] in json.loads(printed.out)["command"], call
