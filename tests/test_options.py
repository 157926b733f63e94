"""Options dataclasses: each value is checked once, and settings, forms and flags come to the same options."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.option_settings import read_settings, task_options
from traffic_yolo.options import (
    changed,
    check_options,
    described,
    fields_of,
    form_value,
    headlines,
    option,
    type_of,
)


@dataclass(frozen=True)
class Choice:
    source: str = option(dataclasses.MISSING, "Where it lies.", headline=True)
    batch: int = option(16, "Pictures.", least=1, most=64, headline=True)
    rate: float | None = option(None, "Rate.", least=0, headline=True)
    kind: str | None = option(None, "Kind.", choices=("a", "b"))
    mosaic: bool = option(True, "Whether.")

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Other:
    depth: float = option(0.5, "Depth.", most=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": 0}, "batch: expected a number from 1 to 64, found 0"),
        ({"batch": 65}, "batch: expected a number from 1 to 64, found 65"),
        ({"batch": 1.0}, "batch: expected a whole number, found 1.0"),
        ({"batch": True}, "batch: expected a whole number, found True"),
        ({"batch": None}, "batch: expected a whole number, found None"),
        ({"rate": -1}, "rate: expected at least 0, found -1"),
        ({"rate": float("nan")}, "rate: expected a finite number, found nan"),
        ({"rate": "x" * 5000}, f"rate: expected a number, found '{'x' * 76}..."),
        ({"kind": "c"}, "kind: expected one of a, b, found 'c'"),
        ({"mosaic": 1}, "mosaic: expected true or false, found 1"),
        ({"source": 3}, "source: expected a text, found 3"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_in_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError) as raised:
        Choice(**{"source": "s", **values})  # type: ignore[arg-type]
    assert str(raised.value) == message


@pytest.mark.parametrize("batch", [1, 64])
def test_the_ends_of_a_range_are_inside(batch: int) -> None:
    assert Choice("s", batch=batch).batch == batch


def test_an_upper_limit_alone_is_stated_alone() -> None:
    with pytest.raises(OptionsError, match="depth: expected at most 1, found 2"):
        check_options(Other(2))


def test_settings_are_text_or_the_file_that_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("batch: 8\nrate: 1\n")
    expected = {"batch": 8, "rate": 1.0}
    assert read_settings(str(file), Choice) == expected
    assert read_settings(file.read_text(), Choice) == expected
    assert read_settings("{batch: 8, rate: 1}", Choice) == expected
    assert read_settings("batch: 8", Choice) == {"batch": 8}
    assert read_settings("  ", Choice) == {}
    assert read_settings("# nothing\n", Choice) == {}
    assert type(read_settings("rate: 1", Choice)["rate"]) is float


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("bach: 8", "settings: unknown option 'bach'; did you mean batch?"),
        ("zzz: 8", "settings: unknown option 'zzz'; known: source, batch, rate, kind, mosaic"),
        ("batch: many", "settings: batch: expected a whole number, found 'many'"),
        ("batch: 99", "settings: batch: expected a number from 1 to 64, found 99"),
        ("- 1\n- 2", "settings: expected `name: value`, one a line, found [1, 2]"),
        ("rate: null\nkind: c", "settings: kind: expected one of a, b, found 'c'"),
    ],
)
def test_settings_that_are_none_are_refused(settings: str, message: str) -> None:
    with pytest.raises(OptionsError) as raised:
        read_settings(settings, Choice)
    assert str(raised.value) == message


def test_a_settings_file_that_is_not_there_is_named() -> None:
    with pytest.raises(StorageError, match=r"settings file not found: no\.yaml"):
        read_settings("no.yaml", Choice)


def test_a_task_takes_parameters_settings_and_defaults() -> None:
    given = {"source": "s", "rate": "0.25", "settings": "kind: b\ndepth: 0.75", "dataset": object()}
    assert task_options([Choice, Other], given) == (Choice("s", rate=0.25, kind="b"), Other(0.75))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "source: expected a value, found nothing"),
        (
            {"source": "s", "batch": 8, "settings": "batch: 4"},
            "batch: the parameter says 8, settings says 4; leave one",
        ),
        ({"source": "s", "rate": "fast"}, "rate: expected a number, found 'fast'"),
        ({"source": "s", "rate": "-1"}, "rate: expected at least 0, found -1"),
    ],
)
def test_a_task_refuses_what_contradicts_itself(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError) as raised:
        task_options([Choice], given)
    assert str(raised.value).startswith(message)


def test_an_option_may_be_stated_twice_alike() -> None:
    assert task_options([Choice], {"source": "s", "batch": 8, "settings": "batch: 8"}) == (Choice("s", batch=8),)


choices = st.builds(
    Choice,
    source=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    batch=st.integers(1, 64),
    rate=st.none() | st.floats(0, 1e6),
    kind=st.sampled_from([None, "a", "b"]),
    mosaic=st.booleans(),
)


@given(choices)
def test_described_options_are_settings_that_give_the_same(options: Choice) -> None:
    (again,) = task_options([Choice], {"settings": described(options)})
    assert again == options


@given(choices)
def test_a_form_gives_what_was_put_into_it(options: Choice) -> None:
    form = {name: form_value(field, getattr(options, name)) for name, field in headlines(Choice).items()}
    rest = {name: value for name, value in changed(options).items() if name not in form}
    settings = yaml.safe_dump(rest) if rest else ""
    assert task_options([Choice], {**form, "settings": settings}) == (options,)


def test_two_dataclasses_of_a_step_share_no_name() -> None:
    with pytest.raises(TypeError, match="option source stands in two dataclasses"):
        fields_of(Choice, Choice)


def test_only_plain_types_are_options() -> None:
    fields = fields_of(Choice)
    assert [type_of(fields[name]) for name in ("source", "rate", "mosaic")] == [
        (str, False),
        (float, True),
        (bool, False),
    ]
    odd = dataclasses.make_dataclass("Odd", [("sizes", tuple[int, ...], option((), "Sizes."))])
    with pytest.raises(TypeError, match="option sizes: .* is no type of an option"):
        fields_of(odd)["sizes"] and type_of(fields_of(odd)["sizes"])
