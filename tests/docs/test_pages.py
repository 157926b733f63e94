"""What the pages say of files, names and data is so: links, the index, dotted names, published models, a label file."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from page_commands import mentions, pages, shell_blocks

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.published_weights import published_models

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = pages(REPOSITORY)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, by the rule of the sites that show Markdown."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        assert there.is_relative_to(REPOSITORY), target
        assert not anchor or anchor in anchors(there), target


def test_index_names_every_page_once() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"^\|.*?\|", index, re.MULTILINE)
    names = [name for row in linked for name in re.findall(r"\]\(([\w-]+\.md)\)", row)]
    assert sorted(names) == sorted(path.name for path in (REPOSITORY / "docs").glob("*.md") if path.name != "README.md")


def is_module(name: str) -> bool:
    """Whether a module of this name is there; it is not loaded, only what it lies in."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_dotted_names_can_be_imported(page: Path) -> None:
    for text in mentions(page.read_text(encoding="utf-8")):
        if not re.fullmatch(r"traffic_yolo(_pipelines)?(\.\w+)+", text):
            continue
        module, _, name = text.rpartition(".")
        if is_module(text):
            continue
        assert is_module(module), text
        source = importlib.util.find_spec(module)
        assert source is not None
        assert re.search(
            rf"^(?:def|class) {name}\b|^{name}\b|^    \"{name}\"", Path(str(source.origin)).read_text(), re.MULTILINE
        ), text


def test_files_of_the_repository_that_pages_name_are_there() -> None:
    for page in PAGES:
        for text in mentions(page.read_text(encoding="utf-8")):
            if re.fullmatch(r"(components|docs|docker|katib|pipelines|tests|examples)/[\w./-]+", text):
                assert (REPOSITORY / text).exists(), f"{page.name}: {text}"


def test_tables_and_classes_that_contributing_names_with_their_file_stand_there() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)` \(`([\w/]+\.py)`\)", text)
    assert len(named) >= 5, named
    for name, file in named:
        path = next(
            root / file for root in (REPOSITORY / "components/traffic_yolo", REPOSITORY) if (root / file).exists()
        )
        assert re.search(rf"^(class |def )?{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE), (name, file)


def test_published_models_are_those_of_the_data_file() -> None:
    text = (REPOSITORY / "docs" / "published-models.md").read_text(encoding="utf-8")
    table = text.partition("<!-- models -->\n")[2].partition("<!-- /models -->")[0]
    rows = [
        f"| {model.name} | {model.weights.size / 1e6:.1f} MB | {model.trained_on} | {model.licence} | {model.source} |"
        for model in published_models().values()
    ]
    head = "| model | weights | trained on | licence of the files | source |\n|---|---:|---|---|---|\n"
    assert table == head + "\n".join(rows) + "\n"


def test_label_file_that_is_shown_is_one(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "data-formats.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    labels = tmp_path / "human_labels.json"
    labels.write_text(sample)
    convert(ConvertOptions(str(labels), source_format="coco", labels_only=True, splits="none"), tmp_path / "dataset")
    written = json.loads((tmp_path / "dataset" / "annotations" / "instances_all.json").read_text())
    shown = json.loads(sample)
    assert [each["bbox"] for each in written["annotations"]] == [each["bbox"] for each in shown["annotations"]]
    assert len(written["images"]) == 2


def test_korean_readme_shows_the_commands_and_steps_of_readme() -> None:
    english, korean = ((REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    blocks = shell_blocks(korean)
    assert blocks == shell_blocks(english)
    steps = re.compile(r"^\| (\w+) \| `traffic-yolo (\w+)` \|", re.MULTILINE)
    assert steps.findall(korean) == steps.findall(english)
