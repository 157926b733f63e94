"""The streaming JSON reader gives what json.load gives, whatever the pieces, and names the place of a fault."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.formats.json_stream import json_pieces
from traffic_yolo.errors import LabelError, TrafficYoloError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
DOCUMENTS = st.dictionaries(st.text(), VALUES | st.lists(OBJECTS, max_size=8), max_size=4) | st.lists(OBJECTS | VALUES)


def put_together(path: Path, piece_bytes: int) -> Any:
    found: dict[str, Any] = {}
    for key, value in json_pieces(path, piece_bytes=piece_bytes):
        if isinstance(value, list) and key in found:
            found[key] += value
        else:
            found[key] = value
    return found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json") / "file.json"


@given(document=DOCUMENTS, piece_bytes=st.integers(1, 64), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
@examples(150)
def test_pieces_together_are_what_json_load_gives(
    scratch: Path, document: Any, piece_bytes: int, indent: int | None, ascii_only: bool
) -> None:
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8
        return
    scratch.write_bytes(text)
    expected = document if isinstance(document, dict) else {"": document}
    assert put_together(scratch, piece_bytes) == expected


@given(data=st.binary(max_size=80) | st.text('[]{}",:0eE.-truefalsnNI \\u1', max_size=60).map(str.encode))
@examples(300)
def test_anything_else_is_refused_with_file_and_place(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data)
    refusal = ""
    try:
        put_together(scratch, 16)
    except TrafficYoloError as error:
        refusal = str(error)
    if refusal:
        assert str(scratch) in refusal
        assert "\n" not in refusal
    else:
        assert isinstance(json.loads(data.decode("utf-8-sig")), dict | list)


def test_place_of_a_fault_is_its_line_and_column(scratch: Path) -> None:
    scratch.write_text('{"a": [{"b": 1},\n  {"b": 2},\n  {"b": }]}')
    with pytest.raises(LabelError, match=r"line 3 column 9: not valid JSON: Expecting value"):
        put_together(scratch, 8)


def test_nan_comes_through_for_the_reader_to_judge(scratch: Path) -> None:
    scratch.write_text('{"a": [{"b": 1}, {"b": NaN}, {"b": 2}]}')
    first, second, third = put_together(scratch, 1 << 20)["a"]
    assert (first, third) == ({"b": 1}, {"b": 2})
    assert math.isnan(second["b"])


def test_a_file_that_ends_too_early_is_refused(scratch: Path) -> None:
    whole = json.dumps({"images": [{"id": 1}], "annotations": [{"id": 2}]})
    for length in range(len(whole)):
        scratch.write_text(whole[:length])
        with pytest.raises(LabelError, match="not valid JSON"):
            put_together(scratch, 8)
