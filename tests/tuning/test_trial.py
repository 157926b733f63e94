"""A Katib trial: its metrics, with and without training, printed as Katib's collector reads them."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from traffic_yolo.commands.trial import command
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.errors import EvaluationError, NotFoundError
from traffic_yolo.katib.spec.template import fill
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.fine_tuning_experiment import WORK_FOLDER, FineTuningOptions, fine_tuning_document
from traffic_yolo.tuning.metrics import METRICS, metric_format
from traffic_yolo.tuning.shared_store import count_events
from traffic_yolo.tuning.trial import run_trial
from traffic_yolo.tuning.trial_metrics import read_with_truth, trial_metrics

TRAINING = TrainingOptions(width=160, height=96, batch=2, max_batches=2, seed=3, fine_tune_layers="all")
NMS = NmsOptions(0.002, 0.5)


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first_metrics(
    small_data_set: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, float]:
    """One real trial, whose training the tests after it find in the store."""
    return run_trial(small_data_set, tmp_path_factory.mktemp("work"), TRAINING, NMS, store=shared_store)


def detections_of(store: Path) -> Path:
    (file,) = store.glob("training-*/detections_val*")
    return file


def test_a_trial_gives_every_metric_as_a_number(first_metrics: dict[str, float]) -> None:
    assert tuple(first_metrics) == tuple(METRICS)
    assert all(np.isfinite(value) and value >= 0 for value in first_metrics.values())


def test_the_command_with_katib_values_prints_lines_that_the_collector_reads(
    small_data_set: Path, shared_store: Path, tmp_path: Path, first_metrics: dict[str, float]
) -> None:
    """The experiment's own command, placeholders filled as Katib fills them, run for real."""
    options = FineTuningOptions(str(small_data_set), str(shared_store), TRAINING, fine_tune_layers=("all",))
    values = {"confidence_threshold": "0.002", "iou_threshold": "0.5", "fine_tune_layers": "all"}
    job = fill(fine_tuning_document(options)["spec"]["trialTemplate"]["trialSpec"], values)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    arguments = [argument.replace(WORK_FOLDER, str(tmp_path)) for argument in container["command"][2:]]
    answered = CliRunner().invoke(command, arguments)
    assert answered.exit_code == 0, answered.output
    read = dict(re.findall(metric_format(METRICS), answered.output, flags=re.MULTILINE))
    assert {name: float(value) for name, value in read.items()} == pytest.approx(first_metrics, abs=1e-6)
    assert (tmp_path / "trial.json").is_file()
    counts = count_events(shared_store)
    assert (counts["trained"], counts["inferred"]) == (1, 1)
    told = CliRunner().invoke(command, ["store", "--store", str(shared_store)]).output
    assert "trained: 1" in told


def test_a_folder_that_is_no_store_is_not_counted(tmp_path: Path) -> None:
    answered = CliRunner().invoke(command, ["store", "--store", str(tmp_path)])
    assert isinstance(answered.exception, NotFoundError)
    assert "no store of trainings" in str(answered.exception)


def test_thresholds_alone_are_measured_on_what_lies_there(
    small_data_set: Path, shared_store: Path, first_metrics: dict[str, float], tmp_path: Path
) -> None:
    stored = detections_of(shared_store)
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / stored.name).symlink_to(stored)
    arguments = [f"--evaluation={tmp_path / 'evaluation'}", f"--dataset={small_data_set}"]
    thresholds = ["--confidence-threshold=0.002", "--iou-threshold=0.5"]
    answered = CliRunner().invoke(command, ["thresholds", *arguments, *thresholds])
    assert answered.exit_code == 0, answered.output
    read = dict(re.findall(metric_format(METRICS), answered.output, flags=re.MULTILINE))
    assert {name: float(value) for name, value in read.items()} == pytest.approx(first_metrics, abs=1e-6)


@pytest.mark.usefixtures("first_metrics")
def test_no_detections_at_all_are_defined_numbers(small_data_set: Path, shared_store: Path) -> None:
    raw, truth = read_with_truth(detections_of(shared_store), DataSet.open(small_data_set))
    metrics = trial_metrics(raw, truth, NmsOptions(0.999, 0.5), MetricOptions(miss_cost=2.0))
    expected = 2.0 * truth.num_truths.sum() / len(truth.image_ids)
    assert metrics == {**dict.fromkeys(METRICS, 0.0), "cost": pytest.approx(expected)}


@pytest.mark.usefixtures("first_metrics")
def test_detections_of_another_data_set_are_refused(small_data_set: Path, shared_store: Path) -> None:
    data = DataSet.open(small_data_set)
    other = dataclasses.replace(data, manifest={**data.manifest, "fingerprint": "other"})
    with pytest.raises(
        EvaluationError, match=r"was made on pictures .*, the data set .* has other/val; evaluate again"
    ):
        read_with_truth(detections_of(shared_store), other)
