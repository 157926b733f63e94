"""Progress bars: they count, they keep quiet when told to, and they change nothing."""

import pytest

from traffic_yolo.progress import progress, progress_bar


def test_items_come_through_unchanged_and_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter([3, 1, 2]), description="d", unit="picture", total=3)) == [3, 1, 2]
    assert capsys.readouterr().err == ""


def test_bar_says_what_is_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_PROGRESS", "1")
    with progress_bar(range(4), description="convert", unit="picture") as bar:
        for _ in bar:
            bar.set_postfix(loss=0.5)
    printed = capsys.readouterr().err
    assert "convert: 100%" in printed
    assert "4/4" in printed
    assert "loss=0.5" in printed
