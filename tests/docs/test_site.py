"""The site of `make docs`: every page is in the nav, every link of a page leads to something that the site has."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

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
    copies = {f"source/{path.relative_to(REPOSITORY)}" for path in site_pages._linked_files()}
    for uri in [
        *(path.name for path in (REPOSITORY / "docs").glob("*.md")),
        *site_pages.TOP.values(),
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


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="30 s; set TRAFFIC_YOLO_SLOW=1 to run it")
def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    for page in ("commands/train.html", "api/train.html", "project.ko.html", "examples/01_darknet_in_pytorch.html"):
        assert (tmp_path / "site" / page).is_file(), page
