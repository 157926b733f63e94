"""The configuration that a model needs: each setting against what the model says, and what it names exists."""

from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_yolo.deepstream.config.deploy_config import (
    IMAGE_PARSER,
    DeployOptions,
    deploy_config,
    named_by_content,
)
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import ModelFolder


def test_onnx_configuration_of_a_stretched_model(model: Path) -> None:
    options = DeployOptions(confidence_threshold=0.31, iou_threshold=0.55, batch=4)
    config = deploy_config(ModelFolder.open(model), options)
    values = config.groups["property"]
    assert values["net-scale-factor"] == "0.0039215697906911373"
    assert values["model-color-format"] == "0"
    assert values["infer-dims"] == "3;64;96"
    assert values["maintain-aspect-ratio"] == "0"
    assert "symmetric-padding" not in values
    assert values["onnx-file"] == "model.onnx"
    assert not {"custom-network-config", "model-file", "engine-create-func-name"} & set(values)
    # nvinfer takes an engine that it finds, whatever it was built of
    digest = ModelFolder.open(model).sha256("model.onnx")[:12]
    assert values["model-engine-file"] == f"model-{digest}.onnx_b4_gpu0_fp32.engine"
    assert values["batch-size"] == "4"
    assert values["num-detected-classes"] == "2"
    assert values["cluster-mode"] == "2"
    assert values["crop-objects-to-roi-boundary"] == "1"
    assert values["network-mode"] == "0"
    attributes = config.class_attributes(1)
    assert (attributes.pre_cluster_threshold, attributes.nms_iou_threshold, attributes.topk) == (0.31, 0.55, 300)


def test_letterbox_model_keeps_the_aspect_and_centres(export_tiny: Callable[..., Path]) -> None:
    values = deploy_config(ModelFolder.open(export_tiny(letterbox=True)), DeployOptions()).groups["property"]
    assert (values["maintain-aspect-ratio"], values["symmetric-padding"]) == ("1", "1")


def test_darknet_configuration_names_the_pair_and_the_builder(model: Path) -> None:
    options = DeployOptions(model_format="darknet", precision="fp16")
    values = deploy_config(ModelFolder.open(model), options).groups["property"]
    assert values["custom-network-config"] == "model.cfg"
    assert values["model-file"] == "model.weights"  # DeepStream-Yolo wants .weights in the name
    assert values["engine-create-func-name"] == "NvDsInferYoloCudaEngineGet"
    # DeepStream-Yolo's own name is the same for all models: an engine of other weights would be taken
    digest = ModelFolder.open(model).sha256("model.weights")[:12]
    assert values["model-engine-file"] == f"model-{digest}_b1_gpu0_fp16.engine"
    assert values["network-mode"] == "2"
    assert "onnx-file" not in values
    text = deploy_config(ModelFolder.open(model), options).to_text()
    assert "# relative to the working directory: start in this file's folder\ncustom-network-config=model.cfg" in text
    assert "rename model_b1_gpu0_fp16.engine, which the build leaves\nmodel-engine-file=model-" in text


def test_the_library_is_ours_for_rows_and_the_builder_for_a_darknet_pair(model: Path) -> None:
    folder = ModelFolder.open(model)

    def library(**options: str) -> str:
        return deploy_config(folder, DeployOptions(**options)).text("custom-lib-path")  # type: ignore[arg-type]

    assert library() == IMAGE_PARSER
    assert library(model_format="darknet") == "nvdsinfer_custom_impl_Yolo/libnvdsinfer_custom_impl_Yolo.so"
    assert library(parser_library="/a/b.so") == library(parser_library="/a/b.so", model_format="darknet") == "/a/b.so"


def test_a_file_named_by_its_content_gives_its_engine_the_name_that_nvinfer_looks_for(model: Path) -> None:
    folder = ModelFolder.open(model)
    config = deploy_config(folder, DeployOptions(batch=4))
    named = named_by_content(config, "0123456789abcdef")
    assert named.text("onnx-file") == "model-0123456789ab.onnx"
    assert named.text("model-engine-file") == "model-0123456789ab.onnx_b4_gpu0_fp32.engine"
    assert named.with_values("property", dict(config.groups["property"])) == config  # nothing else is changed
    darknet = deploy_config(folder, DeployOptions(model_format="darknet"))
    assert named_by_content(darknet, "0123456789abcdef") == darknet


@pytest.mark.parametrize("model_format", ["onnx", "darknet"])
def test_every_file_named_lies_in_the_model_folder(model: Path, model_format: str) -> None:
    config = deploy_config(ModelFolder.open(model), DeployOptions(model_format=model_format))
    for key in ("onnx-file", "custom-network-config", "model-file", "labelfile-path"):
        if config.has(key):
            assert (model / config.text(key)).is_file(), key


def test_settings_that_differ_from_the_default_say_why(model: Path) -> None:
    text = deploy_config(ModelFolder.open(model), DeployOptions()).to_text()
    lines = text.splitlines()
    for key in ("net-scale-factor", "maintain-aspect-ratio", "crop-objects-to-roi-boundary", "cluster-mode"):
        place = next(index for index, line in enumerate(lines) if line.startswith(f"{key}="))
        assert lines[place - 1].startswith("# "), key


def test_written_text_reads_back(model: Path) -> None:
    config = deploy_config(ModelFolder.open(model), DeployOptions(class_thresholds={"traffic light": 0.7}))
    again = NvinferConfig.parse(config.to_text())
    assert again == config
    assert again.class_attributes(0).pre_cluster_threshold == 0.25
    assert again.class_attributes(1).pre_cluster_threshold == 0.7


def test_a_threshold_of_an_unknown_class_is_refused(model: Path) -> None:
    with pytest.raises(OptionsError, match="'BUS' is no class of the model; expected one of CAR, traffic light"):
        deploy_config(ModelFolder.open(model), DeployOptions(class_thresholds={"BUS": 0.5}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence_threshold": 1.5}, "confidence_threshold is 1.5; expected 0 to 1"),
        ({"iou_threshold": -0.1}, "iou_threshold is -0.1; expected 0 to 1"),
        ({"class_thresholds": {"CAR": 2}}, "class_thresholds of CAR is 2; expected 0 to 1"),
        ({"topk": 0}, "topk is 0; expected 1 or more"),
        ({"batch": 0}, "batch is 0; expected 1 or more"),
        ({"model_format": "caffe"}, "model_format is 'caffe'; expected one of onnx, darknet"),
        ({"precision": "bf16"}, "precision is 'bf16'; expected one of fp32, fp16, int8"),
        ({"precision": "int8"}, "no calibration_table and the ONNX file has no Q/DQ nodes"),
        ({"precision": "int8", "quantized": True, "version": "8.0"}, "from 9.0 on .* found version 8.0"),
        ({"precision": "int8", "quantized": True, "model_format": "darknet"}, "needs a calibration_table"),
        (
            {"parser_library": "/a/libtraffic_yolo_parser.so", "model_format": "darknet"},
            "builds no engine of a Darknet",
        ),
        ({"version": "5.1"}, "version is '5.1'; expected one of 6.3, "),
        ({"resize": "crop"}, "resize is 'crop'; expected one of cfg, stretch, letterbox"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        DeployOptions(**options)  # type: ignore[arg-type]
