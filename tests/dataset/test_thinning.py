"""Thinning: what is kept, what goes and why; the same for the same frames, however they are cut into shards."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.thinning import FrameThinner, NegativeLimit, ThinningOptions
from traffic_yolo.errors import OptionsError


def jpeg(seed: int, brightness: float = 1.0) -> bytes:
    cells = np.random.default_rng(seed).integers(20, 235, (5, 8, 3), dtype=np.uint8)
    picture = cv2.convertScaleAbs(cv2.resize(cells, (320, 180)), alpha=brightness)
    return bytes(cv2.imencode(".jpg", picture)[1].tobytes())


def frame(scan: int, *classes: str, recording: str = "r", picture: bytes = b"", ignore: bool = False) -> Frame:
    annotations = tuple(Annotation(name, (1, 1, 9, 9), ignore=ignore) for name in classes)
    return Frame(recording, f"SCAN_{scan:05d}", 320, 180, annotations, lambda: picture)


def kept(options: ThinningOptions, frames: Sequence[Frame]) -> list[int]:
    thinner = FrameThinner(options)
    return [i for i, one in enumerate(frames) if not thinner.keep(one, "train", one.picture())]


def test_a_gap_in_seconds_is_counted_by_the_scan_number() -> None:
    frames = [frame(scan) for scan in (0, 3, 14, 15, 16, 29, 31, 45)]
    assert kept(ThinningOptions(min_gap_s=1.0), frames) == [0, 3, 6]
    assert kept(ThinningOptions(min_gap_s=1.0, scans_a_second=30), frames) == [0, 6]


def test_a_frame_s_own_time_counts_before_its_number() -> None:
    frames = [
        Frame("r", f"SCAN_{i:05d}", 9, 9, (), lambda: b"", attributes={"time": f"2024-05-01T12:00:{second:02d}"})
        for i, second in enumerate((0, 1, 4, 5, 9))
    ]
    assert kept(ThinningOptions(min_gap_s=4.0), frames) == [0, 2, 4]


def test_a_scene_that_has_not_changed_is_dropped_until_it_does() -> None:
    pictures = [jpeg(1), jpeg(1, 0.8), jpeg(1), jpeg(2), jpeg(2), jpeg(1)]
    frames = [frame(scan, picture=data) for scan, data in enumerate(pictures)]
    assert kept(ThinningOptions(min_distance=6), frames) == [0, 3, 5]


def test_a_frame_must_be_late_enough_and_new_enough() -> None:
    frames = [
        frame(0, picture=jpeg(1)),
        frame(1, picture=jpeg(2)),
        frame(30, picture=jpeg(1)),
        frame(31, picture=jpeg(2)),
    ]
    assert kept(ThinningOptions(min_gap_s=1.0, min_distance=6), frames) == [0, 3]


def test_kept_classes_and_rare_ones_stay_whatever_the_gap() -> None:
    frames = [
        frame(0, "CAR"), frame(1, "CAR", "BUS"), frame(2, "MOTORCYCLE"), frame(3, "MOTORCYCLE"), frame(4, "MOTORCYCLE"),
        frame(5, "BUS", ignore=True),
    ]  # fmt: skip
    options = ThinningOptions(min_gap_s=10, keep_classes=frozenset({"BUS"}))
    assert kept(options, frames) == [0, 1]
    assert kept(ThinningOptions(min_gap_s=10, rare_boxes=2), frames) == [0, 1, 2, 3]


def test_recordings_are_thinned_apart_so_that_shards_come_to_the_same() -> None:
    frames = [frame(scan, "CAR", recording=name) for name in "ab" for scan in range(40)]
    options = ThinningOptions(min_gap_s=1.0, rare_boxes=3)
    whole = kept(options, frames)
    parts = [*kept(options, frames[:40]), *(40 + index for index in kept(options, frames[40:]))]
    assert whole == parts
    assert len(whole) < 12


def test_the_reason_says_what_was_asked_for() -> None:
    thinner = FrameThinner(ThinningOptions(min_gap_s=0.5))
    assert thinner.keep(frame(0), "train", b"") == ""
    assert thinner.keep(frame(1), "train", b"") == "pictures thinned: less than 0.5 s after the last that was kept"


@pytest.mark.parametrize(("share", "left"), [(0.0, 0), (0.2, 10), (0.5, 40), (0.9, 60), (1.0, 60)])
def test_negatives_of_the_training_split_are_cut_to_their_share(share: float, left: int) -> None:
    frames = [(frame(scan, "CAR"), "train") for scan in range(40)]
    frames += [(frame(100 + scan), "train") for scan in range(30)]
    frames += [(frame(200 + scan, "CAR", ignore=True), "train") for scan in range(30)]
    frames += [(frame(300 + scan), "test") for scan in range(50)]
    limit = NegativeLimit(share)
    limit.plan(frames)
    stay = [(one, split) for one, split in frames if not limit.keep(one, split)]
    assert sum(split == "test" for _, split in stay) == 50
    assert len(stay) == 40 + 50 + left
    again = NegativeLimit(share)
    again.plan(iter(frames))
    assert [(one, split) for one, split in frames if not again.keep(one, split)] == stay


def test_more_data_keeps_the_negatives_that_were_kept() -> None:
    def chosen(number: int) -> set[str]:
        frames = [(frame(scan, "CAR"), "train") for scan in range(number)]
        frames += [(frame(10_000 + scan), "train") for scan in range(100)]
        limit = NegativeLimit(0.25)
        limit.plan(frames)
        return {one.scan for one, split in frames if not one.annotations and not limit.keep(one, split)}

    assert len(chosen(60)) == 20
    assert chosen(60) < chosen(90)


@pytest.mark.parametrize(
    "wrong",
    [{"min_gap_s": -1.0}, {"min_distance": 65}, {"max_negatives": 1.5}, {"rare_boxes": -1}, {"scans_a_second": 0.0}],
    ids=str,
)
def test_senseless_thinning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionsError):
        ThinningOptions(**wrong)  # type: ignore[arg-type]
