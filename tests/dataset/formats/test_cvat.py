"""CVAT XML 1.1: images and tracks as CVAT shows them, and refusals with file and line."""

from pathlib import Path

import pytest
from small_shares import jpeg

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.cvat import CvatReader
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.dataset.sources.label_formats import detect_label_format
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import DatasetError, LabelError

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><size>{size}</size><start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame>
<frame_filter>{filter}</frame_filter>
<labels><label><name>CAR</name><attributes><attribute><name>plate</name><input_type>text</input_type></attribute>
</attributes></label><label><name>BUS</name></label></labels>
<original_size><width>200</width><height>100</height></original_size></task><source>cam1.mp4</source></meta>
"""


def write(path: Path, body: str, *, start: int = 0, stop: int = 0, step: str = "") -> Path:
    head = HEAD.format(size=1, start=start, stop=stop, filter=step)
    path.write_text(head + body + "</annotations>\n")
    return path


def read(path: Path) -> list[PictureLabels]:
    return list(CvatReader(path, ReadOptions()).pictures())


def box(frame: int, x: float, *, outside: int = 0, occluded: int = 0, inner: str = "") -> str:
    return (
        f'<box frame="{frame}" outside="{outside}" occluded="{occluded}" keyframe="1" '
        f'xtl="{x}" ytl="10" xbr="{x + 20}" ybr="30">{inner}</box>\n'
    )


def places(pictures: list[PictureLabels]) -> dict[int, list[float]]:
    return {int(picture.scan): [a.xywh[0] for a in picture.annotations] for picture in pictures}


@pytest.mark.parametrize(
    ("video", "recording"),
    [
        ("cam1.mp4", "cam1"),
        ("20240501_140100_0001_10.0.0.11.mp4", "20240501_140100_0001_10.0.0.11"),
        ("20240501_140100_0001_10.0.0.11", "20240501_140100_0001_10.0.0.11"),
        ("C:\\clips\\street.v2.MKV", "street.v2"),
        ("clip.3gp", "clip"),
    ],
)
def test_frames_are_of_the_recording_that_the_video_is_called_after(tmp_path: Path, video: str, recording: str) -> None:
    path = write(tmp_path / "a.xml", f'<track id="0" label="CAR">{box(0, 10)}{box(1, 20, outside=1)}</track>')
    path.write_text(path.read_text().replace("cam1.mp4", video))
    assert {picture.recording for picture in read(path)} == {recording}


def test_images_come_with_their_boxes_outlines_and_attributes(tmp_path: Path) -> None:
    body = """<image id="0" name="a/b.jpg" width="200" height="100" subset="Validation">
      <box label="CAR" occluded="1" source="manual" xtl="1.5" ytl="2" xbr="11.5" ybr="22" z_order="2">
        <attribute name="plate">0012</attribute><attribute name="lane">3</attribute>
        <attribute name="parked">true</attribute></box>
      <box label="BUS" occluded="0" source="auto" xtl="50" ytl="50" xbr="70" ybr="60" rotation="90"></box>
      <polygon label="CAR" points="10,10;30,10;30,20" occluded="0"/>
      <ellipse label="CAR" cx="100" cy="50" rx="10" ry="5"/>
      <mask label="BUS" left="5" top="6" width="7" height="8" rle="56"/>
      <polyline label="CAR" points="1,1;2,2"/><tag label="CAR"/>
      <box label="CAR" xtl="5" ytl="5" xbr="5" ybr="9"/>
    </image>"""
    reader = CvatReader(write(tmp_path / "a.xml", body), ReadOptions())
    (picture,) = reader.pictures()
    assert (picture.name, picture.image_wh, picture.own_split) == ("a/b.jpg", (200, 100), "val")
    assert reader.classes == ("CAR", "BUS")
    first, turned, polygon, ellipse, mask = picture.annotations
    assert first.xywh == (1.5, 2, 10, 20)
    assert first.attributes == {"plate": "0012", "lane": 3, "parked": True, "occluded": True, "z_order": 2}
    assert turned.xywh == pytest.approx((55, 45, 10, 20))
    assert (turned.area, turned.attributes) == (200, {"source": "auto"})
    assert (polygon.xywh, polygon.area) == ((10, 10, 20, 10), 100)
    assert ellipse.xywh == (90, 45, 20, 10)
    assert ellipse.area == pytest.approx(157.0796, abs=1e-3)
    assert mask.xywh == (5, 6, 7, 8)
    notes = " | ".join(reader.notes())
    for words in ("3 outlines left out", "1 turned boxes", "kind polyline", "kind tag", "1 boxes without area"):
        assert words in notes


def test_boxes_move_linearly_between_keyframes_and_keep_what_the_first_says(tmp_path: Path) -> None:
    inner = '<attribute name="plate">AB</attribute>'
    body = f'<track id="7" label="CAR" group_id="3">{box(0, 0, occluded=1, inner=inner)}{box(4, 40)}</track>'
    pictures = read(write(tmp_path / "a.xml", body, stop=5))
    assert places(pictures) == {0: [0], 1: [10], 2: [20], 3: [30], 4: [40], 5: [40]}
    between, last = pictures[2].annotations[0], pictures[5].annotations[0]
    assert between.attributes == {"plate": "AB", "track_id": 7, "group_id": 3, "occluded": True}
    assert last.attributes == {"track_id": 7, "group_id": 3}
    assert pictures[1].name == "frame_000001"
    assert (pictures[1].recording, pictures[1].image_wh) == ("cam1", (200, 100))


def test_an_object_outside_is_gone_until_its_next_keyframe(tmp_path: Path) -> None:
    shapes = box(1, 10) + box(3, 30, outside=1) + box(6, 60) + box(7, 70, outside=1)
    pictures = read(write(tmp_path / "a.xml", f'<track id="0" label="BUS">{shapes}</track>', stop=9))
    # Towards an `outside` keyframe it still moves, as CVAT interpolates
    assert places(pictures) == {0: [], 1: [10], 2: [20], 3: [], 4: [], 5: [], 6: [60], 7: [], 8: [], 9: []}


def test_frames_in_steps_are_those_of_the_task(tmp_path: Path) -> None:
    body = f'<track id="0" label="CAR">{box(10, 0)}{box(16, 60)}</track>'
    pictures = read(write(tmp_path / "a.xml", body, start=10, stop=19, step="step=3"))
    assert places(pictures) == {10: [0], 13: [30], 16: [60], 19: [60]}


def test_keyframes_may_stand_in_any_order(tmp_path: Path) -> None:
    body = f'<track id="0" label="CAR">{box(2, 20)}{box(0, 0)}</track>'
    assert places(read(write(tmp_path / "a.xml", body, stop=2))) == {0: [0], 1: [10], 2: [20]}


def test_a_head_without_labels_takes_those_in_use(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<annotations><image id="0" name="x.jpg"><box label="VAN" xtl="0" ytl="0" xbr="2" ybr="2"/></image>'
        f'<track id="0" label="CAR">{box(3, 1)}</track></annotations>'
    )
    reader = CvatReader(tmp_path / "a.xml", ReadOptions())
    assert reader.classes == ("VAN", "CAR")
    assert [picture.name for picture in reader.pictures()] == ["x.jpg", "frame_000003"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            '<image id="0" name="a.jpg"><box label="VAN" xtl="0" ytl="0" xbr="1" ybr="1"/></image>',
            "label 'VAN' is none",
        ),
        (
            '<image id="0" name="a.jpg"><box label="CAR" xtl="x" ytl="0" xbr="1" ybr="1"/></image>',
            "xtl must be a number",
        ),
        ('<image id="0" name="a.jpg"><box label="CAR" xtl="nan" ytl="0" xbr="1" ybr="1"/></image>', "must be a number"),
        ('<image id="0" name="a.jpg"><box label="CAR" ytl="0" xbr="1" ybr="1"/></image>', "found None"),
        ('<image id="0"></image>', "an image without a name"),
        (f'<track id="0" label="CAR">{box(1, 0)}{box(1, 5)}</track>', "two boxes in frame 1"),
        ('<track id="0" label="CAR"><box frame="-1" xtl="0" ytl="0" xbr="1" ybr="1"/></track>', "whole number from 0"),
        ('<image id="0" name="a.jpg">', "not well-formed XML: mismatched tag"),
    ],
)
def test_faults_are_refused_with_file_and_line(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(LabelError, match=rf"a\.xml line \d+.*{words}"):
        read(write(tmp_path / "a.xml", body, stop=2))


def test_a_check_gets_all_faults_and_the_rest_of_the_file(tmp_path: Path) -> None:
    good = '<image id="1" name="good.jpg"/>'
    bad = '<image id="0" name="a.jpg"><box label="VAN" xtl="0" ytl="0" xbr="1" ybr="1"/></image>'
    found: list[Problem] = []
    reader = CvatReader(write(tmp_path / "a.xml", bad + good + bad), ReadOptions())
    assert [picture.name for picture in reader.pictures(found.append)] == ["good.jpg"]
    assert [problem.kind for problem in found] == ["label-broken"] * 2


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    ],
)
def test_document_types_are_refused_so_that_no_entity_can_grow_or_fetch(tmp_path: Path, declaration: str) -> None:
    (tmp_path / "a.xml").write_text(f"{declaration}<annotations><image id='0' name='&y;'/></annotations>")
    with pytest.raises(LabelError, match="document type declarations are refused"):
        CvatReader(tmp_path / "a.xml", ReadOptions())


def test_elements_nested_without_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        LabelError, match=r"a\.xml line 8: more than 64 elements inside each other; raise the limit xml_depth"
    ):
        read(write(tmp_path / "a.xml", "<image name='a'>" + "<a>" * 100_000))


def test_sample_of_an_image_task_reads_as_cvat_wrote_it(reference: Path) -> None:
    (first, second) = open_source(SourceChoice(str(reference / "label-samples/for_images/export_task"))).frames()
    (annotation,) = first.annotations
    assert (annotation.class_name, annotation.xywh) == ("label1", (0, 2, 4, 2))
    assert annotation.attributes == {"a1": True, "a2": "v3", "a3": "0003", "a4": 2.4, "occluded": True, "z_order": 1}
    assert second.annotations == ()


def test_sample_of_a_project_keeps_its_subsets_and_their_pictures(reference: Path) -> None:
    source = open_source(SourceChoice(str(reference / "label-samples/for_images/export_project")))
    keys = sorted((key.own_split, key.recording, key.scan) for key in source.keys())  # noqa: SIM118 (no dict)
    assert keys == [
        ("test", "Test", "img0"), ("test", "Test", "img1"), ("train", "Train", "img0"), ("train", "Train", "img1"),
        ("val", "Validation", "img0"), ("val", "Validation", "img1"),
    ]  # fmt: skip
    assert len(list(source.frames())) == 6


def test_sample_of_a_video_has_the_frames_whose_pictures_are_there(reference: Path) -> None:
    folder = reference / "label-samples/for_video"
    assert detect_label_format(folder) == "cvat"
    frames = list(open_source(SourceChoice(str(folder))).frames())
    assert [(frame.scan, len(frame.annotations)) for frame in frames] == [
        ("frame_000010", 1), ("frame_000013", 0), ("frame_000016", 0)
    ]  # fmt: skip
    assert frames[0].annotations[0].xywh == (3, 4, 7, 1)


def test_pictures_of_one_video_are_not_split_into_training_and_test(reference: Path, tmp_path: Path) -> None:
    source = str(reference / "label-samples/for_video")
    summary = convert(ConvertOptions(source=source), tmp_path / "out")
    assert {name: count for name, count in summary.counts.items() if name.endswith("images")} == {
        "train_images": 3, "val_images": 0, "test_images": 0
    }  # fmt: skip
    assert any(note.startswith("val and test are EMPTY: 1 labelled recording for 3 splits") for note in summary.notes)


def test_every_export_in_a_folder_is_read(tmp_path: Path) -> None:
    for number, label in enumerate(("CAR", "BUS", "CAR")):
        head = f"<meta><task><labels><label><name>{label}</name></label></labels></task></meta>"
        box = f'<box label="{label}" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4"/>'
        image = f'<image id="0" name="{number}.jpg" width="96" height="72">{box}</image>'
        (tmp_path / f"task-{number}.xml").write_text(f"<annotations>{head}{image}</annotations>")
    (tmp_path / "other.xml").write_text("<plist/>")
    reader = CvatReader(tmp_path, ReadOptions())
    assert reader.classes == ("CAR", "BUS")
    found = [(picture.name, picture.annotations[0].class_name) for picture in reader.pictures()]
    assert found == [("0.jpg", "CAR"), ("1.jpg", "BUS"), ("2.jpg", "CAR")]


def test_one_name_in_two_tasks_is_refused_with_both(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"task-{number}.xml").write_text('<annotations><image id="0" name="a.jpg"></image></annotations>')
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(jpeg(1))
    with pytest.raises(
        DatasetError, match=r"images/a\.jpg: the label files name a picture twice, .*task-1\.xml line 1"
    ):
        open_source(SourceChoice(str(tmp_path)))
