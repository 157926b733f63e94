"""Frames of video files as pictures: the very frame that a label names, every N-th, and what is wrong with a video."""

import json
from array import array
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source_list import read_source_list
from traffic_yolo.dataset.video_file import VideoScan, scan_video
from traffic_yolo.dataset.video_pictures import BEHIND, UNREAD, VARIES
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, PictureError, TrafficYoloError

FRAMES, STEP, FPS = 12, 20, 10.0  # frame n is grey of n x 20
WIDTH, HEIGHT = 96, 64


def write_video(path: Path, frames: int = FRAMES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for number in range(frames):
        video.write(np.full((HEIGHT, WIDTH, 3), STEP * (number % 12), np.uint8))
    video.release()
    return path


def write_cvat(folder: Path, *, video: str = "street.avi", last: int = FRAMES - 1, first: int = 0) -> Path:
    """A task of frames 0 to `last`, with a car from `first` to frame 5 that moves by two pixels a frame."""
    shapes = "".join(
        f'<box frame="{frame}" outside="{int(frame == 6)}" occluded="0" keyframe="1" '
        f'xtl="{2 * frame}" ytl="8" xbr="{2 * frame + 20}" ybr="28"/>'
        for frame in (first, 5, 6)
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "annotations.xml"
    path.write_text(
        f"<annotations><version>1.1</version><meta><task><mode>interpolation</mode><start_frame>0</start_frame>"
        f"<stop_frame>{last}</stop_frame><labels><label><name>CAR</name></label></labels></task>"
        f"<source>{video}</source></meta>"
        f'<track id="1" label="CAR">{shapes}</track></annotations>'
    )
    return folder


def write_mot(folder: Path, *, length: int = FRAMES) -> Path:
    (folder / "gt").mkdir(parents=True)
    (folder / "gt/gt.txt").write_text("1,1,11,11,20,20,1,3,1\n4,1,21,11,20,20,1,3,1\n")
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname=seq\nseqLength={length}\n")
    return folder


def grey_of(frame: Frame) -> int:
    """Which frame of the video a picture is."""
    pixels = cv2.imdecode(np.frombuffer(frame.picture(), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    return round(float(pixels.mean()) / STEP)


def read(folder: Path, **options: int) -> tuple[list[Frame], list[Problem], dict[str, int]]:
    problems: list[Problem] = []
    source = open_source(SourceChoice(str(folder), **options), SourceOptions(on_problem=problems.append))
    return list(source.frames()), problems, dict(+source.tally)


def test_each_label_of_a_cvat_task_gets_the_very_frame_that_it_names(tmp_path: Path) -> None:
    write_video(tmp_path / "set/videos/street.avi")
    frames, problems, tally = read(write_cvat(tmp_path / "set"))
    assert not problems
    assert not tally
    assert [frame.file_name for frame in frames] == [f"street/frame_{n:06d}.jpg" for n in range(FRAMES)]
    assert [grey_of(frame) for frame in frames] == list(range(FRAMES))
    assert [[a.xywh for a in frame.annotations] for frame in frames[:7]] == [
        *([(2.0 * n, 8.0, 20.0, 20.0)] for n in range(6)), [],
    ]  # fmt: skip
    assert [frame.attributes["time"] for frame in frames] == [n / FPS for n in range(FRAMES)]


def test_frames_of_a_mot_sequence_are_numbered_from_one(tmp_path: Path) -> None:
    write_video(write_mot(tmp_path / "seq") / "whatever.avi")
    frames, problems, _ = read(tmp_path / "seq")
    assert not problems
    assert [(frame.scan, grey_of(frame)) for frame in frames] == [(f"{n + 1:06d}", n) for n in range(FRAMES)]
    assert [frame.scan for frame in frames if frame.annotations] == ["000001", "000004"]


def test_images_of_a_video_task_come_out_of_it_too_and_a_picture_in_a_file_counts_before(tmp_path: Path) -> None:
    write_video(tmp_path / "street.avi")
    image = '<image id="{0}" name="frame_{0:06d}" width="96" height="64"><box label="CAR" xtl="1" ytl="1" xbr="9" ybr="9"/></image>'
    (tmp_path / "a.xml").write_text(
        "<annotations><meta><task><mode>interpolation</mode><labels><label><name>CAR</name></label></labels>"
        f"</task><source>street.avi</source></meta>{image.format(3)}{image.format(7)}</annotations>"
    )
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/frame_000007.png"), np.full((HEIGHT, WIDTH, 3), 240, np.uint8))
    frames, problems, _ = read(tmp_path)
    assert not problems
    assert [(frame.recording, grey_of(frame), frame.suffix) for frame in frames] == [
        ("street", 3, ".jpg"), ("street", 12, ".png"),
    ]  # fmt: skip


def test_every_nth_of_the_labelled_frames_is_taken_and_the_report_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "set/street.avi")
    options = ConvertOptions(str(write_cvat(tmp_path / "set")), splits="none", every=5)
    told = convert(options, tmp_path / "out")
    content = json.loads((tmp_path / "out/annotations/instances_all.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"street/frame_{n:06d}.jpg" for n in (0, 5, 10)]
    assert [note for note in told.notes if "videos" in note] == [
        "3 of 12 labelled frames of 1 videos taken, every 5th: decoded, and written as JPEG of quality 95"
    ]
    again = convert(options, tmp_path / "again", processes=2)
    assert again.fingerprint == told.fingerprint


def test_frames_that_the_video_has_not_are_told_where_something_is_drawn_and_counted_where_not(tmp_path: Path) -> None:
    write_video(tmp_path / "street.avi", frames=4)
    frames, problems, tally = read(write_cvat(tmp_path))
    assert [grey_of(frame) for frame in frames] == [0, 1, 2, 3]
    assert [problem.kind for problem in problems] == ["picture-missing"]  # of the key frame 5
    assert "expected a frame 5 (from 0) in" in problems[0].message
    assert "found 4 frames" in problems[0].message
    assert tally == {BEHIND: 7}


def no_video(path: Path) -> None:
    path.write_bytes(b"no video at all" * 100)


@pytest.mark.parametrize("damage", [no_video, lambda path: path.write_bytes(b"")], ids=["text", "empty"])
def test_a_file_that_is_no_video_is_one_finding_and_fails_a_conversion(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    damage(write_video(tmp_path / "set/street.avi"))
    frames, problems, _ = read(write_cvat(tmp_path / "set"))
    assert frames == []
    assert [problem.kind for problem in problems] == ["picture-unreadable"]
    assert problems[0].message.startswith(f"{tmp_path}/set/street.avi: ")
    with pytest.raises(TrafficYoloError, match=r"street\.avi"):
        convert(ConvertOptions(str(tmp_path / "set"), splits="none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_video_that_is_cut_off_gives_what_it_has_and_a_conversion_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "set/street.avi", frames=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    held = scan_video(path).num_frames
    assert 0 < held < 30
    frames, problems, tally = read(write_cvat(tmp_path / "set", last=39))
    assert [grey_of(frame) for frame in frames] == [number % 12 for number in range(held)]
    told = f"{path}: cut off: expected 40 frames, as the video states, found {held}; copy it again"
    assert [problem.message for problem in problems] == [told]
    assert tally == {BEHIND: 40 - held}
    with pytest.raises(DatasetError, match=rf"found {held}.*\[truncated-picture\]"):
        convert(ConvertOptions(str(tmp_path / "set"), splits="none"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_a_video_of_another_length_are_not_laid_over_this_one(tmp_path: Path) -> None:
    write_video(write_mot(tmp_path / "seq", length=FRAMES + 1) / "a.avi")
    frames, problems, tally = read(tmp_path / "seq")
    assert frames == []
    assert [problem.message.partition(": ")[2] for problem in problems] == [
        f"labels are of 13 frames, {tmp_path}/seq/a.avi has 12; give the video that was labelled"
    ]
    assert tally == {UNREAD: FRAMES + 1}


def scan(*times_s: float, stated: int | None) -> VideoScan:
    return VideoScan(len(times_s), stated, array("d", times_s))


def test_lost_frames_are_told_from_a_varying_rate_and_from_an_early_end() -> None:
    whole = scan(0, 0.1, 0.2, 0.3, 0.4, stated=5)
    assert (whole.jumps, whole.lost, whole.varies) == (0, 0, False)
    dropped = scan(0, 0.1, 0.3, 0.4, 0.5, stated=6)  # the one at 0.2 is gone: all behind it would be one off
    assert (dropped.jumps, dropped.lost, dropped.varies) == (1, 1, False)
    phone = scan(0, 0.1, 0.3, 0.4, 0.5, stated=5)
    assert (phone.jumps, phone.lost, phone.varies) == (1, 0, True)
    early = scan(0, 0.1, 0.2, stated=6)
    assert (early.jumps, early.lost, early.varies) == (0, 0, False)
    assert scan(0, 0.1, 0.3, stated=None).lost == 0
    assert scan(0, stated=1).jumps == 0


def test_a_video_that_lost_frames_in_its_middle_is_left_out_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "street.avi")
    found = scan(0, 0.1, 0.2, 0.4, stated=5)
    monkeypatch.setattr("traffic_yolo.dataset.video_pictures.scan_video", lambda _: found)
    frames, problems, tally = read(write_cvat(tmp_path))
    assert frames == []
    assert [problem.kind for problem in problems] == ["picture-unreadable"]
    assert "expected 5 frames, as the video states, found 4, and 1 gaps between their times" in problems[0].message
    assert tally == {UNREAD: FRAMES}
    times = [0.0, 0.1, 0.3, *(0.1 * n for n in range(4, 13))]
    monkeypatch.setattr("traffic_yolo.dataset.video_pictures.scan_video", lambda _: scan(*times, stated=FRAMES))
    frames, problems, tally = read(tmp_path)
    assert (len(frames), problems, tally) == (FRAMES, [], {VARIES: 1})
    assert frames[2].attributes["time"] == 0.3


def test_two_videos_of_one_name_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "a/street.avi")
    write_video(tmp_path / "b/street.avi")
    with pytest.raises(LabelError, match=r"two videos are called street\.avi: .*a/street\.avi and .*b/street\.avi"):
        read(write_cvat(tmp_path))
    write_video(write_mot(tmp_path / "seq") / "a.avi")
    write_video(tmp_path / "seq/b.avi")
    with pytest.raises(LabelError, match=r"expected one video, found a\.avi and b\.avi"):
        read(tmp_path / "seq")


def test_every_is_refused_where_no_video_is_read(tmp_path: Path) -> None:
    folder = write_cvat(tmp_path / "set")
    (folder / "images").mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"images/frame_{number:06d}.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(OptionsError, match="every: 2 goes with labels of a video that lies beside them, found none"):
        read(folder, every=2)
    with pytest.raises(OptionsError, match="every: 2 goes with videos that are read"):
        open_source(SourceChoice(str(folder), every=2), SourceOptions(labels_only=True))
    (tmp_path / "share").mkdir()
    (tmp_path / "share/a.h5").write_bytes(b"x")
    with pytest.raises(OptionsError, match="every: 2 goes with labels of videos, found recordings"):
        read(tmp_path / "share", every=2)
    with pytest.raises(OptionsError, match="every"):
        SourceChoice("x", every=0)


def test_a_listed_source_takes_every_as_a_number(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("sources:\n  - {name: a, source: a.mp4, every: 10}\n")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert read_source_list(path)[0].choice.every == 10
    path.write_text("sources:\n  - {name: a, source: a.mp4, every: '10'}\n")
    with pytest.raises(OptionsError, match=r"sources\[0\].every: expected a whole number, found '10'"):
        read_source_list(path)


def test_what_opencv_cannot_open_is_said_in_one_line(tmp_path: Path) -> None:
    no_video(tmp_path / "a.mp4")
    with pytest.raises(PictureError, match=r"a\.mp4: OpenCV cannot open this as a video"):
        scan_video(tmp_path / "a.mp4")
