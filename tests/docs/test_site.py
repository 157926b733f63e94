"""The site of `make docs`: every page is in the nav, every link of a page leads to something that the site has."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from browser import Browser

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site_pages() -> ModuleType:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location("site_pages", REPOSITORY / "docs" / "site_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_link_leads_to_a_page_or_a_copy(site_pages: ModuleType) -> None:
    copies = {site_pages._place(path) for path in site_pages._linked_files()}
    assert "source/components/README.md" in copies  # a text that a page's text links to
    for uri in [
        *(path.name for path in (REPOSITORY / "docs").glob("*.md")),
        *site_pages.TOP.values(),
        *(uri for uri in copies if uri.endswith(".md")),
        "examples/README.md",
    ]:
        source = site_pages._source_of(uri)
        moved = site_pages.on_page_markdown(source.read_text(encoding="utf-8"), type("Page", (), {"file": Uri(uri)}))
        for _, _, target in site_pages.LINK.findall(moved):
            name = target.partition("#")[0]
            if not name or "://" in name:
                continue
            there = os.path.normpath(os.path.join(os.path.dirname(uri), name))
            known = there in copies or there in site_pages.TOP.values() or there.startswith("examples/")
            assert known or (REPOSITORY / "docs" / there).is_file(), f"{uri}: {target}"


class Uri:
    def __init__(self, src_uri: str) -> None:
        self.src_uri = src_uri


def test_reference_has_every_public_name(site_pages: ModuleType) -> None:
    text = "".join(content for _, content in site_pages._api_pages())
    names = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    assert "traffic_yolo.api.convert.convert" in names
    assert "traffic_yolo.training.trainer.train" in names
    assert len(names) == len(set(names)) > 60


SEARCH = """(async () => {
  const query = document.querySelector("[data-md-component=search-query]");
  const result = document.querySelector("[data-md-component=search-result]");
  query.focus();
  query.value = "waterfall";
  query.dispatchEvent(new Event("input", {bubbles: true}));
  query.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
  for (let tenth = 0; tenth < 600 && !result.innerText.includes("matching"); tenth++)
    await new Promise((done) => setTimeout(done, 100));
  return result.innerText;
})()"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    if os.environ.get("TRAFFIC_YOLO_SLOW") != "1":
        pytest.skip("30 s; set TRAFFIC_YOLO_SLOW=1 to run it")
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_site_has_every_kind_of_page(site: Path) -> None:
    for page in ("commands/train.html", "api/train.html", "project.ko.html", "examples/01_darknet_in_pytorch.html"):
        assert (site / page).is_file(), page


def test_site_opens_as_files_and_asks_nothing_of_the_network(site: Path, browser: Browser) -> None:
    for dark, scheme in ((True, "slate"), (False, "default")):
        seen = browser.open((site / "index.html").as_uri(), width=1600, dark=dark)
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith("file:")] == []
        assert browser.run("document.body.getAttribute('data-md-color-scheme')") == scheme


def test_search_finds_without_a_server(site: Path, browser: Browser) -> None:
    browser.open((site / "index.html").as_uri(), width=1600)
    found = browser.run(SEARCH)
    assert "matching documents" in found
    assert "From Darknet to DeepStream" in found
