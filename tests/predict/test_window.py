"""`--show`: no display and an OpenCV without windows are one line; with windows, q ends it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict
from traffic_yolo.predict.window import check_window, has_windows


def test_what_opencv_says_of_its_windows_is_understood() -> None:
    assert has_windows("  GUI:                           QT5\n    QT:  YES (ver 5.15.16 )\n")
    assert has_windows("  GUI: GTK3")
    assert not has_windows("  GUI:                           NONE\n")
    assert not has_windows("  Media I/O:\n    ZLib: build\n")
    assert not has_windows(cv2.getBuildInformation())  # ours is opencv-python-headless


def test_no_display_and_no_windows_are_told(
    untrained_model: Path, small_data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    still = min((small_data_set / "images").rglob("*.jpg"))
    with pytest.raises(OptionsError, match="^show: there is no display here"):
        predict(untrained_model, [still], tmp_path / "out", PredictOptions(show=True))
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(OptionsError, match="^show: this OpenCV has no windows; run pip"):
        check_window()


def test_frames_are_shown_until_q_is_pressed_and_what_was_seen_is_written(
    untrained_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []
    monkeypatch.setattr("traffic_yolo.predict.predict.check_window", lambda: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 3 else -1)
    video = cv2.VideoWriter(str(tmp_path / "street.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 72))
    for level in range(30):
        video.write(np.full((72, 96, 3), 5 * level, np.uint8))
    video.release()
    options = PredictOptions(show=True, draw=False, save=("jsonl",))
    nothing = ModelOptions(confidence_threshold=0.99999)
    summary = predict(untrained_model, [tmp_path / "street.avi"], tmp_path / "out", options, nothing)
    assert [image.mean() for image in shown] == pytest.approx([0, 5, 10], abs=2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 1, 2]
    assert summary.num_pictures == 3
    assert not summary.notes
