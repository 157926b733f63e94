"""The commands of a Markdown page: lines of its shell blocks, and what it says in passing between backquotes."""

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from traffic_yolo.cli import COMMANDS, traffic_yolo

PROGRAM = "traffic-yolo"
SHELLS = ("bash", "sh")
ON_A_CLUSTER = "# on a cluster"  # the first line of a block that wants one, or the end of a line that does
CLUSTER_PROGRAMS = ("kubectl", "podman")
CLUSTER_FLAGS = {"--submit", "--host"}
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class PageCommand:
    """A command in a shell block: its page, the words after `NAME=value`s, and whether it is marked as one that wants a cluster."""

    page: str
    words: tuple[str, ...]
    is_marked: bool

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)[:60]}"


def pages(repository: Path) -> list[Path]:
    """README and every page of docs/."""
    return [*sorted(repository.glob("README*.md")), *sorted((repository / "docs").glob("*.md"))]


def shell_blocks(text: str) -> list[str]:
    """The content of the page's shell blocks, continued lines joined."""
    return [body.replace("\\\n", " ") for _, language, body in _BLOCK.findall(text) if language in SHELLS]


def shell_commands(page: str, text: str) -> list[PageCommand]:
    """Every command of the shell blocks; a loop's and a substitution's too."""
    found = []
    for block in shell_blocks(text):
        is_marked = block.lstrip().startswith(ON_A_CLUSTER)
        for line in block.splitlines():
            for words in _commands(shlex.split(line, comments=True)):
                found.append(PageCommand(page, words, is_marked or ON_A_CLUSTER in line))
    return found


def wants_a_cluster(words: tuple[str, ...]) -> bool:
    """Whether the command talks to one, to a server on it, or to a registry of images."""
    return words[0] in CLUSTER_PROGRAMS or bool(CLUSTER_FLAGS & set(words)) or words[1:3] == ("pipeline", "submit")


def mentions(text: str) -> list[str]:
    """What stands between backquotes outside blocks."""
    return _CODE.findall(_BLOCK.sub("", text))


def known_flags(words: list[str]) -> set[str] | None:
    """The flags of the command that the words begin with, without the program's name; None where they name none.

    Where the words end at a group, the flags of all its commands.
    """
    if not words or words[0] not in COMMANDS:
        return None
    path: tuple[str, ...] = (words[0],)
    for word in words[1:]:
        if word not in _names(path):
            break
        path = (*path, word)
    return _flags(path)


@functools.cache
def every_flag() -> set[str]:
    """The flags of all commands."""
    return _flags(())


def parsed(words: list[str]) -> click.Context:
    """What the command line makes of the words after the program's name, down to the sub-command, without calling it."""
    path: tuple[str, ...] = ()
    rest = list(words)
    while _names(path):
        if not rest or rest[0] not in _names(path):
            raise click.UsageError(f"{' '.join((PROGRAM, *path))} has no command {' '.join(rest[:1])}")
        path, rest = (*path, rest[0]), rest[1:]
    return _command(path).make_context(path[-1], rest)


@functools.cache
def _command(path: tuple[str, ...]) -> click.Command:
    if not path:
        return traffic_yolo
    group = _command(path[:-1])
    assert isinstance(group, click.Group)
    command = group.get_command(click.Context(group), path[-1])
    assert command is not None, path
    return command


@functools.cache
def _names(path: tuple[str, ...]) -> list[str]:
    group = _command(path)
    return group.list_commands(click.Context(group)) if isinstance(group, click.Group) else []


@functools.cache
def _flags(path: tuple[str, ...]) -> set[str]:
    found = {"--help", "-h"}
    for parameter in _command(path).params:
        if isinstance(parameter, click.Option):
            found |= {*parameter.opts, *parameter.secondary_opts}
    return found.union(*(_flags((*path, name)) for name in _names(path)))


def _commands(words: list[str]) -> list[tuple[str, ...]]:
    """The words of a line, parted where a shell would."""
    found: list[list[str]] = [[]]
    for word in words:
        ends = word.endswith(";")
        word = word.removesuffix(";")
        if word in ("&&", "||", "|", "do", "then"):
            found.append([])
            continue
        if word:
            found[-1].append(word)
        if ends:
            found.append([])
    commands = []
    for one in found:
        while one and re.match(r"[A-Z_]+=", one[0]):
            one = one[1:]
        if one and one[0] not in ("done", "for", "export"):
            commands.append(tuple(one))
    return commands
