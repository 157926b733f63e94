"""The record of attempts on S3 (moto): what a path gives, and one of two writers."""

from pathlib import Path

import pytest
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo.dataset.splits.pins import SplitPins
from traffic_yolo.dataset.used_frames import UsedFrame, UsedFrames
from traffic_yolo.errors import AlreadyExistsError
from traffic_yolo.retraining.attempts import Attempts, Begun, Ended, Weights

FRAMES = (UsedFrame("r", "SCAN_00001", "A", "", "", "train", "human", "0" * 16),)
USED = UsedFrames(FRAMES, {"train": {"CAR": 2}}, SplitPins("site", {"A": "train"}))


def test_attempts_are_kept_in_object_storage(moto: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_CACHE", str(tmp_path / "cache"))
    home = f"s3://{use(moto, monkeypatch)}/zoo/m"
    seen = Attempts.read(home)
    frames, splits = seen.keep(USED)
    assert seen.keep(USED) == (frames, splits)
    begun = Begun("run-1", {}, "20261129T030000Z", "i", USED.fingerprint, frames, splits, {"CAR": 2}, "", 0, ("first",))
    attempt = seen.begin(begun)
    with pytest.raises(AlreadyExistsError):
        seen.begin(begun)
    seen.note_weights(attempt, Weights("a" * 64, True, "t"))
    seen.end(attempt, Ended("failed", "", ("out of memory",), "t"))
    seen.end(attempt, Ended("rejected", "0001-x", ("AP50 falls",), "t"))
    (found,) = Attempts.read(home).attempts
    assert found.begun == begun
    assert found.weights is not None
    assert (found.weights.sha256, found.ended and found.ended.outcome) == ("a" * 64, "rejected")
    assert Attempts.read(home).frames_of(found) == FRAMES
    assert Attempts.read(home).pins_of(found) == USED.pins
