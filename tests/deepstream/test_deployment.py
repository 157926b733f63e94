"""`deepstream config`: the folder it writes, held against the model, the tables of the parsers and our own lint."""

import json
import shutil
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.deepstream.config.app_config import AppConfig, app_config
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.config.key_file import parse_key_file, parse_yaml_file
from traffic_yolo.deepstream.config.lint import lint
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import CLASS_KEYS, PROPERTY_KEYS
from traffic_yolo.deepstream.config.options import AppOptions, ConfigOptions
from traffic_yolo.deepstream.config.text import config_text
from traffic_yolo.deepstream.deployment import Deployment, write_deployment
from traffic_yolo.errors import ModelError, OptionsError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import sha256_of_file

SOURCES = ("rtsp://camera-1:554/main", "/videos/a 100% day.mp4", "file:///videos/b.mp4")
THRESHOLDS = {"confidence_threshold": 0.4, "iou_threshold": 0.5}


def written(model: Path, out: Path, app: AppOptions | None = None, **options: object) -> Deployment:
    given = ConfigOptions(**{**THRESHOLDS, **options})  # type: ignore[arg-type]
    return write_deployment(model, out, given, app or AppOptions())


@pytest.mark.parametrize("form", ["txt", "yaml"])
@pytest.mark.parametrize("model_format", ["onnx", "darknet"])
def test_the_folder_is_whole_and_passes_our_lint(model: Path, tmp_path: Path, form: str, model_format: str) -> None:
    sources = SOURCES if form == "txt" else (SOURCES[0], SOURCES[2])
    app = AppOptions(sources=sources, tracker="nvdcf", osd=True, sink="file")
    made = written(model, tmp_path / "out", app, form=form, model_format=model_format, precision="fp16")
    assert made.app is not None
    assert [finding.rule for finding in made.lint.findings] == ["missing-file"]  # the parser's library
    assert {kind for _, kind in made.lint.read} == {"nvinfer", "deepstream-app"}
    config = NvinferConfig.read(made.nvinfer)
    for key in ("onnx-file", "custom-network-config", "model-file", "labelfile-path"):
        if config.has(key):
            assert (made.folder / config.text(key)).is_file(), key
    assert config.integer("batch-size") == len(sources)
    assert config.class_attributes(0).pre_cluster_threshold == 0.4
    assert config.class_attributes(1).nms_iou_threshold == 0.5


def test_the_onnx_file_carries_its_hash_and_the_engine_is_named_after_it(model: Path, tmp_path: Path) -> None:
    config = NvinferConfig.read(written(model, tmp_path / "out", batch=4).nvinfer)
    name = f"model-{sha256_of_file(model / 'model.onnx')[:12]}.onnx"
    assert config.text("onnx-file") == name
    assert config.text("model-engine-file") == f"{name}_b4_gpu0_fp32.engine"
    assert (tmp_path / "out" / name).read_bytes() == (model / "model.onnx").read_bytes()


@pytest.mark.parametrize("model_format", ["onnx", "darknet"])
@pytest.mark.parametrize("letterbox", [False, True])
def test_every_value_that_is_not_the_default_has_its_reason(
    export_tiny: object, model_format: str, letterbox: bool
) -> None:
    folder = ModelFolder.open(export_tiny(letterbox=letterbox))  # type: ignore[operator]
    config = deploy_config(folder, DeployOptions(model_format=model_format, class_thresholds={"CAR": 0.6}))
    for group, values in config.groups.items():
        keys = PROPERTY_KEYS if group == "property" else CLASS_KEYS
        for key, value in values.items():
            assert value == keys[key].default or config.reasons.get((group, key)), (group, key)


@pytest.mark.parametrize("form", ["txt", "yaml"])
def test_an_application_reads_back_in_both_forms(form: str) -> None:
    sources = (SOURCES[0], SOURCES[2])
    config = app_config(AppOptions(sources=sources, sink="rtsp"), batch=2, nvinfer_name="n.txt")
    text = config.to_text(form)
    groups = (parse_key_file if form == "txt" else parse_yaml_file)(text, source="a").values()
    assert groups["streammux"]["batch-size"] == groups["primary-gie"]["batch-size"] == "2"
    assert groups["streammux"]["live-source"] == "1"
    assert groups["tiled-display"] | {"rows": "1", "columns": "2"} == groups["tiled-display"]
    assert "# frames of another size are resized here" in text
    if form == "txt":
        assert (groups["source0"]["type"], groups["source0"]["uri"]) == ("4", SOURCES[0])
        return
    assert groups["source"] == {"csv-file-path": "sources.csv"}
    assert config.sources_text().splitlines() == [
        "enable,type,uri,num-sources,gpu-id",
        "1,4,rtsp://camera-1:554/main,1,0",
        "1,2,file:///videos/b.mp4,1,0",
    ]


def test_a_path_becomes_a_uri_with_its_escapes() -> None:
    config = app_config(AppOptions(sources=SOURCES), batch=3, nvinfer_name="n.txt")
    assert config.groups["source1"] == {
        "enable": "1", "type": "2", "uri": "file:///videos/a%20100%25%20day.mp4", "num-sources": "1", "gpu-id": "0",
    }  # fmt: skip
    with pytest.raises(OptionsError, match="cannot stand in the YAML form's table; choose form txt"):
        config.sources_text()
    with pytest.raises(OptionsError, match="it holds a blank"):
        app_config(AppOptions(sources=("rtsp://a b",)), batch=1, nvinfer_name="n.txt")


def test_int8_is_written_with_a_table_or_for_a_quantized_network(model: Path, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("TRT-8503-EntropyCalibration2\ninput: 3f800000\n")
    made = written(model, tmp_path / "a", precision="int8", calibration_table=str(tmp_path / "table"), version="7.0")
    values = NvinferConfig.read(made.nvinfer).groups["property"]
    assert (values["network-mode"], values["int8-calib-file"]) == ("1", "calibration.table")
    assert (made.folder / "calibration.table").read_text() == "TRT-8601-EntropyCalibration2\ninput: 3f800000\n"
    assert values["model-engine-file"].endswith("_b1_gpu0_int8.engine")
    quantized = onnx.load(str(model / "model.onnx"))
    quantized.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["x", "s"], ["y"]))
    onnx.save(quantized, tmp_path / "quantized.onnx")
    made = written(model, tmp_path / "b", precision="int8", onnx=str(tmp_path / "quantized.onnx"))
    values = NvinferConfig.read(made.nvinfer).groups["property"]
    assert (values["network-mode"], values["strongly-typed"]) == ("0", "1")
    assert values["model-engine-file"].endswith("_b1_gpu0_fp32.engine")
    assert "int8-calib-file" not in values


def test_a_table_that_the_engine_could_not_be_built_by_is_refused(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "table"
    int8 = {"precision": "int8", "calibration_table": str(table)}
    table.write_text("TRT-8503-EntropyCalibration2\nconv_0: 3f800000\n")
    with pytest.raises(ModelError, match="none of which the ONNX file has; traffic-yolo quantize writes one of this"):
        written(model, tmp_path / "a", **int8)
    table.write_text("TRT-8503-MinMaxCalibration\ninput: 3f800000\n")
    with pytest.raises(ModelError, match="is of MinMaxCalibration, and nvinfer's calibrator is EntropyCalibration2"):
        written(model, tmp_path / "a", **int8)
    table.write_text("TRT-8503-EntropyCalibration2\ninput: 3f800000\n")
    with pytest.raises(ModelError, match="names the tensors of model.onnx, and DeepStream-Yolo's builder gives"):
        written(model, tmp_path / "a", model_format="darknet", **int8)
    quantized = onnx.load(str(model / "model.onnx"))
    quantized.graph.node.append(onnx.helper.make_node("QuantizeLinear", ["x", "s"], ["y"]))
    onnx.save(quantized, tmp_path / "quantized.onnx")
    with pytest.raises(ModelError, match="has Q/DQ nodes, beside which TensorRT takes no table"):
        written(model, tmp_path / "a", onnx=str(tmp_path / "quantized.onnx"), **int8)
    assert not (tmp_path / "a").exists()


def test_an_onnx_file_of_other_weights_is_refused(model: Path, tmp_path: Path) -> None:
    other = onnx.load(str(model / "model.onnx"))
    next(entry for entry in other.metadata_props if entry.key == "weights_sha256").value = "0" * 64
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=r"other.onnx was not made of .*model.weights \(000000000000…\)"):
        written(model, tmp_path / "out", onnx=str(tmp_path / "other.onnx"))
    assert not (tmp_path / "out").exists()


def test_thresholds_come_from_flags_then_tuning_then_the_bundle(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="is no bundle, which would state them; give both, or the folder of tune"):
        write_deployment(model, tmp_path / "none", ConfigOptions(confidence_threshold=0.3), AppOptions())
    tuning = tmp_path / "tuning"
    tuning.mkdir()
    point = {"confidence_threshold": 0.31, "iou_threshold": 0.42, "class_thresholds": {"CAR": 0.6}}
    (tuning / "operating_point.json").write_text(json.dumps(point))
    made = write_deployment(model, tmp_path / "a", ConfigOptions(), AppOptions(), tuning=tuning)
    config = NvinferConfig.read(made.nvinfer)
    found = [config.class_attributes(class_id).pre_cluster_threshold for class_id in (0, 1)]
    assert (found, config.class_attributes(0).nms_iou_threshold) == ([0.6, 0.31], 0.42)
    bundle = tmp_path / "bundle"
    shutil.copytree(model, bundle)
    shutil.copyfile(made.nvinfer, bundle / "config_infer_primary.txt")
    options = ConfigOptions(iou_threshold=0.7, class_thresholds=("traffic light=0.9",))
    config = NvinferConfig.read(write_deployment(bundle, tmp_path / "b", options, AppOptions()).nvinfer)
    found = [config.class_attributes(class_id).pre_cluster_threshold for class_id in (0, 1)]
    assert (found, config.class_attributes(0).nms_iou_threshold) == ([0.6, 0.9], 0.7)


def test_a_resize_against_the_cfg_is_written_and_said(model: Path, tmp_path: Path) -> None:
    made = written(model, tmp_path / "out", resize="letterbox")
    assert NvinferConfig.read(made.nvinfer).integer("maintain-aspect-ratio") == 1
    assert "maintain-aspect-ratio=1, but" in made.text
    assert "though the cfg says stretch" in made.nvinfer.read_text()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ConfigOptions, {"class_thresholds": ("CAR",)}, "expected CLASS=THRESHOLD with 0 to 1, found 'CAR'"),
        (ConfigOptions, {"class_thresholds": ("CAR=2",)}, "found 'CAR=2'"),
        (ConfigOptions, {"onnx": "a.onnx", "model_format": "darknet"}, "a file is given, but model_format is darknet"),
        (ConfigOptions, {"calibration_table": "a"}, "calibration_table is for precision int8, found fp32"),
        (AppOptions, {"osd": True}, "sources: none is given"),
        (AppOptions, {"osd": True, "sources": ("a",)}, "osd draws on frames that sink=none throws away"),
        (AppOptions, {"kitti_folder": "a", "sources": ("a",)}, "expected its absolute path on the GPU node"),
    ],
)
def test_options_that_cannot_be_are_refused(kind: type, options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        kind(**options)


def test_a_value_that_a_form_cannot_hold_is_refused() -> None:
    assert config_text({"a": {"b": "x y"}}, {}, form="yaml") == 'a:\n  b: "x y"\n'
    assert config_text({"a": {"b": "3;4"}}, {("a", "b"): "why"}) == "[a]\n# why\nb=3;4\n"
    for value, form in (("a\nb", "yaml"), ("a\\b", "txt")):
        with pytest.raises(OptionsError, match="holds what a configuration of this form cannot hold"):
            config_text({"a": {"b": value}}, {}, form=form)


def test_the_command_writes_and_says_how_to_start(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["deepstream", "config", "--model", str(model), "--out", str(out), "--iou-threshold", "0.4"]
    done = CliRunner().invoke(
        traffic_yolo, [*arguments, "--confidence-threshold", "0.3", "--sources", "rtsp://a/b"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert f"cd {out} && deepstream-app -c deepstream_app.txt" in done.output
    assert lint(out / "deepstream_app.txt").exit_code == 0
    with pytest.raises(SystemExit, match="2"):
        main([*arguments[:-2], "--precision", "int8"])


def test_more_sources_than_an_application_takes_are_refused() -> None:
    with pytest.raises(OptionsError, match="expected 1 to 1024, found 1025"):
        app_config(AppOptions(sources=("rtsp://a",) * 1025), batch=1, nvinfer_name="n")
    assert isinstance(app_config(AppOptions(sources=("rtsp://a",)), batch=1, nvinfer_name="n"), AppConfig)
