"""Findings for people: a table of checks, the findings themselves, as HTML and as lines for a terminal."""

from collections.abc import Mapping

from traffic_yolo.dataset.checks.finding import OFF, SEVERITIES, Finding, Findings
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.html_report import Html, paragraph, table

SHOWN_OF_A_CHECK = 10
# On light and on dark pages, with a contrast of at least 4.5 on the bands of a table too
COLOURS = {
    "error": "light-dark(#b3261e, #ff8a80)",
    "warning": "light-dark(#7d5200, #f0b429)",
    "info": "light-dark(#2f5d8f, #8ab4f8)",
}


def checks_section(findings: Findings, severities: Mapping[str, str], *, frames: int) -> Html:
    """What each check found, and the first findings of each."""
    found = {check: count for (check, _), count in findings.counts.items()}
    names = [*CHECKS, *sorted(set(found) - set(CHECKS))]
    rows = [
        (name, badge(severities.get(name, OFF)), found.get(name, 0), CHECKS[name].summary if name in CHECKS else "")
        for name in sorted(names, key=lambda name: (not found.get(name), _rank(severities, name), -found.get(name, 0)))
        if name in severities or name in found
    ]
    totals = ", ".join(f"{findings.of_severity(severity)} {severity}" for severity in SEVERITIES)
    head = paragraph(f"{frames} frames checked: {totals}.")
    return Html(head + table(["check", "severity", "found", "objects to"], rows) + findings_table(findings))


def findings_table(findings: Findings) -> Html:
    """The first findings of each check, the worst checks first."""
    shown: dict[str, int] = {}
    rows = []
    for finding in findings:
        shown[finding.check] = shown.get(finding.check, 0) + 1
        if shown[finding.check] <= SHOWN_OF_A_CHECK:
            place = " ".join(part for part in (finding.frame, finding.box) if part)
            rows.append((badge(finding.severity), finding.check, finding.file, place, finding.expected, finding.found))
    if not rows:
        return paragraph("No finding.")
    headers = ["", "check", "file", "frame and box", "expected", "found"]
    caption = f"The first {SHOWN_OF_A_CHECK} findings of each check; the JSON file has up to 200 of each."
    return Html(f"<details><summary>{len(rows)} findings</summary>{table(headers, rows, caption=caption)}</details>")


def findings_text(findings: Findings, *, frames: int, boxes: int) -> str:
    """Lines for a terminal: totals, then each check that found something with its first finding."""
    totals = ", ".join(f"{findings.of_severity(severity)} {severity}" for severity in SEVERITIES)
    lines = [f"{frames} frames, {boxes} boxes: {totals}"]
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.check, finding)
    for (check, severity), count in sorted(
        findings.counts.items(), key=lambda item: (SEVERITIES.index(item[0][1]), -item[1])
    ):
        lines.append(f"{severity:8} {check}: {count}, the first: {str(first[check]).partition(f'{check}: ')[2]}")
    return "\n".join(lines)


def badge(severity: str) -> Html:
    """A severity in its colour."""
    colour = COLOURS.get(severity, "inherit")
    return Html(f'<span style="color:{colour};font-weight:600">{severity}</span>')


def _rank(severities: Mapping[str, str], name: str) -> int:
    severity = severities.get(name, OFF)
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)
