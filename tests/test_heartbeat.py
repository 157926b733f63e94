"""What a silent command is at: told after two seconds, by stages, never beside a bar, and gone before the result."""

import ast
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo import heartbeat, progress
from traffic_yolo.heartbeat import beats
from traffic_yolo.progress import progress_bar, stage

LIBRARY = Path(heartbeat.__file__).parent
# Steps that take seconds -> the files whose stages and bars tell of it
LONG_STEPS = {
    "export": ("export/export_model.py",),
    "tune, sweep": ("tuning/tune.py",),
    "darknet classes": ("commands/darknet.py",),
    "compare": ("evaluation/compare.py",),
    "validate": ("deepstream/validate.py", "deepstream/simulate/simulator.py"),
    "publish": ("registry/publish.py",),
    "check": ("dataset/checks/check_source.py",),
    "snapshot": ("snapshot/snapshot.py",),
    "detect, evaluate": ("detection/detect.py",),
    "zoo saw": ("registry/seen.py", "dataset/content_hashes.py"),
}


class Ticks:
    """In the place of a clock: `turns[n]` is done in the n-th wait; behind the last one the work is over."""

    def __init__(self, *turns: Callable[[], object] | None) -> None:
        self.turns = list(turns)

    def __call__(self, seconds: float) -> bool:
        assert seconds == 2.0
        if not self.turns:
            return True
        turn = self.turns.pop(0)
        if turn is not None:
            turn()
        return False


def test_silence_is_told_of_by_the_stage_and_how_long_it_goes_on() -> None:
    inner = stage("searching")
    ticks = Ticks(None, None, inner.__enter__, None, lambda: inner.__exit__(None, None, None))
    assert list(beats(ticks, "loading")) == [
        ("loading", 2.0),
        ("loading", 4.0),
        ("searching", 2.0),
        ("searching", 4.0),
        ("working", 2.0),
    ]


def test_a_bar_tells_for_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_PROGRESS", "1")
    bars = []

    def begin() -> None:
        bars.append(progress_bar(range(3), description="d", unit="u"))

    found = list(beats(Ticks(begin, None, lambda: bars[0].close(), None), "loading"))
    assert found == [("working", 2.0), ("working", 4.0)]
    capsys.readouterr()


def test_nothing_is_told_where_progress_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_PROGRESS", "0")
    monkeypatch.setattr(heartbeat.threading, "Thread", None)
    with heartbeat.heartbeat("tune"):
        pass


def test_in_a_log_a_line_comes_after_two_seconds_and_then_every_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(heartbeat, "beats", lambda *_: [("searching", 2.0 * count) for count in range(1, 11)])
    heartbeat._tell(heartbeat.threading.Event(), heartbeat._Line(), "tune")
    assert log.getvalue().splitlines() == [f"tune: searching … {seconds} s" for seconds in (2, 10, 20)]


def test_on_a_terminal_the_line_is_gone_before_a_result_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    line = heartbeat._Line()
    line.show("tune: searching … 2 s", is_due=True)
    heartbeat._Clearing(terminal, line).write("0.31\n")
    assert terminal.getvalue() == "\r\x1b[Ktune: searching … 2 s\r\x1b[K0.31\n"


def test_stages_end_with_their_blocks_also_by_an_error() -> None:
    with pytest.raises(ValueError, match="x"), stage("outer"), stage("inner"):
        assert progress.current_stage() == "inner"
        raise ValueError("x")
    assert progress.current_stage() == ""


@pytest.mark.parametrize("step", LONG_STEPS)
def test_every_long_step_has_stages_or_bars(step: str) -> None:
    for name in LONG_STEPS[step]:
        calls = {
            node.func.id
            for node in ast.walk(ast.parse((LIBRARY / name).read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls & {"stage", "progress", "progress_bar"}, name
