"""What a trial said last, and how its process ended: why it failed, in one line."""

import re
import signal

MOST_CHARACTERS = 300
_SIGNALLED = 128  # a shell's exit code for a command that a signal ended is this and the signal's number
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
# What sh writes of a command that a signal ended: the shell's words, not the program's
_OF_THE_SHELL = re.compile(r"(Killed|Terminated|Aborted|Segmentation fault|Bus error)( \(core dumped\))?")


def last_line(output: str) -> str:
    """The last line of a trial's output with something in it, of at most 300 characters; "" where there is none.

    Of a line that was written over and over (a progress bar) what stood there last; without colours. What the shell
    says of a command that a signal ended is passed over: the exit code tells it.
    """
    lines = (_CONTROL.sub("", text).strip() for text in reversed(re.split(r"[\r\n]", output)))
    said = next((line for line in lines if line and not _OF_THE_SHELL.fullmatch(line)), "")
    return said if len(said) <= MOST_CHARACTERS else f"{said[: MOST_CHARACTERS - 1]}…"


def exit_text(code: int) -> str:
    """An exit code in words: with the signal that ended the process, if one did."""
    number = -code if code < 0 else code - _SIGNALLED
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit code {code}"
    reason = ", as when memory runs out" if number == signal.SIGKILL else ""
    return f"exit code {code} ({name}{reason})"


def why_failed(code: int, output: str) -> str:
    """Why a trial failed: its exit code and its own last line."""
    said = last_line(output)
    return f"{exit_text(code)}: {said}" if said else f"{exit_text(code)}, and it said nothing"


def why_without_metrics(objective: str, output: str) -> str:
    """Why a trial that succeeded counts for nothing: no line of the objective; and its own last line."""
    said = last_line(output)
    return f"the log has no line of the objective {objective}" + (f"; its last line: {said}" if said else "")
