"""Flags made of an options dataclass."""

import dataclasses

import click
import pytest
from click.testing import CliRunner

from traffic_yolo.commands.dataclass_options import options_of, values_of


@dataclasses.dataclass(frozen=True)
class Options:
    source: str
    max_batches: int = 400
    rate: float = dataclasses.field(default=0.5, metadata={"help": "Rate after warm-up."})
    mosaic: bool = True
    kind: str = dataclasses.field(default="a", metadata={"choices": ("a", "b")})


@click.command()
@options_of(Options)
def command(**values: object) -> None:
    click.echo(repr(Options(**values)))  # type: ignore[arg-type]


def test_defaults_are_those_of_the_dataclass() -> None:
    assert CliRunner().invoke(command, ["--source", "x"]).output.strip() == repr(Options("x"))


def test_every_field_has_a_flag_of_its_type() -> None:
    flags = ["--source", "x", "--max-batches", "7", "--rate", "0.25", "--no-mosaic", "--kind", "b"]
    assert CliRunner().invoke(command, flags).output.strip() == repr(Options("x", 7, 0.25, False, "b"))


def test_help_carries_the_field_text() -> None:
    assert "Rate after warm-up." in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.parametrize("flags", [[], ["--source", "x", "--max-batches", "many"], ["--source", "x", "--kind", "c"]])
def test_wrong_values_end_with_exit_code_two(flags: list[str]) -> None:
    assert CliRunner().invoke(command, flags).exit_code == 2


def test_skipped_fields_have_no_flag() -> None:
    @click.command()
    @options_of(Options, skip=("source", "rate"))
    def short(**values: object) -> None:
        click.echo(",".join(sorted(values)))

    assert CliRunner().invoke(short, []).output.strip() == "kind,max_batches,mosaic"


def test_options_take_their_own_flags_and_leave_the_others() -> None:
    assert values_of(Options, {"source": "x", "rate": 0.25, "out": "o"}) == Options("x", rate=0.25)
