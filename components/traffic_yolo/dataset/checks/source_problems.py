"""Turns what a source's readers cannot read into findings, so that a check names it beside all else."""

import re
from collections.abc import Mapping

from traffic_yolo.dataset.checks.finding import OFF, DataFinding, Findings
from traffic_yolo.dataset.problems import Noted, Problem
from traffic_yolo.severity import severity_of

# kind of problem -> the check whose name and severity it gets; broken labels and scans are told apart by their words
CHECK_OF_KIND = {
    "recording-unreadable": "unreadable-file",
    "recording-unfinished": "unfinished-recording",
    "scan-unreadable": "unreadable-file",
    "picture-unreadable": "unreadable-picture",
    "picture-size": "size-mismatch",
    "picture-missing": "label-without-picture",
    "picture-turned": "turned-picture",
    "picture-left-out": "picture-left-out",
    "frame-missing": "label-without-picture",
    "frame-twice": "labelled-twice",
    "picture-twice": "labelled-twice",
    "label-broken": "broken-label",
    "label-missing": "picture-without-label",
    "label-unpaired": "label-without-picture",
    "labels-few": "few-labels",
    "origins-mixed": "mixed-origins",
    "classes-alike": "alike-classes",
    "box-without-area": "no-area",
    "box-reversed": "reversed-corners",
    "shape-left-out": "shape-left-out",
    "picture-emptied": "emptied-picture",
}
# In the readers' messages; tests/dataset/checks/test_check_source.py holds them for every format
BOX_WORDS = (
    ("unknown-class", re.compile(r"unknown class|no category|is none of the (task|mapping)")),
    ("not-a-number", re.compile(r"\bnan\b|\binf\b|must be finite|finite numbers", re.IGNORECASE)),
    ("no-area", re.compile(r"wide and .* high|width and height (must be )?above 0")),
)
PICTURE_WORDS = (("truncated-picture", re.compile("cut off")), ("unreadable-picture", re.compile("JPEG")))
WORDS = {
    "scan-unreadable": (*BOX_WORDS, *PICTURE_WORDS),
    "label-broken": BOX_WORDS,
    "picture-unreadable": PICTURE_WORDS,
}
# What is expected where the message does not say it
EXPECTED_BY = {
    "unreadable-file": "a recording that can be read",
    "unfinished-recording": "a recording that its device has finished",
    "broken-label": "a label that can be read",
    "labelled-twice": "one label for each frame",
    "label-without-picture": "the picture of a label",
    "unreadable-picture": "a JPEG or PNG",
    "truncated-picture": "a whole picture",
    "size-mismatch": "the size that the label states",
    "turned-picture": "an upright picture",
    "picture-left-out": "a picture of a known kind",
    "few-labels": "a label file for most pictures",
    "alike-classes": "one spelling of a class",
    "mixed-origins": "corners that all count from the same pixel",
    "unknown-class": "a class of the source",
    "not-a-number": "finite numbers",
    "no-area": "width and height above 0",
    "reversed-corners": "corners from top left to bottom right",
    "shape-left-out": "a box or an outline",
    "emptied-picture": "a box that can be kept",
    "picture-without-label": "a human label",
}
FRAME = re.compile(r"\b(SCAN_\d+|image \S+ \([^)]*\)|annotation \S+|line \d+|row \d+)")
EXPECTED = re.compile(r"(?:expected|must be) (?P<expected>.+?)[;,] found (?P<found>.+?)(?:;|$)")


def finding_of(problem: Problem, severities: Mapping[str, str]) -> DataFinding | None:
    """The problem as a finding; None where its check is off. Its place and words are taken from the message.

    `severities`: check -> severity; a check that is not in it is off.
    """
    check = check_of(problem)
    word = severities.get(check, OFF)
    if word == OFF:
        return None
    place, message = _parted(problem.message)
    file = place.split(": ")[0]
    file = re.split(r" (?=SCAN_|line |Vision_object|AI\b)", file)[0]
    named = FRAME.findall(problem.message)
    words = EXPECTED.search(problem.message)
    return DataFinding(
        rule=check,
        severity=severity_of(word),
        file=file,
        frame=named[0] if named else "",
        box=" ".join(named[1:2]),
        expected=words["expected"] if words else EXPECTED_BY[check],
        found=words["found"] if words else message,
    )


def noted_findings(noted: Noted, severities: Mapping[str, str]) -> Findings:
    """What readers left out or mended, as findings: all counted, the first ones kept."""
    findings = Findings()
    for problem in noted.kept:
        finding = finding_of(problem, severities)
        if finding is not None:
            findings.add(finding)
    for kind, count in noted.counts.items():
        check = CHECK_OF_KIND[kind]
        if severities.get(check, OFF) != OFF:
            findings.counts[check, severities[check]] = count
    return findings


def check_of(problem: Problem) -> str:
    """The name of the check under which a problem goes."""
    for name, pattern in WORDS.get(problem.kind, ()):
        if pattern.search(problem.message):
            return name
    return CHECK_OF_KIND[problem.kind]


def _parted(message: str) -> tuple[str, str]:
    """A message's place ("file: image 3 (a.jpg)") and what it says of it."""
    parts = message.split(": ")
    if len(parts) > 2 and FRAME.match(parts[1]):
        return ": ".join(parts[:2]), ": ".join(parts[2:])
    return parts[0], ": ".join(parts[1:]) or message
