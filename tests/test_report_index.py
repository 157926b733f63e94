"""The page of all reports of a folder: which pages are found, in which order, and that each link leads to one."""

import html
import re
from pathlib import Path
from urllib.request import url2pathname

import pytest

from traffic_yolo.cli import main
from traffic_yolo.errors import StorageError
from traffic_yolo.html_report import page
from traffic_yolo.page_origin import DATE_VARIABLE, About, Subject
from traffic_yolo.report_index import MOST_DEEP, find_reports, write_index


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two reports, the later one first by name, among files that are none."""
    for name, date, title in (("a b & c", "2000", "Evaluation"), ("z", "1000", "Data <set>")):
        monkeypatch.setenv(DATE_VARIABLE, date)
        (tmp_path / name).mkdir()
        about = About((Subject("model", "m; n"), Subject("data set", "d")))
        (tmp_path / name / "report.html").write_text(page(title, [], about=about))
    (tmp_path / "foreign.html").write_text("<title>x</title>")
    (tmp_path / "broken.html").write_bytes(b"\xff\xfe\x00")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "report.html").write_text(page("Hidden", [], about=About()))
    deep = tmp_path.joinpath(*["deep"] * (MOST_DEEP + 1))
    deep.mkdir(parents=True)
    (deep / "report.html").write_text(page("Too deep", [], about=About()))
    return tmp_path


def test_reports_are_found_in_the_order_in_which_they_were_made(folder: Path) -> None:
    found = find_reports(folder)
    assert [one.title for one in found] == ["Data <set>", "Evaluation"]
    assert found[0].about == "model: m; n; data set: d"
    assert found[0].date == "1970-01-01T00:16:40+00:00"


def test_every_link_of_the_index_leads_to_a_page_and_an_index_is_no_report(folder: Path) -> None:
    for _ in range(2):
        text = write_index(folder).read_text()
    links = [html.unescape(link) for link in re.findall(r'<td[^>]*><a href="([^"]*)"', text)]
    assert [url2pathname(link) for link in links] == ["z/report.html", "a b & c/report.html"]
    assert all((folder / url2pathname(link)).is_file() for link in links)
    assert "Data &lt;set&gt;" in text


def test_a_folder_without_reports_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="expected reports .* found none"):
        write_index(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_index_and_says_what_is_in_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reports", str(folder)])
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.splitlines() == [
        "1970-01-01 00:16  Data <set>: z/report.html",
        "1970-01-01 00:33  Evaluation: a b & c/report.html",
        f"index {folder.resolve() / 'index.html'}",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["reports", str(folder / ".hidden" / "nowhere")])
    assert ended.value.code == 2
