"""Values that people wrote: what is taken, how each refusal reads, and dataclasses made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.checked_values import NUMBER_AS_TEXT, CheckedValue, read_checked
from traffic_yolo.errors import LabelError, OptionsError, StorageError


def given(value: Any, key: str = "a") -> CheckedValue:
    return CheckedValue(value, "list /nas/x.yaml", OptionsError, key)


Take = Callable[[CheckedValue], Any]


@pytest.mark.parametrize(
    ("value", "take", "taken"),
    [
        ("x", CheckedValue.text, "x"),
        ("", lambda v: v.text(empty=True), ""),
        (["b", "a"], lambda v: v.texts(once=True), ("b", "a")),
        (True, CheckedValue.flag, True),
        (0, lambda v: v.whole(0), 0),
        (3, lambda v: v.number(above=2.5), 3.0),
        (1, lambda v: v.number(least=0, most=1), 1.0),
        ("b", lambda v: v.one_of(("a", "b")), "b"),
        ([640, 480], CheckedValue.size_wh, (640, 480)),
        ([1, 2], lambda v: [one.whole() for one in v.items()], [1, 2]),
        ({0: "CAR"}, lambda v: {name: one.text() for name, one in v.entries()}, {0: "CAR"}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_of_its_kind_is_taken(value: Any, take: Take, taken: Any) -> None:
    found = take(given(value))
    assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize(
    ("value", "take", "reason"),
    [
        (7, CheckedValue.text, "a: expected a text, found 7; write it in quotes"),
        (None, CheckedValue.text, "a: expected a text, found None"),
        ("", CheckedValue.text, "a: expected a text, found ''"),
        (["a", ""], CheckedValue.texts, "a: expected a list of names, found ['a', '']"),
        (["a", "a"], lambda v: v.texts(once=True), "a: expected each name once, found ['a', 'a']"),
        (1, CheckedValue.flag, "a: expected true or false, found 1"),
        (True, CheckedValue.whole, "a: expected a whole number, found True"),
        (2.0, CheckedValue.whole, "a: expected a whole number, found 2.0"),
        (0, lambda v: v.whole(1), "a: expected a whole number from 1, found 0"),
        (False, CheckedValue.number, "a: expected a number, found False"),
        (float("inf"), CheckedValue.number, "a: expected a number, found inf"),
        (0, lambda v: v.number(above=0), "a: expected a number above 0, found 0"),
        (1.01, lambda v: v.number(least=0, most=1), "a: expected a number from 0 to 1, found 1.01"),
        ("c", lambda v: v.one_of(("a", "b")), "a: expected one of a, b, found 'c'"),
        ([["a"]], lambda v: v.items()[0].one_of(("a",)), "a[0]: expected one of a, found ['a']"),
        ([640, 0], CheckedValue.size_wh, "a: expected [width, height] in whole pixels, found [640, 0]"),
        ([640, True], CheckedValue.size_wh, "a: expected [width, height] in whole pixels, found [640, True]"),
        ("ab", CheckedValue.items, "a: expected a list, found 'ab'"),
        ([], lambda v: v.items("a list of one or more", least=1), "a: expected a list of one or more, found []"),
        ([1, "2"], lambda v: [one.whole() for one in v.items()], "a[1]: expected a whole number, found '2'"),
        ({0: 1}, lambda v: [one.text() for _, one in v.entries()], "a.0: expected a text, found 1; write it in quotes"),
        ([], lambda v: v.section(("b",)), "a: expected a mapping with keys of b, found []"),
        ({"colr": 1}, lambda v: v.section(("colour", "size")), "a: unknown key 'colr'; did you mean colour?"),
        ({"zebra": 1}, lambda v: v.section(("colour", "size")), "a: unknown key 'zebra'; known: colour, size"),
        ({"b": 1}, lambda v: v.section(("b", "c", "d"), required=("b", "c", "d")), "a: expected the keys c, d too, found b"),
        ({}, lambda v: v.section(("b",), required=("b",)), "a: expected the key b too, found no key"),
        ({"b": {"c": [0]}}, lambda v: v.section(("b",))["b"].section(("c",))["c"].items()[0].text(),
         "a.b.c[0]: expected a text, found 0; write it in quotes"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_of_another_kind_is_one_line_with_document_place_and_both(value: Any, take: Take, reason: str) -> None:
    with pytest.raises(OptionsError) as caught:
        take(given(value))
    assert str(caught.value) == f"list /nas/x.yaml: {reason}"


def test_the_document_as_a_whole_has_no_place() -> None:
    with pytest.raises(OptionsError, match=r"^list /nas/x\.yaml: unknown key 'x'; known: b$"):
        given({"x": 1}, key="").section(("b",))
    assert given({"b": 1}, key="").section(("b",))["b"].key == "b"


def test_defaults_stand_for_what_is_left_out_and_for_no_null() -> None:
    section = given({"b": None}).section(("b", "c", "d"), defaults={"b": 1, "c": 2})
    assert {name: one.value for name, one in section.items()} == {"b": None, "c": 2}
    assert section["c"].key == "a.c"


@dataclass(frozen=True)
class Inner:
    amount: str = field(default="", metadata={NUMBER_AS_TEXT: True})
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.amount == "none":
            raise OptionsError("amount: expected some")


@dataclass(frozen=True)
class Outer:
    share: float = 0.5
    many: dict[str, Inner] = field(default_factory=dict)
    maybe: Inner | None = None
    limit: int | None = None


def test_a_dataclass_is_made_with_its_sections() -> None:
    made = given({"share": 1, "many": {"x": {"amount": 8, "names": ["n"]}}, "maybe": None, "limit": None}).of_type(
        Outer
    )
    assert made == Outer(1.0, {"x": Inner("8", ("n",))}, Inner(), None)
    assert isinstance(made.share, float)
    assert given(None).of_type(Outer) == Outer()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"share": "half"}, "a.share: expected a number, found 'half'"),
        ({"many": {"x": {"amount": "none"}}}, "a.many.x.amount: expected some"),
        ({"many": {"x": {"amont": "1"}}}, "a.many.x: unknown key 'amont'; did you mean amount?"),
        ({"many": {7: {}}}, "a.many: expected `name: value`, one a line, found {7: {}}"),
        ({"maybe": {"names": ["n", 5]}}, "a.maybe.names[1]: expected a text, found 5; write it in quotes"),
        ({"maybe": {"amount": True}}, "a.maybe.amount: expected a text, found True; write it in quotes"),
        ({"limit": "3"}, "a.limit: expected a whole number, found '3'"),
        ("x", "a: expected `name: value`, one a line, found 'x'"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_a_dataclass_refuses_has_its_place_too(value: Any, reason: str) -> None:
    with pytest.raises(OptionsError) as caught:
        given(value).of_type(Outer)
    assert str(caught.value) == f"list /nas/x.yaml: {reason}"


def test_a_file_is_named_by_its_part_and_place(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\n")
    document = read_checked(tmp_path / "x.yaml", what="class map", error=LabelError)
    with pytest.raises(LabelError, match=rf"^class map {tmp_path}/x\.yaml: a: expected a list, found 1$"):
        document.section(("a",))["a"].items()
    with pytest.raises(StorageError, match="class map cannot be read"):
        read_checked(tmp_path / "none.yaml", what="class map", error=LabelError)
