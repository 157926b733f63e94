"""The options of `deepstream run`, on the command line and of its KFP component."""

from dataclasses import dataclass

from traffic_yolo.deepstream.config.deploy_config import IMAGE_PARSER, PARSER_FUNCTION, PRECISIONS, VERSIONS
from traffic_yolo.options import check_options, option


@dataclass(frozen=True)
class GpuRunOptions:
    """One run of deepstream-app. Raises `OptionsError` for values that make no sense."""

    split: str = option("test", "Split that is run and compared.", headline=True)
    precision: str = option("fp16", "Of the engine.", choices=PRECISIONS, headline=True)
    version: str = option("9.1", "DeepStream on this node.", choices=VERSIONS, flag="--deepstream-version")
    topk: int = option(300, "Boxes kept per class and frame.", least=1, flag="--nvinfer-topk")
    # No location: it is a part of the image, and lies neither on the share nor where a run is submitted
    parser_library: str = option(IMAGE_PARSER, "Library that reads the boxes, by its path on the node.")
    parser_function: str = option(PARSER_FUNCTION, "Its function for boxes.")
    calibration_table: str = option("", "TensorRT's table for int8.", location="read")
    engine: str = option(
        "",
        "Engine of an earlier run of this very model, which saves the building.",
        location="read",
        flag="--engine-file",
    )
    deepstream_app: str = option("deepstream-app", "The program, on the PATH or by its path.")
    timeout_minutes: int = option(60, "After which the run is ended; the first start builds the engine.", least=1)
    require_parity: bool = option(True, "Fail where the run is beyond the limits, or of another precision.")

    def __post_init__(self) -> None:
        check_options(self)
