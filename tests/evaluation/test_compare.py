"""The paired test of two models: identical ones, a clearly better one, and what cannot be compared."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from records import made_up_record
from written_data_set import state_again

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.cli import main
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.detection.protocol import detections_name, images_fingerprint
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.compare import compare
from traffic_yolo.evaluation.compare_page import difference_figure
from traffic_yolo.evaluation.error_figures import FRAME
from traffic_yolo.evaluation.figures import COLOURS
from traffic_yolo.metrics.bootstrap import Interval
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.paired import Difference
from traffic_yolo.storage import sha256_of_file

Make = Callable[..., Path]


@pytest.fixture
def make(small_data_set: Path, tmp_path: Path) -> Make:
    """Writes an evaluation folder of an imagined model that finds a share of the boxes and invents some."""
    data = DataSet.open(small_data_set)

    def evaluation(name: str, *, found: float, seed: int = 0, nms: NmsOptions | None = None, **changes: object) -> Path:
        rng = np.random.default_rng(seed)
        truth = read_ground_truth(data.coco_path("test"), data.classes)
        offsets = truth.offsets()
        boxes, scores, counts = [], [], []
        for picture in range(len(truth.image_ids)):
            rows = np.arange(offsets[picture], offsets[picture + 1])
            rows = rows[~truth.ignore[rows] & (rng.random(len(rows)) < found)]
            invented = np.concatenate([rng.uniform(0, 100, (3, 2)), rng.uniform(110, 190, (3, 2))], axis=1)
            values = np.zeros((len(rows) + 3, len(data.classes)))
            values[np.arange(len(rows)), truth.class_ids[rows]] = rng.uniform(0.3, 0.9, len(rows))
            values[len(rows) :, 0] = rng.uniform(0.01, 0.5, 3)
            boxes.append(np.concatenate([xywh_to_xyxy(truth.boxes_xywh[rows]), invented]))
            scores.append(values)
            counts.append(len(values))
        folder = tmp_path / name
        folder.mkdir()
        raw = RawDetections.from_dense(
            image_ids=truth.image_ids,
            image_hw=np.tile([[192, 320]], (len(counts), 1)),
            offsets=np.append(0, np.cumsum(counts)),
            boxes_xyxy=np.concatenate(boxes).astype(np.float32),
            objectness=np.concatenate(scores).max(axis=1),
            class_scores=np.concatenate(scores).astype(np.float32),
            classes=data.classes,
            protocol=Protocol("c" * 64, name[0] * 64, (96, 160), "stretch", images_fingerprint(data, "test")),
        )
        raw.save(folder / detections_name("test"))
        made_up = made_up_record()
        record = dataclasses.replace(
            made_up,
            classes=data.classes,
            nms=dataclasses.asdict(nms or NmsOptions()),
            protocol=dataclasses.asdict(raw.protocol),
            data={
                **made_up.data,
                "fingerprint": data.fingerprint,
                "ground_truth_sha256": sha256_of_file(data.coco_path("test")),
            },
        ).as_dict()
        for name_of, value in changes.items():
            record[name_of] = {**record[name_of], **value} if isinstance(value, dict) else value
        (folder / "record.json").write_text(json.dumps(record))
        return folder

    return evaluation


@examples(5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.floats(0, 1), seed=st.integers(0, 99))
def test_identical_models_differ_by_nothing(
    make: Make, small_data_set: Path, tmp_path: Path, found: float, seed: int
) -> None:
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    comparison = compare(make("a", found=found, seed=seed), make("b", found=found, seed=seed), small_data_set)
    assert [each.name for each in comparison.differences] == ["ap", "ap50", "f1", "precision", "recall"]
    for each in comparison.differences:
        assert each.difference == Interval(0, 0, 0)
        assert each.verdict == "no evidence of improvement"
    assert comparison.differing == {}


def test_a_model_that_finds_far_more_is_an_improvement_and_the_other_way_round(
    make: Make, small_data_set: Path
) -> None:
    worse, better = make("a", found=0.2), make("b", found=0.95, seed=1)
    forward, backward = compare(worse, better, small_data_set), compare(better, worse, small_data_set)
    for there, back in zip(forward.differences, backward.differences, strict=True):
        assert there.difference.value == pytest.approx(-back.difference.value)
        assert (there.difference.low, there.difference.high) == pytest.approx(
            (-back.difference.high, -back.difference.low), abs=0.02
        )
    verdicts = {each.name: each.verdict for each in forward.differences}
    assert verdicts["recall"] == verdicts["ap50"] == "improvement"
    assert {each.name: each.verdict for each in backward.differences}["recall"] == "worse"
    assert "only 1 recording where at least 5 are needed" in forward.text
    document = json.loads(json.dumps(forward.document()))
    assert document["differences"][0]["verdict"] == verdicts["ap"]


def test_the_page_says_what_the_lines_say_and_links_both_evaluations(
    make: Make, small_data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make("a", found=0.2), make("b", found=0.95, seed=1, nms=NmsOptions(iou_threshold=0.6))
    (first / "report.html").write_text("")
    out = tmp_path / "pages" / "compared.html"
    arguments = ["compare", str(first), str(second), "--dataset", str(small_data_set), "--html", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.endswith(f"page {out}\n")
    page = out.read_text()
    assert '<a href="../a/report.html">' in page  # the second has no page: its name alone stands there
    assert page.count('class="badge good">improvement</span>') >= 2
    (recall,) = (each for each in compare(first, second, small_data_set).differences if each.name == "recall")
    expected = (
        f'<td>recall</td><td class="number">{recall.first:.4f}</td><td class="number">{recall.second:.4f}</td>'
        f'<td class="number">{100 * recall.difference.value:+.1f}</td>'
    )
    assert expected in page
    assert "Only 1 recording where at least 5 are needed" in page
    assert ">iou_threshold</td>" in page


def test_the_picture_reaches_as_far_as_its_longest_interval_and_has_no_colour_where_nothing_is_shown() -> None:
    differences = (
        Difference("ap", 0.391, 0.395, Interval(0.004, -0.002, 0.01)),
        Difference("f1", 0.5, 0.44, Interval(-0.06, -0.1, -0.01)),
        Difference("recall", 0.5, 0.5, Interval(0, float("nan"), float("nan"))),  # no group to draw from
    )
    (axes,) = difference_figure(differences).axes
    assert axes.get_xlim() == pytest.approx((-10.8, 10.8))
    lines = {tuple(line.get_ydata()): line.get_color() for line in axes.lines if len(line.get_xdata()) == 2}
    assert (lines[0, 0], lines[1, 1]) == (FRAME, COLOURS[5])


def test_the_line_is_in_percentage_points() -> None:
    difference = Difference("ap", 0.391, 0.395, Interval(0.004, -0.002, 0.01))
    expected = "+0.4 AP, 95 % interval -0.2 to +1.0: no evidence of improvement (39.1 -> 39.5)"
    assert difference.text == expected
    assert Difference("recall", 0.5, 0.4, Interval(-0.1, -0.2, -0.01)).text.endswith("-1.0: worse (50.0 -> 40.0)")


def test_what_else_differs_is_listed(make: Make, small_data_set: Path) -> None:
    other = make("b", found=0.5, nms=NmsOptions(iou_threshold=0.6))
    comparison = compare(make("a", found=0.5), other, small_data_set)
    assert comparison.differing == {"iou_threshold": (0.45, 0.6)}
    assert comparison.text.endswith("they differ in iou_threshold: 0.45 -> 0.6")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "val"}, "is of split 'test', .* of 'val': models can be compared on the same pictures only"),
        ({"classes": ["OTHER"]}, "have different classes: "),
        (
            {"data": {"fingerprint": "0" * 64, "ground_truth_sha256": "1" * 64}},
            "were judged by different truths: fingerprint is .* and 000000000000…; evaluate both on one data set",
        ),
    ],
)
def test_models_judged_by_different_truths_are_refused(
    make: Make, small_data_set: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        compare(make("a", found=0.5), make("b", found=0.5, **changes), small_data_set)


def test_another_data_set_than_that_of_the_evaluations_is_refused(
    make: Make, small_data_set: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(small_data_set, tmp_path / "dataset")
    path = other / "annotations" / "instances_test.json"
    path.write_text(path.read_text() + " ")
    state_again(other)
    with pytest.raises(EvaluationError, match=r"instances_test\.json is not the truth that .*a was judged by"):
        compare(make("a", found=0.5), make("b", found=0.5), other)
