"""The ONNX file of a network, in the form that DeepStream-Yolo's parser reads, and its comparison with PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traffic_yolo._version import __version__
from traffic_yolo.darknet.decode import Decoded, decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.tracing import INPUT_NAME, trace_to_onnx
from traffic_yolo.errors import ModelError
from traffic_yolo.onnx_session import cpu_session
from traffic_yolo.storage import write_bytes

OPSET = 17
OLDEST_OPSET, NEWEST_OPSET = 13, 20  # what the tracing exporter can write
OUTPUT_NAME = "output"
SCORE_FLOOR = 0.001  # below, a box is nowhere used, and an absurd size of it says nothing

# float32 in another order of summation: the logits of yolov4 move by up to 1.2e-3 (a sigmoid quarters that, an anchor
# of 600 px turns it into 0.7 px); anything above is another function.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_BOX_DIFFERENCE_PX = 1.0


class DeployedNetwork(nn.Module):
    """A network with batch-norms folded in and its boxes decoded: what the ONNX file computes."""

    def __init__(self, network: Network) -> None:
        """A copy; `network` stays as it is."""
        super().__init__()
        self.network = network.fuse()
        self.size: Tensor
        height, width = network.input_hw
        self.register_buffer("size", torch.tensor([width, height, width, height], dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 RGB in [0, 1] -> (B, N, 6) float32: x1, y1, x2, y2 in network pixels, score, label.

        N in the order of `decode`, nothing dropped; score = objectness * the best class's probability; boxes may reach
        outside of the picture.
        """
        return self.rows(self.decoded(images))

    def decoded(self, images: Tensor) -> Decoded:
        """The boxes of (B, 3, H, W) with the probabilities of all classes."""
        return decode(self.network.heads, self.network(images), self.network.input_hw)

    def rows(self, decoded: Decoded) -> Tensor:
        """`forward`'s output of decoded boxes."""
        centres, halves = decoded.boxes_cxcywh_norm[..., :2], decoded.boxes_cxcywh_norm[..., 2:] / 2
        boxes_xyxy = torch.cat([centres - halves, centres + halves], dim=-1) * self.size  # (B, N, 4)
        best, label = decoded.class_probabilities.max(dim=-1, keepdim=True)  # (B, N, 1)
        return torch.cat([boxes_xyxy, decoded.objectness.unsqueeze(-1) * best, label.to(torch.float32)], dim=-1)


@dataclass(frozen=True)
class OnnxDifference:
    """How far onnxruntime is from PyTorch on the same inputs, over boxes with a score of at least 0.001.

    `max_score_difference`; `max_box_difference_px` (network pixels, boxes cut at the network's edges as the parser
    does); `label_differences`: boxes whose best class differs, for want of 0.001 in score; `boxes`: how many were
    compared, of how many `inputs`. With no box at all nothing was compared, and both differences are 0.
    """

    max_score_difference: float
    max_box_difference_px: float
    label_differences: int
    boxes: int
    inputs: int


def write_onnx(network: Network, path: Path, *, opset: int = OPSET, metadata: Mapping[str, str] | None = None) -> None:
    """Writes the ONNX file of `network` atomically: input `input` (batch, 3, H, W), output `output` (batch, N, 6).

    The batch is open, the rest fixed. `metadata` becomes the file's metadata_props. Raises `ModelError` for an opset
    outside of 13 to 20 and for a graph that onnx's checker refuses.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        expected = f"{OLDEST_OPSET} to {NEWEST_OPSET} (DeepStream-Yolo uses {OPSET})"
        raise ModelError(f"ONNX opset is {opset}; expected {expected}")
    deployed = DeployedNetwork(network).eval()
    height, width = network.input_hw
    example = torch.zeros(1, network.input_channels, height, width)
    with torch.no_grad():
        num_boxes = deployed(example).shape[1]
    graph = trace_to_onnx(deployed, example, output_names=[OUTPUT_NAME], opset=opset)
    model = onnx.load_from_string(graph)
    for dimension, value in zip(model.graph.output[0].type.tensor_type.shape.dim[1:], (num_boxes, 6), strict=True):
        dimension.dim_value = value  # the tracer leaves a made-up name there
    model.producer_name, model.producer_version = "traffic-yolo", __version__
    onnx.helper.set_model_props(model, dict(metadata or {}))
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path}: onnx's checker refuses the exported graph: {str(error).splitlines()[0]}") from error
    write_bytes(path, model.SerializeToString(deterministic=True))


def compare_with_pytorch(path: Path, network: Network, inputs: NDArray[np.float32]) -> OnnxDifference:
    """Runs `inputs` (M, 3, H, W) through the file and through `network`.

    Raises `ModelError` when they differ by more than float32 noise, when a box is given another class than (nearly) its
    best, and for values that are not finite.
    """
    session = cpu_session(path)
    deployed = DeployedNetwork(network).eval()
    size = np.array([network.input_hw[1], network.input_hw[0]] * 2, np.float32)
    score_difference = box_difference = 0.0
    boxes = 0
    labelled: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []  # class scores (n, C), labels (n,)
    for one in inputs:
        with torch.no_grad():
            decoded = deployed.decoded(torch.from_numpy(one[None]))
            expected = deployed.rows(decoded).numpy()[0]
        found = session.run([OUTPUT_NAME], {INPUT_NAME: one[None]})[0][0]
        if not (np.isfinite(expected[:, 4]).all() and np.isfinite(found[:, 4]).all()):
            raise ModelError(f"{path}: scores are NaN or infinite; the weights are broken")
        used = np.maximum(expected[:, 4], found[:, 4]) >= SCORE_FLOOR
        expected, found = expected[used], found[used]
        boxes += len(found)
        if not len(found):
            continue
        score_difference = max(score_difference, float(np.abs(expected[:, 4] - found[:, 4]).max()))
        difference = np.abs(np.clip(expected[:, :4], 0, size) - np.clip(found[:, :4], 0, size))
        box_difference = max(box_difference, float(difference.max()))
        class_scores = (decoded.objectness[0, :, None] * decoded.class_probabilities[0]).numpy()[used]  # (n, C)
        labelled.append((class_scores, found[:, 5]))
    if not (score_difference <= MAX_SCORE_DIFFERENCE and box_difference <= MAX_BOX_DIFFERENCE_PX):
        raise ModelError(
            f"{path}: differs from PyTorch by {score_difference:.2g} in score and {box_difference:.2g} px in boxes; "
            f"expected at most {MAX_SCORE_DIFFERENCE:g} and {MAX_BOX_DIFFERENCE_PX:g} px"
        )
    labels = sum(_label_differences(path, *each) for each in labelled)
    return OnnxDifference(score_difference, box_difference, labels, boxes, len(inputs))


def _label_differences(path: Path, class_scores: NDArray[np.float32], labels: NDArray[np.float32]) -> int:
    """How many `labels` (n,) are not the best class of `class_scores` (n, C); `ModelError` where it is no near tie."""
    num_classes = class_scores.shape[1]
    if ((labels < 0) | (labels >= num_classes) | (labels != np.trunc(labels))).any():
        raise ModelError(f"{path}: a label is none of the {num_classes} classes; the file is of another model")
    best = class_scores.argmax(axis=1)
    named = class_scores[np.arange(len(labels)), labels.astype(np.int64)]
    wrong = np.flatnonzero(class_scores.max(axis=1) - named > MAX_SCORE_DIFFERENCE)
    if len(wrong):
        row = wrong[0]
        raise ModelError(
            f"{path}: {len(wrong)} of {len(labels)} boxes are given another class than in PyTorch, as class "
            f"{labels[row]:.0f} for {best[row]}; its labels are shifted or swapped"
        )
    return int((best != labels).sum())
