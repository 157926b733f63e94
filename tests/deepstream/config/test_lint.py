"""The lint of anyone's DeepStream configuration: each rule on a file that breaks it, and on one that does not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.config.findings import ConfigFinding
from traffic_yolo.deepstream.config.lint import lint
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import ModelFolder

PLAIN = """[property]
onnx-file=model.onnx
batch-size=2
network-mode=0
num-detected-classes=3
labelfile-path=labels.txt
cluster-mode=2
"""
APP = """[application]
enable-perf-measurement=0

[source0]
enable=1
type=3
uri=file:///v/a%d.mp4
num-sources=2

[streammux]
batch-size=2
width=1920
height=1080

[primary-gie]
enable=1
batch-size=2
config-file=pgie.txt

[sink0]
enable=1
type=1
"""


@pytest.fixture
def findings(tmp_path: Path) -> Callable[..., list[ConfigFinding]]:
    """Lints a text as a file of the given name; notes on files that are not there are left out."""

    def of(text: str, name: str = "config.txt", **others: str) -> list[ConfigFinding]:
        for other, content in others.items():
            (tmp_path / other.replace("_txt", ".txt")).write_bytes(content.encode())
        (tmp_path / name).write_text(text)
        return [one for one in lint(tmp_path / name).findings if one.rule != "missing-file"]

    return of


Findings = Callable[..., list[ConfigFinding]]


def one_of(found: list[ConfigFinding]) -> tuple[str, str, int]:
    assert len(found) == 1, [one.to_text() for one in found]
    return found[0].rule, found[0].severity, found[0].line


def test_files_without_fault_have_no_findings(findings: Findings) -> None:
    assert findings(PLAIN) == []
    assert findings(APP) == []


@pytest.mark.parametrize(
    ("line", "rule", "severity", "message"),
    [
        ("scalingfilter=1", "unknown-key", "error", "did you mean scaling-filter?"),
        ("process_mode=1", "unknown-key", "error", "did you mean process-mode?"),
        ("parse-func=4", "unknown-key", "warning", "nvinfer knows no [property] parse-func and passes over it"),
        ("topk=300", "wrong-place", "error", "it is a key of [class-attrs-all]; move it there"),
        ("enable=1", "wrong-place", "error", "it is a key of deepstream-app's own file"),
        ("gpu-id=1 # the second", "comment-in-value", "warning", "so 1 is read"),
        ("net-scale-factor=0.25 # x", "comment-in-value", "error", "nvinfer stops here"),
        ("custom-lib-path=/a.so # x", "comment-in-value", "error", "the comment is part of the text"),
        ("network-type=7", "value", "error", "expected one of 0, 1, 2, 3, 100, found 7"),
        ("batch-size=4", "repeated-key", "warning", "batch-size is 2 on line 3 and 4 here"),
        ("input-dims=3;4;5;0", "older-key", "warning", "input-dims is the older name of infer-dims"),
        ("model-engine-file=model.onnx_b1_gpu0_fp32.engine", "engine-batch", "warning", "batch 1, but batch-size=2"),
        (
            "model-engine-file=model.onnx_b2_gpu0_fp16.engine",
            "engine-precision",
            "error",
            "fp16, but network-mode is fp32",
        ),
        (
            "model-engine-file=old.onnx_b2_gpu0_fp32.engine",
            "foreign-engine",
            "error",
            "built of old.onnx, but onnx-file",
        ),
        ("maintain-aspect-ratio=yes", "value", "error", "expected 0, 1, true or false, found 'yes'"),
        ("[class-attrs-3]", "class-beyond", "error", "beyond num-detected-classes=3"),
        ("[class-attr-all]", "unknown-group", "error", "did you mean [class-attrs-all]?"),
        ("[class-attrs-all]\nthreshold=0.4", "older-key", "warning", "threshold sets pre-cluster-threshold"),
        ("[class-attrs-all]\ntopk=-1", "value", "error", "expected 0 or more, found -1"),
        ("[class-attrs-all]\nonnx-file=a.onnx", "value-free", "", ""),
    ],
)
def test_each_line_that_breaks_a_rule_is_named(
    findings: Findings, line: str, rule: str, severity: str, message: str
) -> None:
    found = [one for one in findings(PLAIN + line + "\n") if "batch-size is 2" in message or one.rule != "repeated-key"]
    if rule == "value-free":  # passed over there, but it stands at its own place too
        assert [one.severity for one in found] == ["warning"]
        return
    assert [(one.rule, one.severity) for one in found] == [(rule, severity)], [one.to_text() for one in found]
    assert message in f"{found[0].message}; {found[0].advice}"
    assert found[0].line >= PLAIN.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        (
            "property:\n  onnx-file: m.onnx\n  network-type: 1\n  strongly-typed: true\n",
            "value",
            "write strongly-typed: 1",
        ),
        ("property:\n  onnx-file: m\n  network-type: 1\n  is-classifier: 1\n", "wrong-form", "write network-type: 1"),
        ("property:\n  onnx-file: m\n  network-type: 1\n  infer-dims: [3, 4, 5]\n", "value", "expected one value"),
        (
            "property:\n  onnx-file: m\n  network-type: 1\n  gpu-id: 0\n  gpu-id: 1\n",
            "repeated-key",
            "0 on line 4 and 1",
        ),
        ("property:\n  onnx-file: m\n  network-type: 1\ntopk: 20\n", "wrong-place", "write it below class-attrs-all:"),
        ("property:\n  onnx-file: m\n  network-type: 1\n tab: x\n", "syntax", "nvinfer does not start with this file"),
    ],
)
def test_yaml_is_held_to_the_yaml_parser(findings: Findings, text: str, rule: str, message: str) -> None:
    found = findings(text, "config.yml")
    assert [one.rule for one in found] == [rule], [one.to_text() for one in found]
    assert message in found[0].to_text()


def test_the_directive_of_opencv_is_passed_over(findings: Findings) -> None:
    assert findings("# a\n%YAML:1.0\nproperty:\n  onnx-file: m\n  network-type: 1\n", "config.yml") == []


def test_int8_without_a_table_is_an_error_unless_the_network_is_quantized(findings: Findings, tmp_path: Path) -> None:
    int8 = PLAIN.replace("network-mode=0", "network-mode=1\nstrongly-typed=1")
    assert one_of(findings(int8)) == ("int8-without-table", "error", 4)
    node = onnx.helper.make_node("QuantizeLinear", ["x", "s"], ["y"])
    values = [onnx.helper.make_tensor_value_info(n, t, [1]) for n, t in (("x", 1), ("s", 1), ("y", 2))]
    graph = onnx.helper.make_graph([node], "g", values[:2], values[2:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
    assert findings(int8) == []
    assert one_of(findings(int8.replace("strongly-typed=1", ""))) == ("int8-without-table", "error", 4)
    missing = int8.replace("strongly-typed=1", "int8-calib-file=calib.table")
    assert one_of(findings(missing)) == ("int8-without-table", "error", 5)
    table = tmp_path / "calib.table"
    table.write_text("TRT-8503-EntropyCalibration2\nx: 3f800000\n")
    assert findings(missing) == []
    for unfit in ("TRT\n", "TRT-8503-MinMaxCalibration\nx: 3f800000\n", "TRT-8503-EntropyCalibration2\nz: 3f800000\n"):
        table.write_text(unfit)
        assert one_of(findings(missing)) == ("int8-table", "error", 5)


def test_our_parser_builds_no_engine_of_a_darknet_pair(findings: Findings) -> None:
    pair = PLAIN.replace("onnx-file=model.onnx", "custom-network-config=model.cfg\nmodel-file=model.weights")
    pair += "net-scale-factor=0.0039215697906911373\nengine-create-func-name=NvDsInferYoloCudaEngineGet\n"
    assert findings(pair + "custom-lib-path=/opt/libnvdsinfer_custom_impl_Yolo.so\n") == []
    ours = findings(pair + "custom-lib-path=/opt/libtraffic_yolo_parser.so\n")
    assert one_of(ours) == ("no-builder", "error", 10)


def test_an_engine_older_than_its_model_is_stale(findings: Findings, tmp_path: Path) -> None:
    text = PLAIN + "model-engine-file=model.onnx_b2_gpu0_fp32.engine\n"
    engine = tmp_path / "model.onnx_b2_gpu0_fp32.engine"
    for path, time in ((tmp_path / "model.onnx", 200), (engine, 100)):
        path.write_bytes(b"")
        os.utime(path, (time, time))
    assert one_of(findings(text)) == ("stale-engine", "error", 8)
    os.utime(engine, (300, 300))
    assert findings(text) == []


def test_an_engine_named_by_the_hash_of_another_file_is_foreign(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    path = tmp_path / "model" / "config.txt"
    path.write_text(deploy_config(ModelFolder.open(model), DeployOptions()).to_text())
    (tmp_path / "model" / "model.onnx").write_bytes((model / "model.onnx").read_bytes() + b"\0")
    assert "foreign-engine" in [one.rule for one in lint(path).findings if one.severity == "error"]


@pytest.mark.parametrize(
    ("labels", "severity", "message"),
    [
        ("a\nb\n", "error", "has 2 labels, but num-detected-classes=3"),
        ("a;b;c\n", "error", "a ; ends the label"),
        ("a\nb\nc\nd\n", "warning", "has 4 labels"),
        ("a\r\nb\r\nc\r\n", "warning", "CR becomes part of every label"),
        ("a\n\nb\nc\n", "", ""),  # nvinfer skips an empty line
    ],
)
def test_labels_are_counted_as_nvinfer_counts_them(
    findings: Findings, labels: str, severity: str, message: str
) -> None:
    found = findings(PLAIN, labels_txt=labels)
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert message in "".join(one.to_text() for one in found)


def test_a_configuration_of_ours_has_no_findings_in_its_model_folder(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    path = tmp_path / "model" / "config.txt"
    for model_format, expected in (("onnx", ["missing-file", "engine-name"]), ("darknet", ["missing-file"])):
        options = DeployOptions(model_format=model_format, batch=4, precision="fp16")
        path.write_text(deploy_config(ModelFolder.open(model), options).to_text())
        report = lint(path)
        assert sorted(one.rule for one in report.findings) == sorted(expected)  # missing: the parser's library
        assert report.exit_code == 0
        assert report.model == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("old", "new", "rule", "message"),
    [
        ("num-detected-classes=2", "num-detected-classes=1", "class-count", "has 2 classes: DeepStream-Yolo's parser"),
        ("num-detected-classes=2", "num-detected-classes=3", "class-count", "write num-detected-classes=2"),
        ("infer-dims=3;64;96", "infer-dims=3;96;64", "input-size", "infer-dims is 64 x 96 (width x height), but"),
        ("maintain-aspect-ratio=0", "maintain-aspect-ratio=1", "resize", "stretches (no letter_box)"),
        ("net-scale-factor=0.0039215697906911373\n", "\n", "input-scale", "net-scale-factor is 1, but"),
        ("model-color-format=0", "model-color-format=1", "input-colors", "want RGB"),
        ("scaling-filter=1\n", "\n", "scaling-filter", "to the nearest pixel"),
        ("cluster-mode=2\n", "\n", "cluster-mode", "topk 20"),
        ("crop-objects-to-roi-boundary=1\n", "\n", "edge-boxes", "are dropped"),
    ],
)
def test_what_does_not_fit_the_model_is_named(
    model: Path, tmp_path: Path, old: str, new: str, rule: str, message: str
) -> None:
    text = deploy_config(ModelFolder.open(model), DeployOptions()).to_text()
    assert text.count(old) == 1
    lines = [line for line in text.replace(old, new).splitlines() if not line.startswith(("labelfile", "symmetric"))]
    (tmp_path / "config.txt").write_text("\n".join([*lines, ""]))
    found = [one for one in lint(tmp_path / "config.txt", model=model).findings if one.severity != "info"]
    assert rule in [one.rule for one in found]
    assert message in "".join(one.to_text() for one in found)
    assert all(one.rule in (rule, "labels", "class-beyond") for one in found) or rule == "resize"


@pytest.mark.parametrize(
    ("labels", "severity", "message"),
    [
        ("traffic_light\nCAR\n", "error", "class 0 is 'traffic_light', expected 'CAR'"),
        ("background\nCAR\n", "error", "class 0 is 'background', and all after it are shifted by one, expected 'CAR'"),
        ("car\nTraffic Light\n", "warning", "spells the classes"),
    ],
)
def test_labels_in_another_order_than_the_models_are_an_error(
    model: Path, tmp_path: Path, labels: str, severity: str, message: str
) -> None:
    (tmp_path / "config.txt").write_text(deploy_config(ModelFolder.open(model), DeployOptions()).to_text())
    (tmp_path / "labels.txt").write_text(labels)
    found = [one for one in lint(tmp_path / "config.txt", model=model).findings if one.rule == "labels"]
    assert [one.severity for one in found] == [severity]
    assert message in found[0].message


@pytest.mark.parametrize(
    ("old", "new", "rule", "severity"),
    [
        ("uri=file:///v/a%d.mp4", "uri=/v/a.mp4", "uri", "error"),
        ("uri=file:///v/a%d.mp4", "uri=multifile:///v/%06d.jpg", "uri", "error"),
        ("uri=file:///v/a%d.mp4", "uri=file:///v/a b.mp4", "uri", "error"),
        ("type=3\nuri=file:///v/a%d.mp4", "type=4\nuri=file:///v/a.mp4", "uri", "error"),
        ("enable=1\ntype=3", "enable=0\ntype=3", "no-source", "error"),
        ("enable=1\ntype=3", "enable=true\ntype=3", "value", "error"),
        ("[source0]", "[sourceA]", "unknown-group", "error"),
        ("num-sources=2", "num-sources=3", "mux-batch", "warning"),
        ("enable=1\nbatch-size=2", "enable=1\nbatch-size=1", "gie-batch", "warning"),
        ("config-file=pgie.txt", "config-file-path=pgie.txt", "unknown-key", "error"),
        ("config-file=pgie.txt", "config-file=pgie.txt\nnetwork-mode=2", "wrong-place", "error"),
        ("width=1920", "widht=1920", "mux-size", "error"),
        ("[sink0]", "[tracker]\nenable=1\n[sink0]", "tracker-library", "error"),
        ("[sink0]", "[secondary-gie0]\nenable=1\ngie-unique-id=1\nconfig-file=a\n[sink0]", "gie-id", "error"),
        ("enable-perf-measurement=0", "gie-kitti-output-dir=/none", "dump-folder", "warning"),
    ],
)
def test_each_fault_of_an_application_is_named(
    findings: Findings, old: str, new: str, rule: str, severity: str
) -> None:
    text = APP.replace(old, new, 1).replace("config-file=pgie", "gie-unique-id=1\nconfig-file=pgie")
    assert text != APP
    assert (rule, severity) in [(one.rule, one.severity) for one in findings(text)]


def test_the_files_that_nvinfer_reads_for_an_application_are_looked_at_too(findings: Findings, tmp_path: Path) -> None:
    found = findings(APP, pgie_txt=PLAIN + "scalingfilter=4\n")
    assert [(Path(one.file).name, one.rule) for one in found] == [("pgie.txt", "unknown-key")]
    report = lint(tmp_path / "config.txt")
    assert [(Path(name).name, kind) for name, kind in report.read] == [
        ("config.txt", "deepstream-app"),
        ("pgie.txt", "nvinfer"),
    ]


def test_a_file_that_nvinfer_cannot_read_is_a_fault_of_the_application(findings: Findings) -> None:
    found = findings(APP, pgie_txt="infer_config {\n}\n")
    assert [(Path(one.file).name, one.rule, one.severity) for one in found] == [
        ("config.txt", "no-config-file", "error")
    ]
    assert "found none of their groups" in found[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[property]\nenable=1\nconfig-width=1\n[roi-filtering-stream-0]\nenable=1\n",
            "this is a file of nvdsanalytics",
        ),
        ("[property]\nenable=1\n[group-0]\nsrc-ids=0\n", "this is a file of nvdspreprocess"),
        ("[other]\na=1\n", r"expected \[property\] with keys of nvinfer, .* found \[other\]"),
        ("", "found no group"),
        ("infer_config {\n", "found none of their groups"),
    ],
)
def test_a_file_of_another_element_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ModelError, match=message):
        lint(tmp_path / "a.txt")


def test_the_command_ends_with_1_for_errors_and_prints_json(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(PLAIN + "scalingfilter=1\n")
    done = CliRunner().invoke(traffic_yolo, ["deepstream", "lint", str(path), "--json"])
    assert done.exit_code == 1
    content = json.loads(done.output)
    assert content["counts"] == {"error": 1, "warning": 0, "info": 2}
    assert content["findings"][0]["line"] == 8
    path.write_text(PLAIN)
    done = CliRunner().invoke(traffic_yolo, ["deepstream", "lint", str(path)])
    assert done.exit_code == 0
    assert "0 errors, 0 warnings, 2 notes in" in done.output
    with pytest.raises(SystemExit, match="2"):
        main(["deepstream", "lint", str(tmp_path / "none.txt")])
