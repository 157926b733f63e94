"""A failed trial's own last line, whatever surrounds it."""

import signal
import subprocess
import sys

import pytest

from traffic_yolo.katib.run.last_words import MOST_CHARACTERS, exit_text, last_line, why_failed


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("one\ntwo\n", "two"),
        (
            "Traceback (most recent call last):\n  File x\nValueError: no such layer\n\n  \n",
            "ValueError: no such layer",
        ),
        ("epoch 1\nloss 3\r 50 %\r100 %\r\n", "100 %"),
        ("\x1b[31merror:\x1b[0m disk is full\n", "error: disk is full"),
        ("MemoryError\nKilled\n", "MemoryError"),
        ("half a line", "half a line"),
        ("", ""),
        (" \n\r\n", ""),
        ("a\x00b\x07c", "abc"),
    ],
)
def test_the_last_line_is_the_programs_own(output: str, line: str) -> None:
    assert last_line(output) == line


def test_a_long_line_is_cut() -> None:
    assert len(last_line("x" * 5000)) == MOST_CHARACTERS


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, "exit code 1"),
        (137, "exit code 137 (SIGKILL, as when memory runs out)"),
        (-15, "exit code -15 (SIGTERM)"),
        (139, "exit code 139 (SIGSEGV)"),
        (255, "exit code 255"),
    ],
)
def test_a_signal_is_named(code: int, text: str) -> None:
    assert exit_text(code) == text


def test_a_program_that_the_system_killed_is_told_from_the_shell_above_it() -> None:
    program = f"import os; print('step 7', flush=True); os.kill(os.getpid(), {int(signal.SIGKILL)})"
    script = f'{sys.executable} -c "{program}" && echo done'
    done = subprocess.run(
        ["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert why_failed(done.returncode, done.stdout) == "exit code 137 (SIGKILL, as when memory runs out): step 7"
    assert why_failed(3, "") == "exit code 3, and it said nothing"
