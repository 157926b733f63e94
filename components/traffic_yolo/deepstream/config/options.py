"""The options of `deepstream config`: how a model shall run in DeepStream, and in which application."""

from dataclasses import dataclass

from traffic_yolo.deepstream.config.deploy_config import (
    IMAGE_PARSER,
    MODEL_FORMATS,
    PARSER_FUNCTION,
    PRECISIONS,
    RESIZES,
    VERSIONS,
)
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

FORMS = ("txt", "yaml")
TRACKERS = {
    "none": "",
    "nvdcf": "config_tracker_NvDCF_perf.yml",
    "nvdcf-accuracy": "config_tracker_NvDCF_accuracy.yml",
    "iou": "config_tracker_IOU.yml",
    "nvsort": "config_tracker_NvSORT.yml",
    "nvdeepsort": "config_tracker_NvDeepSORT.yml",
}
SINKS = ("none", "display", "file", "rtsp")


@dataclass(frozen=True)
class ConfigOptions:
    """What nvinfer's file says beyond the model itself; a threshold that is None is the operating point's."""

    model_format: str = option("onnx", "What the engine is built of; onnx is the one to deploy.", choices=MODEL_FORMATS)
    version: str = option("9.1", "DeepStream on the GPU node.", choices=VERSIONS, flag="--deepstream-version")
    precision: str = option("fp32", "Of the engine; int8 wants a table or an ONNX file with Q/DQ.", choices=PRECISIONS)
    batch: int | None = option(None, "Frames per inference; by default one for each source.", least=1, most=1024)
    topk: int = option(300, "Boxes kept per class and frame.", least=1, flag="--nvinfer-topk")
    confidence_threshold: float | None = option(None, "Instead of the operating point's.", least=0, most=1)
    iou_threshold: float | None = option(None, "Of NMS, instead of the operating point's.", least=0, most=1)
    class_thresholds: tuple[str, ...] = option((), "CLASS=THRESHOLD instead of the operating point's.")
    parser_library: str = option(
        "",
        "Library that reads the boxes, absolute or relative to the file; by default ours, at "
        f"{IMAGE_PARSER}, and for darknet DeepStream-Yolo's.",
    )
    parser_function: str = option(PARSER_FUNCTION, "Its function for boxes.")
    resize: str = option("cfg", "How frames become the input's size; cfg is how it was trained.", choices=RESIZES)
    calibration_table: str = option("", "TensorRT's table for int8, copied beside the file.", location="read")
    onnx: str = option("", "ONNX file instead of the folder's, such as a quantized one.", location="read")
    form: str = option("txt", "Form of the files.", choices=FORMS)

    def __post_init__(self) -> None:
        check_options(self)
        self.thresholds_by_class()
        if self.onnx and self.model_format != "onnx":
            raise OptionsError(f"onnx: a file is given, but model_format is {self.model_format}")
        if self.calibration_table and self.precision != "int8":
            raise OptionsError(f"calibration_table is for precision int8, found {self.precision}")

    def thresholds_by_class(self) -> dict[str, float]:
        """Class name -> threshold; `OptionsError` for a text that is no CLASS=THRESHOLD."""
        found: dict[str, float] = {}
        for text in self.class_thresholds:
            name, separator, value = text.rpartition("=")
            try:
                number = float(value)
            except ValueError:
                number = -1.0
            if not separator or not name or not 0 <= number <= 1:
                raise OptionsError(f"class_thresholds: expected CLASS=THRESHOLD with 0 to 1, found {text!r}")
            found[name] = number
        return found


@dataclass(frozen=True)
class AppOptions:
    """What deepstream-app's file says; without sources none is written."""

    sources: tuple[str, ...] = option((), "File or URI (rtsp://, file://, http://) of a camera; several make a batch.")
    mux_width: int = option(1920, "Width of the frames, to which the muxer brings every source.", least=16)
    mux_height: int = option(1080, "Height of the frames.", least=16)
    tracker: str = option("none", "Tracker of DeepStream's own library.", choices=tuple(TRACKERS))
    osd: bool = option(False, "Draw boxes and labels.")
    sink: str = option("none", "Where frames go: nowhere, a window, out.mp4, an RTSP server.", choices=SINKS)
    kitti_folder: str = option("", "Absolute path on the GPU node for a text file per frame.")

    def __post_init__(self) -> None:
        check_options(self)
        if not self.sources and (self.osd or self.tracker != "none" or self.sink != "none" or self.kitti_folder):
            raise OptionsError("sources: none is given, and osd, tracker, sink and kitti_folder are an application's")
        if self.osd and self.sink == "none":
            raise OptionsError("osd draws on frames that sink=none throws away; choose display, file or rtsp")
        if self.kitti_folder and not self.kitti_folder.startswith("/"):
            raise OptionsError(f"kitti_folder: expected its absolute path on the GPU node, found {self.kitti_folder!r}")
