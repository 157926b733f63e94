"""Users' regular expressions: usual ones are taken, those that could hang or overflow are not."""

import time

import pytest

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.patterns import NAME_CHARACTERS, compiled, matched


@pytest.mark.parametrize(
    "pattern",
    [
        r"SCAN_(?P<number>\d{5,})",
        r"(?P<site>[^_]+)_(?P<camera>[^_]+)_(?P<number>\d+)",
        r"(?P<day>\d{8})?_?(?:left|right)_(?P<site>.+)",
        r".*_.*_.*",
        r"(?:ab){3}\d\d?",
        r"(a|a)b",
        "(" * 100 + "a" + ")" * 100,
    ],
)
def test_usual_expressions_are_taken_and_end_soon(pattern: str) -> None:
    expression = compiled(pattern)
    start = time.process_time()
    for name in ("_" * NAME_CHARACTERS, "1" * NAME_CHARACTERS, "a" * NAME_CHARACTERS):
        expression.fullmatch(name + "\n")
    assert time.process_time() - start < 20  # milliseconds; what is refused below takes years


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(?P<number>\d{99999999999})", "too large"),
        (r"(a+)+$", "in several ways"),
        (r"(a|aa)*b", "in several ways"),
        (r"(?:a?){50}", "in several ways"),
        (r"(?=(a+)+)b", "in several ways"),
        (r".*.*.*.*x", "too many ways"),
        ("a?" * 40 + "a" * 40, "too many ways"),
        (r"a{1001}", "more than 1000 repeats"),
        ("(" * 101 + ")" * 101, "101 opening brackets"),
        ("a" * 1001, "1001 characters long"),
        ("(", "missing )"),
    ],
)
def test_expressions_that_hang_overflow_or_are_none_are_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
        compiled(pattern)
    assert len(str(caught.value)) < 200


def test_names_longer_than_names_of_files_match_nothing() -> None:
    assert matched(compiled("a*"), "a" * NAME_CHARACTERS)
    assert matched(compiled("a*"), "a" * (NAME_CHARACTERS + 1)) is None


def test_a_group_whose_number_no_device_counts_to_is_refused() -> None:
    layout = builtin_layouts()["atm-2024"]
    assert layout.scan_number("SCAN_00012") == 12
    assert layout.scan_number("SCAN_x") is None
    with pytest.raises(ValueError, match="expected a scan number of 1 to 18 digits, found 19 characters"):
        layout.scan_number("SCAN_" + "9" * 19)
    assert layout.scan_number("SCAN_" + "9" * 4400) is None  # a name of that length is none that we match
