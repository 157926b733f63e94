"""Findings for people: a table of checks, the findings themselves, as HTML and as lines for a terminal."""

from collections.abc import Mapping

from traffic_yolo.dataset.checks.finding import OFF, DataFinding, Findings
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.html_report import Html, badge, paragraph, table
from traffic_yolo.severity import SEVERITIES, rank

SHOWN_OF_A_CHECK = 10


def checks_section(findings: Findings, severities: Mapping[str, str], *, frames: int) -> Html:
    """What each check found, and the first findings of each."""
    found = {check: count for (check, _), count in findings.counts.items()}
    names = [*CHECKS, *sorted(set(found) - set(CHECKS))]
    rows = [
        (name, _severity(severities.get(name, OFF), found.get(name, 0)), found.get(name, 0),
         CHECKS[name].summary if name in CHECKS else "")
        for name in sorted(names, key=lambda name: (not found.get(name), _rank(severities, name), -found.get(name, 0)))
        if name in severities or name in found
    ]  # fmt: skip
    totals = ", ".join(f"{findings.of_severity(severity)} {severity}" for severity in SEVERITIES)
    head = paragraph(f"{frames:,} frames checked: {totals}.")
    return Html(head + table(["check", "severity", "found", "objects to"], rows) + findings_table(findings))


def findings_table(findings: Findings) -> Html:
    """The first findings of each check, the worst checks first."""
    counted: dict[str, int] = {}
    rows = []
    for finding in findings:
        counted[finding.rule] = counted.get(finding.rule, 0) + 1
        if counted[finding.rule] <= SHOWN_OF_A_CHECK:
            place = " ".join(part for part in (finding.frame, finding.box) if part)
            rows.append(
                (
                    badge(finding.severity, finding.severity),
                    finding.rule,
                    finding.file,
                    place,
                    finding.expected,
                    finding.found,
                )
            )
    if not rows:
        return paragraph("No finding.")
    headers = ["severity", "check", "file", "frame and box", "expected", "found"]
    caption = f"The first {SHOWN_OF_A_CHECK} findings of each check; the JSON file has up to 200 of each."
    shown = table(headers, rows, caption=caption, filter_by=("severity", "check"))
    return Html(f"<details><summary>{len(rows):,} findings</summary>{shown}</details>")


def findings_text(findings: Findings, *, frames: int, boxes: int) -> str:
    """Lines for a terminal: totals, then each check that found something with its first finding."""
    totals = ", ".join(f"{findings.of_severity(severity)} {severity}" for severity in SEVERITIES)
    lines = [f"{frames} frames, {boxes} boxes: {totals}"]
    first: dict[str, DataFinding] = {}
    for finding in findings:
        first.setdefault(finding.rule, finding)
    for (check, severity), count in sorted(findings.counts.items(), key=lambda item: (rank(item[0][1]), -item[1])):
        lines.append(f"{severity:8} {check}: {count}, the first: {first[check].place}: {first[check].statement}")
    return "\n".join(lines)


def _severity(severity: str, count: int) -> Html:
    """A severity, in its colour where the check found something: a page of sound data has no red word."""
    return badge(severity, severity) if count else Html(f'<span class="quiet">{severity}</span>')


def _rank(severities: Mapping[str, str], name: str) -> int:
    return rank(severities.get(name, OFF))
