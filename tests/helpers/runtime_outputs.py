"""What comes out of a network in each runtime, as data; run as a program, it writes docs/runtime-outputs.md of it.

`tests/darknet/runtimes/test_runtime_outputs.py` measures every row that this machine can, and holds the page to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "runtime-outputs.md"
RAW, DECODED, REPORTED = STAGES = ("raw", "decoded", "after NMS")
HEADINGS = {
    RAW: "Raw: what enters the heads",
    DECODED: "Decoded: every box, before NMS",
    REPORTED: "After NMS: what is reported",
}
# yolov4-tiny at 416 x 416 with COCO's classes; h and w are those of its first head
EXAMPLE: Mapping[str, int] = {
    "B": 1, "H": 416, "W": 416, "A": 3, "C": 80, "h": 13, "w": 13, "N": 2535, "n": 507, "E": 85, "channels": 255
}  # fmt: skip
UNMEASURED = "nobody has run it"


@dataclass(frozen=True)
class Output:
    """One array. `shape`: letters of the page, or numbers; K is what is found. `dtype`: NumPy's name.

    `low`, `high`: the closed range that its values keep to, None where there is none. `axes`: what the last axis holds,
    in order. `order`: how its rows are sorted. `measured`: the key under which the test measures it, "" for none.
    """

    stage: str
    runtime: str
    name: str
    shape: tuple[str, ...]
    dtype: str
    axes: str
    order: str
    low: float | None
    high: float | None
    measured: str = ""

    @property
    def range_text(self) -> str:
        """The range for people."""
        if self.low is None and self.high is None:
            return "any number"
        if self.high is None:
            return f"{self.low:g} and more"
        return f"{self.low:g} to {self.high:g}"

    def example_text(self) -> str:
        """The shape for `EXAMPLE`, K where it depends on the picture."""
        return _tuple([str(EXAMPLE.get(part, part)) for part in self.shape])


_HEAD = "for each anchor: x, y, w, h, objectness, C classes"
_NETWORK = "head, cell row by row, anchor"
_CELLS = "channels, rows, columns"
_SCORE = "picture by picture, falling score"

OUTPUTS = (
    Output(RAW, "PyTorch, compiled, onnxruntime, OpenVINO (`open_runtime`)", "one a head",
           ("B", "channels", "h", "w"), "float32", _HEAD, _CELLS, None, None, "logits"),
    Output(DECODED, "PyTorch (`decode`)", "`boxes_cxcywh_norm`", ("B", "N", "4"), "float32",
           "centre x, y, width, height in shares of the network's size; boxes may reach outside", _NETWORK, None, None,
           "decoded boxes"),
    Output(DECODED, "PyTorch (`decode`)", "`objectness`", ("B", "N"), "float32", "", _NETWORK, 0, 1,
           "decoded objectness"),
    Output(DECODED, "PyTorch (`decode`)", "`class_probabilities`", ("B", "N", "C"), "float32",
           "not multiplied by objectness", _NETWORK, 0, 1, "decoded classes"),
    Output(DECODED, "`model.onnx` in onnxruntime", "`output`", ("B", "N", "6"), "float32",
           "x1, y1, x2, y2 in network pixels, not clipped; objectness x best class; that class as a number", _NETWORK,
           None, None, "onnx"),
    Output(DECODED, "`model.onnx` as a TensorRT engine (DeepStream-Yolo)", "`output`", ("B", "N", "6"), "float32",
           f"as in onnxruntime ({UNMEASURED})", _NETWORK, None, None),
    Output(DECODED, "OpenCV 4 DNN on cfg and weights, one picture", "one a head", ("n", "E"), "float32",
           "centre x, y, width, height in shares; objectness; C scores = objectness x class, 0 where not above 0.2",
           "cell row by row, anchor", None, None, "opencv"),
    Output(DECODED, "our raw detections (`detect`)", "`boxes_xyxy`", ("K", "4"), "float32",
           "left, top, right, bottom in picture pixels, not clipped", _NETWORK, None, None, "raw boxes"),
    Output(DECODED, "our raw detections (`detect`)", "`scores`", ("K",), "float32",
           "objectness x class, above 0.001; a box has one for each class above", "by box, then class", 0, 1,
           "raw scores"),
    Output(REPORTED, "ours (`non_maximum_suppression`), any runtime", "`boxes_xyxy`", ("K", "4"), "float32",
           "left, top, right, bottom in picture pixels, cut at its edges", _SCORE, 0, None, "reported boxes"),
    Output(REPORTED, "ours (`non_maximum_suppression`), any runtime", "`scores`", ("K",), "float32",
           "objectness x class; one box may stand in several classes", _SCORE, 0, 1, "reported scores"),
    Output(REPORTED, "ours (`non_maximum_suppression`), any runtime", "`class_ids`", ("K",), "int64", "from 0", _SCORE,
           0, None, "reported classes"),
    Output(REPORTED, "`traffic_yolo.Prediction`", "`boxes_xyxy`", ("K", "4"), "float32",
           "left, top, right, bottom in picture pixels, cut at its edges", "falling score", 0, None,
           "prediction boxes"),
    Output(REPORTED, "OpenCV 4 `DetectionModel.detect`", "boxes", ("K", "4"), "int32",
           "left, top, width, height in picture pixels", "by class, falling score", None, None, "opencv boxes"),
    Output(REPORTED, "OpenCV 4 `DetectionModel.detect`", "confidences", ("K",), "float32",
           "objectness x best class; a box has one class", "by class, falling score", 0, 1, "opencv scores"),
    Output(REPORTED, "OpenCV 4 `DetectionModel.detect`", "classIds", ("K",), "int32", "from 0",
           "by class, falling score", 0, None, "opencv classes"),
    Output(REPORTED, "nvinfer's rules (`deepstream` simulator)", "`boxes_xywh`", ("K", "4"), "float32",
           "left, top, width, height in network pixels, cut at its edges; `to_frame` brings them to the frame",
           "by class, falling score", 0, None, "nvinfer boxes"),
    Output(REPORTED, "nvinfer's rules (`deepstream` simulator)", "`scores`", ("K",), "float32",
           "objectness x best class; a box has one class", "by class, falling score", 0, 1, "nvinfer scores"),
    Output(REPORTED, "DeepStream itself", "`NvDsObjectMeta.rect_params`", ("K", "4"), "float32",
           f"left, top, width, height in pixels of the muxer's frame ({UNMEASURED})", "by class", 0, None),
)  # fmt: skip


def page() -> str:
    """The whole page."""
    sections = [
        f"## {HEADINGS[stage]}\n\n" + _table([each for each in OUTPUTS if each.stage == stage]) for stage in STAGES
    ]
    return "\n".join([_INTRODUCTION, *sections, _NOTES])


def _table(outputs: list[Output]) -> str:
    lines = [
        "| runtime | output | shape | yolov4-tiny, 416 x 416 | dtype | last axis | order of rows | range |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in outputs:
        cells = (
            each.runtime, each.name, _tuple(each.shape), each.example_text(), each.dtype, each.axes or "–", each.order,
            each.range_text,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _tuple(parts: "tuple[str, ...] | list[str]") -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


_INTRODUCTION = """# What comes out of a network, by runtime

Written by `make compile`; a test measures every row that a machine without a GPU can, with onnxruntime, OpenCV and PyTorch, and OpenVINO where it is installed.

B: pictures of a batch. H, W: the network's height and width. h, w: a head's grid, H and W by its stride. A: its anchors. C: classes. E = 5 + C; channels = A x E. n: boxes of a head, h x w x A.
N: boxes of all heads together. K: what was found in the picture.

The input is the same everywhere: (B, 3, H, W) float32, RGB, 0 to 1, rows from the top. PyTorch, onnxruntime and OpenVINO get it so; OpenCV makes it by `blobFromImage(picture, 1 / 255, (W, H), swapRB=True)`
(its resizing is another one than Darknet's); nvinfer by `net-scale-factor`, `model-color-format=0` and `maintain-aspect-ratio`, which `validate` writes.
"""

_NOTES = """## What differs

- **Scores.** `decode` keeps objectness and class probabilities apart; everything else multiplies them. OpenCV sets scores not above 0.2 to 0, so that no AP can be measured from it. `model.onnx` and
  DeepStream report one class for a box, Darknet and `evaluate` every class above the threshold.
- **Boxes.** Centres and sizes in shares (`decode`, OpenCV's heads), corners in network pixels (`model.onnx`), corners in picture pixels (ours), left, top, width, height (OpenCV's and DeepStream's results,
  COCO).
- **Logits.** With `new_coords=1` (yolov4-csp, x-mish) the convolution before a head has a logistic activation: what enters it is in 0 to 1.
- **[Gaussian_yolo]** has nine numbers before the classes (E = 9 + C), **[region]** a softmax over them where the cfg says so; both come out of `decode` as above.
- **bfloat16** moves scores by about a hundredth; what comes out is float32 all the same.
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
