"""What the site has beside docs/: README, the notebooks, the help of every command and the reference of the Python API.

A hook of MkDocs. The order of the pages is that of the tables in docs/README.md, the public names those of
docs/architecture.md, the commands those of the command line; none is said here again. A link that leaves docs/ leads to
the page that the site has of the file, or to a copy of it.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

import traffic_yolo as ty
from traffic_yolo.cli import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS, EXAMPLES = REPOSITORY / "docs", REPOSITORY / "examples"
EXECUTED = REPOSITORY / "build" / "notebooks" / "examples"  # where `make docs` has run them
TOP = {  # of the repository -> of the site
    "README.md": "project.md",
    "README.ko.md": "project.ko.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COPIES = "source/"  # of the site: what pages link to beside them
LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The nav: the sections of docs/README.md, then what is generated."""
    sections: list[Any] = [{"Home": "README.md"}, {"Project": list(TOP.values())}]
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", _read(DOCS / "README.md"), re.MULTILINE | re.DOTALL):
        pages = [
            name
            for row in re.findall(r"^\|(.*?)\|", text, re.MULTILINE)
            for name in re.findall(r"\(([\w-]+\.md)\)", row)
        ]
        sections.append({title: list(dict.fromkeys(pages))})
    sections.append({"Notebooks": ["examples/README.md", *(f"examples/{path.name}" for path in _notebooks())]})
    sections.append({"Commands": [{name: f"commands/{name}.md"} for name in COMMANDS]})
    sections.append({"Python": [f"api/{name}.md" for name, _ in _api_pages()]})
    config.nav = sections
    return config


@event_priority(100)  # before the plugin that makes pages of notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, and a copy of each file that a page links to."""
    for name, target in TOP.items():
        files.append(File.generated(config, target, content=_read(REPOSITORY / name)))
    files.append(File.generated(config, "examples/README.md", content=_read(EXAMPLES / "README.md")))
    for path in _notebooks():
        source = EXECUTED / path.name if (EXECUTED / path.name).is_file() else path
        files.append(
            File(f"examples/{path.name}", str(source.parent.parent), config.site_dir, config.use_directory_urls)
        )
    for name in COMMANDS:
        files.append(File.generated(config, f"commands/{name}.md", content=_command_page(name)))
    for name, content in _api_pages():
        files.append(File.generated(config, f"api/{name}.md", content=content))
    for path in sorted(_linked_files()):
        files.append(File.generated(config, _place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that lead out of docs/, to where the site has what they mean."""
    source = _source_of(page.file.src_uri)
    return markdown if source is None else LINK.sub(_moved(source, page.file.src_uri), markdown)


def _moved(source: Path, page: str) -> Callable[[re.Match[str]], str]:
    def moved(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        name, hash_sign, anchor = target.partition("#")
        if not name or "://" in name:
            return match.group(0)
        there = (source.parent / name).resolve()
        if there.is_dir():
            return text
        if not there.is_file():
            return match.group(0)
        new = os.path.relpath(_place(there), os.path.dirname(page) or ".")
        return f"{mark}[{text}]({new}{hash_sign}{anchor})"

    return moved


def _place(path: Path) -> str:
    """Where the site has a file of the repository."""
    if path.is_relative_to(DOCS):
        return str(path.relative_to(DOCS))
    relative = str(path.relative_to(REPOSITORY))
    if relative.startswith("examples/"):
        return relative
    return TOP.get(relative, f"{COPIES}{relative}")


def _source_of(uri: str) -> Path | None:
    """The file of the repository that a page of the site was made of; None where it was made of none."""
    for name, target in TOP.items():
        if uri == target:
            return REPOSITORY / name
    if uri == "examples/README.md":
        return EXAMPLES / "README.md"
    if uri.startswith(COPIES):
        return REPOSITORY / uri.removeprefix(COPIES)
    return DOCS / uri if (DOCS / uri).is_file() else None


def _linked_files() -> set[Path]:
    """Every file outside of docs/ and examples/ that a page links to, or a text that a page links to, and so on."""
    found: set[Path] = set()
    pages = [*DOCS.glob("*.md"), EXAMPLES / "README.md", *(REPOSITORY / name for name in TOP)]
    while pages:
        page = pages.pop()
        for _, _, target in LINK.findall(_read(page)):
            path = (page.parent / target.partition("#")[0]).resolve()
            if "://" not in target and path.is_file() and _place(path).startswith(COPIES) and path not in found:
                found.add(path)
                pages += [path] if path.suffix == ".md" else []
    return found


def _notebooks() -> list[Path]:
    return sorted(EXAMPLES.glob("*.ipynb"))


def _command_page(name: str) -> str:
    # Plain: the tables of mkdocs-click write click's mark of "no default" as a default
    return (
        f"::: mkdocs-click\n    :module: traffic_yolo.commands.{COMMANDS[name][0]}\n    :command: command\n"
        f"    :prog_name: traffic-yolo {name}\n    :style: plain\n"
    )


def _api_pages() -> list[tuple[str, str]]:
    """Name and content of each page of the reference: `traffic_yolo`'s own names, then a page for each step."""
    names = [name for name in ty.__all__ if name not in ("__version__", "darknet")]
    own = [f"{ty._MODULES[name]}.{name}" for name in names] + ["traffic_yolo.darknet.darknet_files.read"]
    pages = [("traffic_yolo", _reference("import traffic_yolo as ty", own))]
    table = _read(DOCS / "architecture.md").partition("## Public functions")[2].partition("\n## ")[0]
    for step, cell in re.findall(r"^\| (?!step|-)(.+?) \| (.+) \|$", table, re.MULTILINE):
        found = [
            f"traffic_yolo.{each}"
            for each in re.findall(r"`((?:\w+\.)+\w+)`", cell)
            if not each.startswith("traffic_yolo")
        ]
        if found:
            pages.append((step.lower().replace(" ", "-"), _reference(step, found)))
    return pages


def _reference(title: str, names: list[str]) -> str:
    return f"# {title}\n\n" + "\n".join(f"::: {name}\n" for name in names)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
