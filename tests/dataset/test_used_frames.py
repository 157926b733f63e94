"""What training would use, counted beforehand: the very frames, splits and boxes that the conversion then writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_shares import Share, jpeg, write_recording

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.used_frames import UsedFrames, compressed, read_compressed, used_frames
from traffic_yolo.errors import DatasetError


def options_of(share: Share, **more: Any) -> ConvertOptions:
    return ConvertOptions(str(share.recordings), labels=str(share.label_file), **more)


def in_the_folder(folder: Path) -> tuple[dict[str, set[str]], dict[str, dict[str, int]]]:
    """Split -> its pictures, and split -> class -> boxes that count, in the COCO files of a data set."""
    pictures, boxes = {}, {}
    for path in sorted((folder / "annotations").iterdir()):
        coco = json.loads(path.read_text())
        split = path.stem.removeprefix("instances_")
        names = {category["id"]: category["name"] for category in coco["categories"]}
        pictures[split] = {image["file_name"].removesuffix(".jpg") for image in coco["images"]}
        counts: dict[str, int] = {}
        for one in coco["annotations"]:
            if not one.get("ignore") and not one.get("iscrowd"):
                counts[names[one["category_id"]]] = counts.get(names[one["category_id"]], 0) + 1
        boxes[split] = counts
    return pictures, boxes


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"val_sites": "A", "test_sites": "B", "policy": "{thin_distance: 64, thin_gap_s: 0.1}"},
        {"policy": "{max_negatives: 0.2}", "splits": "0.4/0.3/0.3"},
        {"device_labels": "train", "val_sites": "B", "test_sites": "C", "policy": "{split_level: recording}"},
        {"splits": "none"},
    ],
    ids=str,
)
def test_counted_are_the_frames_that_the_conversion_writes(share: Share, tmp_path: Path, more: dict[str, str]) -> None:
    unlabelled = share.site("A", 7, frames=2, detections=[[3, 0.9, 48, 64, 64, 48]])
    share.site("D", 8, frames=2)
    share.label(unlabelled, 1, [])  # a human's statement that the road is empty
    share.save()
    options = options_of(share, **more)
    used = used_frames(options)
    convert(options, tmp_path / "dataset")
    pictures, boxes = in_the_folder(tmp_path / "dataset")
    counted: dict[str, set[str]] = {split: set() for split in pictures}
    for frame in used.frames:
        counted[frame.split].add("/".join(frame.name))
    assert counted == pictures
    assert sum(map(len, counted.values())) == len(used.frames) > 0
    assert {split: dict(used.boxes.get(split, {})) for split in boxes} == boxes
    assert used.unlabelled == 3
    splits = tmp_path / "dataset" / "splits.yaml"
    assert (used.pins.text() if used.pins else None) == (splits.read_text() if splits.exists() else None)
    assert {frame.by for frame in used.frames} == ({"human", "device"} if "device_labels" in more else {"human"})


def test_pictures_in_files_are_counted_as_they_are_converted(share: Share, tmp_path: Path) -> None:
    convert(options_of(share, splits="none"), tmp_path / "source")
    options = ConvertOptions(str(tmp_path / "source"))
    used = used_frames(options)
    convert(options, tmp_path / "dataset")
    assert {"/".join(frame.name) for frame in used.frames} == set().union(
        *in_the_folder(tmp_path / "dataset")[0].values()
    )


def test_fingerprint_follows_labels_and_splits_and_nothing_else(share: Share, tmp_path: Path) -> None:
    first = used_frames(options_of(share))
    share.coco["annotations"].reverse()  # the order of boxes is nobody's statement
    share.site("A", 7)
    share.save()
    assert used_frames(options_of(share)).fingerprint == first.fingerprint
    moved = used_frames(options_of(share, val_sites="C", test_sites="B"))
    other = used_frames(options_of(share, val_sites="B", test_sites="C"))
    assert moved.fingerprint != other.fingerprint
    share.coco["annotations"][0]["bbox"][0] += 1
    share.save()
    corrected = used_frames(options_of(share))
    assert [one.name for one in first.frames] == [one.name for one in corrected.frames]
    assert sum(a.labels != b.labels for a, b in zip(first.frames, corrected.frames, strict=True)) == 1


def test_kept_splits_are_those_of_the_count(share: Share, tmp_path: Path) -> None:
    first = used_frames(options_of(share))
    assert first.pins is not None
    (tmp_path / "splits.yaml").write_text(first.pins.text())
    for number, name in enumerate("DEFG", start=4):
        recording = share.site(name, number)
        share.label(recording, 0, [(3, [10, 8, 20, 16])])
    share.save()
    policy = f"{{keep_splits: {tmp_path / 'splits.yaml'}}}"
    again = used_frames(options_of(share, policy=policy))
    before = {frame.name: frame.split for frame in first.frames}
    assert {frame.name: frame.split for frame in again.frames if frame.name in before} == before
    assert again.pins is not None
    assert yaml.safe_load(again.pins.text())["splits"].items() >= first.pins.splits.items()


def test_a_broken_picture_fails_the_count_as_it_fails_the_conversion(share: Share, tmp_path: Path) -> None:
    recording = write_recording(share.recordings / "20210901_siteA" / "20210901129900_0.h5", [jpeg(1)[:-40]])
    share.label(recording, 0, [])
    share.save()
    said = []
    for act in (lambda: used_frames(options_of(share)), lambda: convert(options_of(share), tmp_path / "dataset")):
        with pytest.raises(DatasetError, match="truncated-picture") as caught:
            act()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_frames_come_back_from_their_file(share: Share) -> None:
    used = used_frames(options_of(share))
    assert read_compressed(compressed(used)) == used.frames
    assert compressed(used) == compressed(used_frames(options_of(share)))
    odd = UsedFrames((used.frames[0]._replace(recording='a,"b\n', site="Süd"),), {})
    assert read_compressed(compressed(odd)) == odd.frames


@pytest.mark.parametrize(
    "data", [b"", b"recording,scan\n", compressed(UsedFrames((), {}))[:-9]], ids=["none", "plain", "cut"]
)
def test_a_file_of_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"gzip|columns"):
        read_compressed(data)
