"""The committed experiments: what their sources build, what our command line, Kubernetes and Katib's collector take."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kubernetes_schema import hold_to_schema
from quick_yaml import load_documents, load_yaml

from traffic_yolo.cli import main as program_main
from traffic_yolo.commands.trial import command
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.katib.check.check import check_file
from traffic_yolo.katib.spec.template import fill
from traffic_yolo.options import fields_of
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.latency_limit import LatencyLimit
from traffic_yolo.tuning.metrics import COMPRESSION_METRICS, METRICS, Metric, metric_lines

NAMES = ("compression_experiment", "fine_tuning_experiment", "thresholds_experiment")
SAMPLES = {
    "confidence_threshold": "0.3123",
    "iou_threshold": "0.55",
    "fine_tune_layers": "heads",
    "prune_ratio": "0.3",
    "prune_kind": "regular",
}


def metrics_of(document: dict[str, Any]) -> dict[str, Metric]:
    """Those that the experiment's trials print."""
    objective = document["spec"]["objective"]["objectiveMetricName"]
    return METRICS if objective in METRICS else COMPRESSION_METRICS


@pytest.fixture(params=NAMES)
def script(request: pytest.FixtureRequest, repository: Path) -> Path:
    return repository / "katib" / f"{request.param}.py"


@pytest.fixture
def committed(script: Path) -> dict[str, Any]:
    document: dict[str, Any] = load_yaml(script.with_suffix(".yaml").read_text())
    return document


def run_script(script: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.delenv("TRAFFIC_YOLO_IMAGE_PREFIX", raising=False)
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    return int(ended.value.code or 0)


def test_the_committed_yaml_is_what_the_source_builds(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_script(script, monkeypatch, "--check") == 0, f"stale: run `python katib/{script.name}`"


def test_the_script_compares_and_rewrites(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / script.name
    copy.write_text(script.read_text())
    assert run_script(copy, monkeypatch, "--check") == 1
    assert f"stale; run `python katib/{script.name}`" in capsys.readouterr().err
    assert run_script(copy, monkeypatch) == 0
    assert copy.with_suffix(".yaml").read_text() == script.with_suffix(".yaml").read_text()


def test_the_checker_finds_nothing_to_mend(script: Path) -> None:
    report = check_file(script.with_suffix(".yaml"))
    assert report.counts["error"] == report.counts["warning"] == 0, report.to_text()


def test_parameters_are_fields_of_our_options(committed: dict[str, Any]) -> None:
    fields = {*NmsOptions.__dataclass_fields__, *TrainingOptions.__dataclass_fields__, *fields_of(PruneOptions)}
    assert {parameter["name"] for parameter in committed["spec"]["parameters"]} <= fields


def test_kubernetes_takes_the_filled_job(committed: dict[str, Any]) -> None:
    job = fill(committed["spec"]["trialTemplate"]["trialSpec"], SAMPLES)
    assert "${" not in yaml.safe_dump(job)
    hold_to_schema({**job, "metadata": {"name": "trial", "namespace": "team"}})


def test_the_pod_can_end_and_is_not_repeated(committed: dict[str, Any]) -> None:
    template = committed["spec"]["trialTemplate"]
    job = template["trialSpec"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert template["retain"] is True


def test_only_those_that_train_ask_for_a_gpu(script: Path, committed: dict[str, Any]) -> None:
    text = yaml.safe_dump(committed)
    assert ("nvidia.com/gpu" in text) == (script.stem != "thresholds_experiment")


def test_the_command_line_understands_every_trial(committed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value that Katib may fill in reaches the function that runs a trial."""
    calls: list[dict[str, Any]] = []

    def fine_tuning(dataset: Path, work: Path, training: TrainingOptions, nms: NmsOptions, **others: Any) -> Any:
        calls.append({"dataset": dataset, "work": work, "training": training, "nms": nms, **others})
        return dict.fromkeys(METRICS, 0.25)

    def thresholds(evaluation: Path, dataset: Path, nms: NmsOptions, _options: Any) -> Any:
        calls.append({"dataset": dataset, "evaluation": evaluation, "nms": nms})
        return dict.fromkeys(METRICS, 0.25)

    def compression(model: Path, dataset: Path, work: Path, *options: Any, **others: Any) -> Any:
        pruning, training, limit = options
        calls.append({"model": model, "dataset": dataset, "work": work, "training": training, **others})
        calls[-1] |= {"pruning": pruning, "limit": limit}
        return dict.fromkeys(COMPRESSION_METRICS, 0.25)

    monkeypatch.setattr("traffic_yolo.tuning.compression_trial.run_compression_trial", compression)
    monkeypatch.setattr("traffic_yolo.commands.around.check_inputs", lambda _: None)  # /nas is there in a pod
    monkeypatch.setattr("traffic_yolo.tuning.trial.run_trial", fine_tuning)
    monkeypatch.setattr("traffic_yolo.tuning.trial_metrics.thresholds_trial", thresholds)
    spec = committed["spec"]
    lists = {p["name"]: p["feasibleSpace"]["list"] for p in spec["parameters"] if "list" in p["feasibleSpace"]}
    for choice in lists.get("fine_tune_layers", [""]):
        job = fill(spec["trialTemplate"]["trialSpec"], SAMPLES | {"fine_tune_layers": choice})
        (container,) = job["spec"]["template"]["spec"]["containers"]
        program, group, *arguments = container["command"]
        assert (program, group) == ("traffic-yolo", "trial")
        answered = CliRunner().invoke(command, arguments)
        assert answered.exit_code == 0, answered.output
        assert answered.output.splitlines() == [f"{name}=0.250000" for name in metrics_of(committed)]
        call = calls[-1]
        assert call["dataset"] == "/nas/datasets/traffic"  # text: the library resolves what is read
        if "nms" in call:
            assert (call["nms"].confidence_threshold, call["nms"].iou_threshold) == (0.3123, 0.55)
        if "pruning" in call:
            assert (call["pruning"].prune_ratio, call["pruning"].prune_kind) == (0.3, "regular")
            assert call["pruning"].latency_table == "/nas/katib/compression/latency.json"
            assert call["limit"] == LatencyLimit(most_latency_share=0.6)
            assert call["training"].cfg == f"{call['model']}/model.cfg" == "/nas/models/start/model.cfg"
        if choice:
            assert call["training"].fine_tune_layers == choice
            assert call["store"].parent == Path("/nas/katib")


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
    names = metrics_of(committed)
    metrics = {name: 0.1 * (place + 1) * (-1 if names[name].is_signed else 1) for place, name in enumerate(names)}
    noise = "loss=1.5 f1=0.99\nmap=nan\n f1=0.3\nbest map50=0.9 after 3\nf1=\nxf1=0.5\n30%|###  | map50=0.1\n"
    log = noise + "\n".join(metric_lines(metrics)) + "\n" + noise
    assert read_as_katib(committed, log) == {name: [f"{value:.6f}"] for name, value in metrics.items()}


def test_kubernetes_knows_every_key_of_the_rules(repository: Path) -> None:
    documents = load_documents((repository / "katib" / "rbac.yaml").read_text())
    assert [document["kind"] for document in documents] == ["Role", "RoleBinding"]
    for document in documents:
        hold_to_schema(document)


def test_a_mistake_in_a_trial_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["trial", "thresholds", f"--evaluation={tmp_path}", f"--dataset={tmp_path}", "--iou-threshold=0.5"]
    with pytest.raises(SystemExit) as caught:
        program_main(arguments)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
