"""Labels go from every format that we write to every other and come back the same; the side-car holds the rest."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.export_labels import ExportSummary, export_labels
from traffic_yolo.dataset.formats.sidecar import SIDECAR_NAME
from traffic_yolo.dataset.options import WRITTEN_FORMATS, ExportOptions, SourceChoice
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.sources.opening import open_source

Write = Callable[[Sequence[tuple[str, Sequence[Annotation]]]], Path]

PLAIN = [
    Annotation("CAR", (10.5, 8.25, 20.0, 16.0)),
    Annotation("BUS", (0.0, 0.0, 96.0, 72.0)),
    Annotation("CAR", (33.3333, 1.0001, 0.7, 70.9999)),
]
RICH = [
    Annotation("CAR", (1.0, 2.0, 3.0, 4.0), label_source="device", confidence=0.123456789),
    Annotation("BUS", (1.5, 2.5, 30.0, 40.0), label_source="model", confidence=1e-5, attributes={"lane": 3}),
    Annotation("CAR", (5.0, 5.0, 6.0, 6.0), ignore=True),
    Annotation("BUS", (6.0, 5.0, 60.0, 6.0), is_crowd=True, area=12.5),
    Annotation("CAR", (7.0, 5.0, 6.0, 6.0), attributes={"occluded": True, "colour": "dark <blue> & 'green'"}),
    Annotation("CAR", (8.0, 5.0, 6.0, 6.0), attributes={"occluded": 2, "truncated": 0.25, "note": "0003"}),
    Annotation("BUS", (-3.0, 60.0, 20.0, 30.0), attributes={"nested": {"a": [1, 2]}, "text": " spaced\t"}),
    Annotation("traffic light", (60.0, 10.0, 5.25, 10.75), area=33.0),
]


@pytest.fixture
def write_coco(tmp_path: Path) -> Write:
    """Writes pictures and a COCO file, without any code of ours; returns the folder."""

    def write(pictures: Sequence[tuple[str, Sequence[Annotation]]]) -> Path:
        names = sorted({a.class_name for _, annotations in pictures for a in annotations} | {"CAR"})
        root = tmp_path / "source"
        content: dict[str, list[object]] = {
            "categories": [{"id": index, "name": name} for index, name in enumerate(names, start=1)],
            "images": [],
            "annotations": [],
        }
        for image_id, (name, annotations) in enumerate(pictures, start=1):
            path = root / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(image_id))
            image = {
                "id": image_id,
                "file_name": name,
                "width": WIDTH,
                "height": HEIGHT,
                "site": "A",
                "day": "20240501",
            }
            content["images"].append({**image, "attributes": {"weather": "rain"}})
            for annotation in annotations:
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]) + 1,
                        "image_id": image_id,
                        "category_id": names.index(annotation.class_name) + 1,
                        "bbox": list(annotation.xywh),
                        "iscrowd": int(annotation.is_crowd),
                        "ignore": int(annotation.ignore),
                        "label_source": annotation.label_source,
                        "confidence": annotation.confidence,
                        "area": annotation.area,
                        "attributes": dict(annotation.attributes),
                    }
                )
        (root / "instances.json").write_text(json.dumps(content))
        return root

    return write


def frames_of(folder: Path) -> list[Frame]:
    frames = list(open_source(SourceChoice(source=str(folder))).frames())
    return sorted(frames, key=lambda frame: frame.file_name)


def export(source: Path, to: str, out: Path) -> ExportSummary:
    return export_labels(ExportOptions(source=str(source), to=to, copy_pictures=True), out)


def assert_same(found: Sequence[Frame], expected: Sequence[Frame]) -> None:
    assert [frame.file_name for frame in found] == [frame.file_name for frame in expected]
    for after, before in zip(found, expected, strict=True):
        assert after.picture() == before.picture()
        assert (after.site, after.day, dict(after.attributes)) == (before.site, before.day, dict(before.attributes))
        assert after.labelled == before.labelled
        key = lambda annotation: (annotation.xywh, annotation.class_name)  # noqa: E731
        pairs = zip(sorted(after.annotations, key=key), sorted(before.annotations, key=key), strict=True)
        for a, b in pairs:
            assert a.xywh == pytest.approx(b.xywh, abs=2e-4)
            assert replace(a, xywh=b.xywh) == b


PICTURES = [
    ("recording-1/SCAN_00001.jpg", PLAIN),
    ("recording-1/SCAN_00002.jpg", []),
    ("recording-2/SCAN_00001.jpg", RICH),
    ("recording 3 \u00fc/SCAN 7.jpg", RICH[:3] + PLAIN),
]


@pytest.mark.many(10)
@pytest.mark.parametrize("second", WRITTEN_FORMATS)
@pytest.mark.parametrize("first", WRITTEN_FORMATS)
def test_labels_come_back_the_same_through_any_two_formats(
    write_coco: Write, tmp_path: Path, first: str, second: str
) -> None:
    source = write_coco(PICTURES)
    export(source, first, tmp_path / "first")
    export(tmp_path / "first", second, tmp_path / "second")
    expected = frames_of(source)
    assert sum(len(frame.annotations) for frame in expected) == 17
    assert_same(frames_of(tmp_path / "first"), expected)
    assert_same(frames_of(tmp_path / "second"), expected)


@pytest.mark.parametrize("to", WRITTEN_FORMATS)
def test_plain_boxes_survive_without_the_side_car(write_coco: Write, tmp_path: Path, to: str) -> None:
    source = write_coco([("recording-1/SCAN_00001.jpg", PLAIN)])
    export(source, to, tmp_path / "out")
    (tmp_path / "out" / SIDECAR_NAME).unlink(missing_ok=True)
    (found,), (expected,) = frames_of(tmp_path / "out"), frames_of(source)
    for a, b in zip(found.annotations, expected.annotations, strict=True):
        assert a.class_name == b.class_name
        assert a.xywh == pytest.approx(b.xywh, abs=2e-4)


def test_what_a_format_cannot_say_is_counted(write_coco: Write, tmp_path: Path) -> None:
    source = write_coco([("recording-2/SCAN_00001.jpg", RICH)])
    notes = " | ".join(export(source, "yolo", tmp_path / "yolo").notes)
    for words in (
        "2 ignored and crowd",
        "2 confidences",
        "2 label sources",
        "2 occlusion marks",
        "1 areas of outlines",
    ):
        assert words in notes
    assert export(source, "coco", tmp_path / "coco").notes == ()
    assert not (tmp_path / "coco" / SIDECAR_NAME).exists()


@pytest.mark.parametrize("to", ["yolo", "kitti"])
def test_a_box_that_was_moved_since_keeps_nothing_of_the_old_one(write_coco: Write, tmp_path: Path, to: str) -> None:
    device = Annotation("CAR", (10.0, 20.0, 30.0, 40.0), label_source="device", confidence=0.9)
    export(write_coco([("recording-1/SCAN_00001.jpg", [device, *PLAIN])]), to, tmp_path / "out")
    (label,) = (tmp_path / "out").rglob("SCAN_00001.txt")
    lines = label.read_text().splitlines()
    columns = lines[0].split()
    moved = {"yolo": (1, 0.3), "kitti": (4, 11.0)}[to]
    columns[moved[0]] = str(moved[1])
    label.write_text("\n".join([" ".join(columns[:15]), *lines[1:]]) + "\n")
    source = open_source(SourceChoice(source=str(tmp_path / "out")))
    (frame,) = source.frames()
    assert [a.label_source for a in frame.annotations] == ["human"] * 4
    assert any("1 boxes changed since sidecar.jsonl was written" in note for note in source.notes)


def test_corrected_pre_labels_count_as_human_when_the_user_says_so(write_coco: Write, tmp_path: Path) -> None:
    export(write_coco([("recording-1/SCAN_00001.jpg", RICH)]), "cvat", tmp_path / "out")
    choice = SourceChoice(source=str(tmp_path / "out"), label_source="human")
    (frame,) = open_source(choice).frames()
    assert frame.labelled
    assert {(a.label_source, a.confidence) for a in frame.annotations} == {("human", None)}


def test_cvat_declares_every_attribute_that_it_writes(write_coco: Write, tmp_path: Path) -> None:
    export(write_coco([("recording-1/SCAN_00001.jpg", RICH)]), "cvat", tmp_path / "out")
    declared = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert [label["name"] for label in declared] == ["BUS", "CAR", "traffic light"]
    names = {attribute["name"] for attribute in declared[0]["attributes"]}
    assert {"label_source", "confidence", "ignore", "iscrowd", "lane", "colour", "note"} <= names
