"""The step tune: what it writes, that the test split has no part in the choice, refusals."""

import csv
import dataclasses
import json
import shutil
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from records import made_up_record
from written_data_set import state_again

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.protocol import detections_name, images_fingerprint
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.objective import Objective
from traffic_yolo.metrics.operating_point import OperatingPoint, operating_point
from traffic_yolo.tuning.search import search
from traffic_yolo.tuning.sweep_options import SweepOptions
from traffic_yolo.tuning.tune import TuningSummary, sweep_file, tune


def imagined(data: DataSet, split: str, seed: int) -> RawDetections:
    """Detections as a fair model gives them: found boxes twice with high scores, false ones with lower scores."""
    rng = np.random.default_rng(seed)
    truth = read_ground_truth(data.coco_path(split), data.classes)
    offsets = truth.offsets()
    boxes, scores, counts = [], [], []
    for picture in range(len(truth.image_ids)):
        rows = np.arange(offsets[picture], offsets[picture + 1])
        rows = rows[~truth.ignore[rows]]
        found = np.repeat(rows[rng.random(len(rows)) < 0.8], 2)
        size = truth.boxes_xywh[found][:, [2, 3, 2, 3]]
        mine = xywh_to_xyxy(truth.boxes_xywh[found]) + rng.normal(0, 0.05, (len(found), 4)) * size
        false = np.concatenate([rng.uniform(0, 150, (10, 2)), rng.uniform(150, 190, (10, 2))], axis=1)
        values = np.zeros((len(found) + 10, len(data.classes)))
        values[np.arange(len(found)), truth.class_ids[found]] = rng.uniform(0.3, 0.9, len(found))
        values[len(found) :, rng.integers(len(data.classes))] = rng.uniform(0.01, 0.5, 10)
        boxes.append(np.concatenate([mine, false]))
        scores.append(values)
        counts.append(len(values))
    class_scores = np.concatenate(scores).astype(np.float32)
    return RawDetections.from_dense(
        image_ids=truth.image_ids,
        image_hw=np.tile(np.array([[192, 320]], np.int32), (len(counts), 1)),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes_xyxy=np.concatenate(boxes).astype(np.float32),
        objectness=class_scores.max(axis=1),
        class_scores=class_scores,
        classes=data.classes,
        protocol=Protocol("c" * 64, "a" * 64, (96, 160), "stretch", images_fingerprint(data, split)),
    )


def evaluation_folder(data: DataSet, folder: Path, *, test_seed: int = 2, kind: str = "default") -> Path:
    """An evaluation folder as far as `tune` reads it."""
    folder.mkdir()
    for split, seed in (("val", 1), ("test", test_seed)):
        imagined(data, split, seed).save(folder / detections_name(split))
    made_up = made_up_record()
    dataclasses.replace(
        made_up,
        classes=data.classes,
        nms=asdict(NmsOptions(kind=kind, max_detections=200)),
        protocol=asdict(Protocol("c" * 64, "a" * 64, (96, 160), "stretch", "")),
        data={**made_up.data, "fingerprint": data.fingerprint},
        training=None,
    ).write(folder / "record.json")
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, small_data_set: Path) -> TuningSummary:
    folder = tmp_path_factory.mktemp("tuning")
    data = DataSet.open(small_data_set)
    return tune(evaluation_folder(data, folder / "evaluation"), small_data_set, folder / "out")


def test_the_operating_point_states_what_was_chosen_and_on_what(tuned: TuningSummary, small_data_set: Path) -> None:
    document = json.loads((tuned.path / "operating_point.json").read_text())
    assert document["schema_version"] == 1
    assert document["confidence_threshold"] == tuned.chosen.confidence_threshold
    assert document["iou_threshold"] == tuned.chosen.iou_threshold
    assert document["nms"] == {"kind": "default", "beta": 0.6, "max_detections": 200}
    assert document["chosen_on"] == "val"
    data = DataSet.open(small_data_set)
    assert [entry["class_name"] for entry in document["per_class"]] == list(data.classes)
    assert document["data_fingerprint"] == data.fingerprint
    assert document["model"] == {"cfg_sha256": "c" * 64, "weights_sha256": "a" * 64}
    assert 0.5 < document["val"]["f1"] < 1


def test_both_splits_are_what_the_plain_way_gives_at_the_chosen_point(
    tuned: TuningSummary, small_data_set: Path
) -> None:
    data = DataSet.open(small_data_set)
    document = json.loads((tuned.path / "operating_point.json").read_text())
    nms = NmsOptions(document["confidence_threshold"], document["iou_threshold"], **document["nms"])
    for split, seed in (("val", 1), ("test", 2)):
        truth = read_ground_truth(data.coco_path(split), data.classes)
        matching = match(non_maximum_suppression(imagined(data, split, seed), nms), truth)
        point = operating_point(
            matching, data.classes, confidence_threshold=nms.confidence_threshold, iou_threshold=nms.iou_threshold
        )
        for name in ("precision", "recall", "f1", "true_positives", "false_positives", "false_negatives"):
            assert document[split][name] == getattr(point, name)


def test_no_cell_of_the_sweep_is_better(tuned: TuningSummary) -> None:
    with (tuned.path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 99 * 13
    assert max(float(row["f1"]) for row in rows) == pytest.approx(tuned.chosen.f1, abs=1e-6)


def test_the_test_split_has_no_part_in_the_choice(tuned: TuningSummary, small_data_set: Path, tmp_path: Path) -> None:
    data = DataSet.open(small_data_set)
    other = tune(evaluation_folder(data, tmp_path / "evaluation", test_seed=7), small_data_set, tmp_path / "out")
    assert other.chosen == tuned.chosen
    assert other.test != tuned.test


def test_the_report_shows_that_ap_never_falls_with_the_confidence(tuned: TuningSummary) -> None:
    report = (tuned.path / "report.html").read_text()
    assert "AP never falls when the confidence threshold falls" in report
    assert report.count("<svg") == 1
    assert "<image" not in report
    assert len(report) < 1_000_000
    table = report[report.index('<th scope="col" class="number">confidence</th>') :]
    cells = [row.split("</td>") for row in table.split("<tr>")[1:]]
    aps = [float(row[1].split(">")[-1]) for row in cells]
    assert len(aps) >= 7
    assert all(later <= earlier + 1e-4 for earlier, later in pairwise(aps))
    assert aps[0] > aps[-1]


def test_the_summary_has_the_numbers_for_kubeflow(tuned: TuningSummary) -> None:
    assert tuned.text.startswith(f"confidence_threshold {tuned.chosen.confidence_threshold:g}, iou_threshold ")
    assert "\non test: precision " in tuned.text
    expected = {"confidence_threshold", "iou_threshold"}
    expected |= {f"{split}_{name}" for split in ("val", "test") for name in ("precision", "recall", "f1")}
    assert set(tuned.scalars) == expected


def test_the_nms_kind_is_that_of_the_evaluation(small_data_set: Path, tmp_path: Path) -> None:
    folder = evaluation_folder(DataSet.open(small_data_set), tmp_path / "evaluation", kind="diounms")
    tune(folder, small_data_set, tmp_path / "out", SweepOptions(confidences=(0.3,), iou_thresholds=(0.5,)))
    assert json.loads((tmp_path / "out" / "operating_point.json").read_text())["nms"]["kind"] == "diounms"


def without_pictures(data_set: Path, split: str, folder: Path) -> Path:
    copied = shutil.copytree(data_set, folder / "dataset")
    path = copied / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": [], "annotations": []}))
    state_again(copied)
    return copied


def empty_detections(folder: Path, split: str) -> None:
    path = folder / detections_name(split)
    raw = RawDetections.load(path)
    dataclasses.replace(
        raw,
        offsets=raw.offsets[:1],
        score_offsets=raw.score_offsets[:1],
        **{
            name: getattr(raw, name)[:0]
            for name in ("image_ids", "image_hw", "boxes_xyxy", "objectness", "score_class_ids", "scores")
        },
    ).save(path)


def test_a_validation_split_without_pictures_is_refused(small_data_set: Path, tmp_path: Path) -> None:
    folder = evaluation_folder(DataSet.open(small_data_set), tmp_path / "evaluation")
    empty_detections(folder, "val")
    with pytest.raises(
        EvaluationError, match="split 'val' has no pictures, so there is nothing to choose thresholds on"
    ):
        tune(folder, without_pictures(small_data_set, "val", tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_test_pictures_the_point_says_so(small_data_set: Path, tmp_path: Path) -> None:
    folder = evaluation_folder(DataSet.open(small_data_set), tmp_path / "evaluation")
    empty_detections(folder, "test")
    summary = tune(
        folder,
        without_pictures(small_data_set, "test", tmp_path),
        tmp_path / "out",
        SweepOptions(confidences=(0.3, 0.5), iou_thresholds=(0.5,)),
    )
    assert summary.test is None
    assert "\non test: no pictures\n" in summary.text
    assert json.loads((tmp_path / "out" / "operating_point.json").read_text())["test"] is None


def test_detections_of_another_data_set_are_refused(small_data_set: Path, tmp_path: Path) -> None:
    folder = evaluation_folder(DataSet.open(small_data_set), tmp_path / "evaluation")
    other = shutil.copytree(small_data_set, tmp_path / "dataset")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"fingerprint": "0" * 64}))
    with pytest.raises(EvaluationError, match=r"detections_val\.npz was made on pictures .* evaluate again"):
        tune(folder, other, tmp_path / "out")


def test_the_summary_says_with_numbers_why_ap_cannot_choose(tuned: TuningSummary) -> None:
    lowest, chosen = (
        tuned.ap_rows[0],
        next(r for r in tuned.ap_rows if r.confidence == tuned.chosen.confidence_threshold),
    )
    assert lowest.ap >= chosen.ap
    assert lowest.f1 < chosen.f1
    sentence = "AP alone cannot choose the confidence threshold, since it never falls when that falls: "
    assert f"{sentence}{lowest.ap:.4f} at 0.001 (F1 {lowest.f1:.4f}), {chosen.ap:.4f} at " in tuned.text


def test_few_recordings_are_said_to_make_intervals_too_narrow(tuned: TuningSummary) -> None:
    document = json.loads((tuned.path / "operating_point.json").read_text())
    assert document["val"]["interval_groups"]["of"] == "picture"
    assert "only 1 recording where at least 5 are needed" in document["val"]["interval_groups"]["note"]
    assert "only 1 recording where at least 5 are needed" in tuned.text
    low, high = document["val"]["intervals"]["f1"]
    assert low <= document["val"]["f1"] <= high
    assert document["class_thresholds"] == {}


def test_kinds_and_limits_are_swept_together_and_class_thresholds_written(small_data_set: Path, tmp_path: Path) -> None:
    data = DataSet.open(small_data_set)
    folder = evaluation_folder(data, tmp_path / "evaluation")
    options = SweepOptions(
        Objective("cost", miss_cost=4, class_costs={data.classes[0]: (1.0, 10.0)}),
        kinds=("default", "diounms"),
        limits=(5, 300),
        method="adaptive",
        per_class=True,
        least_truths=3,
    )
    summary = tune(folder, small_data_set, tmp_path / "out", options)
    with (tmp_path / "out" / "sweep.csv").open() as file:
        swept = {(row["nms_kind"], row["max_detections"]) for row in csv.DictReader(file)}
    assert swept == {(kind, limit) for kind in ("default", "diounms") for limit in ("5", "300")}
    document = json.loads((tmp_path / "out" / "operating_point.json").read_text())
    assert document["objective"] == "cost"
    assert document["objective_options"]["class_costs"] == {data.classes[0]: [1.0, 10.0]}
    assert list(document["class_thresholds"]) == list(data.classes)
    truth = read_ground_truth(data.coco_path("val"), data.classes)
    miss, false_alarm = options.objective.costs(data.classes)

    def cost(point: OperatingPoint) -> float:
        return sum(
            counts.false_negatives * miss[index] + counts.false_positives * false_alarm[index]
            for index, counts in enumerate(point.per_class)
        )

    assert cost(summary.chosen) <= cost(summary.found.shared_point)
    for result in summary.found.sweeps:
        assert cost(summary.found.shared_point) <= min(cost(point) for point in result.points()) + 1e-9
    assert truth.num_truths.sum() > 0
    report = (tmp_path / "out" / "report.html").read_text()
    assert "Kinds and limits" in report
    assert "keeps the shared threshold" in report
    assert "thresholds of single classes: " in summary.text


def test_one_file_of_detections_is_swept_against_its_truth(small_data_set: Path, tmp_path: Path) -> None:
    data = DataSet.open(small_data_set)
    folder = evaluation_folder(data, tmp_path / "evaluation")
    found = folder / "detections_val.npz"
    summary = sweep_file(found, data.coco_path("val"), tmp_path / "out", SweepOptions())
    document = json.loads((tmp_path / "out" / "operating_point.json").read_text())
    assert document["chosen_on"] == "instances_val"
    assert document["model"]["weights_sha256"] == "a" * 64
    assert summary.test is None
    truth = read_ground_truth(data.coco_path("val"), data.classes)
    few = dataclasses.replace(truth, image_ids=np.append(truth.image_ids, 99), truth_pictures=truth.truth_pictures)
    with pytest.raises(EvaluationError, match="detections of 4 pictures, but the ground truth has 5; detect on all"):
        search(RawDetections.load(found), few, SweepOptions(), NmsOptions())
