"""Expressions of any shape: a line that proves that one gives a metric, a proof that none can, or neither."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.katib.check.filter_lines import verdict
from traffic_yolo.katib.spec.constants import DEFAULT_METRICS_FORMAT


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"^\s*\| *(score) *\| *([0-9.]+) *\|", "score"),
        (r"(score) = ([0-9.]+) %", "score"),
        (r"\[(score)\] -> ([0-9.]+)", "score"),
        (r"(\w+ \w+) is ([0-9.]+)", "val acc"),
        (r'"(score)" *: *([0-9.]+)', "score"),
        (r"Epoch \d+ (score): ([0-9.]+)", "score"),
        (r"([\w-]+)=(Genotype.*)", "Best-Genotype"),
        (r"(\w+\s\w+)\s:\s((-?\d+)(\.\d+)?)", "valid_1 auc"),
        (r"{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)}", "loss"),
        (r"(?i)(SCORE)=(\d+)", "score"),
        (r"^\b(score)\b:\s{3}(?:x|y)\Q[a]\E(\d+)$", "score"),
        (r"(?P<name>\w+)=(?P<value>[[:digit:]]+)", "map"),
        (r"(\pL+) \x41[^\]a-z](\d+)", "map"),
        (r"(?:epoch (\w+)|nothing)?(?:: ([\d.]+))*", "map"),
        (r"( *map *):(\d+)", "map"),
        (r"(map|loss)=(\d+)ms", "loss"),
        (DEFAULT_METRICS_FORMAT, "map|50"),
    ],
)
def test_a_line_can_be_made_up(pattern: str, name: str) -> None:
    assert verdict(pattern, name) == "line"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (DEFAULT_METRICS_FORMAT, "val/map"),
        (DEFAULT_METRICS_FORMAT, "mAP@0.5"),
        (r"(SCORE)=(\d+)", "score"),
        (r"(\w+)=(\d+\.\d+)", "val map"),
        (r"Epoch (\d+) score: ([0-9.]+)", "score"),
        (r"(^\bscore\b)=(\d+)", "scores"),
        (r"(\w+ )=(\d+)", "map "),  # the collector trims what it finds
    ],
)
def test_no_line_can_give_the_metric(pattern: str, name: str) -> None:
    assert verdict(pattern, name) == "none"


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (r"(map)x{60}=(\d)", "map"),  # longer than the lines that are made up
        (r"(?:(map)|(loss))=\d", "map"),  # never both groups: Katib would get an empty value
        (r"(map)=((?:\d{3}){3})", "map"),
    ],
)
def test_the_rest_is_not_decided(pattern: str, name: str) -> None:
    assert verdict(pattern, name) in ("unknown", "line")


def test_what_stands_around_a_group_may_make_its_assertions_hold() -> None:
    assert verdict(r"x{60}(\Bmap)=(\d)", "map") == "unknown"  # \B fails for the name alone, and holds behind an x


def test_groups_that_exclude_each_other_are_no_proof() -> None:
    assert verdict(r"(?:(map)|(loss))=\d", "map") == "unknown"


PIECES = st.sampled_from(
    ["a", "b", r"\d", r"\s", "[a-c]", ".", "(?:x|y)", "a*", "b+", "c?", "z{2}", "^", "$", r"\b", "=", ":"]
)
PATTERNS = st.tuples(*[st.lists(PIECES, max_size=3).map("".join)] * 5).map(
    lambda parts: f"{parts[0]}({parts[1]}){parts[2]}({parts[3]}){parts[4]}"
)
LINES = st.text(alphabet="abcxyz1 =:", max_size=12)


@given(PATTERNS, LINES)
def test_what_is_said_to_be_impossible_never_happens(pattern: str, line: str) -> None:
    """Every metric that RE2 finds in a line must be one that is not refused."""
    try:
        expression = re2.compile(pattern)
    except re2.error:
        return
    for match in expression.finditer(line):
        name, value = (match[1] or "").strip(), (match[2] or "").strip()
        if name and value:
            assert verdict(pattern, name) != "none"


@given(st.text(alphabet="ab()[]|*+?{}1,\\^$dwQE:P<>-", max_size=24), st.text(max_size=4))
def test_any_expression_is_survived(pattern: str, name: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        groups = re2.compile(pattern, options).groups
    except re2.error:
        return
    if groups >= 2:
        assert verdict(pattern, name) in ("line", "none", "unknown")
