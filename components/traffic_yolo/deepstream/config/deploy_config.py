"""Which nvinfer settings a model needs: every one that differs from nvinfer's default carries its reason.

The ONNX path is the one to deploy; the Darknet path (cfg + weights, built by DeepStream-Yolo's library) is written for
fleets that still run it. Files are named relative to the configuration, so that a bundle can be moved; only the Darknet
path must be started in the bundle's folder, since DeepStream-Yolo opens the cfg relative to the working directory and
writes the engine there.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import ALL_CLASSES, CLASS_ATTRIBUTES, PROPERTY
from traffic_yolo.errors import OptionsError
from traffic_yolo.model_folder import CFG_NAME, LABELS_NAME, ONNX_NAME, TABLE_NAME, WEIGHTS_NAME, ModelFolder

CONFIG_NAME = "config_infer_primary.txt"
DARKNET_CONFIG_NAME = "config_infer_primary_darknet.txt"
MODEL_FORMATS = ("onnx", "darknet")
PRECISIONS = ("fp32", "fp16", "int8")
NETWORK_MODES = {"fp32": "0", "int8": "1", "fp16": "2"}
VERSIONS = ("6.3", "6.4", "7.0", "7.1", "8.0", "9.0", "9.1")
STRONGLY_TYPED_FROM = "9.0"  # nvinfer knows the key from here on
# The TensorRT of each on x86 (DeepStream's release notes), as calibration tables number it; Jetson has other patches
TENSORRT = {
    "6.3": "8503", "6.4": "8601", "7.0": "8601", "7.1": "100300", "8.0": "100900", "9.0": "101401", "9.1": "101600",
}  # fmt: skip
RESIZES = ("cfg", "stretch", "letterbox")
PARSER_FUNCTION = "NvDsInferParseYolo"  # of both libraries
# Where the image of docker/deepstream/Dockerfile has our parser, and docs/deployment.md puts it on a node
IMAGE_PARSER = "/opt/traffic-yolo/lib/libtraffic_yolo_parser.so"
OWN_NAME = PurePosixPath(IMAGE_PARSER).name
# DeepStream-Yolo's, which alone builds an engine of a Darknet pair
BUILDER_LIBRARY = "nvdsinfer_custom_impl_Yolo/libnvdsinfer_custom_impl_Yolo.so"

NAMING_DIGITS = 12  # of a SHA-256, in a file's name

Setting = tuple[str, str, str]  # key, value, reason


@dataclass(frozen=True)
class DeployOptions:
    """How a model shall run in DeepStream.

    `confidence_threshold`: boxes below are dropped, [0, 1]; `class_thresholds` replaces it for single classes (by
    name). `iou_threshold`: NMS, [0, 1]. `topk`: boxes kept per class and picture. `batch`: pictures per inference (the
    number of cameras of a pipeline). `model_format`: "onnx" or "darknet". `precision`: "fp32", "fp16" or "int8".
    `parser_library`, `parser_function`: what reads the boxes on the GPU node, relative to the configuration or
    absolute; "" is our parser, and for "darknet" DeepStream-Yolo's library, which builds the engine too. `version`: of
    DeepStream. `resize`: "cfg" is what training did. `has_table`: int8 by `TABLE_NAME` beside the configuration;
    `quantized`: by Q/DQ nodes in the ONNX file.

    Raises `OptionsError` for a value out of range, for int8 without a way to get there, and for our parser with a
    Darknet pair.
    """

    confidence_threshold: float = 0.25
    iou_threshold: float = 0.45
    topk: int = 300
    batch: int = 1
    model_format: str = "onnx"
    precision: str = "fp32"
    parser_library: str = ""
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    version: str = "9.1"
    parser_function: str = PARSER_FUNCTION
    resize: str = "cfg"
    has_table: bool = False
    quantized: bool = False

    def __post_init__(self) -> None:
        """Checks the ranges."""
        thresholds = {"confidence_threshold": self.confidence_threshold, "iou_threshold": self.iou_threshold}
        thresholds |= {f"class_thresholds of {name}": value for name, value in self.class_thresholds.items()}
        for name, value in thresholds.items():
            if not 0 <= value <= 1:
                raise OptionsError(f"{name} is {value:g}; expected 0 to 1")
        for name in ("topk", "batch"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}; expected 1 or more")
        words = {"model_format": MODEL_FORMATS, "precision": PRECISIONS, "version": VERSIONS, "resize": RESIZES}
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise OptionsError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        if self.model_format == "darknet" and PurePosixPath(self.parser_library).name == OWN_NAME:
            raise OptionsError(
                f"parser_library: {self.parser_library} builds no engine of a Darknet pair; give DeepStream-Yolo's "
                f"library, or model_format onnx"
            )
        if self.precision == "int8":
            self._check_int8()

    @property
    def library(self) -> str:
        """The library that reads the boxes: the one that was asked for, else the one for the model's format."""
        return self.parser_library or (IMAGE_PARSER if self.model_format == "onnx" else BUILDER_LIBRARY)

    @property
    def strongly_typed(self) -> bool:
        """Whether the engine takes every layer's type from the ONNX file: a quantized one, and no table."""
        return self.model_format == "onnx" and self.quantized and self.precision == "int8" and not self.has_table

    @property
    def engine_precision(self) -> str:
        """What nvinfer calls the engine: a strongly typed one by its network-mode, which sets no flag."""
        return "fp32" if self.strongly_typed else self.precision

    def _check_int8(self) -> None:
        if self.has_table:
            return
        if self.model_format == "darknet":
            raise OptionsError("precision is int8, which needs a calibration_table for model_format darknet")
        if not self.quantized:
            raise OptionsError(
                "precision is int8, but there is no calibration_table and the ONNX file has no Q/DQ nodes: nvinfer "
                "would build FP16 instead; give one of them, as traffic-yolo quantize writes both"
            )
        if VERSIONS.index(self.version) < VERSIONS.index(STRONGLY_TYPED_FROM):
            raise OptionsError(
                f"precision is int8 by Q/DQ nodes, which DeepStream takes from {STRONGLY_TYPED_FROM} on (strongly-typed"
                f"), found version {self.version}; give a calibration_table"
            )


def deploy_config(model: ModelFolder, options: DeployOptions) -> NvinferConfig:
    """The nvinfer configuration that runs `model` as `options` say.

    Raises `OptionsError` for a threshold of a class that the model does not have, `StorageError` for a model folder
    without the file that is named.
    """
    settings = [*_input_settings(model, options), *_model_settings(model, options), *_output_settings(model)]
    groups = {PROPERTY: {key: value for key, value, _ in settings}}
    reasons = {(PROPERTY, key): reason for key, _, reason in settings if reason}
    groups[ALL_CLASSES] = {
        "nms-iou-threshold": _number(options.iou_threshold),
        "pre-cluster-threshold": _number(options.confidence_threshold),
        "topk": str(options.topk),
    }
    reasons[ALL_CLASSES, "nms-iou-threshold"] = "of NMS: the operating point's; the default is 0.3"
    reasons[ALL_CLASSES, "pre-cluster-threshold"] = "boxes below are dropped: the operating point's; the default is 0.2"
    reasons[ALL_CLASSES, "topk"] = "boxes per class and frame; the default is all"
    for name, threshold in options.class_thresholds.items():
        if name not in model.classes:
            known = ", ".join(model.classes)
            raise OptionsError(f"class_thresholds: {name!r} is no class of the model; expected one of {known}")
        class_id = model.classes.index(name)
        groups[f"{CLASS_ATTRIBUTES}{class_id}"] = {"pre-cluster-threshold": _number(threshold)}
        reasons[f"{CLASS_ATTRIBUTES}{class_id}", "pre-cluster-threshold"] = name
    return NvinferConfig(groups, reasons=reasons, source=CONFIG_NAME)


def engine_name(model_file: str, options: DeployOptions) -> str:
    """The name that nvinfer gives the engine which it builds of `model_file`; the Darknet path's is always "model"."""
    return f"{model_file}_b{options.batch}_gpu0_{options.engine_precision}.engine"


def hashed_name(onnx_name: str, sha256: str) -> str:
    """The name of an ONNX file with the start of its hash in it."""
    return f"{onnx_name.removesuffix('.onnx')}-{sha256[:NAMING_DIGITS]}.onnx"


def named_by_content(config: NvinferConfig, onnx_sha256: str) -> NvinferConfig:
    """A copy whose ONNX file and engine carry the start of the file's hash in their names; without ONNX, as it is.

    nvinfer takes an engine that it finds under the expected name, whatever it was built of, and names what it builds
    after the ONNX file: with the hash in that name, a folder that gets new weights gets a new engine.
    """
    if not config.has("onnx-file"):
        return config
    new = hashed_name(config.text("onnx-file"), onnx_sha256)
    engine = f"{new}{config.text('model-engine-file').rpartition('.onnx')[2]}"
    reason = "the ONNX file's hash in its name keeps an engine of other weights from being taken"
    named = config.with_values(PROPERTY, {"onnx-file": new, "model-engine-file": engine})
    return dataclasses.replace(named, reasons={**named.reasons, (PROPERTY, "model-engine-file"): reason})


def _input_settings(model: ModelFolder, options: DeployOptions) -> list[Setting]:
    height, width = model.network_hw
    settings = [
        ("gpu-id", "0", "the first GPU"),
        ("net-scale-factor", "0.0039215697906911373", "1/255: the network was trained on pixels in 0..1"),
        ("model-color-format", "0", "RGB, as Darknet trains"),
        ("infer-dims", f"3;{height};{width}", "channels, height, width: the ONNX file leaves only the batch open"),
        ("scaling-filter", "1", "bilinear, as in training; the default is nearest"),
    ]
    if options.resize != "cfg" and (options.resize == "letterbox") != model.letterbox:
        keeps = str(int(options.resize == "letterbox"))
        reason = f"{options.resize}, as it was asked for, though the cfg says {model.resize}: expect other boxes"
        return [*settings, ("maintain-aspect-ratio", keeps, reason), ("symmetric-padding", keeps, "with it")]
    if model.letterbox:
        return [
            *settings,
            ("maintain-aspect-ratio", "1", "letter_box=1 in the cfg: trained on pictures that kept their aspect"),
            ("symmetric-padding", "1", "Darknet pastes the picture in the middle (on grey; nvinfer pads in black)"),
        ]
    return [*settings, ("maintain-aspect-ratio", "0", "no letter_box in the cfg: trained on stretched pictures")]


def _model_settings(model: ModelFolder, options: DeployOptions) -> list[Setting]:
    if options.model_format == "darknet":
        written = engine_name("model", options)  # by DeepStream-Yolo, whatever the model
        engine = engine_name(f"model-{model.sha256(WEIGHTS_NAME)[:NAMING_DIGITS]}", options)
        reason = f"named by the weights, so that no engine of others is taken: rename {written}, which the build leaves"
        files = [
            ("custom-network-config", CFG_NAME, "relative to the working directory: start in this file's folder"),
            ("model-file", WEIGHTS_NAME, "Darknet's weights, of the cfg above"),
            ("engine-create-func-name", "NvDsInferYoloCudaEngineGet", "DeepStream-Yolo builds the engine of the pair"),
        ]
    else:
        written = engine_name(ONNX_NAME, options)
        engine = engine_name(hashed_name(ONNX_NAME, model.sha256(ONNX_NAME)), options)
        reason = (
            f"named by the ONNX file's hash, so that no engine of another is taken: rename {written}, which the build "
            f"leaves, or deploy by traffic-yolo deepstream config, whose ONNX file has that name"
        )
        files = [("onnx-file", ONNX_NAME, "made of the Darknet pair; the engine is built of it at the first start")]
    built = f"reads the boxes; built on the GPU node against the headers of DeepStream {options.version}"
    return [
        *files,
        ("model-engine-file", engine, reason),
        ("batch-size", str(options.batch), "frames per inference; an application's batch-size replaces it"),
        *_precision_settings(options),
        ("parse-bbox-func-name", options.parser_function, "one class a box, as the rows of the ONNX file have it"),
        ("custom-lib-path", options.library, built),
    ]


def _precision_settings(options: DeployOptions) -> list[Setting]:
    if options.strongly_typed:
        return [
            ("network-mode", "0", "sets no flag: a strongly typed network refuses those of INT8 and FP16"),
            ("strongly-typed", "1", "INT8 where the ONNX file has Q/DQ nodes, float elsewhere"),
        ]
    mode = ("network-mode", NETWORK_MODES[options.precision], "0 FP32, 1 INT8, 2 FP16")
    if options.precision != "int8":
        return [mode]
    return [mode, ("int8-calib-file", TABLE_NAME, "without it nvinfer would build FP16, and say so in the log alone")]


def _output_settings(model: ModelFolder) -> list[Setting]:
    count = len(model.classes)
    return [
        ("labelfile-path", LABELS_NAME, "one a line, by class id"),
        ("num-detected-classes", str(count), "exactly the cfg's: the parser reads thresholds beyond a smaller number"),
        ("interval", "0", "every frame"),
        ("gie-unique-id", "1", "the first network of the pipeline"),
        ("process-mode", "1", "whole frames"),
        ("network-type", "0", "detector"),
        ("cluster-mode", "2", "NMS; the default groups rectangles"),
        ("crop-objects-to-roi-boundary", "1", "cut boxes at the edge; by default those across the bottom are dropped"),
    ]


def _number(value: float) -> str:
    return f"{value:.9g}"
