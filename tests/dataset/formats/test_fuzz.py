"""Whatever stands in a label file, a reader gives labels or one line that names the file; it never falls over."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from label_samples import COCO, SAMPLES, SIDECAR, lay_out, read

from traffic_yolo.dataset.sources.label_formats import LABEL_FORMATS, detect_label_format


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Cuts, doubles, replaces and exchanges pieces of a file."""
    changes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["cut", "insert", "replace", "double", "number"]),
                st.floats(0, 1),
                st.integers(1, 12),
                st.binary(min_size=1, max_size=6) | st.sampled_from(
                    [b"nan", b"-1", b"1e999", b"null", b"[]", b"{}", b'"', b"<a>", b"&x;", b"\xff\xfe", b"9" * 40, b"\0", b"\n"]
                ),
            ),
            min_size=1,
            max_size=3,
        )
    )  # fmt: skip

    def mutate(data: bytes) -> bytes:
        for kind, place, length, piece in changes:
            at = int(place * len(data))
            if kind == "cut":
                data = data[:at] + data[at + length :]
            elif kind == "insert":
                data = data[:at] + piece + data[at:]
            elif kind == "replace":
                data = data[:at] + piece + data[at + len(piece) :]
            elif kind == "double":
                data = data[:at] + data[at : at + length] * 2 + data[at + length :]
            else:  # the next number becomes the piece
                digits = next((i for i in range(at, len(data)) if data[i : i + 1].isdigit()), at)
                data = data[:digits] + piece + data[digits + 1 :]
        return data

    return mutate


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_good_and_known_by_their_looks(tmp_path: Path, name: str) -> None:
    opened = lay_out(tmp_path, name)
    assert read(opened, name, tmp_path) == ""
    assert detect_label_format(opened, mapped=name == "mapped") == name


def test_every_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(LABEL_FORMATS)


@pytest.mark.many(3)
@pytest.mark.parametrize("name", SAMPLES)
@given(mutate=mutations())
@examples(120)
def test_damaged_files_are_read_or_refused_by_name(scratch: Path, name: str, mutate: Callable[[bytes], bytes]) -> None:
    folder = scratch / name
    opened = lay_out(folder, name)
    file, content = SAMPLES[name]
    (folder / file).write_bytes(mutate(content.encode()))
    refusal = read(opened, name, folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal


@pytest.mark.parametrize("name", SAMPLES)
@given(data=st.binary(max_size=200))
@examples(40)
def test_bytes_of_any_kind_are_refused_by_name(scratch: Path, name: str, data: bytes) -> None:
    folder = scratch / f"{name}-bytes"
    opened = lay_out(folder, name)
    (folder / SAMPLES[name][0]).write_bytes(data)
    refusal = read(opened, name, folder)
    assert not refusal or str(folder) in refusal


@given(mutate=mutations())
@examples(120)
def test_damaged_side_cars_are_read_or_refused_by_name(scratch: Path, mutate: Callable[[bytes], bytes]) -> None:
    folder = scratch / "sidecar"
    opened = lay_out(folder, "kitti")
    (folder / "sidecar.jsonl").write_bytes(mutate(SIDECAR.encode()))
    refusal = read(opened, "kitti", folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal


@pytest.mark.parametrize(
    "box",
    [
        [0, ["CAR"], [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]],
        [0, "CAR", [1, 2, 3, 4], [5, [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]],
        [0, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", "0.5", False, False, None, 1, {}]],
        [0, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, 0, False, None, 1, {}]],
        [0, "CAR", [1, 2, 3, True], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]],
        [True, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, {}]],
        [0, "CAR", [1, 2, 3, 4], ["CAR", [1, 2, 3, 4], "device", 0.5, False, False, None, 1, None]],
    ],
)
def test_boxes_of_a_side_car_have_the_types_that_are_written(tmp_path: Path, box: Any) -> None:
    opened = lay_out(tmp_path, "kitti")
    (tmp_path / "sidecar.jsonl").write_text(json.dumps({**json.loads(SIDECAR), "boxes": [box]}))
    assert "sidecar.jsonl line 1: not a line of a side-car" in read(opened, "kitti", tmp_path)


VALUES: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just([]) | st.just({})


@given(
    section=st.sampled_from(["images", "annotations", "categories"]),
    key=st.sampled_from(["id", "image_id", "category_id", "bbox", "file_name", "width", "name", "confidence", "area",
                         "label_source", "attributes", "scan", "supercategory", "iscrowd"]),
    value=VALUES | st.lists(VALUES, min_size=4, max_size=4),
)  # fmt: skip
@examples(200)
def test_coco_entries_with_any_value_are_read_or_refused(scratch: Path, section: str, key: str, value: Any) -> None:
    folder = scratch / "coco-values"
    folder.mkdir(exist_ok=True)
    content = json.loads(COCO)
    content[section][0][key] = value
    try:
        text = json.dumps(content).encode()
    except UnicodeEncodeError:
        return
    (folder / "instances.json").write_bytes(text)
    refusal = read(folder, "coco", folder)
    assert "\n" not in refusal
    assert not refusal or str(folder) in refusal
