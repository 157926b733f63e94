"""Tracks keep their numbers; lines count each road user once a direction, as seen in a video of known crossings."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.cli import main
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.count_line import CountLine
from traffic_yolo.predict.counting import LineCounter
from traffic_yolo.predict.following import Following
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Inputs
from traffic_yolo.predict.model import Model
from traffic_yolo.predict.options import PredictOptions
from traffic_yolo.predict.predict import predict
from traffic_yolo.predict.tracking import Tracker

CAR, BUS = 0, 1
Box = tuple[float, float, float, float]


def found(boxes: Sequence[Box], class_ids: Sequence[int] | None = None, score: float = 0.9) -> Detections:
    count = len(boxes)
    return Detections(
        np.ones(count, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(score, score - 0.1, count).astype(np.float32),
        np.array([CAR] * count if class_ids is None else class_ids, np.int64),
    )


def numbers(tracker: Tracker, frames: Iterable[Detections]) -> list[list[int | None]]:
    return [[None if track is None else track.number for track in tracker.follow(frame)] for frame in frames]


def test_a_track_has_a_number_from_its_third_detection_on() -> None:
    frames = [found([(10 + 5 * step, 20, 50 + 5 * step, 60)]) for step in range(5)]
    assert numbers(Tracker(10), frames) == [[None], [None], [1], [1], [1]]


def test_one_that_was_hidden_has_its_number_again_where_its_speed_brings_it() -> None:
    def box(step: int) -> Box:
        return (10 + 8 * step, 20, 50 + 8 * step, 60)

    frames = [found([box(step)] if not 10 <= step < 18 else []) for step in range(22)]
    assert box(18)[0] > box(9)[2]  # so far that the boxes before and after do not meet
    assert numbers(Tracker(10), frames)[18:] == [[1]] * 4
    # Hidden for longer than a second: somebody else
    frames = [found([box(step)] if not 10 <= step < 22 else []) for step in range(26)]
    assert numbers(Tracker(10), frames)[25] == [2]


def test_the_number_of_one_that_left_does_not_go_to_the_one_behind_it() -> None:
    # Two cars, 100 wide, 60 apart, go left by 10 a frame; the first is found no more near the edge
    def boxes(step: int) -> list[Box]:
        first, second = 100.0 - 10 * step, 160.0 - 10 * step
        return [
            *([(first, 20, first + 100, 80)] if step < 6 else []),
            *([(second, 24, second + 100, 84)] if step > 7 else []),
        ]

    found_numbers = numbers(Tracker(10), [found(boxes(step)) for step in range(14)])
    assert found_numbers[5] == [1]
    assert found_numbers[13] == [2]


def test_frames_that_a_stream_dropped_move_tracks_on_too() -> None:
    tracker = Tracker(10)
    for step in range(10):
        tracker.follow(found([(10 + 8 * step, 20, 50 + 8 * step, 60)]))
    (track,) = tracker.follow(found([(10 + 8 * 17, 20, 50 + 8 * 17, 60)]), frames=8)
    assert track is not None
    assert track.number == 1


def test_false_alarms_have_no_number_and_end_at_once() -> None:
    frames = [found([(10, 20, 50, 60)] if step % 3 < 2 else []) for step in range(12)]
    assert {number for row in numbers(Tracker(10), frames) for number in row} == {None}


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    frames = [
        found([(10 + 10 * step, 20, 60 + 10 * step, 60), (210 - 10 * step, 35, 260 - 10 * step, 80)])
        for step in range(21)
    ]
    assert numbers(Tracker(10), frames)[2:] == [[1, 2]] * 19


def test_a_box_in_a_second_class_is_no_second_road_user_and_the_class_is_what_is_said_most() -> None:
    tracker = Tracker(10)
    for step in range(8):
        boxes = [(10.0 + step, 20.0, 50.0 + step, 60.0), (11.0 + step, 20.0, 51.0 + step, 60.0)]
        rows = tracker.follow(found(boxes, [BUS, CAR] if step == 3 else [CAR, BUS]))
    assert [None if track is None else (track.number, track.class_id) for track in rows] == [(1, CAR), None]
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize("point", [(100, 90, -10.0), (100, 130, 30.0), (700, 100, 0.0)])
def test_right_of_a_line_to_the_east_is_below_it(point: tuple[float, float, float]) -> None:
    line = CountLine.parse("a=0,100,200,100")
    assert line.distance(point[:2]) == pytest.approx(point[2])
    assert CountLine.parse("a=200,100,0,100").distance(point[:2]) == pytest.approx(-point[2])


def count(feet_y: Iterable[float], line: str = "a=0,100,200,100", *, x: float = 100) -> dict[tuple[str, str], int]:
    """What is counted of one box, 40 x 40, whose foot goes through these heights."""
    tracker, counter = Tracker(10), LineCounter([CountLine.parse(line)], "video")
    for frame, y in enumerate(feet_y):
        rows = tracker.follow(found([(x - 20, y - 40, x + 20, y)]))
        counter.add([track for track in rows if track is not None], frame=frame, time_s=None)
        counter.forget(tracker.tracks)
    return dict(counter.so_far())


def test_who_crosses_is_counted_once_and_by_the_direction() -> None:
    assert count(range(60, 140, 6)) == {("a", "to_right"): 1}
    assert count(range(140, 60, -6)) == {("a", "to_left"): 1}


def test_who_turns_back_is_counted_both_ways_and_who_waits_on_the_line_is_not() -> None:
    there_and_back = [*range(60, 140, 6), *range(140, 60, -6)]
    assert count(there_and_back) == {("a", "to_right"): 1, ("a", "to_left"): 1}
    assert count(there_and_back * 3) == {("a", "to_right"): 1, ("a", "to_left"): 1}  # once a direction
    sways = [60, 70, 80, 90, *[97, 103] * 20]  # by less than a tenth of its height
    assert count(sways) == {}


def test_who_passes_beside_the_line_is_not_counted() -> None:
    assert count(range(60, 140, 6), "a=0,100,70,100") == {}
    assert count(range(60, 140, 6), "a=130,100,200,100") == {}
    assert count(range(60, 140, 6), "a=0,100,100,100") == {("a", "to_right"): 1}  # its end belongs to it


def test_who_crosses_before_the_track_is_sure_is_counted_when_it_is() -> None:
    assert count([92, 104, 112, 120]) == {("a", "to_right"): 1}
    assert count([92, 104]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4", "expected NAME=X,Y,X,Y in pixels, found '1,2,3,4'"),
        ("a=1,2,3", "expected NAME=X,Y,X,Y"),
        ("a=1,2,3,nan", "expected NAME=X,Y,X,Y"),
        ("a b=1,2,3,4", "expected NAME=X,Y,X,Y"),
        ("a=1,2,1,2", "a begins where it ends"),
    ],
)
def test_a_line_of_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionsError, match=f"count_line: {message}"):
        PredictOptions(count_line=(text,))
    with pytest.raises(OptionsError, match="'a' is given twice"):
        PredictOptions(count_line=("a=1,2,3,4", "a=1,2,3,5"))


def street(frames: int = 60) -> Iterator[tuple[np.ndarray, list[Box], list[int]]]:
    """A picture (180, 320, 3) a frame with its boxes and classes: who crosses the line at x = 160 is known.

    Three cars go right, two buses left, one car turns back before the line.
    """
    for step in range(frames):
        boxes: list[tuple[Box, int]] = []
        for lane, (start, speed, class_id) in enumerate(
            [(-40, 6, CAR), (-140, 7, CAR), (-90, 9, CAR), (340, -6, BUS), (400, -8, BUS)]
        ):
            left = start + speed * step
            if -30 < left < 310:
                boxes.append(((left, 8 + 28 * lane, left + 36, 28 + 28 * lane), class_id))
        left = 20 + (3 * step if step < 30 else 3 * (60 - step))
        boxes.append(((left, 152, left + 30, 172), CAR))
        picture = np.full((180, 320, 3), 90, np.uint8)
        for (x1, y1, x2, y2), class_id in boxes:
            colour = (40, 40, 200) if class_id == CAR else (40, 200, 200)
            cv2.rectangle(picture, (round(x1), round(y1)), (round(x2), round(y2)), colour, -1)
        yield picture, [box for box, _ in boxes], [class_id for _, class_id in boxes]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    writer = cv2.VideoWriter(
        str(tmp_path / "street.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 180)
    )
    for picture, _, _ in street():
        writer.write(picture)
    writer.release()
    return tmp_path / "street.avi"


class ColourDetector:
    """Finds the rendered vehicles by their colours: a detector whose answers are right, so that counts must be."""

    def __init__(self, model: Model) -> None:
        self.name, self.reporting, self.runtime, self.batch = "colours", model.reporting, "colours", model.batch
        self.classes = ("CAR", "BUS")

    def detect(self, pictures: Iterable[InputPicture]) -> Iterator[tuple[InputPicture, Detections]]:
        for picture in pictures:
            rgb = picture.rgb().astype(int)
            boxes, class_ids = [], []
            for class_id, is_it in ((CAR, rgb[..., 1] < 100), (BUS, rgb[..., 1] > 150)):
                mask = (is_it & (rgb[..., 0] > 150)).astype(np.uint8)
                count_of, _, stats, _ = cv2.connectedComponentsWithStats(mask)
                for left, top, width, height, area in stats[1:count_of].tolist():
                    if area > 60:
                        boxes.append((left, top, left + width, top + height))
                        class_ids.append(class_id)
            yield picture, found(boxes, class_ids)


def test_a_video_with_known_crossings_is_counted_without_an_error(
    untrained_model: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ColourDetector(Model.open(untrained_model))
    monkeypatch.setattr("traffic_yolo.predict.model.Model.open", lambda *_, **__: model)
    options = PredictOptions(save=("csv", "jsonl", "coco"), count_line=("mid=160,0,160,180", "end=310,0,310,10"))
    summary = predict(untrained_model, [video], tmp_path / "out", options)
    out = tmp_path / "out"
    # Looking down the picture, left is east
    assert summary.crossings == {"mid": {"to_left": 3, "to_right": 2}, "end": {"to_left": 0, "to_right": 0}}
    assert "mid: 3 to_left, 2 to_right" in summary.text
    with (out / "counts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2  # lines, directions, classes; zeros are there
    counted = {(row["line"], row["direction"], row["class_name"]): int(row["count"]) for row in rows}
    errors = Counter(counted)
    errors.subtract({("mid", "to_left", "CAR"): 3, ("mid", "to_right", "BUS"): 2})
    assert set(errors.values()) == {0}
    with (out / "crossings.csv").open() as file:
        crossings = list(csv.DictReader(file))
    assert len({row["track_id"] for row in crossings}) == len(crossings) == 5
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
    tracks = [each["track_id"] for line in lines for each in line["detections"]]
    assert {track for track in tracks if track is not None} == set(range(1, 7))  # six road users, six numbers
    with (out / "detections.csv").open() as file:
        assert [row["track_id"] for row in csv.DictReader(file)] == [
            "" if each is None else str(each) for each in tracks
        ]
    annotations = json.loads((out / "instances.json").read_text())["annotations"]
    assert [each["track_id"] for each in annotations] == tracks
    drawn = cv2.VideoCapture(str(out / "drawn" / "street.avi"))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 60


def test_pictures_are_not_tracked_and_lines_lie_in_the_picture(
    untrained_model: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), np.zeros((8, 8, 3), np.uint8))
    for given, message in (
        (["still.png", "--track"], "error: --track: .*still.png is a picture; tracks and counts want videos"),
        (["street.avi", "--count-line", "a=0,0,320,181"], "error: --count-line: a: 320,181 lies outside .*320 x 180"),
    ):
        source, *flags = given
        with pytest.raises(SystemExit) as caught:
            main(["predict", str(untrained_model), str(tmp_path / source), *flags, "--out", str(tmp_path / "out")])
        assert caught.value.code == 2
        assert re.search(message, capsys.readouterr().err)
        assert not (tmp_path / "out").exists()


def test_each_video_begins_anew(video: Path, tmp_path: Path) -> None:
    second = tmp_path / "other.avi"
    second.write_bytes(video.read_bytes())
    inputs = Inputs.find([video, second], PredictOptions())
    following = Following(stride=1, lines=[CountLine.parse("mid=160,0,160,180")])
    truth = [(boxes, class_ids) for _, boxes, class_ids in street()] * 2
    last: dict[Path | str, set[int | None]] = {}
    for (file, picture), (boxes, class_ids) in zip(inputs.pictures(), truth, strict=True):
        followed = following.look(file, picture, found(boxes, class_ids))
        last.setdefault(file.path, set()).update(followed.track_ids or ())
    assert last[video] == last[second] == {None, *range(1, 7)}
    assert [dict(counter.so_far()) for _, counter in following.counters] == [
        {("mid", "to_left"): 3, ("mid", "to_right"): 2}
    ] * 2
