"""XML at its limits: as much as each allows, and one more."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from traffic_yolo.dataset.formats.xml_stream import CHUNK_BYTES, root_tag, xml_elements
from traffic_yolo.errors import LabelError
from traffic_yolo.limits import Limits, in_force


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("xml_depth", lambda n: "<a>" * n + "</a>" * n),
        ("xml_elements", lambda n: "<a>" + "<b/>" * (n - 1) + "</a>"),
        ("xml_attribute_characters", lambda n: f"<a x='{'y' * n}'/>"),
        ("text_characters", lambda n: f"<a>{'x' * n}</a>"),
    ],
)
def test_as_much_as_a_limit_says_is_read_and_one_more_is_not(
    limit: str, text: Callable[[int], str], tmp_path: Path
) -> None:
    with in_force(replace(Limits(), **{limit: 20})):
        (tmp_path / "a.xml").write_text(text(20))
        assert [element.tag for element in xml_elements(tmp_path / "a.xml", {"a"})] == ["a"]
        (tmp_path / "a.xml").write_text(text(21))
        with pytest.raises(LabelError, match=rf"a\.xml line 1: more than 20 .*limit {limit}"):
            list(xml_elements(tmp_path / "a.xml", {"a"}))


def test_a_tag_that_never_ends_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """The parser keeps it all until it ends: the limit is on what it was fed."""
    path = tmp_path / "a.xml"
    path.write_text("<a x='" + "y" * (8 * CHUNK_BYTES))
    with in_force(replace(Limits(), xml_attribute_characters=CHUNK_BYTES)), pytest.raises(LabelError) as caught:
        list(xml_elements(path, {"a"}))
    assert "limit xml_attribute_characters" in str(caught.value)


def test_entities_neither_grow_a_file_nor_the_look_at_its_first_element(tmp_path: Path) -> None:
    entities = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))
    path = tmp_path / "a.xml"
    path.write_text(f"<!DOCTYPE a [<!ENTITY l0 'lol'>{entities}]><a x='&l11;'/>")
    with pytest.raises(LabelError, match="document type declarations are refused"):
        list(xml_elements(path, {"a"}))
    assert root_tag(path) in ("", "a")
