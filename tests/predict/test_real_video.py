"""A video made of a real street, past which the camera turns: predicted, tracked and counted by published weights."""

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.predict.options import ModelOptions, PredictOptions
from traffic_yolo.predict.predict import predict


@pytest.mark.long
@pytest.mark.reference
def test_vehicles_of_a_real_street_keep_their_numbers_and_cross_one_way(reference: Path, tmp_path: Path) -> None:
    street = cv2.imread(str(sorted((reference / "traffic" / "images").rglob("*.jpg"))[3]))
    street = cv2.resize(street, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    video = cv2.VideoWriter(
        str(tmp_path / "street.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (1280, 720)
    )
    for step in range(24):
        video.write(street[180:900, 25 * step : 25 * step + 1280])
    video.release()
    weights = reference / "weights"
    model = ModelOptions(weights_names=str(weights / "coco.names"))
    options = PredictOptions(save=("jsonl",), count_line=("middle=640,0,640,719",))
    summary = predict(weights / "yolo-fastest-1.1.weights", [tmp_path / "street.avi"], tmp_path / "out", options, model)

    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    lefts: dict[int, list[tuple[int, float]]] = {}
    for line in lines:
        for each in line["detections"]:
            if each["track_id"] is not None:
                lefts.setdefault(each["track_id"], []).append((line["frame"], each["xyxy"][0]))
    speeds = []
    for places in lefts.values():
        inner = sorted(place for place in places if place[1] > 5)  # not cut by the picture's edge
        if len(inner) >= 8:
            (first, from_x), (last, to_x) = inner[0], inner[-1]
            speeds.append((from_x - to_x) / (last - first))
    assert len(speeds) >= 5
    assert np.median(speeds) == pytest.approx(25, abs=1)  # what stands in the street goes left as the camera turns
    assert np.mean(np.abs(np.array(speeds) - 25) < 3) > 0.6
    with (tmp_path / "out" / "crossings.csv").open() as file:
        crossings = list(csv.DictReader(file))
    assert len(crossings) >= 3
    assert {row["direction"] for row in crossings} == {"to_right"}  # who looks down the picture has west to the right
    assert summary.crossings == {"middle": {"to_left": 0, "to_right": len(crossings)}}
    assert max(Counter(row["track_id"] for row in crossings).values()) == 1
