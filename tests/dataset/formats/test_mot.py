"""MOT sequences: MOTChallenge's and CVAT's, which count differently; frames without boxes; detections; refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.mot import MotReader
from traffic_yolo.dataset.options import ExportOptions, SourceChoice
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.label_formats import detect_label_format
from traffic_yolo.dataset.sources.opening import open_source
from traffic_yolo.errors import LabelError

NO_OPTIONS = ReadOptions()
INFO = f"[Sequence]\nname=MOT17-02\nimDir=img1\nframeRate=30\nseqLength=3\nimWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.jpg\n"


def sequence(folder: Path, *lines: str, file: str = "gt/gt.txt", info: str = "", labels: str = "") -> Path:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("".join(line + "\n" for line in lines))
    if info:
        (folder / "seqinfo.ini").write_text(info)
    if labels:
        (folder / "gt/labels.txt").write_text(labels)
    return folder


def pictures(folder: Path, *names: str) -> None:
    (folder / "img1").mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / "img1" / name).write_bytes(jpeg(number))


def test_a_sequence_of_motchallenge_counts_from_one(tmp_path: Path) -> None:
    folder = sequence(
        tmp_path / "train/MOT17-02-DPM", "1,7,11,21,30,40,1,3,0.75", "3, 8, 1, 1, 9, 9, 0, 8, 0", info=INFO
    )
    pictures(folder, "000001.jpg", "000002.jpg", "000003.jpg")
    assert detect_label_format(tmp_path) == "mot"
    source = open_source(SourceChoice(str(tmp_path)))
    first, second, third = source.frames()
    assert [frame.file_name for frame in (first, second, third)] == [f"MOT17-02/00000{n}.jpg" for n in (1, 2, 3)]
    (car,), (distractor,) = first.annotations, third.annotations
    assert (car.class_name, car.xywh, car.ignore) == ("Car", (10, 20, 30, 40), False)
    assert car.attributes == {"track_id": 7, "visibility": 0.75}
    assert (distractor.class_name, distractor.xywh, distractor.ignore) == ("Distractor", (0, 0, 9, 9), True)
    assert second.annotations == ()
    assert second.labelled
    assert (source.classes, source.apart) == (("Car", "Distractor"), {"Distractor"})
    assert not source.may_split_pictures
    assert [key.own_split for key in source.keys()] == ["train"] * 3  # noqa: SIM118 (no dict)
    assert source.notes == ["MOT: corners of 1 sequences counted from 1, as MOTChallenge says"]


def test_cvat_s_export_counts_from_zero_and_names_its_classes(tmp_path: Path) -> None:
    sequence(tmp_path, "1,1,10,20,30,40,1,2,1.0", "2,1,12,20,30,40,0,1,0.5", labels="CAR\nBUS\nVAN\n")
    pictures(tmp_path, "000001.png", "000002.png", "000003.png")
    reader = MotReader(tmp_path, NO_OPTIONS)
    found = [
        (p.path.name if p.path else "", [(a.class_name, a.xywh, a.ignore) for a in p.annotations])
        for p in reader.pictures()
    ]
    assert found == [
        ("000001.png", [("BUS", (10, 20, 30, 40), False)]),
        ("000002.png", [("CAR", (12, 20, 30, 40), True)]),
        ("000003.png", []),
    ]
    assert reader.classes == ("CAR", "BUS", "VAN")
    assert reader.notes() == ["MOT: corners of 1 sequences counted from 0, as CVAT writes them"]


def test_detections_are_a_model_s_and_say_nothing_of_empty_frames(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a", "2,-1,11,21,30,40,0.5,-1,-1,-1", "2,-1,1,1,3,4,27.5,-1,-1,-1", file="det/det.txt")
    pictures(folder, "1.jpg", "2.jpg")
    (labels,) = MotReader(tmp_path, NO_OPTIONS).pictures()
    assert [(a.class_name, a.label_source, a.confidence, dict(a.attributes)) for a in labels.annotations] == [
        ("Pedestrian", "model", 0.5, {}), ("Pedestrian", "model", None, {"score": 27.5}),
    ]  # fmt: skip
    sequence(tmp_path / "a", "2,4,11,21,30,40,1,-1,-1,-1")  # MOT15: a place in the world, no visibility
    one, two = MotReader(tmp_path, NO_OPTIONS).pictures()
    assert (one.annotations, two.annotations[0].label_source) == ((), "human")
    assert two.annotations[0].attributes == {"track_id": 4}


def test_frames_that_only_the_head_states_may_be_missing(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a", "1,1,10,20,30,40,1,3,1", "2,1,10,20,30,40,1,3,1", info=INFO)
    pictures(folder, "000001.jpg", "0000002.jpg", "2.jpg", "a.jpg")
    told: list[Problem] = []
    labels = list(MotReader(tmp_path, NO_OPTIONS).pictures(told.append))
    assert [(p.name, p.implied, p.path is not None) for p in labels] == [
        ("MOT17-02/000001", False, True), ("MOT17-02/000002", False, True), ("MOT17-02/000003", True, False),
    ]  # fmt: skip
    assert [problem.kind for problem in told] == ["picture-left-out"] * 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,1,10,20,30,40", "expected frame, id, left, top, width, height, flag, class, visibility"),
        ("1 1 10 20 30 40 1 1 1", "expected frame, id, left"),
        ("x,1,10,20,30,40,1,1,1", "frame must be a number"),
        ("1.5,1,10,20,30,40,1,1,1", "frame must be a whole number"),
        ("1,1,ten,20,30,40,1,1,1", "left must be a number"),
        ("1,1,nan,20,30,40,1,1,1", "left must be a number"),
        ("1,1,10,20,30,40,0.5,1,1", r"expected 0 \(ignored\) or 1 in column 7; found '0.5'"),
        ("1,1,10,20,30,40,1,14,1", "unknown class 14; there are 13, numbered from 1"),
        ("1,1,10,20,30,40,1,0,1", "unknown class 0"),
        ("1,1,10,20,30,40,1,1_0,1", "class: expected a whole number"),
        ("1,1,10,20,30,40,1,1,high", "visibility must be a number"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    sequence(tmp_path, "1,1,10,20,30,40,1,1,1", line)
    with pytest.raises(LabelError, match=rf"gt/gt\.txt line 2: {words}"):
        list(MotReader(tmp_path, NO_OPTIONS).pictures())


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ("name=x", r"expected \[Sequence\]"),
        ("[Sequence]\nimDir=../..", "imDir '../..' lies outside"),
        ("[Sequence]\nseqLength=99999999", "seqLength: expected 1,000,000 frames at most; found 99999999"),
        ("[Sequence]\nimWidth=wide", "imwidth must be a number"),
    ],
)
def test_heads_without_sense_are_refused(tmp_path: Path, info: Any, words: str) -> None:
    sequence(tmp_path, "1,1,10,20,30,40,1,1,1", info=info)
    with pytest.raises(LabelError, match=rf"seqinfo\.ini: {words}"):
        MotReader(tmp_path, NO_OPTIONS)


def test_a_frame_with_a_broken_line_is_not_given_and_problems_name_their_frames(tmp_path: Path) -> None:
    sequence(tmp_path, "1,1,9,9,5,5,1,1,1", "2,1,9,9,5,5,1,1,1", "2,2,9,9,?,5,1,1,1", "3,1,9,9,0,5,1,1,1", "x,1,1,1,1,1,1,1,1",
             labels="CAR\n")  # fmt: skip
    pictures(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    told: list[Problem] = []
    given = [labels.where for labels in MotReader(tmp_path, NO_OPTIONS).pictures(told.append)]
    places = [f"{tmp_path / 'gt/gt.txt'} frame {frame}" for frame in (1, 2, 3)]
    assert given == [places[0], places[2]]
    assert [(problem.kind, problem.about and problem.about.labels) for problem in told] == [
        ("label-broken", (places[1],)),
        ("box-without-area", (places[2],)),
        ("label-broken", ("",)),
        ("picture-emptied", (places[2],)),
    ]


def test_an_export_has_the_lines_of_cvat_and_two_sequences_for_those_who_drew(tmp_path: Path) -> None:
    """Corners from 0 beside `gt/labels.txt`, frames from 1, the classes by their line, what a machine drew apart."""
    source = tmp_path / "set"
    (source / "images/rec").mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 1, "name": "CAR"}, {"id": 2, "name": "traffic light"}]
    boxes: list[list[dict[str, Any]]] = [
        [{"bbox": [1.5, 2, 30, 20.25], "attributes": {"track_id": 7, "visibility": 0.5}},
         {"bbox": [4, 5, 6, 7], "category_id": 2, "ignore": 1}],
        [{"bbox": [1, 2, 3, 4], "label_source": "model", "confidence": 0.25}],
        [],
    ]  # fmt: skip
    for number, found in enumerate(boxes):
        name = f"rec/SCAN_0000{number}.jpg"
        (source / "images" / name).write_bytes(jpeg(number))
        content["images"].append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for box in found:
            own = {"id": len(content["annotations"]), "image_id": number, "category_id": 1}
            content["annotations"].append(own | box)
    (source / "instances.json").write_text(json.dumps(content))
    told = export_labels(ExportOptions(str(source), to="mot", copy_pictures=True), tmp_path / "out")
    assert (told.num_pictures, told.num_boxes) == (3, 3)
    files = {
        "rec/gt/gt.txt": "1,7,1.5,2,30,20.25,1,1,0.5\n1,-1,4,5,6,7,0,2,-1\n",
        "rec/gt/labels.txt": "CAR\ntraffic light\n",
        "rec/seqinfo.ini": f"[Sequence]\nname=rec\nimDir=img1\nseqLength=2\nimWidth={WIDTH}\nimHeight={HEIGHT}\n\n",
        "rec-unlabelled/det/det.txt": "1,-1,1,2,3,4,0.25,1,-1\n",
    }
    assert {name: (tmp_path / "out" / name).read_text() for name in files} == files
    assert (tmp_path / "out/rec/img1/000002.jpg").read_bytes() == jpeg(2)
    (tmp_path / "out/sidecar.jsonl").unlink()  # for everybody else
    frames = list(open_source(SourceChoice(str(tmp_path / "out"))).frames())
    assert [(frame.file_name, frame.labelled, len(frame.annotations)) for frame in frames] == [
        ("rec/000001.jpg", True, 2), ("rec/000002.jpg", True, 0), ("rec-unlabelled/000001.jpg", False, 1),
    ]  # fmt: skip
    assert frames[0].annotations[0].xywh == (1.5, 2.0, 30.0, 20.25)
    assert frames[0].annotations[1].ignore
    assert frames[2].annotations[0].confidence == 0.25
