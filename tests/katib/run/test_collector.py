"""Metrics out of logs by Katib's rule: which lines count, which do not, and what a trial's numbers come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.run.collector import LogFormat, ObservedMetric
from traffic_yolo.katib.spec.defaults import with_defaults

TEXT = LogFormat(("map", "loss"), {"map": "max", "loss": "min"})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("map=0.5", [("map", "0.5")]),
        ("map = 0.5", [("map", "0.5")]),
        ("map=+5e-1 loss=-2.", [("map", "+5e-1"), ("loss", "-2")]),
        ("2026-01-02T03:04:05Z map=1", [("map", "1")]),
        ("map=nan", [("map", "")]),  # the number is empty, and so no number
        ("map: 0.5", []),
        ("mAP=0.5", []),
        ("map50=0.5", []),
        ("val/map=0.5", [("map", "0.5")]),
        ("map@50=0.5", []),
        ("accuracy=0.5", []),
        ("|map|=0.5", []),
    ],
)
def test_lines_of_text(line: str, expected: list[tuple[str, str]]) -> None:
    assert [(reading.name, reading.value) for reading in TEXT.read(line)] == expected


def test_the_time_of_a_line_is_its_first_word_where_that_is_one() -> None:
    log = "2026-01-02T03:04:05.123456789Z map=1\n2026-01-02 map=2\nmap=3"
    assert [reading.time for reading in TEXT.read(log)] == [
        "2026-01-02T03:04:05.123456789Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
    ]


def test_a_trial_comes_to_its_least_its_most_and_its_latest() -> None:
    observation = TEXT.observe(TEXT.read("map=0.2\nmap=0.9 loss=3\nmap=0.5\nloss=x"))
    assert observation == [
        ObservedMetric("map", latest="0.5", least="0.2", most="0.9"),
        ObservedMetric("loss", latest="", least="3", most="3"),
    ]
    assert TEXT.objective_of(observation) == 0.9
    assert LogFormat(("map",), {"map": "latest"}).objective_of(observation) == 0.5


def test_latest_goes_by_the_time_in_the_log_not_by_the_line() -> None:
    log = "2026-01-02T00:00:02Z map=0.7\n2026-01-02T00:00:01Z map=0.1"
    (metric, _) = TEXT.observe(TEXT.read(log)) or []
    assert metric.latest == "0.7"


def test_a_trial_without_its_objective_is_unavailable_whatever_else_it_has() -> None:
    assert TEXT.observe(TEXT.read("loss=1")) is None
    assert TEXT.objective_of(None) is None
    (metric, _) = TEXT.observe(TEXT.read("map=")) or []
    assert metric == ObservedMetric("map", latest="", least="unavailable", most="unavailable")
    assert TEXT.objective_of([metric]) is None


def test_json_takes_texts_and_passes_numbers_over() -> None:
    log_format = LogFormat(("map", "loss"), {}, "JSON")
    log = '{"map": "0.5", "timestamp": 0}\n\n{"map": 0.6, "loss": "1", "timestamp": "2026-01-02T03:04:05Z"}'
    assert [(r.time, r.name, r.value) for r in log_format.read(log)] == [
        ("1970-01-01T00:00:00Z", "map", "0.5"),
        ("2026-01-02T03:04:05Z", "loss", "1"),
    ]


@pytest.mark.parametrize("log", ["map=1", "[1]", '{"map": '])
def test_a_json_log_with_another_line_stops_the_collector(log: str) -> None:
    with pytest.raises(OptionsError, match=r"metrics log line 1: .*Katib's collector stops"):
        LogFormat(("map",), {}, "JSON").read(log)


def test_the_format_of_a_spec_has_katibs_defaults() -> None:
    objective = {"type": "minimize", "objectiveMetricName": "loss", "additionalMetricNames": ["map"]}
    spec = with_defaults({"spec": {"objective": objective}})["spec"]
    assert LogFormat.of_spec(spec) == LogFormat(("loss", "map"), {"loss": "min", "map": "min"})
    spec["metricsCollectorSpec"] = {"source": {"filter": {"metricsFormat": ["(a)(?=b)(c)"]}}}
    with pytest.raises(OptionsError, match=r"metricsFormat '\(a\)\(\?=b\)\(c\)': "):
        LogFormat.of_spec(spec)


@given(st.text(alphabet="map=los .5e+-|\n20:TZ\t", max_size=80))
def test_any_log_gives_readings_or_none(log: str) -> None:
    observation = TEXT.observe(TEXT.read(log))
    value = TEXT.objective_of(observation)
    assert value is None or abs(value) < float("inf")
