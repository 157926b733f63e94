"""`traffic-yolo predict`: the detections are those of `detect`; what is drawn and written says them."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from small_shares import jpeg, write_recording

from traffic_yolo.cli import main
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, ModelError, PictureError, StorageError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.predict.inputs import Inputs
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict

LOW = ModelOptions(confidence_threshold=0.02)
NOTHING = ModelOptions(confidence_threshold=0.99999)  # so that a drawn frame is the frame


@pytest.fixture(scope="module")
def pictures(small_data_set: Path) -> list[Path]:
    data = DataSet.open(small_data_set)
    return [image.path for split in ("train", "val", "test") for image in data.split(split)]


@pytest.fixture(scope="module")
def raw(untrained_model: Path, small_data_set: Path) -> RawDetections:
    """What `detect` keeps of the split val, before any threshold."""
    return detect_split(ModelFolder.open(untrained_model), DataSet.open(small_data_set), "val")


@pytest.fixture
def model(untrained_model: Path, raw: RawDetections, tmp_path: Path) -> Path:
    """The untrained model with an operating point of its own, whose thresholds cut through its scores."""
    folder = tmp_path / "street-model"
    folder.mkdir()
    for path in untrained_model.iterdir():
        (folder / path.name).symlink_to(path)
    own = {raw.classes[class_id]: middle_score(raw, class_id) for class_id in np.unique(raw.score_class_ids)[:2]}
    point = {"confidence_threshold": 0.05, "iou_threshold": 0.3, "class_thresholds": own,
             "nms": {"kind": "greedynms", "beta": 0.6, "max_detections": 15}}  # fmt: skip
    (folder / "operating_point.json").write_text(json.dumps(point))
    return folder


def middle_score(raw: RawDetections, class_id: int) -> float:
    """What half of the scores of a class that NMS leaves are above."""
    found = non_maximum_suppression(raw, NmsOptions(0.05, 0.3, "greedynms", max_detections=100_000))
    return float(np.median(found.scores[found.class_ids == class_id]))


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    def write(count: int = 7, name: str = "street.avi", fps: float = 10.0) -> Path:
        video = cv2.VideoWriter(str(tmp_path / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, (96, 72))
        for number in range(count):
            video.write(np.full((72, 96, 3), 30 * (number % 9), np.uint8))
        video.release()
        return tmp_path / name

    return write


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]


def rows(found: Detections) -> list[tuple[list[float], float, int]]:
    return list(zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True))


def test_detections_are_exactly_those_of_detect_at_the_thresholds_of_the_model(
    model: Path, raw: RawDetections, small_data_set: Path, tmp_path: Path
) -> None:
    images = DataSet.open(small_data_set).split("val")
    own = json.loads((model / "operating_point.json").read_text())["class_thresholds"]
    thresholds = np.array([own.get(name, 0.05) for name in raw.classes], np.float32)
    kept = non_maximum_suppression(raw, NmsOptions(0.05, 0.3, "greedynms", max_detections=100_000))
    at_one = len(kept)
    kept = kept.select(kept.scores > thresholds[kept.class_ids])
    whole = [rows(kept.select(kept.image_ids == image.image_id)) for image in images]
    assert 0 < len(kept) < 0.8 * at_one  # so that thresholds and limit both have something to do
    assert max(map(len, whole)) > 15

    predict(str(model), [image.path for image in images], tmp_path / "out", PredictOptions(save=("jsonl",), draw=False))
    found = [
        [(each["xyxy"], each["score"], each["class_id"]) for each in line["detections"]]
        for line in lines_of(tmp_path / "out")
    ]
    assert found == [part[:15] for part in whole]


def test_options_put_the_thresholds_of_the_model_aside(
    model: Path, raw: RawDetections, small_data_set: Path, tmp_path: Path
) -> None:
    first, second = np.unique(raw.score_class_ids)[:2].tolist()
    high = middle_score(raw, second)
    options = ModelOptions(
        confidence_threshold=0.1, class_thresholds=f"{raw.classes[second]}={high}", iou_threshold=0.9
    )
    pictures = [image.path for image in DataSet.open(small_data_set).split("val")]
    point = json.loads((model / "operating_point.json").read_text())
    (model / "operating_point.json").write_text(json.dumps(point | {"nms": {"max_detections": 100_000}}))
    only = PredictOptions(save=("jsonl",), draw=False)
    summary = predict(model, pictures, tmp_path / "out", only, options)
    expected = non_maximum_suppression(raw, NmsOptions(0.1, 0.9, max_detections=100_000))
    thresholds = np.full(len(raw.classes), 0.1, np.float32)
    thresholds[second] = high
    expected = expected.select(expected.scores > thresholds[expected.class_ids])
    counts = np.bincount(expected.class_ids, minlength=len(raw.classes))
    assert list(summary.by_class.values()) == counts.tolist()
    assert summary.by_class[raw.classes[first]] > 0
    assert "changed by options" in summary.text


def test_every_format_says_the_same_boxes_with_their_scores(
    untrained_model: Path, pictures: list[Path], tmp_path: Path
) -> None:
    from pycocotools.coco import COCO

    formats = PredictOptions(save=("coco", "yolo", "csv", "jsonl", "labelstudio"))
    summary = predict(untrained_model, [pictures[0].parent], tmp_path / "out", formats, LOW)
    out = tmp_path / "out"
    lines = lines_of(out)
    assert len(lines) == summary.num_pictures == 3
    expected = [(line["file_name"], each) for line in lines for each in line["detections"]]
    assert len(expected) == sum(summary.by_class.values()) > 20

    table = list(csv.DictReader((out / "detections.csv").read_text().splitlines()))
    assert [(row["class_name"], row["score"]) for row in table] == [
        (each["class_name"], f"{each['score']:.6f}") for _, each in expected
    ]
    assert [float(row["left"]) for row in table] == pytest.approx([each["xyxy"][0] for _, each in expected], abs=1e-3)

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(out / "instances.json"))
        results = truth.loadRes(str(out / "results.json")).dataset["annotations"]
    names = {entry["id"]: entry["name"] for entry in truth.dataset["categories"]}
    files = {entry["id"]: entry["file_name"] for entry in truth.dataset["images"]}
    for entries in (results, truth.dataset["annotations"]):
        assert [(files[each["image_id"]], names[each["category_id"]], each["score"]) for each in entries] == [
            (file, each["class_name"], each["score"]) for file, each in expected
        ]
        for entry, (_, each) in zip(entries, expected, strict=True):
            left, top, right, bottom = each["xyxy"]
            assert entry["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=1e-4)

    classes = (out / "classes.names").read_text().splitlines()
    texts = [
        (line, text.split())
        for line in lines
        for text in (out / "labels" / line["file_name"]).with_suffix(".txt").read_text().splitlines()
    ]
    assert [classes[int(fields[0])] for _, fields in texts] == [each["class_name"] for _, each in expected]
    for (line, fields), (_, each) in zip(texts, expected, strict=True):
        cx, cy, width, height, score = map(float, fields[1:])
        left, top, right, bottom = each["xyxy"]
        assert score == pytest.approx(each["score"], abs=1e-6)
        assert (cx - width / 2) * line["width"] == pytest.approx(left, abs=1e-4)
        assert (cy + height / 2) * line["height"] == pytest.approx(bottom, abs=1e-4)

    tasks = json.loads((out / "labelstudio.json").read_text())
    assert len(tasks) == 3
    results_of = [each for task in tasks for each in task["predictions"][0]["result"]]
    assert [each["value"]["rectanglelabels"] for each in results_of] == [[each["class_name"]] for _, each in expected]
    assert [each["score"] for each in results_of] == [each["score"] for _, each in expected]
    assert results_of[0]["value"]["x"] == pytest.approx(expected[0][1]["xyxy"][0] / 320 * 100)
    image = tasks[0]["data"]["image"].removeprefix("/data/local-files/?d=")
    assert (out / image).read_bytes() == (pictures[0].parent / lines[0]["file_name"]).read_bytes()
    assert cv2.imread(str((out / "drawn" / lines[0]["file_name"]).with_suffix(".jpg"))).shape == (192, 320, 3)
    assert not list(out.glob(".*"))


def test_a_drawn_picture_has_its_boxes_where_they_were_found(
    untrained_model: Path, pictures: list[Path], tmp_path: Path
) -> None:
    predict(untrained_model, pictures[:1], tmp_path / "out", PredictOptions(save=("jsonl",)), LOW)
    before = cv2.imread(str(pictures[0])).astype(int)
    after = cv2.imread(str(next((tmp_path / "out" / "drawn").iterdir()))).astype(int)
    changed = np.abs(after - before).max(axis=2) > 60
    for each in lines_of(tmp_path / "out")[0]["detections"]:
        left, top, right, bottom = (round(value) for value in each["xyxy"])
        if right - left > 10 and bottom - top > 10 and right < 318 and bottom < 190:
            assert changed[top : bottom + 1, right - 1 : right + 2].any(axis=1).mean() > 0.7
            return
    pytest.fail("no box to look at")


def test_a_video_is_looked_at_frame_by_frame_and_drawn_as_one(
    untrained_model: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = write_video(count=21)  # more than two batches and what waits
    summary = predict(untrained_model, [video], tmp_path / "out", PredictOptions(save=("jsonl",), stride=2), NOTHING)
    lines = lines_of(tmp_path / "out")
    assert summary.num_pictures == len(lines) == 11
    assert [line["frame"] for line in lines] == list(range(0, 21, 2))
    assert [line["time_s"] for line in lines] == pytest.approx([0.2 * index for index in range(11)])
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "drawn" / "street.avi"))
    assert drawn.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    frames = []
    while (read := drawn.read())[0]:
        frames.append(read[1])
    assert len(frames) == 11
    middles = [float(np.median(frame)) for frame in frames[:5]]  # a frame of another place would be 60 away
    assert middles == pytest.approx([0, 60, 120, 180, 240], abs=25)


def test_a_video_that_is_cut_off_is_told(
    untrained_model: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = write_video(count=30)
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    summary = predict(untrained_model, [video], tmp_path / "out", PredictOptions(save=("csv",), draw=False), LOW)
    assert 0 < summary.num_pictures < 30
    assert f"{summary.num_pictures} of the 30 frames to look at could be decoded" in summary.text


def test_scans_of_a_recording_are_pictures_and_those_without_one_are_told(
    untrained_model: Path, tmp_path: Path
) -> None:
    recording = write_recording(tmp_path / "20210901120000_0.h5", [jpeg(1), None, jpeg(2), jpeg(3)])
    summary = predict(
        untrained_model, [recording], tmp_path / "out", PredictOptions(save=("jsonl", "labelstudio")), LOW
    )
    lines = lines_of(tmp_path / "out")
    assert [line["frame"] for line in lines] == [0, 2, 3]
    assert "1 scans without a picture left out" in summary.text
    assert (tmp_path / "out" / "images" / lines[1]["file_name"]).read_bytes() == jpeg(2)
    assert len(list((tmp_path / "out" / "drawn").rglob("*.jpg"))) == 3


def test_a_picture_of_another_mode_is_what_detect_makes_of_it(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 256)
    alpha = np.dstack([grey, grey // 2, grey // 4, np.full_like(grey, 7)])
    cv2.imwrite(str(tmp_path / "alpha.png"), alpha)
    Image.fromarray(np.zeros((8, 8, 4), np.uint8), "CMYK").save(tmp_path / "print.jpg")
    found = {picture.name: picture.rgb() for _, picture in Inputs.find([tmp_path], PredictOptions()).pictures()}
    assert (found["grey"] == grey[..., None]).all()
    assert (found["deep"] == grey[..., None]).all()
    assert (found["alpha"] == alpha[..., [2, 1, 0]]).all()
    assert (found["print"] > 250).all()  # no ink


def test_names_of_what_is_written_never_meet(tmp_path: Path) -> None:
    for path in ("a.jpg", "A.png", "b/c.jpg", "d/c.jpg", "b.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(jpeg(1))
    sources = [tmp_path / "a.jpg", tmp_path / "A.png", tmp_path / "b", str(tmp_path / "*" / "c.jpg"), tmp_path]
    names = [file.name.lower() for file in Inputs.find(sources, PredictOptions()).files]
    assert len(set(names)) == len(names) == 5
    assert not [name for name in names if any(other.startswith(f"{name}/") for other in names)]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr().err.strip()
    assert caught.value.code == 2, printed
    assert printed.startswith("error: ")
    assert "\n" not in printed
    return printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{model} nothing.jpg", "SOURCE: nothing.jpg: not found"),
        ("{model} *.jpeg", r"nothing matches \*.jpeg"),
        ("{model} text.txt", "text.txt is no picture, video or recording"),
        ("{model} text.jpg", "text.jpg: expected a JPEG, PNG or BMP"),
        ("{model} cut.jpg", "cut.jpg: the picture is damaged and cannot be decoded"),
        ("{model} text.mp4", "text.mp4: OpenCV cannot open this as a video"),
        ("{model} none.avi", "none.avi: "),
        ("{model} odd.avi", "odd.avi: OpenCV cannot open this as a video.*codec"),
        ("{model} text.h5", "text.h5"),
        ("{model} empty", "no pictures, videos or recordings below empty"),
        (
            "{model} rtsp://camera/1",
            "^error: SOURCE: rtsp://camera/1 has no end; say how much of it is looked at: --seconds",
        ),
        ("nowhere good.jpg", "model not found: nowhere"),
        ("zoo://street good.jpg", "^error: --zoo: zoo://street is a name in a zoo"),
        ("street good.jpg --zoo nowhere", "--zoo: nowhere: not found"),
        ("{model} good.jpg --version 3", "^error: --version: a version of a model in a zoo"),
        ("{model} good.jpg --cfg text.txt", "^error: --cfg: goes with a Darknet .weights"),
        ("{model}/model.weights good.jpg --weights-names missing", "--weights-names: missing: not found"),
        ("{model} good.jpg --class-thresholds TRAM=0.4", "^error: --class-thresholds: 'TRAM' is no class of the model"),
        ("{model} good.jpg --class-thresholds CAR", "^error: --class-thresholds: expected CLASS=number"),
        ("{model} good.jpg --confidence-threshold 1", "^error: --confidence-threshold: expected a number in"),
        ("{model} good.jpg --save pdf", "^error: --save: expected one of coco"),
        ("{model} good.jpg --no-draw", "^error: --save: nothing would be written"),
        ("{model} good.jpg --device cuda", "PyTorch sees no GPU"),
        ("{model} good.jpg --out full", "output exists already: .*full"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arguments: str,
    message: str,
    untrained_model: Path,
    write_video: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAFFIC_YOLO_ZOO", raising=False)
    for name in ("text.txt", "text.jpg", "text.mp4", "text.h5"):
        (tmp_path / name).write_text("no picture at all\n" * 40)
    Path("good.jpg").write_bytes(jpeg(1))
    Path("cut.jpg").write_bytes(jpeg(1, 320, 240)[:-900])
    for name in ("empty", "full"):
        Path(name).mkdir()
    Path("full/x").touch()
    if "avi" in arguments:
        data = write_video().read_bytes()
        write_video(count=0, name="none.avi")
        Path("odd.avi").write_bytes(data.replace(b"MJPG", b"ZZZZ"))
        Path("street.avi").unlink()
    there = sorted(path.name for path in tmp_path.iterdir())
    given = arguments.format(model=untrained_model).split()
    given += [] if "--out" in given else ["--out", "out"]
    assert re.search(message, refused(["predict", *given], capfd))
    assert sorted(path.name for path in tmp_path.iterdir()) == there


@pytest.mark.long
def test_a_disk_that_is_full_under_a_video_leaves_nothing(
    untrained_model: Path, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = write_video(count=21)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, limits[1]))  # Python ignores the signal: writes fail
        with pytest.raises(StorageError, match=r"street\.avi: the drawn video could not be written whole"):
            predict(untrained_model, [video], tmp_path / "out", model_options=LOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["street.avi"]


def test_an_operating_point_of_its_own_file_counts_and_one_of_other_weights_is_refused(
    model: Path, untrained_model: Path, pictures: list[Path], tmp_path: Path
) -> None:
    only = PredictOptions(save=("jsonl",), draw=False)
    predict(model, pictures[:2], tmp_path / "expected", only)
    tuning = tmp_path / "tuning"
    tuning.mkdir()
    point = json.loads((model / "operating_point.json").read_text())
    weights = hashlib.sha256((model / "model.weights").read_bytes()).hexdigest()
    options = ModelOptions(operating_point=str(tuning))
    for stated, name in ((weights, "found"), ("0" * 64, "refused")):
        (tuning / "operating_point.json").write_text(json.dumps(point | {"model": {"weights_sha256": stated}}))
        if name == "found":
            predict(untrained_model, pictures[:2], tmp_path / name, only, options)
            assert lines_of(tmp_path / name) == lines_of(tmp_path / "expected")
        else:
            with pytest.raises(EvaluationError, match=r"operating_point\.json was chosen for other weights"):
                predict(untrained_model, pictures[:2], tmp_path / name, only, options)


def test_a_source_that_is_not_there_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from traffic_yolo.cli import main\n"
        "try: main(['predict', 'model', 'nowhere.jpg', '--out', 'out'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (2, "False")
    assert done.stderr.startswith("error: SOURCE: nowhere.jpg: not found")


def test_a_fault_in_the_middle_leaves_nothing(untrained_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(pictures[0].read_bytes()[:-2000])
    with pytest.raises(PictureError, match="bad.jpg: the picture is damaged"):
        predict(untrained_model, [*pictures[:4], bad, *pictures[4:]], tmp_path / "out", PredictOptions(save=("coco",)))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]


def test_the_command_says_what_was_found_and_as_json(
    untrained_model: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["predict", str(untrained_model), str(pictures[0].parent), "--save", "jsonl", "--save", "csv", "--no-draw"]
    for flags in ([], ["--json"]):
        with pytest.raises(SystemExit) as caught:
            main([*given, *flags, "--out", str(tmp_path / f"out{len(flags)}")])
        assert not caught.value.code
    text, _, document = capsys.readouterr().out.partition("{")
    values = json.loads("{" + document)
    counted = [each["class_name"] for line in lines_of(tmp_path / "out1") for each in line["detections"]]
    assert {name: count for name, count in values["detections"].items() if count} == Counter(counted)
    assert values["pictures"] == 3
    assert all(f"{count} {name}" in text for name, count in Counter(counted).items())
    assert "confidence above 0.25; NMS at IoU 0.45; defaults" in text
    assert sorted(path.name for path in (tmp_path / "out0").iterdir()) == ["detections.csv", "detections.jsonl"]


def test_a_darknet_pair_is_a_model(untrained_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    pair.mkdir()
    for name, text in (("y.cfg", "model.cfg"), ("y.weights", "model.weights"), ("y.names", "classes.names")):
        (pair / name).write_bytes((untrained_model / text).read_bytes())
    only = PredictOptions(save=("jsonl",), draw=False)
    summary = predict(pair / "y.weights", pictures[:1], tmp_path / "a", only, LOW)
    predict(untrained_model, pictures[:1], tmp_path / "b", only, LOW)
    assert lines_of(tmp_path / "a") == lines_of(tmp_path / "b")
    assert summary.model == "y.weights"
    moved = dataclasses.replace(LOW, cfg=str(pair / "y.cfg"), weights_names=str(untrained_model / "classes.names"))
    (pair / "y.weights").rename(tmp_path / "other.weights")
    predict(tmp_path / "other.weights", pictures[:1], tmp_path / "c", only, moved)
    assert lines_of(tmp_path / "c") == lines_of(tmp_path / "b")


@pytest.fixture
def zoo(model: Path, tmp_path: Path) -> Path:
    """A zoo with one version, whose card carries the operating point of `model`."""
    bundle = tmp_path / "zoo" / "traffic-small" / "0001-0123456789ab"
    bundle.mkdir(parents=True)
    for name in ("model.cfg", "model.weights", "classes.names"):
        (bundle / name).write_bytes((model / name).read_bytes())
    point = json.loads((model / "operating_point.json").read_text())
    card = {"schema_version": 1, "classes": list(ModelFolder.open(model).classes), "operating_point": point}
    (bundle / "card.json").write_text(json.dumps(card))
    (bundle.parent / "current").write_text(f"{bundle.name}\n")
    seal(bundle)
    return tmp_path / "zoo"


def seal(bundle: Path) -> None:
    """Writes the checksums of a bundle."""
    names = sorted(path.name for path in bundle.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (bundle / "SHA256SUMS").write_text("".join(lines))


def test_a_name_in_a_zoo_is_its_version_in_use_with_its_thresholds(
    zoo: Path, model: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = PredictOptions(save=("jsonl",), draw=False)
    predict(model, pictures[:2], tmp_path / "expected", only)
    options = ModelOptions(zoo=str(zoo))
    summary = predict("traffic-small", pictures[:2], tmp_path / "name", only, options)
    assert "traffic-small 0001-0123456789ab" in summary.text
    monkeypatch.setenv("TRAFFIC_YOLO_ZOO", str(zoo))
    predict("zoo://traffic-small/1", pictures[:2], tmp_path / "scheme", only)
    predict(zoo / "traffic-small" / "0001-0123456789ab", pictures[:2], tmp_path / "bundle", only)
    assert sum(len(line["detections"]) for line in lines_of(tmp_path / "expected")) > 3
    for name in ("name", "scheme", "bundle"):
        assert lines_of(tmp_path / name) == lines_of(tmp_path / "expected")


def test_a_bundle_that_was_changed_or_has_other_classes_is_refused(
    zoo: Path, pictures: list[Path], tmp_path: Path
) -> None:
    bundle = zoo / "traffic-small" / "0001-0123456789ab"
    card = json.loads((bundle / "card.json").read_text())
    (bundle / "card.json").write_text(json.dumps(card | {"classes": ["TRAM", *card["classes"][1:]]}))
    with pytest.raises(ModelError, match=r"card\.json was changed after publishing"):
        predict(bundle, pictures[:1], tmp_path / "out")
    seal(bundle)
    with pytest.raises(ModelError, match=r"card\.json names other classes than classes\.names"):
        predict(bundle, pictures[:1], tmp_path / "out")
    point = card["operating_point"] | {"class_thresholds": {"TRAM": 0.4}}
    (bundle / "card.json").write_text(json.dumps(card | {"operating_point": point}))
    seal(bundle)
    with pytest.raises(EvaluationError, match="class_thresholds: 'TRAM' is no class of the model"):
        predict(bundle, pictures[:1], tmp_path / "out")
    assert not (tmp_path / "out").exists()
