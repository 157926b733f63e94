"""Experiments built from options: objectives, algorithms, pods, and what Katib would choke on."""

import dataclasses
import re
from typing import Any

import pytest
import yaml

from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.compression_experiment import CompressionOptions, compression_document
from traffic_yolo.tuning.experiment import PodOptions, SearchOptions, experiment_yaml
from traffic_yolo.tuning.fine_tuning_experiment import FineTuningOptions, fine_tuning_document
from traffic_yolo.tuning.latency_limit import LatencyLimit
from traffic_yolo.tuning.metrics import METRICS
from traffic_yolo.tuning.thresholds_experiment import Ranges, ThresholdsOptions, thresholds_document

TRAINING = TrainingOptions(weights="/nas/start.weights")
FINE_TUNING = FineTuningOptions(dataset="/nas/data", store="/nas/store", training=TRAINING)
THRESHOLDS = ThresholdsOptions(evaluation="/nas/evaluation", dataset="/nas/data")


def command_of(document: dict[str, Any]) -> list[str]:
    (container,) = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    command: list[str] = container["command"]
    return command


@pytest.mark.parametrize("objective", ["f1", "map", "map50", "recall_at_fppi", "cost"])
def test_every_objective_makes_an_experiment_that_says_which_way_is_better(objective: str) -> None:
    search = dataclasses.replace(THRESHOLDS.search, objective=objective)
    spec = thresholds_document(dataclasses.replace(THRESHOLDS, search=search))["spec"]
    assert spec["objective"]["type"] == ("minimize" if objective == "cost" else "maximize")
    assert set(spec["objective"]["additionalMetricNames"]) == set(METRICS) - {objective}


def test_ap_cannot_choose_the_confidence_threshold_and_so_does_not_get_it() -> None:
    search = dataclasses.replace(THRESHOLDS.search, objective="map")
    document = thresholds_document(dataclasses.replace(THRESHOLDS, search=search))
    assert [parameter["name"] for parameter in document["spec"]["parameters"]] == ["iou_threshold"]
    assert "--confidence-threshold=0.001" in command_of(document)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("random", {"random_state": "1"}),
        ("tpe", {"gamma": "0.25", "n_EI_candidates": "24"}),
        ("multivariate-tpe", {"n_startup_trials": "5"}),
        ("bayesianoptimization", {"base_estimator": "GP", "acq_func": "EI"}),
        ("cmaes", {"sigma": "0.2"}),
        ("sobol", {}),
    ],
)
def test_thresholds_can_be_searched_with_every_algorithm_for_numbers(algorithm: str, settings: dict[str, str]) -> None:
    search = dataclasses.replace(THRESHOLDS.search, algorithm=algorithm, algorithm_settings=settings)
    spec = thresholds_document(dataclasses.replace(THRESHOLDS, search=search))["spec"]
    assert spec["algorithm"]["algorithmName"] == algorithm
    assert {s["name"]: s["value"] for s in spec["algorithm"].get("algorithmSettings", [])} == settings


def test_a_grid_needs_steps_and_no_more_trials_than_it_has_cells() -> None:
    search = SearchOptions("grid", algorithm="grid", algorithm_settings={}, max_trials=9, parallel_trials=1)
    ranges = Ranges((0.1, 0.3), (0.3, 0.5), confidence_step=0.1, iou_step=0.1)
    options = dataclasses.replace(THRESHOLDS, search=search, ranges=ranges)
    assert thresholds_document(options)["spec"]["maxTrialCount"] == 9
    with pytest.raises(OptionsError, match="step"):
        thresholds_document(dataclasses.replace(options, ranges=Ranges()))


def test_a_learning_rate_is_searched_on_a_logarithmic_scale() -> None:
    document = fine_tuning_document(dataclasses.replace(FINE_TUNING, learning_rate_range=(1e-5, 1e-2)))
    *_, rate = document["spec"]["parameters"]
    assert rate["feasibleSpace"] == {"min": "1e-05", "max": "0.01", "distribution": "logUniform"}
    assert "--learning-rate=${trialParameters.learning_rate}" in command_of(document)


def test_early_stopping_and_resuming_are_passed_on() -> None:
    search = SearchOptions("x", early_stopping={"min_trials_required": "3"}, resume_policy="FromVolume", goal=0.9)
    spec = fine_tuning_document(dataclasses.replace(FINE_TUNING, search=search))["spec"]
    assert spec["earlyStopping"]["algorithmName"] == "medianstop"
    assert (spec["resumePolicy"], spec["objective"]["goal"]) == ("FromVolume", 0.9)


def test_a_gpu_is_asked_for_tolerated_and_selected_only_where_wanted() -> None:
    on_gpu = PodOptions(gpus=2, node_selector={"accelerator": "nvidia"}, nas_claim="share")
    text = yaml.safe_dump(fine_tuning_document(dataclasses.replace(FINE_TUNING, pod=on_gpu)))
    for wanted in ("nvidia.com/gpu: 2", "key: nvidia.com/gpu", "accelerator: nvidia", "claimName: share"):
        assert wanted in text
    assert "nvidia" not in yaml.safe_dump(fine_tuning_document(dataclasses.replace(FINE_TUNING, pod=PodOptions())))


def test_yaml_keeps_the_usual_order_under_its_comment() -> None:
    text = experiment_yaml(thresholds_document(THRESHOLDS), comment="one\ntwo")
    assert text.startswith("# one\n# two\napiVersion: kubeflow.org/v1beta1\nkind: Experiment\nmetadata:\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": SearchOptions("Fine_Tuning")}, "experiment Fine_Tuning: metadata.name"),
        ({"search": SearchOptions("x" * 41)}, "metadata.name"),
        ({"search": SearchOptions("x", parallel_trials=31)}, "parallelTrialCount"),
        ({"search": SearchOptions("x", max_failed_trials=31)}, "maxFailedTrialCount"),
        ({"search": SearchOptions("x", algorithm="best")}, "algorithm"),
        ({"search": SearchOptions("x", algorithm_settings={"speed": "9"})}, "algorithmSettings"),
        ({"dataset": "/nas/my data"}, "command"),
        ({"store": "/nas/a;b"}, "command"),
    ],
)
def test_what_katib_would_choke_on_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        fine_tuning_document(dataclasses.replace(FINE_TUNING, **change))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SearchOptions("x", objective="accuracy"), "metric 'accuracy': a trial has f1"),
        (lambda: Ranges(confidence=(0.5, 0.4)), "confidence range: expected 0 < least < most < 1, found 0.5 to 0.4"),
        (lambda: Ranges(iou=(0.0, 0.5)), "iou range: expected 0 < least"),
        (lambda: dataclasses.replace(FINE_TUNING, fine_tune_layers=()), "fine_tune_layers: expected different words"),
        (lambda: dataclasses.replace(FINE_TUNING, fine_tune_layers=("all", "tail")), "found 'tail'"),
        (lambda: dataclasses.replace(FINE_TUNING, training=TrainingOptions()), "freezes layers"),
        (lambda: dataclasses.replace(FINE_TUNING, learning_rate_range=(0.1, 0.01)), "learning_rate_range: expected"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make()


COMPRESSION = CompressionOptions(
    "/nas/model",
    "/nas/data",
    "/nas/store",
    PruneOptions(importance="l1", latency_table="/nas/latency.json"),
    TrainingOptions(max_batches=100),
    LatencyLimit(most_latency_ms=8.0),
)


def test_a_compression_varies_ratio_kind_and_layers_and_fixes_the_rest() -> None:
    document = compression_document(COMPRESSION)
    spec = document["spec"]
    assert [each["name"] for each in spec["parameters"]] == ["prune_ratio", "prune_kind", "fine_tune_layers"]
    assert spec["objective"]["objectiveMetricName"] == "map_at_latency"
    assert spec["objective"]["additionalMetricNames"] == ["map", "map50", "latency_ms", "bflops", "weights"]
    command = command_of(document)
    assert command[:3] == ["traffic-yolo", "trial", "compression"]
    fixed = ("--model=/nas/model", "--importance=l1", "--max-batches=100", "--most-latency-ms=8.0")
    assert set(fixed) < set(command)
    assert "--prune-ratio=${trialParameters.prune_ratio}" in command
    (expression,) = spec["metricsCollectorSpec"]["source"]["filter"]["metricsFormat"]
    assert re.fullmatch(expression, "map_at_latency=-0.250000")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prune_ratios": (0.5, 0.2)}, "prune_ratios: expected 0 <= least < most < 1, found 0.5 to 0.2"),
        ({"prune_ratios": (0.0, 1.0)}, "prune_ratios: expected 0 <= least < most < 1, found 0 to 1"),
        ({"prune_kinds": ("rows",)}, "prune_kind: expected one of channels, regular, blocks, found 'rows'"),
        ({"prune_kinds": ()}, "prune_kinds: expected different words"),
        ({"fine_tune_layers": ("all", "all")}, "fine_tune_layers: expected different words"),
        (
            {"pruning": PruneOptions(bflops_ratio=0.3)},
            "bflops_ratio: the experiment varies prune_ratio, in whose place",
        ),
        ({"training": TrainingOptions(weights="/nas/w")}, "weights: the training starts from the pruned model; leave"),
    ],
)
def test_a_compression_that_katib_would_start_and_then_fail_on_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionsError, match=message):
        dataclasses.replace(COMPRESSION, **changes)
