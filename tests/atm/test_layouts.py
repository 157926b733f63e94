"""Layouts: what the built-in ones say, and how a wrong one is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.atm.layouts import LAYOUT_FOLDER, builtin_layouts, load_layout
from traffic_yolo.errors import RecordingError

OLD, NEW = "atm220-2021", "atm-2024"


def changed_copy(folder: Path, change: dict[str, Any]) -> Path:
    """A copy of the 2021 layout; keys of `change` may be dotted, and None as a value removes nothing but sets null."""
    value = yaml.safe_load((LAYOUT_FOLDER / f"{OLD}.yaml").read_text())
    for key, new in change.items():
        *sections, last = key.split(".")
        place = value
        for section in sections:
            place = place[section]
        place[last] = new
    path = folder / "copy.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def test_both_layouts_come_with_the_package() -> None:
    assert set(builtin_layouts()) == {OLD, NEW}


def test_the_2021_layout_has_height_before_width_in_a_640x480_space_and_padded_rows() -> None:
    detections = load_layout(OLD).detections
    assert detections.columns == ("class_id", "confidence", "height", "width", "x", "y")
    assert detections.box_space_wh == (640, 480)
    assert detections.end_of_list == "zero_confidence"


def test_the_2024_layout_has_19_columns_in_a_1024x576_space_and_uses_all_rows() -> None:
    detections = load_layout(NEW).detections
    assert len(detections.columns) == 19
    assert detections.box_space_wh == (1024, 576)
    assert detections.end_of_list == "all_rows"


@pytest.mark.parametrize("name", [OLD, NEW])
def test_tracks_have_21_columns_and_classes_their_ids(name: str) -> None:
    layout = load_layout(name)
    assert layout.tracks is not None
    assert len(layout.tracks.columns) == 21
    assert [layout.classes[i] for i in range(8)] == [
        "BUS", "TRUCK", "LONG_TRUCK", "CAR", "MOTORCYCLE", "PEDESTRIAN", "OTHERS", "UNKNOWN",
    ]  # fmt: skip
    assert layout.nominal_sizes_m["LONG_TRUCK"] == (10.0, 2.3)


@pytest.mark.parametrize(
    ("layout", "path", "expected"),
    [
        (OLD, "20210901_siteA/20210901120000_0.h5", ("20210901", "120000", "", "A")),
        (OLD, "20210901_North_4/20210901120000_0.h5", ("20210901", "120000", "", "North_4")),
        (OLD, "elsewhere/20210901120000_0.h5", ("20210901", "120000", "", "elsewhere")),
        (OLD, "elsewhere/copy.h5", ("", "", "", "elsewhere")),
        (NEW, "20240501_siteB/20240501_120100_0001_10.0.0.11.h5", ("20240501", "120100", "10.0.0.11", "B")),
        (NEW, "flat/20240501_120100_0001_10.0.0.37.h5", ("20240501", "120100", "10.0.0.37", "intersection3")),
    ],
)
def test_names_give_day_time_camera_and_site(layout: str, path: str, expected: tuple[str, ...]) -> None:
    found = load_layout(layout).describe_name(Path("/nas") / path)
    assert (found.day, found.time, found.camera, found.site) == expected


def test_a_copy_of_a_layout_can_be_changed_and_used(tmp_path: Path) -> None:
    path = changed_copy(
        tmp_path, {"name": "mine", "detections.box_space_wh": "picture", "scan_group": r"F(?P<number>\d+)"}
    )
    layout = load_layout(path)
    assert layout.name == "mine"
    assert layout.detections.box_space_wh is None
    assert layout.scan_number("F12") == 12
    assert layout.scan_number("SCAN_00012") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, r"unknown key 'colour'; known: name, scan_group"),
        ({"detections.columns": ["class_id", "confidence"]}, r"detections.box.x: expected one of class_id, confidence"),
        ({"detections.box_anchor": "middle"}, r"box_anchor: expected one of top_left, centre, found 'middle'"),
        ({"detections.end_of_list": "never"}, r"end_of_list: expected one of zero_confidence, all_rows"),
        (
            {"detections.box_space_wh": [640]},
            r"box_space_wh: expected \[width, height\] in pixels, or picture, found \[640\]",
        ),
        ({"detections.columns": "x y"}, r"detections.columns: expected a list of names"),
        ({"scan_group": "SCAN_"}, r"scan_group: expected a regular expression with the named groups number"),
        ({"scan_group": "("}, r"scan_group: expected a regular expression \("),
        ({"names.file": r"(?P<date>\d+)"}, r"names.file: expected .* day, time, camera, site, number"),
        ({"classes": {"a": "BUS"}}, r"classes: expected whole numbers from 0 as class ids, found 'a'"),
        ({"classes": {0: "BUS", 1: "BUS"}}, r"a name of its own for each class id"),
        ({"nominal_sizes_m": {"TRAM": [1, 2]}}, r"nominal_sizes_m: expected one of BUS, CAR"),
        ({"tracks.max_rows": 0}, r"tracks.max_rows: expected a whole number from 1, found 0"),
        ({"image": "Image"}, r"image: expected a mapping with keys of dataset, nominal_size_wh, found 'Image'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_layout_is_refused_with_file_key_and_what_was_expected(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = changed_copy(tmp_path, change)
    with pytest.raises(RecordingError, match=message) as refusal:
        load_layout(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("name: x\n")
    with pytest.raises(RecordingError, match="expected the keys scan_group, image, .* too, found name"):
        load_layout(path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        RecordingError, match="unknown layout 'atm-1999'; expected one of atm-2024, atm220-2021, or a YAML"
    ):
        load_layout("atm-1999")


def test_broken_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: [\n")
    with pytest.raises(RecordingError, match="not YAML") as refusal:
        load_layout(path)
    assert "\n" not in str(refusal.value)
