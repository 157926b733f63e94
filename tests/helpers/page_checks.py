"""What a browser can say is wrong with a page: JavaScript that answers a list, and axe-core's findings."""

from dataclasses import dataclass
from pathlib import Path

from browser import Browser

SERIOUS = ("serious", "critical")


@dataclass(frozen=True)
class AxeFinding:
    """A rule of axe-core that a page breaks, and where first."""

    rule: str
    impact: str
    help: str
    count: int
    first: str

    def __str__(self) -> str:
        return f"{self.impact} {self.rule}: {self.help}; {self.count} times, first {self.first}"


def axe_findings(browser: Browser, axe: Path) -> list[AxeFinding]:
    """What axe-core says of the page that the browser has open; `axe`: its axe.min.js."""
    browser.run(f"{axe.read_text(encoding='utf-8')};0")
    violations = browser.run("axe.run(document).then(r => r.violations.map(v => [v.id, v.impact, v.help, "
                             "v.nodes.length, v.nodes[0].html.slice(0, 200)]))")  # fmt: skip
    return [AxeFinding(*each) for each in violations]


def is_serious(finding: AxeFinding) -> bool:
    """Whether a reader with aids misses something by it."""
    return finding.impact in SERIOUS
