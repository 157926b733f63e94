"""OpenVINO as a runtime, with graphs traced in memory; needs the extra `openvino`."""

from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.inference_network import check_bfloat16
from traffic_yolo.darknet.tracing import trace_to_onnx
from traffic_yolo.errors import OptionsError

OPSET = 17
_TYPES = {"float32": "f32", "bfloat16": "bf16"}


class OpenvinoRuntime(Runtime):
    """OpenVINO's kernels for the CPU. In bfloat16 it keeps whole graphs in that format, which PyTorch does not."""

    name: ClassVar[str] = "openvino"

    def __init__(self, network: Network, *, precision: str, input_hw: tuple[int, int] | None = None) -> None:
        """See `Runtime`; raises `OptionsError` where the package is missing or the processor has no bfloat16."""
        super().__init__(network, precision=precision, input_hw=input_hw)
        if precision == "bfloat16":
            check_bfloat16(torch.device("cpu"))
        if missing := missing_packages():
            raise OptionsError(f"runtime openvino needs the package {missing}: pip install traffic-yolo[openvino]")
        import openvino

        names = [f"logits_{head.layer_index}" for head in network.heads]
        example = torch.zeros(1, self.input_channels, *self.input_hw)
        copy = network.fuse().cpu()  # with Mish as it is: OpenVINO knows it by its softplus and tanh
        graph = trace_to_onnx(copy, example, output_names=names, opset=OPSET)
        core: Any = openvino.Core()
        model = core.read_model(graph)
        model.reshape([1, self.input_channels, *self.input_hw])
        self._compiled: Any = core.compile_model(
            model,
            "CPU",
            {
                # OpenVINO would take bfloat16 by itself where the processor has it
                "INFERENCE_PRECISION_HINT": _TYPES[precision],
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self._outputs = [self._compiled.output(name) for name in names]

    def _run_picture(self, picture: Tensor) -> list[Tensor]:
        results = self._compiled([picture.cpu().numpy()], share_inputs=True, share_outputs=True)
        # Copied once: the arrays are OpenVINO's own, and the next picture is written into them
        return [torch.from_numpy(np.array(results[output], dtype=np.float32)) for output in self._outputs]


def missing_packages() -> str | None:
    """The first package that is not installed of those that this runtime needs."""
    return next((name for name in ("onnx", "openvino") if find_spec(name) is None), None)
