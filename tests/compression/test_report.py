"""The report on a smaller model: sizes, latency, paired differences, what went by layer; as text, JSON and a page."""

import json
from pathlib import Path

import numpy as np
import pytest
from records import pruned_from

from traffic_yolo.compression import report
from traffic_yolo.compression.report import CompressionReport, Latency, compare_models, report_html
from traffic_yolo.errors import ModelError
from traffic_yolo.evaluation.compare import Comparison
from traffic_yolo.metrics.bootstrap import Groups, Interval
from traffic_yolo.metrics.paired import Difference
from traffic_yolo.page_origin import About
from traffic_yolo.pruned_from import NetworkSize, PrunedFrom


def test_two_model_folders_without_a_data_set(
    untrained_model: Path, pruned_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "REPEATS", 1)
    found = compare_models(untrained_model, pruned_folder, tmp_path / "out")
    record = PrunedFrom.read(pruned_folder / "pruned.json")
    assert found.sizes == (record.before, record.after)
    assert {each.runtime for each in found.latencies} >= {"pytorch", "onnxruntime"}
    assert all(each.first > 0 and each.second > 0 for each in found.latencies)
    assert found.comparison is None
    written = json.loads((tmp_path / "out" / "compression.json").read_text())
    assert written["pruned"]["weights_sha256"] == record.weights_sha256
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Filters by layer" in page
    assert "batch-norm scales of all that may go are equal" in page  # the model was never trained


def made_up() -> CompressionReport:
    difference = Difference("ap50", 0.6, 0.58, Interval(-0.02, -0.05, 0.01))
    comparison = Comparison("test", 40, Groups("recording", np.zeros(40, np.int64), 3), (difference,), {})
    sizes = NetworkSize(9, 1000, 2.0, 4020), NetworkSize(9, 500, 0.5, 2020)
    return CompressionReport(
        sizes, (Latency("openvino", 8.0, 6.0),), comparison, pruned_from(parent="a" * 64, weights="b" * 64)
    )


def test_rows_say_what_was_saved_and_how_sure_a_difference_is() -> None:
    found = made_up()
    assert found.rows == [
        ("weights", "1,000", "500", "50.0%"),
        ("BFLOPs", "2.0000", "0.5000", "75.0%"),
        ("bytes", "4,020", "2,020", "49.8%"),
        ("ms, openvino", "8.00", "6.00", "25.0%"),
        ("AP50", "0.600", "0.580", "-2.0 points, 95 % interval -5.0 to +1.0"),
    ]
    assert "split test, 40 pictures, paired over 3 recordings" in found.text
    page = report_html(found, About())
    assert "no evidence of improvement" in page
    assert "Where that is not exact" in page
    assert "What the other channels stand in for" in page
    assert "<td>2</td><td>31.2%</td><td>4.5%</td>" in page.replace(' class="number"', "")
    assert json.dumps(found.document())


def test_what_is_no_model_folder_is_refused_and_nothing_is_left(untrained_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model folder not found"):
        compare_models(untrained_model, tmp_path / "none", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
