"""Regions of interest, crops, and predictions in the formats of labelling tools."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.cli import main
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.cvat import CvatReader
from traffic_yolo.dataset.formats.kitti import KittiReader
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Input
from traffic_yolo.predict.label_writers import CropWriter
from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict
from traffic_yolo.predict.region import Region
from traffic_yolo.predict.region_filter import inside

LOW = ModelOptions(confidence_threshold=0.02)


def picture(pixels: np.ndarray) -> InputPicture:
    return InputPicture.of_pixels(pixels, image_id=1, name="street/000000", path=Path("street.avi"), frame=0)


def detections(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.ones(count, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, 0.5, np.float32),
        np.zeros(count, np.int64),
    )


def test_the_foot_of_a_box_decides_whether_it_is_inside() -> None:
    # A triangle with corners (0, 100), (100, 100), (50, 50)
    regions = [Region.parse("0,100 100,100 50,50")]
    boxes = detections(
        (40, 10, 60, 40),  # above it
        (40, 10, 60, 60),  # foot (50, 60)
        (0, 10, 20, 60),  # foot (10, 60): beside the slope
        (40, 40, 60, 100),  # foot on the edge
        (40, 60, 60, 140),  # reaches below the picture: its foot is on the picture's edge
    )
    found = inside(regions, Input("a", "street"), picture(np.zeros((100, 100, 3), np.uint8)), boxes)
    assert found.boxes_xyxy[:, 3].tolist() == [60, 100, 140]
    assert len(inside(regions, Input("a", "street"), picture(np.zeros((100, 100, 3), np.uint8)), detections())) == 0


def test_a_region_with_a_name_is_for_that_source_alone_and_two_add_up() -> None:
    still = picture(np.zeros((100, 100, 3), np.uint8))
    boxes = detections((10, 10, 20, 20), (70, 10, 80, 20))
    left, right = Region.parse("north*=0,0 50,0 50,50 0,50"), Region.parse("north*=50,0 99,0 99,50 50,50")
    assert len(inside([left], Input("a", "north_1"), still, boxes)) == 1
    assert len(inside([left, right], Input("a", "north_1"), still, boxes)) == 2
    assert len(inside([left], Input("a", "south"), still, boxes)) == 2


@pytest.mark.parametrize(
    "text", ["1,2 3,4", "1,2 3,4 5", "1,2,3 4,5 6,7", "a,b c,d e,f", "=0,0 1,0 1,1", "0,0 1,0 1,inf"]
)
def test_what_is_no_polygon_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match=r"^region: expected X,Y X,Y X,Y … in pixels"):
        PredictOptions(region=(text,))


def test_crops_are_the_pixels_of_the_boxes_by_class(tmp_path: Path) -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:30, 20:50] = (255, 0, 0)
    writer = CropWriter(tmp_path, ["CAR/VAN"])
    writer.add(picture(pixels), detections((20, 10, 50, 30), (-9.5, -2, 9.5, 5.5), (90, 0, 99, 9)))
    crops = {path.name: cv2.imread(str(path)) for path in tmp_path.rglob("*.jpg")}
    assert {path.parent.parent.name for path in tmp_path.rglob("*.jpg")} == {"CAR_VAN"}
    assert {name: crop.shape[:2] for name, crop in crops.items()} == {"000000_1.jpg": (20, 30), "000000_2.jpg": (6, 10)}
    assert np.abs(crops["000000_1.jpg"].astype(int) - (0, 0, 255)).max() < 8  # BGR


def test_cvat_and_kitti_say_the_boxes_scores_and_names(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    source = next(path for path in sorted((small_data_set / "images").iterdir()) if path.is_dir())
    options = PredictOptions(save=("jsonl", "cvat", "kitti"), draw=False, crops=True)
    summary = predict(untrained_model, [source], tmp_path / "out", options, LOW)
    out = tmp_path / "out"
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
    expected = {
        line["file_name"]: [(each["class_name"], each["score"], each["xyxy"]) for each in line["detections"]]
        for line in lines
    }
    assert sum(map(len, expected.values())) == sum(summary.by_class.values()) > 20
    cvat = {each.name: each for each in CvatReader(out / "annotations.xml", ReadOptions()).pictures()}
    kitti = {f"{each.name}.jpg": each for each in KittiReader(out, ReadOptions()).pictures()}
    for read, tolerance in ((cvat, 1e-9), (kitti, 1e-6)):
        assert list(read) == list(expected)
        for name, labels in read.items():
            assert {each.label_source for each in labels.annotations} <= {"model"}
            for found, (class_name, score, (left, top, right, bottom)) in zip(
                labels.annotations, expected[name], strict=True
            ):
                assert found.class_name == class_name
                assert found.confidence == pytest.approx(score, abs=tolerance)
                assert found.xywh == pytest.approx((left, top, right - left, bottom - top), abs=2e-4)
    assert len(list((out / "crops").rglob("*.jpg"))) == sum(summary.by_class.values())


def test_a_region_holds_for_what_is_reported_and_a_wrong_one_is_one_line(
    untrained_model: Path, small_data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = min((small_data_set / "images").rglob("*.jpg"))  # 320 x 192
    only = PredictOptions(save=("jsonl",), draw=False)
    predict(untrained_model, [still], tmp_path / "all", only, LOW)
    half = PredictOptions(save=("jsonl",), draw=False, region=("0,0 160,0 160,192 0,192",))
    predict(untrained_model, [still], tmp_path / "left", half, LOW)
    boxes = {
        name: [each["xyxy"] for each in json.loads((tmp_path / name / "detections.jsonl").read_text())["detections"]]
        for name in ("all", "left")
    }
    assert boxes["left"] == [box for box in boxes["all"] if (box[0] + box[2]) / 2 <= 160]
    assert 0 < len(boxes["left"]) < len(boxes["all"])
    for region, message in (
        ("0,0 400,0 0,90", r"error: --region: 400,0 lies outside .*\.jpg, which is 320 x 192 pixels"),
        ("norht=0,0 9,0 0,9", f"error: --region: no SOURCE is called 'norht'; there are {still.stem}"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["predict", str(untrained_model), str(still), "--region", region, "--out", str(tmp_path / "out")])
        assert caught.value.code == 2
        assert re.search(message, capsys.readouterr().err)
        assert not (tmp_path / "out").exists()
