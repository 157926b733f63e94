"""The committed experiment: it is what its source builds, it fits the command, Kubernetes and Katib take it."""

import copy
import dataclasses
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from traffic_yolo.errors import OptionsError
from traffic_yolo.evaluation.nms import NmsOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.experiment import ExperimentOptions, check_round_trip, experiment_document
from traffic_yolo.tuning.metrics import METRICS, metric_lines

PLACEHOLDER = re.compile(r"\$\{trialParameters\.([^}]+)\}")
TRAINING = TrainingOptions(weights="/nas/start.weights")
OPTIONS = ExperimentOptions(dataset="/nas/data", store="/nas/store", training=TRAINING)


@pytest.fixture(scope="module")
def committed(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "katib" / "fine_tuning_experiment.yaml").read_text())


def command_of(document: dict[str, Any]) -> list[str]:
    (container,) = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
    return container["command"]


def test_the_committed_yaml_is_what_the_source_builds(
    repository: Path, committed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)
    source = runpy.run_path(str(repository / "katib" / "fine_tuning_experiment.py"))
    assert committed == experiment_document(source["OPTIONS"]), "stale: run `python katib/fine_tuning_experiment.py`"


def test_the_script_compares_and_rewrites(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "fine_tuning_experiment.py"
    script.write_text((repository / "katib" / script.name).read_text())

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(script), *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return int(ended.value.code or 0)

    assert run("--check") == 1
    assert "stale; run `python katib/fine_tuning_experiment.py`" in capsys.readouterr().err
    assert run() == 0
    assert run("--check") == 0
    assert (tmp_path / "fine_tuning_experiment.yaml").read_text().startswith("# Written by")


def test_katib_knows_every_key(committed: dict[str, Any]) -> None:
    assert check_round_trip(committed).spec.max_trial_count == 30


def test_a_misspelled_key_is_found(committed: dict[str, Any]) -> None:
    document = copy.deepcopy(committed)
    document["spec"]["maxTrialsCount"] = document["spec"].pop("maxTrialCount")
    document["spec"]["parameters"][0]["feasibleSpace"]["minimum"] = "0"
    with pytest.raises(OptionsError, match=r"does not know, or changes: spec\.maxTrialsCount, spec\.parameters\[0\]"):
        check_round_trip(document)
    document["spec"]["parallelTrialCount"] = "two"
    with pytest.raises(OptionsError, match="not a Katib Experiment"):
        check_round_trip(document)


@pytest.mark.parametrize("gpus", [0, 2])
def test_kubernetes_knows_every_key_of_the_job(gpus: int) -> None:
    job = experiment_document(dataclasses.replace(OPTIONS, gpus=gpus))["spec"]["trialTemplate"]["trialSpec"]
    named = {**job, "metadata": {"name": "trial", "namespace": "team"}}  # Katib sets these
    kubernetes_validate.validate(named, "1.30", strict=True)
    misspelled = copy.deepcopy(named)
    misspelled["spec"]["template"]["spec"]["containers"][0]["comand"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelled, "1.30", strict=True)


def test_kubernetes_knows_every_key_of_the_rules(repository: Path) -> None:
    documents = list(yaml.safe_load_all((repository / "katib" / "rbac.yaml").read_text()))
    assert [document["kind"] for document in documents] == ["Role", "RoleBinding"]
    for document in documents:
        kubernetes_validate.validate(document, "1.30", strict=True)


def test_parameters_references_and_placeholders_are_the_same_names(committed: dict[str, Any]) -> None:
    spec = committed["spec"]
    names = [parameter["name"] for parameter in spec["parameters"]]
    template = spec["trialTemplate"]
    assert [p["reference"] for p in template["trialParameters"]] == names
    assert [p["name"] for p in template["trialParameters"]] == names
    placeholders = PLACEHOLDER.findall(yaml.safe_dump(template["trialSpec"]))
    assert sorted(placeholders) == sorted(names)
    assert [name for name in placeholders if name not in names] == []


def test_parameters_are_fields_of_our_options(committed: dict[str, Any]) -> None:
    fields = {field.name for options in (NmsOptions, TrainingOptions) for field in dataclasses.fields(options)}
    assert {parameter["name"] for parameter in committed["spec"]["parameters"]} <= fields


def test_the_command_line_understands_the_trial_command(
    committed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value that Katib may fill in reaches the function that runs a trial."""
    from traffic_yolo.commands.trial import command

    calls: list[tuple[Any, ...]] = []

    def record(*arguments: Any, **keywords: Any) -> dict[str, float]:
        calls.append((*arguments, keywords["store"]))
        return dict.fromkeys(METRICS, 0.25)

    monkeypatch.setattr("traffic_yolo.tuning.trial.run_trial", record)
    program, step, *arguments = command_of(committed)
    assert (program, step) == ("traffic-yolo", "trial")
    for layers in committed["spec"]["parameters"][2]["feasibleSpace"]["list"]:
        values = {"confidence_threshold": "0.3123", "iou_threshold": "0.55", "fine_tune_layers": layers}
        filled = [PLACEHOLDER.sub(lambda found: values[found[1]], argument) for argument in arguments]  # noqa: B023
        result = CliRunner().invoke(command, filled)
        assert result.exit_code == 0, result.output
        assert result.output.splitlines() == [f"{name}=0.250000" for name in METRICS]
        dataset, work, training, nms, store = calls[-1]
        assert (dataset, store) == (Path("/nas/datasets/traffic"), Path("/nas/katib/trainings"))
        assert training.fine_tune_layers == layers
        assert training.max_batches == 4000
        assert (nms.confidence_threshold, nms.iou_threshold) == (0.3123, 0.55)
        assert work == Path("/tmp/trial")


def read_as_katib(document: dict[str, Any], log: str) -> dict[str, list[str]]:
    """Katib's rule for text logs: lines that hold a metric's name, then every match of the expression in them."""
    spec = document["spec"]
    wanted = [spec["objective"]["objectiveMetricName"], *spec["objective"]["additionalMetricNames"]]
    (expression,) = spec["metricsCollectorSpec"]["source"]["filter"]["metricsFormat"]
    found: dict[str, list[str]] = {}
    for line in log.split("\n"):
        if any(name in line for name in wanted):
            for name, value in re.findall(expression, line):
                if name in wanted:
                    found.setdefault(name, []).append(value)
    return found


def test_the_collector_reads_our_lines_and_nothing_else(committed: dict[str, Any]) -> None:
    metrics = {name: 0.1 * (place + 1) for place, name in enumerate(METRICS)}
    noise = "loss=1.5 f1=0.99\nmap=nan\n f1=0.3\nbest map50=0.9 after 3\nf1=\nxf1=0.5\n30%|###  | map50=0.1\n"
    log = noise + "\n".join(metric_lines(metrics)) + "\n" + noise
    assert read_as_katib(committed, log) == {name: [f"{value:.6f}"] for name, value in metrics.items()}


def test_the_collector_expression_is_one_that_katib_takes(committed: dict[str, Any]) -> None:
    (expression,) = committed["spec"]["metricsCollectorSpec"]["source"]["filter"]["metricsFormat"]
    assert re.fullmatch(r".*\(.*\).*\(.*\).*", expression)  # the webhook's own test
    assert not re.search(r"\(\?[=!<]", expression)  # Go has no look-around


def test_the_pod_can_end_and_is_not_repeated(committed: dict[str, Any]) -> None:
    template = committed["spec"]["trialTemplate"]
    job = template["trialSpec"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert template["retain"] is True
    assert "metadata" not in template["trialSpec"]
    assert template["primaryContainerName"] in [c["name"] for c in job["template"]["spec"]["containers"]]


def test_without_gpus_nothing_asks_for_one() -> None:
    assert "nvidia" not in yaml.safe_dump(experiment_document(dataclasses.replace(OPTIONS, gpus=0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Fine_Tuning"}, "experiment name 'Fine_Tuning': expected up to 40"),
        ({"name": "x" * 41}, "expected up to 40"),
        ({"confidence_range": (0.5, 0.4)}, r"confidence_range: expected 0 < least < most < 1, found 0\.5 to 0\.4"),
        ({"iou_range": (0.0, 0.5)}, "iou_range: expected 0 < least"),
        ({"fine_tune_layers": ()}, "fine_tune_layers: expected different words"),
        ({"fine_tune_layers": ("all", "all")}, "fine_tune_layers: expected different words"),
        ({"fine_tune_layers": ("all", "tail")}, "fine_tune_layers: expected .* found 'tail'"),
        ({"parallel_trials": 31}, "parallel_trials 31 and max_failed_trials 3 cannot exceed max_trials 30"),
        ({"dataset": "/nas/my data"}, "trial argument '--dataset=/nas/my data': Katib passes it through a shell"),
        ({"store": "/nas/$(id)"}, "Katib passes it through a shell"),
        ({"training": TrainingOptions()}, "fine_tune_layers=neck_and_heads freezes layers"),
    ],
)
def test_what_katib_would_choke_on_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        dataclasses.replace(OPTIONS, **change)
