"""Raw detections: round trip of the file, and refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.raw_detections import Protocol, RawDetections

PROTOCOL = Protocol("c" * 64, "w" * 64, (320, 416), "letterbox", "f" * 64 + "/val", runtime="onnxruntime")


def three_pictures() -> RawDetections:
    """Two boxes, none, one box; two classes."""
    return RawDetections(
        image_ids=np.array([7, 3, 12]),
        image_hw=np.array([[540, 960], [540, 960], [100, 200]], np.int32),
        offsets=np.array([0, 2, 2, 3]),
        boxes_xyxy=np.array([[0, 1, 10, 11], [-3.5, 2, 20, 30], [5, 5, 6, 6]], np.float32),
        objectness=np.array([0.9, 0.5, 0.1], np.float32),
        class_scores=np.array([[0.8, 0.0], [0.002, 0.45], [0.0, 0.1]], np.float32),
        classes=("CAR", "BUS"),
        protocol=PROTOCOL,
    )


def test_save_and_load_give_back_everything(tmp_path: Path) -> None:
    raw = three_pictures()
    raw.save(tmp_path / "detections.npz")
    loaded = RawDetections.load(tmp_path / "detections.npz")
    for field in dataclasses.fields(RawDetections):
        before, after = getattr(raw, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
        else:
            assert before == after
    assert [loaded.boxes_of(picture) for picture in range(3)] == [slice(0, 2), slice(2, 2), slice(2, 3)]


def test_the_same_detections_give_the_same_bytes(tmp_path: Path) -> None:
    three_pictures().save(tmp_path / "a.npz")
    three_pictures().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_no_picture_at_all_is_saved_and_loaded(tmp_path: Path) -> None:
    empty = RawDetections(
        np.zeros(0, np.int64),
        np.zeros((0, 2), np.int32),
        np.zeros(1, np.int64),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 2), np.float32),
        ("CAR", "BUS"),
        PROTOCOL,
    )
    empty.save(tmp_path / "detections.npz")
    assert len(RawDetections.load(tmp_path / "detections.npz")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectness": np.zeros(2, np.float32)}, r"objectness has shape \(2,\), expected \(3,\)"),
        ({"classes": ("CAR",)}, r"class_scores has shape \(3, 2\), expected \(3, 1\)"),
        ({"offsets": np.array([0, 2, 1, 3])}, "offsets must rise from 0 to 3"),
        ({"offsets": np.array([0, 2, 2, 2])}, "offsets must rise from 0 to 3"),
        ({"image_ids": np.array([7, 3, 7])}, "an image id occurs twice"),
        ({"objectness": np.array([0.9, np.nan, 0.1], np.float32)}, "objectness holds NaN or infinity"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        dataclasses.replace(three_pictures(), **change)


def test_a_missing_file_names_the_step_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"raw detections not found: .*run the evaluate step first"):
        RawDetections.load(tmp_path / "detections.npz")


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.95])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "detections.npz"
    three_pictures().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(EvaluationError, match="not a raw-detections file, or a damaged one"):
        RawDetections.load(path)


def test_a_foreign_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(EvaluationError, match="not a raw-detections file"):
        RawDetections.load(tmp_path / "foreign.npz")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.evaluation.raw_detections.SCHEMA_VERSION", 99)
    three_pictures().save(tmp_path / "detections.npz")
    monkeypatch.undo()
    with pytest.raises(EvaluationError, match="schema version 99, this program reads 1; run the evaluate step again"):
        RawDetections.load(tmp_path / "detections.npz")


def test_an_unknown_resize_is_refused() -> None:
    with pytest.raises(EvaluationError, match="resize is 'crop', expected 'stretch' or 'letterbox'"):
        dataclasses.replace(PROTOCOL, resize="crop")
