"""Deployed detections against validation's, by values calculated by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.cli import main
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.errors import DatasetError, LabelError
from traffic_yolo.labelling.drift import chance, distance, group_of, measure_drift, read_drift
from traffic_yolo.labelling.options import DriftOptions

DAY = "nas/20240501_siteB/20240501_140100_0001_10.0.0.11.h5"
NIGHT = "nas/20240501_siteB/20240501_030100_0002_10.0.0.11.h5"


def written(path: Path, pictures: Sequence[tuple[str, Sequence[float]]], class_name: str = "CAR") -> str:
    lines = []
    for number, (source, scores) in enumerate(pictures):
        boxes = [{"class_name": class_name, "score": s, "xyxy": [1, 1, 9, 9]} for s in scores]
        lines.append({"file_name": f"{Path(source).stem}/SCAN_{number:05d}.jpg", "width": 96, "height": 72,
                      "source": source, "frame": number, "detections": boxes})  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture
def validation(tmp_path: Path) -> str:
    """200 pictures, each with two boxes of scores 0.4 and 0.8."""
    return written(tmp_path / "validation.jsonl", [("v.h5", [0.4, 0.8])] * 200)


def test_distance_is_the_greatest_difference_of_the_shares() -> None:
    # Up to 2: 2 of 4 and none of 2; up to 3: 3 of 4 and 1 of 2
    assert distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 5])) == 0.5
    assert distance(np.array([1.0, 2]), np.array([2.0, 1])) == 0
    assert distance(np.array([0.0]), np.array([1.0])) == 1


def test_chance_is_smirnovs_bound() -> None:
    assert chance(100, 100) == pytest.approx(1.36 * 0.02**0.5)
    assert chance(1, 1) == 1


def test_a_camera_drifts_at_night_and_not_by_day(tmp_path: Path, validation: str) -> None:
    pictures = [(DAY, [0.8, 0.4])] * 50 + [(NIGHT, [0.4])] * 50
    deployed = written(tmp_path / "deployed.jsonl", pictures)
    drift = measure_drift(DriftOptions(deployed=deployed, validation=validation))
    night, day = drift.groups
    assert (night.group, night.has_drifted, night.pictures, night.boxes) == ("B/10.0.0.11 03h", True, 50, 50)
    assert (day.group, day.has_drifted, day.excess) == ("B/10.0.0.11 14h", False, 0)
    assert (night.mean_score, night.boxes_per_picture) == (pytest.approx(0.4), 1)
    assert (night.score_distance, night.count_distance) == (0.5, 1)
    assert night.excess == pytest.approx(1 - 1.36 * (250 / 10_000) ** 0.5)


def test_a_camera_that_finds_nothing_any_more_has_drifted(tmp_path: Path, validation: str) -> None:
    deployed = written(tmp_path / "deployed.jsonl", [(DAY, [])] * 50)
    [dark] = measure_drift(DriftOptions(deployed=deployed, validation=validation)).groups
    assert (dark.has_drifted, dark.mean_score, dark.score_distance, dark.count_distance) == (True, None, None, 1)


def test_few_pictures_are_not_judged_and_nothing_to_judge_is_an_error(tmp_path: Path, validation: str) -> None:
    few = written(tmp_path / "few.jsonl", [(NIGHT, [])] * 19)
    with pytest.raises(DatasetError, match="no camera and hour has 20 pictures .*, the most have 19"):
        measure_drift(DriftOptions(deployed=few, validation=validation))
    both = written(tmp_path / "both.jsonl", [(NIGHT, [])] * 19 + [(DAY, [0.4, 0.8])] * 20)
    drift = measure_drift(DriftOptions(deployed=both, validation=validation))
    assert not drift.drifted
    assert [one.is_judged for one in drift.groups] == [True, False]
    with pytest.raises(DatasetError, match="validation|few.jsonl: expected 20 pictures or more"):
        measure_drift(DriftOptions(deployed=both, validation=few))


def test_another_models_classes_are_refused(tmp_path: Path, validation: str) -> None:
    deployed = written(tmp_path / "deployed.jsonl", [(DAY, [0.4])] * 50, "car")
    with pytest.raises(DatasetError, match=r"expected the classes of .* \(CAR\), found car"):
        measure_drift(DriftOptions(deployed=deployed, validation=validation))


def test_dumps_of_deepstream_are_grouped_by_folder_and_stream(tmp_path: Path, validation: str) -> None:
    folder = tmp_path / "dumps" / "crossing_20240501_0300"
    folder.mkdir(parents=True)
    line = "CAR 0.0 0 0.0 1.0 1.0 9.0 9.0 0.0 0.0 0.0 0.0 0.0 0.0 0.0 0.4\n"
    for frame in range(40):
        (folder / f"00_00{frame % 2}_{frame:06d}.txt").write_text(
            line if frame % 2 else line + line.replace("0.4", "0.8")
        )
    drift = measure_drift(DriftOptions(deployed=str(tmp_path / "dumps"), validation=validation))
    names = {one.group: one.has_drifted for one in drift.groups}
    assert names == {"crossing_20240501_0300/stream 001 03h": True, "crossing_20240501_0300/stream 000 03h": False}


def test_the_hour_of_a_picture_without_a_name_that_says_it_is_not_known() -> None:
    assert group_of(PictureLabels("front/000123.jpg", (), "f")) == "front"
    assert group_of(PictureLabels("000123.jpg", (), "f")) == "unnamed camera"


def test_the_gate_ends_with_1_and_its_file_is_what_select_reads(
    tmp_path: Path, validation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = written(tmp_path / "deployed.jsonl", [(DAY, [0.8, 0.4])] * 50 + [(NIGHT, [])] * 50)
    with pytest.raises(SystemExit) as ended:
        main(["drift", "--deployed", deployed, "--validation", validation, "--out", str(tmp_path / "out")])
    assert ended.value.code == 1
    assert "drifted: B/10.0.0.11 03h: 50 pictures, 0.00 boxes each, no boxes" in capsys.readouterr().out
    drifted = read_drift(str(tmp_path / "out" / "drift.json"))
    assert list(drifted) == ["B/10.0.0.11 03h"]
    assert "as validation" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(SystemExit) as ended:
        main(["drift", "--deployed", validation, "--validation", validation])
    assert ended.value.code == 0
    (tmp_path / "other.json").write_text('{"groups": [{}]}')
    with pytest.raises(LabelError, match="expected a drift.json of traffic-yolo drift: KeyError"):
        read_drift(str(tmp_path / "other.json"))
