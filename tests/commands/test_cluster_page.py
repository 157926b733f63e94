"""docs/cluster.md: every command of ours is one that the command line takes, and every file that it names is there."""

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.container_images import image

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
LINES = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
OURS = [line for line in LINES if line.startswith("traffic-yolo ") and "--version" not in line]
# A reader's copy of the example, and what is made on the way
COPIES = {"pipelines/kustomize/team-vision": "pipelines/kustomize/example"}
MADE = {"pipelines/kustomize/example/credentials.env"}


def parsed(group: click.Command, words: list[str], name: str) -> click.Context:
    """What click makes of a command line, down to the sub-command, without calling it."""
    context = group.make_context(name, list(words), allow_extra_args=isinstance(group, click.Group))
    if isinstance(group, click.Group):
        inner, command, rest = group.resolve_command(context, words)
        assert command is not None
        return parsed(command, rest, str(inner))
    return context


def test_page_goes_through_all_of_it() -> None:
    assert [line.split()[1] for line in OURS] == ["run", "schedule", "katib"]


@pytest.mark.parametrize("line", OURS, ids=lambda line: line.split()[1])
def test_every_command_is_one_that_the_command_line_takes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    _, name, *rest = shlex.split(line)
    if name == "schedule" and importlib.util.find_spec("traffic_yolo.commands.schedule") is None:
        pytest.skip("this version has no schedules")
    command = traffic_yolo.get_command(click.Context(traffic_yolo), name)
    assert command is not None
    assert parsed(command, rest, name).params


def test_every_file_that_is_named_is_there() -> None:
    words = {word for line in LINES for word in re.findall(r"(?:pipelines|katib|docker|docs)/[\w./-]+", line)}
    assert words
    for word in words:
        for copied, original in COPIES.items():
            word = word.replace(copied, original)
        assert word in MADE or (REPOSITORY / word).exists(), word


def test_make_targets_and_variables_are_those_of_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for line in LINES:
        if line.startswith("make "):
            for word in shlex.split(line)[1:]:
                name = word.partition("=")[0]
                assert re.search(rf"^{name}(:| \?=)", makefile, re.MULTILINE), word


def test_names_of_images_are_printed_by_the_module_that_has_them() -> None:
    assert {"cpu", "cuda"} == set(re.findall(r"traffic_yolo\.container_images train (\w+)", TEXT))
    assert f"train:<version>-{image('train').rpartition('-')[2]}" in TEXT
