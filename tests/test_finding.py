"""Findings: one line, one order, one counting, whatever the room; and the fields and JSON that each room adds."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

import traffic_yolo
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.deepstream.config.findings import ConfigFinding
from traffic_yolo.finding import Finding, count_severities, counts_text, exit_code, worst_first
from traffic_yolo.katib.check.findings import ExperimentFinding
from traffic_yolo.severity import as_bad_as, rank, severity_of

CFG = CfgFinding("odd-size", "warning", "net.cfg", 12, "size=4", "write size=3", "maxpool", 0)
CONFIG = ConfigFinding("no-file", "error", "nvinfer.txt", 0, "no labels", "name a file", "property", "labelfile-path")
EXPERIMENT = ExperimentFinding("goal", "error", "admission", "spec.goal", "no number", "a number", "'x'", "write 0.9")
DATA = DataFinding("no-area", "info", "a.json", "image 3", "annotation 7", "width above 0", "0")


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (CFG, "net.cfg:12: warning: [maxpool] layer 0: size=4 [odd-size]\n    write size=3"),
        (CONFIG, "nvinfer.txt: error: no labels [no-file]\n    name a file"),
        (
            EXPERIMENT,
            "spec.goal: error: no number [goal]\n    expected a number; found 'x'\n    fix: write 0.9",
        ),
        (DATA, "a.json image 3 annotation 7: info: expected width above 0, found 0 [no-area]"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Finding) else "",
)
def test_every_room_says_place_severity_what_and_rule_in_the_same_order(finding: Finding, text: str) -> None:
    assert finding.to_text() == text
    assert finding.to_line() == text.splitlines()[0]


def test_a_finding_about_a_whole_cfg_or_a_section_without_layer_has_no_empty_words() -> None:
    assert CfgFinding("a", "info", "net.cfg", 0, "m", "do", "", -1).to_line() == "net.cfg: info: m [a]"
    assert CfgFinding("a", "info", "net.cfg", 1, "m", "do", "net", -1).to_line() == "net.cfg:1: info: [net]: m [a]"


def test_json_has_null_for_no_line_and_no_layer_and_the_words_of_each_room() -> None:
    assert CFG.to_json() == {
        "rule": "odd-size", "severity": "warning", "file": "net.cfg", "line": 12, "section": "maxpool", "layer": 0,
        "message": "size=4", "advice": "write size=3",
    }  # fmt: skip
    nowhere = CfgFinding("a", "info", "net.cfg", 0, "m", "do", "", -1).to_json()
    assert (nowhere["line"], nowhere["layer"]) == (None, None)
    assert CONFIG.to_json()["line"] is None
    assert list(EXPERIMENT.to_json()) == [
        "rule", "severity", "origin", "path", "message", "expected", "found", "fix",
    ]  # fmt: skip
    assert list(DATA.to_json()) == ["check", "severity", "file", "frame", "box", "expected", "found"]
    assert DataFinding(*DATA.to_json().values()) == DATA  # type: ignore[arg-type]  # shards keep rows


def test_the_worst_come_first_and_equals_stay_or_follow_a_key() -> None:
    later = CfgFinding("b", "error", "net.cfg", 9, "m", "do", "", -1)
    sooner = CfgFinding("z", "error", "net.cfg", 2, "m", "do", "", -1)
    assert worst_first([CFG, later, DATA, sooner]) == [later, sooner, CFG, DATA]
    assert worst_first([later, sooner], then=lambda one: one.line) == [sooner, later]
    assert worst_first([CFG, later, sooner], then=lambda one: -one.line) == [later, sooner, CFG]


@pytest.mark.parametrize(
    ("findings", "words", "code"),
    [
        ([], "0 errors, 0 warnings, 0 notes", 0),
        ([CFG, DATA], "0 errors, 1 warning, 1 note", 0),
        ([CONFIG, EXPERIMENT, DATA, DATA], "2 errors, 0 warnings, 2 notes", 1),
        ([CONFIG], "1 error, 0 warnings, 0 notes", 1),
    ],
)
def test_findings_are_counted_in_words_and_only_errors_fail(findings: list[Finding], words: str, code: int) -> None:
    assert counts_text(count_severities(findings)) == words
    assert exit_code(findings) == code


def test_a_severity_has_its_rank_and_those_that_are_as_bad() -> None:
    assert [rank(word) for word in ("error", "warning", "info", "off")] == [0, 1, 2, 3]
    assert as_bad_as("warning") == ("error", "warning")
    assert as_bad_as("never") == ()
    assert severity_of("info") == "info"
    with pytest.raises(ValueError, match="expected one of error, warning, info, found 'off'"):
        severity_of("off")


def test_no_two_classes_of_findings_or_problems_share_a_name_and_all_findings_are_of_one_kind() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(Path(traffic_yolo.__file__).parent.rglob("*.py")):
        for name in re.findall(r"^[ \t]*class (\w*(?:Finding|Problem)s?)\b", path.read_text(), re.MULTILINE):
            places[name].append(path.name)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
    named = {name for name in places if name.endswith("Finding")} - {"Finding", "FileFinding"}
    assert named == {type(one).__name__ for one in (CFG, CONFIG, EXPERIMENT, DATA)}
