"""What a browser can say is wrong with a page: JavaScript that answers a list, and axe-core's findings."""

from dataclasses import dataclass
from pathlib import Path

from browser import Browser

# Elements that reach beyond the window, but in boxes that scroll there
TOO_WIDE = """[...document.querySelectorAll('body *')].filter(e => {
    if (e.closest('dialog:not([open])') || !e.getClientRects().length) return false;
    const scrolls = e.parentElement.closest('.wide, .figure-box');
    if (scrolls && getComputedStyle(scrolls).overflowX === 'auto') return false;
    return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map(e => `${e.tagName}.${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 40)}`)"""
# Text below the contrast of 4.5 : 1 against the first ground behind it
FAINT_TEXT = """(() => {
    const light = rgb => { const c = rgb.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
    const behind = e => { const colour = getComputedStyle(e).backgroundColor;
        return colour !== 'rgba(0, 0, 0, 0)' || !e.parentElement ? light(colour) : behind(e.parentElement); };
    const texts = 'h1, h2, p, a, b, dt, dd, code, pre, li, td, th, figcaption, caption, span, summary, button, select';
    return [...document.querySelectorAll(texts)].filter(e => {
        if (!e.textContent.trim()) return false;
        const own = light(getComputedStyle(e).color), page = behind(e);
        return (Math.max(own, page) + 0.05) / (Math.min(own, page) + 0.05) < 4.5;
    }).map(e => e.tagName + ' ' + e.textContent.slice(0, 30));
})()"""
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
