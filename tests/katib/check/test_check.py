"""The checker as a whole: its command, its messages, Katib's own words, and any YAML at all without a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from quick_yaml import load_yaml

from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.katib.check.check import check_document, check_text, rules_values
from traffic_yolo.katib.check.findings import RULES

BASE = Path(__file__).with_name("base_experiment.yaml")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(traffic_yolo, ["katib", *arguments])


def test_command_prints_path_expected_found_and_fix(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BASE.read_text().replace("type: maximize", "type: max"))
    result = run("check", str(file))
    assert result.exit_code == 1
    assert "spec.objective.type: error: unknown direction [objective-type]" in result.output
    assert "expected maximize or minimize; found max" in result.output
    assert result.output.splitlines()[-1].endswith("broken.yaml: 1 error, 0 warnings, 3 notes")


def test_command_prints_json(tmp_path: Path) -> None:
    result = run("check", "--json", str(BASE))
    assert result.exit_code == 0
    report = json.loads(result.output)
    assert report["counts"] == {"error": 0, "warning": 0, "info": 3}
    assert {"rule", "severity", "origin", "path", "message", "expected", "found", "fix"} == set(report["findings"][0])


def test_command_compares_with_the_experiment_that_it_would_replace(tmp_path: Path) -> None:
    old = load_yaml(BASE.read_text()) | {"status": {"trials": 30}}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(old))
    (tmp_path / "new.yaml").write_text(BASE.read_text().replace("maxTrialCount: 24", "maxTrialCount: 25"))
    result = run("check", str(tmp_path / "new.yaml"), "--old", str(tmp_path / "old.yaml"))
    assert "[edit-max-trials]" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "error: FILE: none.yaml: not found"),
        ([str(BASE), "--kubernetes-version", "1.0"], "error: Kubernetes version '1.0': expected "),
        ([str(BASE), "--kubernetes-version", "new"], "error: Kubernetes version 'new': expected "),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["katib", "check", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(message)


def test_rules_are_listed() -> None:
    result = run("rules")
    assert result.exit_code == 0
    assert all(name in result.output for name in RULES)
    assert json.loads(run("rules", "--json").output)["rules"] == rules_values()
    assert all(row["text"].endswith(".") for row in rules_values())


# Katib's own examples, as its documentation prints them (shortened to what the checker looks at)
UPSTREAM = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {namespace: kubeflow, name: random}
spec:
  objective: {type: minimize, goal: 0.001, objectiveMetricName: loss}
  algorithm: {algorithmName: random}
  parallelTrialCount: 3
  maxTrialCount: 12
  maxFailedTrialCount: 3
  parameters:
    - {name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.05"}}
    - {name: momentum, parameterType: double, feasibleSpace: {min: "0.5", max: "0.9"}}
  trialTemplate:
    primaryContainerName: training-container
    trialParameters:
      - {name: learningRate, description: Learning rate, reference: lr}
      - {name: momentum, description: Momentum, reference: momentum}
    trialSpec:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          metadata: {labels: {sidecar.istio.io/inject: "false"}}
          spec:
            containers:
              - name: training-container
                image: docker.io/kubeflowkatib/pytorch-mnist-cpu:v0.19.0
                command: [python3, /opt/pytorch-mnist/mnist.py, --epochs=1, "--lr=${trialParameters.learningRate}", "--momentum=${trialParameters.momentum}"]
                resources: {limits: {memory: 1Gi, cpu: "0.5"}}
            restartPolicy: Never
"""


def test_katibs_own_example_has_no_error() -> None:
    report = check_text(UPSTREAM)
    assert report.exit_code == 0
    assert {finding.rule for finding in report.findings if finding.severity == "warning"} == {"backoff-limit"}


def test_every_rule_broken_at_once_is_reported_without_a_traceback() -> None:
    """All that can be wrong in one document; no rule hides another."""
    document = load_yaml(BASE.read_text())
    document["apiVersion"], document["kind"], document["metadata"]["name"] = "v1", "Trial", "9_x" * 30
    spec = document["spec"]
    spec |= {
        "maxTrialCount": 0,
        "parallelTrialCount": -1,
        "maxFailedTrialCount": -2,
        "resumePolicy": "x",
        "nasConfig": {},
    }
    spec["objective"] |= {"type": "up", "goal": "high", "additionalMetricNames": ["map", "a;b", "a;b", "x y"]}
    spec["objective"]["metricStrategies"] = [{"name": "y", "value": "mean"}]
    spec["algorithm"] = {"algorithmName": "grid", "algorithmSettings": [{"name": "seed", "value": -1}] * 2}
    spec["earlyStopping"] = {"algorithmName": "hyperband"}
    spec["parameters"] = [
        {"name": "a", "parameterType": "double", "feasibleSpace": {"min": "b", "max": "1", "list": ["1"]}},
        {"name": "a", "parameterType": "integer", "feasibleSpace": {"distribution": "gauss", "min": 1}},
        {"parameterType": "categorical", "feasibleSpace": {"min": "1", "list": ["x y", "x y"]}},
        {"name": "d", "parameterType": "int", "feasibleSpace": {"min": "9", "max": "1", "step": "-1"}},
    ]
    spec["metricsCollectorSpec"] = {
        "collector": {"kind": "File"},
        "source": {
            "filter": {"metricsFormat": ["(?=a)(b)", "a", "a;(b)(c)"]},
            "fileSystemPath": {"path": "x", "kind": "Directory", "format": "XML"},
        },
    }
    template = spec["trialTemplate"]
    template["primaryContainerName"] = "nobody"
    template["trialParameters"] = [{"name": "{", "reference": "z"}, {"name": "q", "reference": "z"}, {"name": "q"}]
    pod = template["trialSpec"]["spec"]["template"]["spec"]
    pod["restartPolicy"], pod["containers"][0]["image"] = "Always", "x"
    pod["containers"][0]["resources"] = {"limits": {"cpu": "many"}}
    report = check_text(yaml.safe_dump(document))
    assert report.counts["error"] >= 45
    assert report.exit_code == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = places(load_yaml(BASE.read_text()))[1:]


@examples(150)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=4))
def test_any_value_at_any_place_is_survived(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = load_yaml(BASE.read_text())
    for path, value in changes:
        place = document
        try:
            for key in path[:-1]:
                place = place[key]
            if isinstance(place, dict) == isinstance(path[-1], str):  # YAML gives no other keys
                place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    check_document(document)
    check_document(document, old=load_yaml(BASE.read_text()))


@examples(200)
@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!?|>'\"#%@` \n0.,~", max_size=80))
def test_any_text_is_survived(text: str) -> None:
    check_text(text).to_text()


@examples(100)
@given(VALUES)
def test_any_spec_is_survived(value: Any) -> None:
    check_document({"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": value, "spec": value})


def test_an_ignored_rule_does_not_count_and_is_told(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BASE.read_text().replace("type: maximize", "type: max"))
    result = run("check", str(file), "--ignore", "objective-type", "--ignore", "claims")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].endswith(
        "broken.yaml: 0 errors, 0 warnings, 2 notes; ignored: 1 of claims, 1 of objective-type"
    )
    report = json.loads(run("check", str(file), "--ignore", "objective-type", "--json").output)
    assert (report["counts"]["error"], report["ignored"]) == (0, {"objective-type": 1})
    assert "objective-type" not in {finding["rule"] for finding in report["findings"]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metric-names", "--ignore 'metric-names': no such rule; write metric-name, or see `traffic-yolo katib rules`"),
        ("qqqq", "--ignore 'qqqq': no such rule; see `traffic-yolo katib rules`"),
        ("yaml", "--ignore yaml: cannot be ignored: without an object there is nothing to go on with"),
    ],
)
@pytest.mark.parametrize("door", ["check", "run"])
def test_a_rule_that_cannot_be_ignored_is_refused(
    door: str, name: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more = ["--out", str(tmp_path / "out")] if door == "run" else []
    with pytest.raises(SystemExit) as ended:
        main(["katib", door, str(BASE), "--ignore", name, *more])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == f"error: {message}"
    assert not (tmp_path / "out").exists()


def test_a_key_that_stands_there_twice_may_be_ignored() -> None:
    assert check_text(BASE.read_text() + "kind: Experiment\n").exit_code == 1
    assert check_text(BASE.read_text() + "kind: Experiment\n", ignore=["repeated-key"]).exit_code == 0


@pytest.mark.parametrize("port", [8080, "8080"])
def test_a_port_is_a_number_or_a_text(port: int | str) -> None:
    document = load_yaml(BASE.read_text())
    del document["spec"]["earlyStopping"]
    source = {"httpGet": {"port": port, "path": "/metrics"}}
    document["spec"]["metricsCollectorSpec"] = {"collector": {"kind": "PrometheusMetric"}, "source": source}
    assert [finding.rule for finding in check_document(document) if finding.severity != "info"] == []
    source["httpGet"]["port"] = [port]  # type: ignore[dict-item]
    finding = next(finding for finding in check_document(document) if finding.rule == "wrong-type")
    assert finding.expected == "a whole number, or a text"


def test_a_quantity_is_a_number_or_a_text_that_is_one() -> None:
    document = load_yaml(BASE.read_text())
    del document["spec"]["earlyStopping"]
    custom = {"name": "collector", "image": "registry.local/c:1", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}
    document["spec"]["metricsCollectorSpec"] = {"collector": {"kind": "Custom", "customCollector": custom}}
    assert [finding.rule for finding in check_document(document) if finding.severity != "info"] == []
    custom["resources"] = {"limits": {"memory": "8 GB"}}
    finding = next(finding for finding in check_document(document) if finding.rule == "wrong-type")
    assert finding.path.endswith("customCollector.resources.limits.memory")
    assert finding.found == "8 GB"
