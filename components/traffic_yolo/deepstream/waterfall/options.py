"""What a user may choose about a waterfall; the names are those of the command line and of the KFP component."""

import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import check_options, option

SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


@dataclass(frozen=True)
class WaterfallOptions:
    """One waterfall. Raises `OptionsError` for values that make no sense."""

    waterfall: bool = option(
        False,
        "Also run the pictures through every stage to DeepStream, name what each loss is due to, and hold a gate at "
        "each stage.",
        headline=True,
    )
    nvinfer_config: str = option(
        "", "nvinfer configuration whose rules the waterfall simulates; by default the one written.", location="read"
    )
    mux_size: str = option("", "Stream muxer's size, such as 1920x1080; by default each picture's own.")
    nv12: bool = option(False, "Frames come with a video's 4:2:0 colours.")
    fp16_onnx: str = option("", "ONNX file in FP16; by default FP16 is emulated.", location="read")
    int8_onnx: str = option("", "ONNX file with INT8 Q/DQ nodes: a stage of its own.", location="read")
    engine: str = option(
        "",
        "TensorRT engine of the model: a stage of its own; needs a GPU and the package tensorrt.",
        location="read",
        flag="--engine-file",
    )
    deepstream_run: str = option(
        "", "Folder of `deepstream run` on the split (frames.json): a stage of its own.", location="read"
    )
    max_drop: float = option(
        0.02, "Most that AP, AP50 or F1 of a stage may fall, less one class a box.", least=0, most=1
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.mux_size and not SIZE.fullmatch(self.mux_size):
            raise OptionsError(f"mux_size: expected width x height, such as 1920x1080, found {shown(self.mux_size)}")
        if not self.waterfall and (useless := [name for name in _NEEDS if getattr(self, name)]):
            raise OptionsError(f"{useless[0]}: concerns the waterfall alone; set waterfall too")
        if self.deepstream_run and (self.mux_size or self.nv12):
            given = "mux_size" if self.mux_size else "nv12"
            raise OptionsError(f"{given}: a run of deepstream-app has the pictures as they are; leave it out")

    @property
    def mux_wh(self) -> tuple[int, int] | None:
        """Width and height of the stream muxer, None for each picture's own."""
        found = SIZE.fullmatch(self.mux_size)
        return (int(found[1]), int(found[2])) if found else None


_NEEDS = ("nvinfer_config", "mux_size", "nv12", "fp16_onnx", "int8_onnx", "engine", "deepstream_run")
