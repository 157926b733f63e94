"""The YAML that docs/data-formats.md shows is what the readers take, and its table has every format."""

import re
from pathlib import Path

import pytest
import yaml

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.formats.mapping import read_mapping
from traffic_yolo.dataset.options import SOURCE_FORMATS


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "data-formats.md").read_text()


def examples(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)


def test_every_format_is_in_the_table(page: str) -> None:
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, flags=re.MULTILINE)) == set(SOURCE_FORMATS) - {"auto"}


def test_mappings_shown_are_mappings(page: str, tmp_path: Path) -> None:
    mappings = [text for text in examples(page) if "fields" in yaml.safe_load(text)]
    assert len(mappings) == 2
    for text in mappings:
        (tmp_path / "mapping.yaml").write_text(text)
        read_mapping(tmp_path / "mapping.yaml")


def test_class_map_shown_is_one(page: str, tmp_path: Path) -> None:
    (text,) = [text for text in examples(page) if "rename" in yaml.safe_load(text)]
    (tmp_path / "map.yaml").write_text(text)
    class_map = ClassMap.read(tmp_path / "map.yaml")
    assert class_map.fate("LONG_TRUCK", where="") == ("keep", "TRUCK")
    assert class_map.fate("BIRD", where="") == ("drop", "BIRD")
