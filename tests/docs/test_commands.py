"""Every command that README and the pages show is one that the real parser takes, with flags that it knows."""

import re
import shlex
from pathlib import Path

import click
import pytest
from page_commands import (
    PROGRAM,
    PageCommand,
    every_flag,
    known_flags,
    mentions,
    pages,
    parsed,
    shell_commands,
    wants_a_cluster,
)

from traffic_yolo.cli import COMMANDS
from traffic_yolo.commands.dataclass_options import check_flags
from traffic_yolo.errors import TrafficYoloError

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = pages(REPOSITORY)
SHOWN = [one for page in PAGES for one in shell_commands(page.name, page.read_text(encoding="utf-8"))]
OURS = [one for one in SHOWN if one.words[0] == PROGRAM]
ELIDED = "…"  # in the place of flags that stand in the line above
PAIR = ("--cfg", "net.cfg", "--weights", "net.weights")  # what docs/darknet.md writes as C
STANDS_FOR = {"FORMAT": "coco"}  # words of a synopsis
# Programs whose flags the pages name, beside our own
OTHERS = (
    "kubectl",
    "python",
    "docker",
    "podman",
    "make",
    "pip",
    "torchrun",
    "git",
    "cmake",
    "install",
    "darknet",
    "detector",
    "trtexec",
)


def test_every_command_is_on_a_page() -> None:
    said = {one.words[1] for one in OURS if len(one.words) > 1}
    for page in PAGES:
        for text in mentions(page.read_text(encoding="utf-8")):
            said |= {word.rstrip(",") for word in text.removeprefix(f"{PROGRAM} ").split()[:1]}
    assert len(OURS) > 80
    assert set(COMMANDS) <= said


@pytest.mark.parametrize("shown", OURS, ids=str)
def test_command_is_one_that_the_parser_takes(shown: PageCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("TRAFFIC_YOLO_NAS_ROOT", str(REPOSITORY))
    words = [STANDS_FOR.get(word.strip("[]"), word.strip("[]")) for word in shown.words[1:]]
    if words == ["--version"]:
        return
    if shown.page == "darknet.md":
        words = [part for word in words for part in (PAIR if word == "C" else (word,))]
    if ELIDED in words:
        flags = {word for word in words if word.startswith("--")}
        assert flags <= (known_flags(words) or set())
        return
    try:
        context = parsed(words)
    except (click.ClickException, TrafficYoloError) as error:
        pytest.fail(f"{shown.page}: {shlex.join(shown.words)}: {error}")
    if context.command.callback is not None:
        check_flags(context.command.callback, context.params)


def test_commands_that_want_a_cluster_are_marked_in_their_block() -> None:
    missing = [str(one) for one in SHOWN if wants_a_cluster(one.words) and not one.is_marked]
    assert not missing, "the line's end or the block's first line is to be: # on a cluster"


def test_make_targets_and_variables_are_those_of_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    lines = [one.words for one in SHOWN if one.words[0] == "make"]
    lines += [
        tuple(shlex.split(text)) for page in PAGES for text in mentions(page.read_text()) if text.startswith("make ")
    ]
    assert len(lines) > 20
    for words in lines:
        for word in words[1:]:
            name = word.partition("=")[0]
            assert re.search(rf"^{name}(:| \?=)", makefile, re.MULTILINE), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_said_in_passing_names_commands_and_flags_that_exist(page: Path) -> None:
    for text in mentions(page.read_text(encoding="utf-8")):
        words = [word.strip("[](),;:") for word in text.replace("…", " ").split()]
        if not words or words[0] in OTHERS or "=" in words[0]:
            continue
        flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        if words[0] == PROGRAM:
            known = known_flags(words[1:])
            assert len(words) == 1 or words[1].isupper() or words[1].startswith("-") or known is not None, text
        else:
            known = known_flags(words)
        assert flags <= (every_flag() if known is None else known), text
