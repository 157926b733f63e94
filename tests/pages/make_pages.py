"""Makes every page, and pictures of each as a browser shows it: three widths, light and dark, and as PDF.

`make pages`, or `python tests/pages/make_pages.py FOLDER [--axe axe.min.js]`: what axe-core finds is printed, and the
exit code is 1 where it is serious.
"""

import argparse
import base64
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))

from browser import Browser, chromium, find_chromium
from every_page import make_every_page
from page_checks import axe_findings, is_serious

WIDTHS = (380, 900, 1600)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to write, which must not be there")
    parser.add_argument("--axe", type=Path, help="axe-core's axe.min.js: looks for what readers with aids would miss")
    given = parser.parse_args()
    program = find_chromium()
    if program is None:
        raise SystemExit("no Chromium on this machine (Debian: apt-get install chromium; or set TRAFFIC_YOLO_CHROMIUM)")
    given.folder.mkdir(parents=True)
    pages = make_every_page(given.folder, tell=print)
    serious = 0
    with chromium(program) as browser:
        for name, path in pages.items():
            look(browser, name, path, given.folder / "pictures")
            if given.axe is not None:
                for dark in (False, True):
                    browser.open(path.resolve().as_uri(), dark=dark)
                    found = axe_findings(browser, given.axe)
                    serious += sum(map(is_serious, found))
                    print(*(f"{name} ({'dark' if dark else 'light'}): {one}" for one in found), sep="\n")
    raise SystemExit(1 if serious else 0)


def look(browser: Browser, name: str, path: Path, folder: Path) -> None:
    """Pictures of a page, and its PDF, into a folder."""
    folder.mkdir(exist_ok=True)
    stem = name.replace(" ", "_")
    for width in WIDTHS:
        for dark in (False, True):
            browser.open(path.resolve().as_uri(), width=width, dark=dark)
            browser.screenshot(folder / f"{stem}_{width}_{'dark' if dark else 'light'}.png")
    browser.open(path.resolve().as_uri())
    browser.call("Emulation.setEmulatedMedia", media="print")  # not the screen, whose pages scroll
    printed = browser.call(
        "Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
    )
    (folder / f"{stem}.pdf").write_bytes(base64.b64decode(printed["data"]))


if __name__ == "__main__":
    main()
