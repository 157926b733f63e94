"""What sh makes of a word: the verdict against the shell of this machine."""

import subprocess
from pathlib import Path

import pytest

from traffic_yolo.katib.spec.shell_words import breaks, fate, quotes_around

VALUE = "${trialParameters.lr}"
KEPT = {
    "--lr=0.1": "--lr=0.1",
    f'--lr="{VALUE}"': "--lr=VALUE",
    f"'{VALUE}'": "VALUE",
    '--text="a b"': "--text=a b",
    "--text='a;b'": "--text=a;b",
    "--nn=\"{'a': 1}\"": "--nn={'a': 1}",
    "\"a\"'b'": "ab",
    "cost$": "cost$",
    "a#b": "a#b",
    "a~": "a~",
    "!x": "!x",
    "{a,b}": "{a,b}",
    "100%": "100%",
    "12": "12",
}
CUT = ["a b", "a;b", "a|b", "a>b", "--x=(1)", "it's", 'a"b', "", "#x", '--map={"a": 1}', '--map={"a":1}', '"a"b', "a\\"]
SYNTAX = ["$HOME", "--out=$HOME/x", '"$HOME"', "~/x", "*.h5", "a?", "[ab]", "&&", "|", "2>&1", ";", "`date`", "a\\ b"]


def shell(word: str, folder: Path) -> list[str]:
    """The words that a program gets, as Katib starts it."""
    (folder / "x.h5").touch()
    filled = word.replace(VALUE, "VALUE")
    command = ["sh", "-c", f"printf '%s\\n' first {filled} last"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={"HOME": "/here"}, check=False)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("word", "text"), KEPT.items())
def test_a_kept_word_reaches_the_program_as_one(word: str, text: str, tmp_path: Path) -> None:
    assert fate(word) == ("kept", "")
    assert shell(word, tmp_path) == ["first", text, "last"]


@pytest.mark.parametrize("word", CUT)
def test_a_cut_word_does_not_reach_the_program_as_it_is_written(word: str, tmp_path: Path) -> None:
    assert fate(word)[0] == "cut"
    assert shell(word, tmp_path) != ["first", word, "last"]


@pytest.mark.parametrize("word", SYNTAX)
def test_syntax_is_told_from_both(word: str) -> None:
    assert fate(word)[0] == "syntax"


def test_the_quotes_around_a_placeholder_are_known() -> None:
    assert quotes_around(f'--lr="{VALUE}"', VALUE) == {'"'}
    assert quotes_around(f"run '{VALUE}' {VALUE} \\'{VALUE}", VALUE) == {"'", ""}
    assert quotes_around("--lr=1", VALUE) == set()
    assert quotes_around(f'"{VALUE}', VALUE) == {""}  # not balanced: the shell stops at it in any case


@pytest.mark.parametrize("quotes", ["", '"', "'"])
@pytest.mark.parametrize("value", ["plain", "a b", "a$b", 'a"b', "a'b", "a\\b", "a`b", "a;b", "#a", "-1.5e-3"])
def test_a_value_breaks_where_the_shell_gives_another(value: str, quotes: str, tmp_path: Path) -> None:
    arrived = shell(f"{quotes}{VALUE}{quotes}".replace(VALUE, value), tmp_path)
    broken = bool(breaks(value, quotes))  # type: ignore[arg-type]
    assert broken or arrived == ["first", value, "last"]
    if broken and value not in ("a\\b", "a$b"):  # what is said of them is that the shell looks at them
        assert arrived != ["first", value, "last"]
