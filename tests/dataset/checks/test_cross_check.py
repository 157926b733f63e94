"""The radar cross-check on rendered traffic, where who is who is known: what was removed is found, and nothing else."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.atm.calibration import Calibration
from traffic_yolo.atm.camera import Camera
from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.atm.synthetic.backdrop import make_backdrop
from traffic_yolo.atm.synthetic.frame import SeenObject, paint_frame
from traffic_yolo.atm.synthetic.labels import label_objects
from traffic_yolo.atm.synthetic.light import make_light
from traffic_yolo.atm.synthetic.sensor import Sensor
from traffic_yolo.atm.synthetic.site import Site, make_site
from traffic_yolo.atm.synthetic.traffic import Traffic
from traffic_yolo.dataset.checks.calibration_fit import TracksAndBoxes, judge_calibration
from traffic_yolo.dataset.checks.cross_check import CheckedFrame, CrossCheck, cross_check_frame
from traffic_yolo.dataset.checks.observation import Observation, RawBox
from traffic_yolo.dataset.checks.radar import covered_share, see_tracks

LAYOUT = load_layout("atm-2024")
assert LAYOUT.tracks is not None
COLUMNS = LAYOUT.tracks.columns
IMAGE_WH = (640, 360)
NOISE_M = 0.25  # the synthetic radar's own
FRAMES = 12


@dataclass(frozen=True)
class Scene:
    """One frame with the actor behind every track (by row) and every box (by number)."""

    observation: Observation
    actor_of_track: tuple[int, ...]


def scenes_of(site: Site, seed: int) -> list[Scene]:
    rng = np.random.default_rng(seed)
    light = make_light("day", rng)
    times_s = np.arange(FRAMES, dtype=np.float64) * 1.3
    actors = Traffic(site.road, times_s, rng).fill()
    backdrop, sensor = make_backdrop(site, light, rng), Sensor(IMAGE_WH, light, rng)
    scenes = []
    for number, time_s in enumerate(times_s.tolist()):
        _, objects = paint_frame(site, light, backdrop, sensor, actors, time_s)
        scenes.append(scene_of(site, number, objects, time_s, rng))
    return scenes


def scene_of(site: Site, number: int, objects: list[SeenObject], time_s: float, rng: np.random.Generator) -> Scene:
    ids = {name: class_id for class_id, name in LAYOUT.classes.items()}
    labels = label_objects(objects, ids, IMAGE_WH)
    boxes = tuple(
        RawBox(
            LAYOUT.classes[label["category_id"]],
            tuple(label["bbox"]),
            label["attributes"]["track"],
            ignore=bool(label["ignore"]),
        )
        for label in labels
    )
    rows, actors = [], []
    for seen in objects:
        pose = seen.actor.place(time_s)
        assert pose is not None
        x, y = np.array([pose.x, pose.y]) + rng.normal(0, NOISE_M, 2)
        length, width, height = seen.size_lwh
        row = {
            "xpos": x, "ypos": y, "length": length, "width": width, "height": height,
            "heading": np.degrees(pose.heading), "class": ids[seen.actor.class_name], "alive_age": 30, "mov_state": 1,
        }  # fmt: skip
        rows.append([row.get(name, 0.0) for name in COLUMNS])
        actors.append(seen.actor.number)
    observation = Observation(
        file="r.h5",
        frame=f"SCAN_{number:05d}",
        picture=None,
        boxes=boxes,
        label_file="labels.json",
        stated_wh=IMAGE_WH,
        site=site.name,
        recording="r",
        track_columns=COLUMNS,
        tracks=np.array(rows, np.float64).reshape(-1, len(COLUMNS)),
    )
    return Scene(observation, tuple(actors))


@pytest.fixture(scope="module")
def site() -> Site:
    return make_site(0, IMAGE_WH, np.random.default_rng(5))


@pytest.fixture(scope="module")
def scenes(site: Site) -> list[Scene]:
    return scenes_of(site, 8)


def check(scene: Scene, camera: Camera) -> CheckedFrame:
    return cross_check_frame(scene.observation, camera, LAYOUT.classes)


def lonely(checked: CheckedFrame, kind: str) -> set[int]:
    return {one.number for one in checked.lonely if one.kind == kind}


def without_box(scene: Scene, actor: int) -> Scene:
    kept = tuple(box for box in scene.observation.boxes if box.number != actor)
    return dataclasses.replace(scene, observation=dataclasses.replace(scene.observation, boxes=kept))


def without_track(scene: Scene, row: int) -> Scene:
    tracks = scene.observation.tracks
    assert tracks is not None
    observation = dataclasses.replace(scene.observation, tracks=np.delete(tracks, row, axis=0))
    actors = tuple(actor for index, actor in enumerate(scene.actor_of_track) if index != row)
    return Scene(observation, actors)


@pytest.mark.long
def test_tracks_find_the_boxes_of_their_own_objects(scenes: list[Scene], site: Site) -> None:
    right = wrong = 0
    for scene in scenes:
        checked = check(scene, site.camera)
        for track, box in checked.matches:
            same = scene.actor_of_track[track] == scene.observation.sound_boxes[box].number
            right, wrong = right + same, wrong + (not same)
    assert right > 100
    assert wrong <= 0.02 * right


@pytest.mark.long
def test_nothing_is_lonely_where_every_object_has_both(scenes: list[Scene], site: Site) -> None:
    """But for what nobody labels because it is hidden: the cross-check sees boxes, not outlines."""
    tracks = sum(len(scene.actor_of_track) for scene in scenes)
    found = [one for scene in scenes for one in check(scene, site.camera).lonely]
    assert not [one for one in found if one.kind == "box"]
    assert len(found) <= 0.03 * tracks


def test_exactly_the_removed_boxes_come_up_as_tracks_without_a_box(scenes: list[Scene], site: Site) -> None:
    removed = 0
    for scene in scenes:
        before = check(scene, site.camera)
        for track, box in before.matches:
            actor = scene.observation.sound_boxes[box].number
            clear = before.seen.labelable[track] and before.seen.covered[track] < 0.3
            if scene.actor_of_track[track] != actor or not clear:
                continue
            after = check(without_box(scene, actor), site.camera)
            assert lonely(after, "track") == lonely(before, "track") | {track}, scene.observation.frame
            assert lonely(after, "box") == lonely(before, "box")
            removed += 1
    assert removed > 60


def test_exactly_the_removed_tracks_come_up_as_boxes_without_a_track(scenes: list[Scene], site: Site) -> None:
    removed = 0
    for scene in scenes:
        before = check(scene, site.camera)
        for track, index in before.matches:
            box = scene.observation.sound_boxes[index]
            if scene.actor_of_track[track] != box.number or not box.counts or before.seen.covered[track] > 0.3:
                continue
            after = check(without_track(scene, track), site.camera)
            assert lonely(after, "box") == lonely(before, "box") | {box.number}, scene.observation.frame
            removed += 1
    assert removed > 60


def frames_of(scenes: list[Scene], camera: Camera) -> list[TracksAndBoxes]:
    frames = []
    for scene in scenes:
        assert scene.observation.tracks is not None
        seen = see_tracks(camera, scene.observation.tracks, COLUMNS, LAYOUT.classes)
        boxes = scene.observation.boxes_xyxy[[box.counts for box in scene.observation.sound_boxes]]
        inside = (boxes[:, :2] > 2).all(axis=1) & (boxes[:, 2:] < np.array(IMAGE_WH) - 2).all(axis=1)
        frames.append(TracksAndBoxes(seen, boxes[inside]))
    return frames


def test_the_true_calibration_is_plausible(scenes: list[Scene], site: Site) -> None:
    verdict = judge_calibration(site.camera, frames_of(scenes, site.camera))
    assert verdict.plausible, verdict.reason
    assert verdict.residual_px < 6  # 0.25 m of noise is 5.5 pixels at 30 m
    assert verdict.matched_share > 0.95
    assert verdict.fitted.pitch_deg == pytest.approx(site.camera.pitch_deg, abs=0.25)


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("change", "limits"),
    [
        ({"pitch_deg": 1.5}, (0.2, 0.2, 0.5)),
        ({"pitch_deg": -4.0}, (0.2, 0.2, 0.5)),
        ({"yaw_deg": 5.0}, (0.2, 0.2, 0.5)),
        ({"yaw_deg": -8.0, "pitch_deg": 3.0}, (0.2, 0.2, 0.5)),
        ({"height_m": 2.0}, (0.2, 0.2, 0.5)),
    ],
    ids=str,
)
def test_a_wrong_pose_is_implausible_and_the_right_one_is_found(
    scenes: list[Scene], site: Site, change: dict[str, float], limits: tuple[float, float, float]
) -> None:
    true = site.camera
    wrong = dataclasses.replace(true, **{name: getattr(true, name) + by for name, by in change.items()})
    verdict = judge_calibration(wrong, frames_of(scenes, wrong))
    assert not verdict.plausible, verdict
    for name, limit in zip(("pitch_deg", "yaw_deg", "height_m"), limits, strict=True):
        assert getattr(verdict.fitted, name) == pytest.approx(getattr(true, name), abs=limit), verdict


def test_a_focal_length_that_is_far_off_is_implausible(scenes: list[Scene], site: Site) -> None:
    wrong = dataclasses.replace(site.camera, fx=site.camera.fx * 1.8, fy=site.camera.fy * 1.8)
    assert not judge_calibration(wrong, frames_of(scenes, wrong)).plausible


def test_few_tracks_are_too_few_to_judge() -> None:
    camera = make_site(0, IMAGE_WH, np.random.default_rng(5)).camera
    verdict = judge_calibration(camera, [])
    assert verdict.plausible
    assert "too few to judge" in verdict.reason
    assert verdict.as_dict()["residual_px"] is None


def test_frames_are_ranked_and_counted_by_camera_and_what_cannot_be_checked_is_counted_too(
    scenes: list[Scene], site: Site
) -> None:
    checks = CrossCheck([Calibration(site.camera, site=site.name, path="c.yaml")], LAYOUT.classes)
    removed = 0
    for index, scene in enumerate(scenes):
        observation = scene.observation
        if index == 3:
            observation = dataclasses.replace(observation, boxes=())
            removed = int(check(scene, site.camera).seen.labelable.sum())
        checks.show(observation)
    checks.show(dataclasses.replace(scenes[0].observation, site="elsewhere"))
    checks.show(dataclasses.replace(scenes[0].observation, tracks=None))
    checks.show(dataclasses.replace(scenes[0].observation, tracks=np.zeros((0, len(COLUMNS)))))
    report = checks.result()
    assert report.counts[site.name]["frames"] == len(scenes)
    assert report.counts[site.name]["without_box"] >= removed > 3
    assert report.frames[0].observation.frame == "SCAN_00003"
    scores = [one.score for one in report.lonely]
    assert scores == sorted(scores, reverse=True)
    assert report.skipped == {
        "frames of a camera without a calibration": 1,
        "frames without radar tracks": 1,
        "frames whose radar saw nothing": 1,
    }
    assert report.verdicts[site.name].plausible


def test_a_track_inside_an_ignored_box_needs_no_label(site: Site) -> None:
    row = {"xpos": 0.0, "ypos": 30.0, "length": 4.0, "width": 2.0, "height": 1.5, "class": 3, "alive_age": 30}
    tracks = np.array([[row.get(name, 0.0) for name in COLUMNS]])
    base = Observation("r.h5", "SCAN_00000", None, stated_wh=IMAGE_WH, track_columns=COLUMNS, tracks=tracks)
    assert lonely(cross_check_frame(base, site.camera, LAYOUT.classes), "track") == {0}
    whole = RawBox("CAR", (0, 0, *IMAGE_WH), 1, is_crowd=True)
    excused = dataclasses.replace(base, boxes=(whole,))
    assert cross_check_frame(excused, site.camera, LAYOUT.classes).lonely == ()


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float64]:
    return np.array(rows, np.float64)


def test_covered_share_counts_only_what_is_nearer() -> None:
    rows = boxes((0, 0, 10, 10), (0, 0, 10, 5), (5, 0, 10, 10))
    near_first = covered_share(rows, np.array([3.0, 2.0, 1.0]), np.ones(3, bool))
    assert near_first.tolist() == [0.75, 0.5, 0.0]
    assert covered_share(rows, np.array([3.0, 2.0, 1.0]), np.array([True, True, False])).tolist() == [0.5, 0.0, 0.0]


def test_tracks_without_a_size_take_that_of_their_class(site: Site) -> None:
    row = {"xpos": 0.0, "ypos": 30.0, "class": 0}
    tracks = np.array([[row.get(name, 0.0) for name in COLUMNS]])
    bus = see_tracks(site.camera, tracks, COLUMNS, LAYOUT.classes)
    tracks[0, COLUMNS.index("class")] = 5
    person = see_tracks(site.camera, tracks, COLUMNS, LAYOUT.classes)
    assert (bus.boxes_xyxy[0, 3] - bus.boxes_xyxy[0, 1]) > 1.5 * (person.boxes_xyxy[0, 3] - person.boxes_xyxy[0, 1])
    with pytest.raises(ValueError, match="no column 'xpos'"):
        see_tracks(site.camera, np.zeros((1, 2)), ("a", "b"), {})
