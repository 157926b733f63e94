"""A layout of one's own: the schema says what the parser says, the check shows what a recording holds."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import jsonschema
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from traffic_yolo.atm.layouts import LAYOUT_FOLDER, SCHEMA_PATH, read_layout
from traffic_yolo.cli import traffic_yolo
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import RecordingError

OWN_LAYOUT = """
name: own
scan_group: 'frame-(?P<number>\\d+)'
image: {dataset: jpg, nominal_size_wh: [96, 72]}
detections:
  dataset: found
  columns: [kind, score, cx, cy, bw, bh, speed]
  class_id: kind
  confidence: score
  box: {x: cx, y: cy, width: bw, height: bh}
  box_anchor: centre
  box_space_wh: picture
  end_of_list: all_rows
  attributes: [speed]
tracks: null
status: null
classes: {7: TRAM, 9: SCOOTER}
nominal_sizes_m: {}
names: {file: '(?P<camera>cam\\d)-(?P<day>\\d{8})', folder: '(?P<site>.+)', intersection_divisor: null}
"""


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCHEMA_PATH.read_text())
    return loaded


def as_json(value: Any) -> Any:
    """A YAML value as JSON has it: keys are text."""
    return json.loads(json.dumps(value))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN_LAYOUT)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two scans in the layout above, with two boxes each; one of the last scan sticks out."""
    path = tmp_path / "nas" / "harbour" / "cam3-20250101.h5"
    path.parent.mkdir(parents=True)
    jpeg = cv2.imencode(".jpg", np.full((72, 96, 3), 90, dtype=np.uint8))[1]
    with h5py.File(path, "w") as file:
        for number in (4, 5):
            group = file.create_group(f"frame-{number}")
            group["jpg"] = np.frombuffer(jpeg.tobytes(), dtype=np.uint8)
            group["found"] = np.array([[7, 0.9, 48, 36, 20, 10, 3], [9, 0.8, 90 if number == 5 else 50, 36, 20, 8, 4]])
    return path


@pytest.mark.parametrize("path", sorted(LAYOUT_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_layouts_of_the_package_are_valid_by_the_schema(path: Path) -> None:
    jsonschema.validate(as_json(yaml.safe_load(path.read_text())), schema())


def remove(key: str) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        *sections, last = key.split(".")
        for section in sections:
            value = value[section]
        del value[last]

    return change


def put(key: str, new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        *sections, last = key.split(".")
        for section in sections:
            value = value[section]
        value[last] = new

    return change


@pytest.mark.parametrize(
    "change",
    [
        remove("name"), remove("detections.box.x"), remove("names.file"), put("surplus", 1), put("image.surplus", 1),
        put("name", 3), put("image.nominal_size_wh", [96]), put("image.nominal_size_wh", [0, 4]), put("classes", {}),
        put("classes", {"x": "CAR"}), put("classes", {"-1": "CAR"}), put("detections.box_anchor", "middle"),
        put("detections.box_space_wh", "screen"), put("detections.end_of_list", "never"), put("tracks", []),
        put("detections.columns", ["a", "a"]), put("detections.attributes", "speed"), put("status", ""),
        put("nominal_sizes_m", {"TRAM": [1]}), put("nominal_sizes_m", {"TRAM": [1, 0]}),
        put("names.intersection_divisor", 0),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_parser_refuses(layout: Path, change: Callable[[Any], None]) -> None:
    value = yaml.safe_load(OWN_LAYOUT)
    jsonschema.validate(as_json(value), schema())
    read_layout(layout)
    broken = copy.deepcopy(value)
    change(broken)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_json(broken), schema())
    layout.write_text(yaml.safe_dump(broken))
    with pytest.raises(RecordingError, match="own.yaml"):
        read_layout(layout)


def test_recordings_in_a_layout_of_ones_own_convert_by_the_yaml_alone(
    layout: Path, recording: Path, tmp_path: Path
) -> None:
    options = ConvertOptions(source=str(recording.parents[1]), layout=str(layout), device_labels="train")
    counts = convert(options, tmp_path / "out").counts
    assert (counts["train_images"], counts["train_boxes"]) == (2, 4)
    content = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["TRAM", "SCOOTER"]
    assert content["annotations"][0]["bbox"] == [38, 31, 20, 10]
    assert content["annotations"][0]["attributes"] == {"speed": 3.0}
    assert (content["images"][0]["site"], content["images"][0]["camera"]) == ("harbour", "cam3")


def test_check_shows_what_a_layout_finds(layout: Path, recording: Path) -> None:
    arguments = ["atm", "check-layout", str(layout), "--recordings", str(recording)]
    shown = CliRunner().invoke(traffic_yolo, arguments, catch_exceptions=False).output
    assert "2 scans; in the first 2: 2 pictures, 4 detections, 75% of them inside the picture, 0 tracks" in shown
    assert "classes 7 TRAM, 9 SCOOTER" in shown


def test_check_names_the_key_that_is_wrong(layout: Path) -> None:
    layout.write_text(OWN_LAYOUT.replace("x: cx", "x: left"))
    with pytest.raises(RecordingError, match=r"own.yaml: detections.box.x: expected one of kind, .*, found 'left'"):
        CliRunner().invoke(traffic_yolo, ["atm", "check-layout", str(layout)], catch_exceptions=False)


def test_check_names_the_scan_that_does_not_fit(layout: Path, recording: Path) -> None:
    layout.write_text(OWN_LAYOUT.replace("7: TRAM, ", ""))
    with pytest.raises(RecordingError, match=r"cam3-20250101.h5 frame-4 found row 0: unknown class id 7"):
        CliRunner().invoke(
            traffic_yolo, ["atm", "check-layout", str(layout), "--recordings", str(recording)], catch_exceptions=False
        )


def test_schema_is_printed_for_editors() -> None:
    shown = CliRunner().invoke(traffic_yolo, ["atm", "layout-schema"], catch_exceptions=False).output
    assert json.loads(shown) == schema()
