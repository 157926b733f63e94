"""Which rule a source gets, at which level, and what an earlier data set's splits.yaml is worth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.dataset.pictures.look import PictureLook
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.dataset.splits.look_alikes import group_look_alikes
from traffic_yolo.dataset.splits.pins import SplitPins, SplitRecorder, read_pins
from traffic_yolo.dataset.splits.plan import SplitPlan, SplitRequest, plan_splits
from traffic_yolo.errors import LabelError, OptionsError, StorageError


def key(site: str, recording: str, scan: int = 0, **more: Any) -> PictureKey:
    return PictureKey(site, recording, f"SCAN_{scan:05d}", **more)


def frame(item: PictureKey) -> Frame:
    return Frame(item.recording, item.scan, 10, 10, (), lambda: b"", site=item.site, camera=item.camera, day=item.day)


def plan(keys: Sequence[PictureKey], may_split_pictures: bool = False, **request: Any) -> SplitPlan:
    return plan_splits(keys, SplitRequest(**request), may_split_pictures=may_split_pictures)


def splits_of(keys: Sequence[PictureKey], planned: SplitPlan) -> list[str]:
    return [planned.split_of(frame(item)) for item in keys]


CITY = [
    key(f"site{s}", f"r{s}-{c}-{d}-{r}", camera=f"10.0.{s}.{c}", day=f"2024050{d}")
    for s in range(4)
    for c in range(3)
    for d in range(3)
    for r in range(2)
]


@pytest.mark.parametrize(
    ("level", "group"),
    [
        ("auto", lambda k: k.site),
        ("site", lambda k: k.site),
        ("camera", lambda k: (k.site, k.camera)),
        ("day", lambda k: (k.site, k.day)),
        ("recording", lambda k: k.recording),
    ],
)
@pytest.mark.parametrize("method", ["hash", "balanced"])
def test_a_level_is_never_cut_and_fills_every_split(level: str, group: Any, method: str) -> None:
    keys = [item._replace(boxes={"CAR": index % 7}) for index, item in enumerate(CITY)]
    planned = plan(keys, level=level, method=method)
    found: dict[Any, set[str]] = {}
    for item, split in zip(keys, splits_of(keys, planned), strict=True):
        found.setdefault(group(item), set()).add(split)
    assert {len(splits) for splits in found.values()} == {1}
    assert set().union(*found.values()) == {"train", "val", "test"}
    assert planned.group_of(frame(keys[0]))


def test_named_sites_go_whole_whatever_the_level() -> None:
    planned = plan(CITY, level="recording", val_sites=["site1"], test_sites=["site2"])
    for item, split in zip(CITY, splits_of(CITY, planned), strict=True):
        assert split == {"site1": "val", "site2": "test"}.get(item.site, "train")


def test_a_level_that_the_source_does_not_know_is_refused() -> None:
    with pytest.raises(OptionsError, match="no labelled picture says its camera"):
        plan([key("A", "r1"), key("B", "r2"), key("C", "r3")], level="camera")


def test_a_site_whose_cameras_are_unknown_stays_whole_among_others() -> None:
    keys = [key("A", "a1"), key("A", "a2"), *(key("B", f"b{i}", camera=f"c{i}") for i in range(9))]
    planned = plan(keys, level="camera")
    splits = splits_of(keys, planned)
    assert splits[0] == splits[1]
    assert set(splits) == {"train", "val", "test"}


def test_a_handful_of_groups_is_told_to_keep_its_splits() -> None:
    assert any("keep_splits" in note for note in plan(CITY).notes)
    assert any("flatters" in note for note in plan(CITY, level="recording").notes)


def test_sites_without_labels_follow_the_pins_and_then_the_hash() -> None:
    keys = [key(name, name) for name in "ABC"]
    pins = SplitPins("site", {"A": "train", "B": "val", "C": "test", "D": "test"})
    planned = plan(keys, pins=pins)
    assert planned.split_of(frame(key("D", "d"))) == "test"
    assert "kept" in planned.rule


@pytest.mark.parametrize("method", ["hash", "balanced"])
def test_an_old_group_stays_where_the_last_data_set_had_it(method: str, tmp_path: Path) -> None:
    old = [item._replace(boxes={"CAR": 5}) for item in CITY if item.site != "site3"]
    before = splits_of(old, plan(old, method=method))
    recorder = SplitRecorder()
    for item, split in zip(old, before, strict=True):
        recorder.collect(frame(item), split, None)
    recorder.finish(tmp_path)
    pins = read_pins(tmp_path)
    assert pins.level == "site"
    everything = [item._replace(boxes={"CAR": 900}) for item in CITY]
    assert splits_of(old, plan(everything, method=method, pins=pins)) == before


def test_another_level_than_that_of_the_kept_splits_is_refused() -> None:
    with pytest.raises(OptionsError, match="by site, not by recording"):
        plan(CITY, level="recording", pins=SplitPins("site", {}))


def test_the_coarsest_level_that_is_whole_is_remembered(tmp_path: Path) -> None:
    recorder = SplitRecorder()
    for item, split in (
        (key("A", "r1", day="1", camera="c"), "train"),
        (key("A", "r2", day="2", camera="c"), "val"),
        (key("A", "r3", day="2", camera="c"), "val"),
    ):
        recorder.collect(frame(item), split, None)
    recorder.finish(tmp_path)
    assert read_pins(tmp_path) == SplitPins("day", {"A/1": "train", "A/2": "val"})


def test_pins_of_groups_that_are_away_are_kept(tmp_path: Path) -> None:
    recorder = SplitRecorder("site", SplitPins("site", {"gone": "test", "A": "val"}))
    recorder.collect(frame(key("A", "r")), "val", None)
    recorder.finish(tmp_path)
    assert read_pins(tmp_path / "splits.yaml").splits == {"A": "val", "gone": "test"}


def test_pictures_of_a_set_without_groups_leave_nothing_to_remember(tmp_path: Path) -> None:
    recorder = SplitRecorder()
    for scan, split in enumerate(("train", "val", "test")):
        recorder.collect(frame(key("", "pictures", scan)), split, None)
    recorder.finish(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("level: site", "expected the key splits too, found level"),
        ("level: town\nsplits: {}", "level: expected one of site"),
        ("level: site\nsplits: {A: trian}", "splits.A: expected one of train"),
        ("level: [", "not YAML"),
    ],
)
def test_what_is_no_splits_file_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "splits.yaml").write_text(text)
    with pytest.raises(LabelError, match=r"splits\.yaml") as caught:
        read_pins(tmp_path)
    assert words in str(caught.value)
    with pytest.raises(StorageError, match="cannot be read"):
        read_pins(tmp_path / "other.yaml")


def test_pictures_that_look_alike_stay_together_and_all_splits_are_filled() -> None:
    looks = [
        (f"pictures/SCAN_{i:05d}", PictureLook((i // 4) * 0x0F0F0F0F0F0F0F0F ^ (i % 4), 90, 50)) for i in range(40)
    ]
    keys = [key("", "pictures", i) for i in range(40)]
    alike = group_look_alikes(looks)
    planned = plan_splits(keys, SplitRequest(), may_split_pictures=True, look_alikes=lambda: alike)
    splits = splits_of(keys, planned)
    for start in range(0, 40, 4):
        assert len(set(splits[start : start + 4])) == 1
    assert set(splits) == {"train", "val", "test"}
    assert any("40 pictures fall into 10 groups" in note for note in planned.notes)


def test_look_alikes_are_joined_in_chains_and_flat_pictures_are_not() -> None:
    looks = [
        ("c", PictureLook(0b0000_1111, 90, 50)),
        ("b", PictureLook(0b0, 90, 50)),
        ("a", PictureLook(0b1111_1111, 90, 50)),
        ("far", PictureLook(2**64 - 1, 90, 50)),
        ("black", PictureLook(0b0, 3, 0.1)),
        ("broken", None),
    ]
    assert group_look_alikes(looks) == {"a": "a", "b": "a", "c": "a", "far": "far"}
