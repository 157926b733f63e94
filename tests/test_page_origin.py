"""What pages say of themselves: date, command without secrets, links that lead from one folder to another."""

from pathlib import Path

import pytest

from traffic_yolo._version import __version__
from traffic_yolo.page_origin import (
    COMMAND_VARIABLE,
    DATE_VARIABLE,
    RUNS_VARIABLE,
    About,
    Made,
    command_text,
    current_command,
    folder_subject,
    hashed,
    short_path,
    stated_command,
)


@pytest.fixture(autouse=True)
def nothing_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (COMMAND_VARIABLE, RUNS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_the_date_can_be_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATE_VARIABLE, "1609459200")
    made = Made.now()
    assert (made.date, made.version, made.command) == ("2021-01-01 00:00 UTC", __version__, "from Python")
    monkeypatch.setenv(DATE_VARIABLE, "yesterday")
    assert Made.now().at.year >= 2024


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["check", "my share", "--out", "x"], "traffic-yolo check 'my share' --out x"),
        (
            ["run", "--webhook", "https://chat.example/hooks/SECRET?key=1"],
            "traffic-yolo run --webhook https://chat.example/…",
        ),
        (["run", "--host", "https://user:word@kubeflow.example"], "traffic-yolo run --host https://kubeflow.example"),
        (["predict", "m", "rtsp://me:pass@10.0.0.1:554"], "traffic-yolo predict m rtsp://10.0.0.1:554"),
        (
            ["run", "--zoo=s3://bucket/zoo", "--source", "nas://a/b"],
            "traffic-yolo run --zoo=s3://bucket/zoo --source nas://a/b",
        ),
    ],
)
def test_a_command_is_told_without_what_may_be_secret(arguments: list[str], shown: str) -> None:
    told = command_text(arguments)
    assert told.replace("'", "") == shown.replace("'", "")
    assert not any(secret in told for secret in ("SECRET", "word", "pass@"))


def test_a_command_is_stated_for_its_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with stated_command(["tune", "--out", "x"]):
        assert current_command() == "traffic-yolo tune --out x"
        monkeypatch.setattr("sys.argv", ["executor", "--function_to_execute", "import_dataset"])
        assert current_command() == "traffic-yolo tune --out x (task import-dataset)"
    assert current_command() == "task import-dataset of a pipeline"
    monkeypatch.setattr("sys.argv", ["x"])
    assert current_command() == "from Python"


def test_a_folder_is_named_by_its_end_and_linked_where_it_has_a_page(tmp_path: Path) -> None:
    of, page_folder = tmp_path / "run" / "data set", tmp_path / "run" / "evaluation"
    of.mkdir(parents=True)
    assert folder_subject("data set", of, "0123456789abcdef", page_folder).link == ""
    (of / "report.html").write_text("")
    subject = folder_subject("data set", of, "0123456789abcdef", page_folder)
    assert (subject.text, subject.link) == ("…/run/data set (0123456789ab)", "../data%20set/report.html")
    assert folder_subject("data set", of, "", None).link == ""
    assert (short_path("a/b"), short_path("/a/b/c"), short_path(""), hashed("x", "")) == ("a/b", "…/b/c", "", "x")


def test_a_page_of_a_local_run_links_to_the_page_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert About((), tmp_path / "runs" / "one" / "tune" / "tuning").index_link == ""
    monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "runs"))
    assert About((), tmp_path / "runs" / "one" / "tune" / "tuning").index_link == "../../index.html"
    assert About((), tmp_path / "runs" / "one").index_link == "index.html"
    assert About((), tmp_path / "runs").index_link == ""
    assert About((), tmp_path / "elsewhere").index_link == ""
    assert About().index_link == ""
