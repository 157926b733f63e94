"""What computes a network's rows in the stages of a waterfall: ONNX files, half precision emulated, a TensorRT engine.

NOBODY HAS RUN THE ENGINE PART YET: it needs a GPU and TensorRT's own Python package.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from traffic_yolo.darknet.decode import Decoded, decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import PROPERTY
from traffic_yolo.deepstream.simulate.simulator import FLOOR, Simulator
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import WEIGHTS_NAME, ModelFolder, labels_text

Rows = NDArray[np.float32]  # (n, 6): x1, y1, x2, y2, score, label in network pixels, scores from 0.001 up
RowsOf = Callable[[NDArray[np.float32]], tuple[Rows, ...]]  # of one input (3, H, W)


def onnx_rows(path: Path, config: NvinferConfig, model: ModelFolder) -> RowsOf:
    """One set of rows, by onnxruntime, of an ONNX file such as `export` or a quantiser writes.

    Raises `ModelError` for a file that cannot be loaded or has another input or output than the model's, and for one
    whose metadata name other weights or classes; a file without metadata is taken.
    """
    simulator = Simulator(config.with_values(PROPERTY, {"onnx-file": str(path.resolve())}), path.parent, at_once=1)
    if simulator.network_hw != model.network_hw:
        raise ModelError(
            f"{path}: its input is {simulator.network_hw[1]} x {simulator.network_hw[0]} pixels, the model's "
            f"{model.network_hw[1]} x {model.network_hw[0]}; make the file of {model.path / 'model.onnx'}"
        )
    labels = ",".join(labels_text(model.classes).splitlines())
    expected = {"weights_sha256": model.sha256(WEIGHTS_NAME), "classes": labels}
    for name, own in expected.items():
        stated = simulator.metadata.get(name, own)
        if stated != own:
            raise ModelError(
                f"{path}: made for other {name.split('_')[0]} ({stated:.40}) than the model's ({own:.40}); make it of "
                f"{model.path / 'model.onnx'}"
            )
    return lambda tensor: (simulator.rows(tensor),)


class HalfNetwork:
    """A network in emulated half precision: weights and every operation's result are rounded to float16.

    Sums inside a convolution are kept in float32, as tensor cores keep them. Fusing what TensorRT fuses would round
    less often, so this is the cautious side.
    """

    def __init__(self, network: Network) -> None:
        """Copies of `network`, which stays as it is: one in float32, one with rounded weights."""
        self._whole = network.fuse()
        self._half = network.fuse()
        for parameter in self._half.parameters():
            parameter.data = _rounded(parameter.data)

    def rows(self, tensor: NDArray[np.float32]) -> tuple[Rows, Rows, Rows]:
        """Of one input (3, H, W): the network in half and its boxes decoded in float32; both in half; the boxes alone.

        A number that overflows half precision (65504) comes out as infinity or NaN, and its row is among them.
        """
        images = torch.from_numpy(tensor[None])
        with torch.inference_mode():
            whole = self._whole(images)
            with _HalfRounding():  # type: ignore[no-untyped-call]
                half = self._half(_rounded(images))
            network = self._decoded(half)
            with _HalfRounding():  # type: ignore[no-untyped-call]
                both, boxes = self._decoded(half), self._decoded([_rounded(each) for each in whole])
        return _kept(network), _kept(both), _kept(boxes)

    def _decoded(self, logits: list[Tensor]) -> Tensor:
        """(N, 6), as the ONNX file of `export` has it."""
        return rows_of(decode(self._whole.heads, logits, self._whole.input_hw), self._whole.input_hw)


def rows_of(decoded: Decoded, input_hw: tuple[int, int]) -> Tensor:
    """Rows (N, 6) x1, y1, x2, y2, score, label of the one picture that was decoded, in network pixels."""
    height, width = input_hw
    centres, halves = decoded.boxes_cxcywh_norm[0, :, :2], decoded.boxes_cxcywh_norm[0, :, 2:] / 2
    boxes = torch.cat([centres - halves, centres + halves], dim=-1) * torch.tensor([width, height] * 2)
    best, label = decoded.class_probabilities[0].max(dim=-1, keepdim=True)
    return torch.cat([boxes, decoded.objectness[0, :, None] * best, label.to(torch.float32)], dim=-1)


class _HalfRounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds what every operation gives to float16, and keeps it in float32."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return tree_map(_rounded, function(*args, **(kwargs or {})))


def _rounded(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.to(torch.float16).to(torch.float32) if is_float else value


def _kept(rows: Tensor) -> Rows:
    """Rows from the floor up; one whose score is NaN stays."""
    found = rows.numpy()
    return found[~(found[:, 4] < np.float32(FLOOR))]


def engine_rows(path: Path, model: ModelFolder) -> RowsOf:
    """One set of rows, by TensorRT 10 on the first GPU, of an engine that was built of the model's ONNX file.

    Nobody has run this yet. Raises `ModelError` without the package or a GPU, for an engine that this TensorRT does not
    take, and for one with another input or output than the model's.
    """
    try:
        tensorrt: Any = importlib.import_module("tensorrt")
    except ImportError as error:
        raise ModelError(
            f"{path}: an engine needs TensorRT's Python package (NVIDIA's images have it): {error}; run "
            f"validate there, or leave --engine-file out"
        ) from error
    if not torch.cuda.is_available():
        raise ModelError(f"{path}: an engine needs a GPU, and PyTorch sees none; leave --engine-file out")
    engine = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR)).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise ModelError(
            f"{path}: TensorRT {tensorrt.__version__} on this GPU does not take the engine; build it here, by "
            f"trtexec --onnx={model.path / 'model.onnx'} --saveEngine={path}"
        )
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    if sorted(names) != ["input", "output"]:
        raise ModelError(
            f"{path}: has the tensors {', '.join(names)}; expected input and output, as export writes them"
        )
    context = engine.create_execution_context()
    if not context.set_input_shape("input", (1, 3, *model.network_hw)):
        raise ModelError(f"{path}: takes no input of 1 x 3 x {model.network_hw[0]} x {model.network_hw[1]}")
    output = torch.empty(tuple(context.get_tensor_shape("output")), dtype=torch.float32, device="cuda")
    stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def rows(tensor: NDArray[np.float32]) -> tuple[Rows, ...]:
        images = torch.from_numpy(tensor[None]).cuda()
        context.set_tensor_address("input", images.data_ptr())
        context.set_tensor_address("output", output.data_ptr())
        stream.wait_stream(torch.cuda.current_stream())
        if not context.execute_async_v3(stream.cuda_stream):
            raise ModelError(f"{path}: TensorRT failed to run the engine")
        stream.synchronize()
        return (_kept(output[0].cpu()),)

    return rows
