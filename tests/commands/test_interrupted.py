"""Ctrl-C ends every command in one line that says what was kept, and exit code 130."""

import click
import pytest
from location_flags import EVERY

from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.commands.around import surrounded
from traffic_yolo.commands.interrupted import KEPT
from traffic_yolo.terminations import Terminated

COMMANDS = sorted({flag.command for flag in EVERY if flag.command[:2] != ("pipeline", "submit")})


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = traffic_yolo
    for name in path:
        assert isinstance(command, click.Group)
        inner = command.get_command(click.Context(command), name)
        assert inner is not None
        command = inner
    return command


def interrupted(path: tuple[str, ...], error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls a command whose work is interrupted at once."""
    command = found(path)

    def work(**_given: object) -> None:
        raise error

    monkeypatch.setattr(command, "params", [one for one in command.params if not one.required])
    monkeypatch.setattr(command, "callback", work)
    surrounded(command)
    main(list(path))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_interrupt_is_one_line_that_says_what_was_kept(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = KEPT.get(" ".join(path), "")
    if "{zoo}" in needed or "{out}" in needed or "{work}" in needed:
        monkeypatch.setitem(KEPT, " ".join(path), needed.format(zoo="Z", out="O", work="W"))
    with pytest.raises(SystemExit) as ended:
        interrupted(path, KeyboardInterrupt, monkeypatch)
    printed = capsys.readouterr().err
    assert ended.value.code == 130
    assert printed.startswith("interrupted: ")
    assert len(printed.splitlines()) == 1


def test_sigterm_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        interrupted(("doctor",), Terminated, monkeypatch)
    assert ended.value.code == 143
    assert capsys.readouterr().err == "interrupted: nothing was changed\n"


def test_every_sentence_is_of_a_command_and_names_its_places() -> None:
    names = {" ".join(flag.command): set() for flag in EVERY}
    for flag in EVERY:
        names[" ".join(flag.command)].add(str(flag.parameter.name))
    for path, sentence in KEPT.items():
        assert path in names, path
        sentence.format_map(dict.fromkeys(names[path], "x"))
