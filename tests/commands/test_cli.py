"""The console script: every command answers --help, and a user's mistake is one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from traffic_yolo.cli import COMMANDS, main, traffic_yolo


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_answers_help(name: str) -> None:
    answered = CliRunner().invoke(traffic_yolo, [name, "--help"])
    assert answered.exit_code == 0, answered.output
    assert "Usage: " in answered.output


@pytest.mark.many(2)
@pytest.mark.parametrize("name", ["train", "convert", "run", "trial", "detect", "evaluate", "validate"])
def test_help_of_a_step_loads_no_torch(name: str) -> None:
    code = f"import sys, traffic_yolo.cli as c\ntry: c.main(['{name}', '--help'])\nexcept SystemExit: pass\n"
    heavy = "assert not {'torch', 'kfp', 'cv2', 'h5py'} & set(sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code + heavy], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("name", ["train", "convert", "run"])
def test_every_flag_of_a_step_is_explained(name: str) -> None:
    command = traffic_yolo.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert [option.name for option in command.params if not getattr(option, "help", None)] == []


def test_unknown_command_ends_with_exit_code_two() -> None:
    assert CliRunner().invoke(traffic_yolo, ["detonate"]).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["snapshot", "--source", "{tmp}/none", "--out", "{tmp}/s.json"], "none"),
        (["snapshot", "--source", "ftp://x", "--out", "{tmp}/s.json"], "unknown scheme 'ftp'"),
        (["convert", "--source", "{tmp}/none", "--out", "{tmp}/d"], "none"),
        (["train", "--dataset", "{tmp}/none", "--out", "{tmp}/r"], "none"),
        (["train", "--dataset", "{tmp}", "--fine-tune-layers", "legs", "--out", "{tmp}/r"], "legs"),
        (["export", "--run", "{tmp}/none", "--out", "{tmp}/m"], "none"),
        (["evaluate", "--model", "{tmp}/none", "--dataset", "{tmp}/none", "--out", "{tmp}/e"], "none"),
        (["tune", "--evaluation", "{tmp}/none", "--dataset", "{tmp}/none", "--out", "{tmp}/t"], "none"),
        (["ledger", "table", "--zoo", "{tmp}/none"], "none"),
        (["run", "--submit", "--source", "x", "--zoo", "y"], "--host"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_mistake_is_one_line_exit_code_two_and_nothing_left(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments])
    printed = capsys.readouterr().err.strip()
    assert caught.value.code == 2
    assert printed.startswith("error: ")
    assert words in printed
    assert "\n" not in printed
    assert list(tmp_path.iterdir()) == []
