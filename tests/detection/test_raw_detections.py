"""Raw detections: round trip of the file, and refusals."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError

PROTOCOL = Protocol("c" * 64, "w" * 64, (320, 416), "letterbox", "f" * 64 + "/val", runtime="onnxruntime")


def three_pictures() -> RawDetections:
    """Two boxes, none, one box; two classes."""
    return RawDetections.from_dense(
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
    empty = RawDetections.from_dense(
        image_ids=np.zeros(0, np.int64),
        image_hw=np.zeros((0, 2), np.int32),
        offsets=np.zeros(1, np.int64),
        boxes_xyxy=np.zeros((0, 4), np.float32),
        objectness=np.zeros(0, np.float32),
        class_scores=np.zeros((0, 2), np.float32),
        classes=("CAR", "BUS"),
        protocol=PROTOCOL,
    )
    empty.save(tmp_path / "detections.npz")
    assert len(RawDetections.load(tmp_path / "detections.npz")) == 0


def test_scores_come_back_as_a_table() -> None:
    raw = three_pictures()
    assert raw.score_offsets.tolist() == [0, 1, 3, 4]
    assert raw.score_class_ids.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(
        raw.class_scores_of(slice(None)), np.array([[0.8, 0], [0.002, 0.45], [0, 0.1]], np.float32)
    )
    np.testing.assert_array_equal(raw.class_scores_of(raw.boxes_of(0)), raw.class_scores_of(slice(None))[:2])
    assert raw.class_scores_of(raw.boxes_of(1)).shape == (0, 2)


def test_five_thousand_pictures_of_eighty_classes_are_mapped_and_never_made_dense(tmp_path: Path) -> None:
    boxes = 5_000 * 300
    RawDetections(
        image_ids=np.arange(5_000),
        image_hw=np.full((5_000, 2), 640, np.int32),
        offsets=np.arange(5_001) * 300,
        boxes_xyxy=np.zeros((boxes, 4), np.float32),
        objectness=np.zeros(boxes, np.float16),
        score_offsets=np.arange(boxes + 1),
        score_class_ids=np.zeros(boxes, np.int16),
        scores=np.full(boxes, 0.5, np.float32),
        classes=tuple(f"class {index}" for index in range(80)),
        protocol=PROTOCOL,
    ).save(tmp_path / "detections.npz")
    tracemalloc.start()
    loaded = RawDetections.load(tmp_path / "detections.npz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32e6  # checks need a few bytes for each box; the dense table would take 480 MB
    assert not loaded.boxes_xyxy.flags.owndata


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectness": np.zeros(2, np.float16)}, r"objectness has shape \(2,\), expected \(3,\)"),
        ({"objectness": np.zeros(3, np.float32)}, "objectness is float32, expected <class 'numpy.float16'>"),
        ({"classes": ("CAR",)}, "a class id is not among the 1 classes"),
        ({"score_class_ids": np.array([0, 1, 0, 1], np.int16)}, "class ids must rise within a box"),
        ({"score_class_ids": np.array([0, 1, 1, 1], np.int16)}, "class ids must rise within a box"),
        ({"offsets": np.array([0, 2, 1, 3])}, "offsets must rise from 0 to 3, the number of boxes"),
        ({"offsets": np.array([0, 2, 2, 2])}, "offsets must rise from 0 to 3"),
        ({"score_offsets": np.array([0, 1, 3, 5])}, "score_offsets must rise from 0 to 4, the number of scores"),
        ({"image_ids": np.array([7, 3, 7])}, "an image id occurs twice"),
        ({"objectness": np.array([0.9, np.nan, 0.1], np.float16)}, "objectness holds NaN or infinity"),
        ({"scores": np.array([0.9, np.nan, 0.1, 0.3], np.float32)}, "scores holds NaN or infinity"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        dataclasses.replace(three_pictures(), **change)


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"class_scores has shape \(1, 2\), expected \(1, 1\)"):
        RawDetections.from_dense(
            image_ids=np.array([1]),
            image_hw=np.array([[8, 8]]),
            offsets=np.array([0, 1]),
            boxes_xyxy=np.zeros((1, 4), np.float32),
            objectness=np.zeros(1),
            class_scores=np.zeros((1, 2), np.float32),
            classes=("CAR",),
            protocol=PROTOCOL,
        )


def test_a_missing_file_names_the_step_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"raw detections not found: .*make them with evaluate"):
        RawDetections.load(tmp_path / "detections.npz")


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.95])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "detections.npz"
    three_pictures().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(EvaluationError, match="not a raw-detections file, or a damaged one"):
        RawDetections.load(path)


@pytest.mark.parametrize("place", [0.2, 0.6, 0.9])
def test_a_flipped_bit_is_refused(tmp_path: Path, place: float) -> None:
    path = tmp_path / "detections.npz"
    three_pictures().save(path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(data)
    try:
        raw = RawDetections.load(path)
    except EvaluationError:
        return
    # Padding belongs to nothing.
    for field in dataclasses.fields(RawDetections):
        np.testing.assert_array_equal(getattr(raw, field.name), getattr(three_pictures(), field.name))


def test_a_foreign_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(EvaluationError, match="not a raw-detections file"):
        RawDetections.load(tmp_path / "foreign.npz")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.detection.raw_detections.SCHEMA_VERSION", 99)
    three_pictures().save(tmp_path / "detections.npz")
    monkeypatch.undo()
    with pytest.raises(EvaluationError, match="schema version 99, this program reads 2; detect again"):
        RawDetections.load(tmp_path / "detections.npz")


def test_an_unknown_resize_is_refused() -> None:
    with pytest.raises(EvaluationError, match="resize is 'crop', expected 'stretch' or 'letterbox'"):
        dataclasses.replace(PROTOCOL, resize="crop")
