"""A picture without a box: a human's word that it is empty, or a model's silence."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, Share, jpeg

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions, SourceChoice
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source

BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], "area": 1200, "iscrowd": 0}
MODEL = {"label_source": "model", "confidence": 0.7}


def coco(folder: Path, box: dict[str, Any], second: dict[str, Any] | None = None) -> Path:
    """Two pictures, a box in the first; `second`: what else its entry of the second picture has."""
    (folder / "images").mkdir(parents=True)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in (1, 2)]
    images[1] |= second or {}
    for number in (1, 2):
        (folder / f"images/{number}.jpg").write_bytes(jpeg(number))
    content = {"images": images, "annotations": [BOX | box], "categories": [{"id": 1, "name": "CAR"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def labelled(source: Source) -> list[bool]:
    found = [frame.labelled for frame in source.frames()]
    assert len(list(source.keys())) == sum(found)
    return found


@pytest.mark.parametrize(
    ("box", "second", "expected"),
    [
        ({}, {}, [True, True]),
        (MODEL, {}, [False, False]),  # all boxes are a model's, so its silence is no human's word
        ({}, {"label_source": "model"}, [True, False]),
        ({}, {"label_source": "human"}, [True, True]),
        (MODEL, {"label_source": "device"}, [False, False]),
    ],
)
@pytest.mark.parametrize("labels_only", [False, True])
def test_who_looked_decides_whether_an_empty_picture_is_a_negative(
    tmp_path: Path, box: dict[str, Any], second: dict[str, Any], expected: list[bool], labels_only: bool
) -> None:
    folder = coco(tmp_path / "set", box, second)
    source = open_source(SourceChoice(str(folder)), SourceOptions(labels_only=labels_only))
    assert labelled(source) == expected
    told = [note for note in source.notes if "without a box" in note]
    assert told == (
        ["1 pictures without a box are taken as a model's, as all 1 boxes are; give label_source human where a human "
         "looked at them"] if box and not second else []
    )  # fmt: skip
    reviewed = SourceChoice(str(folder), label_source="human")
    assert labelled(open_source(reviewed, SourceOptions(labels_only=labels_only))) == [True, True]


def test_labels_laid_over_recordings_are_judged_alike(share: Share, tmp_path: Path) -> None:
    for annotation in share.coco["annotations"]:
        annotation |= MODEL
    empty = {image["id"] for image in share.coco["images"]} - {a["image_id"] for a in share.coco["annotations"]}
    if not empty:
        share.coco["annotations"] = [a for a in share.coco["annotations"] if a["image_id"] != 1]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(share.coco))
    choice = {"source": str(share.recordings), "labels": str(labels)}
    assert list(open_source(SourceChoice(**choice)).keys()) == []
    reviewed = open_source(SourceChoice(**choice, label_source="human"))
    assert len(list(reviewed.keys())) == len(share.coco["images"])


def test_what_an_export_writes_of_unlabelled_frames_reads_back_as_unlabelled(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", {}, {"label_source": "model"})
    export_labels(ExportOptions(str(folder), to="coco", copy_pictures=True), tmp_path / "out")
    assert labelled(open_source(SourceChoice(str(tmp_path / "out")))) == [True, False]
    told = convert(ConvertOptions(str(tmp_path / "out"), splits="none"), tmp_path / "data")
    assert told.counts["all_images"] == 1
