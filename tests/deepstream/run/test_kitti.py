"""KITTI dumps: what is written reads back, and what a GPU node may get wrong is told apart."""

from pathlib import Path

import numpy as np
import pytest
from kitti_dump import write_kitti

from traffic_yolo.deepstream.run.kitti import read_kitti
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.model_folder import labels_text

CLASSES = ("CAR", "traffic light")
LINE = "CAR 0.0 0 0.0 1.5 2.0 30.25 40.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.75\n"


def sample() -> Detections:
    return Detections(
        np.array([9, 9, 4], np.int64),
        np.array([[0, 0, 10.5, 20], [5, 5, 50, 60.25], [1, 2, 3, 4]], np.float32),
        np.array([0.9, 0.5, 0.25], np.float32),
        np.array([1, 0, 1], np.int64),
    )


def test_a_dump_that_is_written_reads_back(tmp_path: Path) -> None:
    write_kitti(tmp_path, sample(), [9, 7, 4], CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"00_000_00000{frame}.txt" for frame in range(3)]
    found = read_kitti(tmp_path, [9, 7, 4], CLASSES)
    for name in ("image_ids", "boxes_xyxy", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(sample(), name))


def test_lines_of_deepstream_app_are_read(tmp_path: Path) -> None:
    (tmp_path / "00_000_000000.txt").write_text(LINE + LINE.replace("0.75", "0.8").replace("CAR", "traffic_light"))
    found = read_kitti(tmp_path, [3], CLASSES)
    np.testing.assert_allclose(found.scores, [0.8, 0.75])
    np.testing.assert_allclose(found.boxes_xyxy, [[1.5, 2, 30.25, 40]] * 2)
    assert found.class_ids.tolist() == [1, 0]


def test_an_empty_dump_has_no_detections(tmp_path: Path) -> None:
    write_kitti(tmp_path, Detections.none(), [1, 2], CLASSES)
    assert len(read_kitti(tmp_path, [1, 2], CLASSES)) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (LINE.replace("CAR", "traffic light"), "17 columns, expected 16; a label with a blank shifts them"),
        (LINE.replace(" 0.75", ""), "no confidence"),
        (LINE.replace("CAR", "BUS"), "label 'BUS' is none of the model's"),
        (LINE.replace("30.25", "wide"), "not a number"),
        (LINE.removeprefix("CAR"), "the label is empty; a line of labels.txt is blank or begins with ;"),
        (LINE.replace("0.75", "1.5"), "confidence 1.5 is outside of 0 to 1"),
        (LINE.replace("0.75", "-0.1"), "confidence -0.1 is outside of 0 to 1; other cluster modes than NMS give none"),
        (LINE.replace("0.75", "nan"), "holds NaN or infinity"),
        (LINE.replace("1.5 2.0", "31 2.0"), "the box 31 2 30.25 40 is reversed; expected left, top, right, bottom"),
        (LINE.replace("1.5 2.0", "1.5 41"), "the box 1.5 41 30.25 40 is reversed"),
        (LINE.replace("30.25", "3_0.25"), "not a number"),
        (LINE.replace("30.25", "\u06630.25"), "not a number"),
    ],
    ids=["blank", "old", "label", "number", "empty", "above", "below", "nan", "left", "top", "underscore", "arabic"],
)
def test_lines_that_do_not_fit_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "00_000_000000.txt").write_text(LINE + line)
    with pytest.raises(EvaluationError, match=rf"00_000_000000.txt line 2: .*{message}|line 2: {message}"):
        read_kitti(tmp_path, [3], CLASSES)


def test_a_semicolon_in_a_class_name_reaches_no_labels_file(tmp_path: Path) -> None:
    """Written as it is, "VAN;SMALL" would be cut by nvinfer to "VAN", which is another class here."""
    classes = ("VAN", "VAN;SMALL")
    assert labels_text(classes) == "VAN\nVAN_SMALL\n"
    write_kitti(tmp_path, sample(), [9, 4], classes)
    assert read_kitti(tmp_path, [9, 4], classes).class_ids.tolist() == [1, 0, 1]


def test_a_lost_frame_is_refused(tmp_path: Path) -> None:
    write_kitti(tmp_path, sample(), [9, 4], CLASSES)
    with pytest.raises(EvaluationError, match=r"1 of 3 frames left no file, the first is 00_000_000002.txt"):
        read_kitti(tmp_path, [9, 4, 5], CLASSES)


def test_a_surplus_frame_is_refused(tmp_path: Path) -> None:
    write_kitti(tmp_path, sample(), [9, 4], CLASSES)
    with pytest.raises(EvaluationError, match=r"00_000_000001.txt is beyond the 1 frames"):
        read_kitti(tmp_path, [9], CLASSES)
