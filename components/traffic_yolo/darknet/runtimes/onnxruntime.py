"""onnxruntime as a runtime, with graphs traced in memory; needs the extra `deploy`."""

from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.inference_network import inference_network
from traffic_yolo.darknet.tracing import trace_to_onnx
from traffic_yolo.errors import OptionsError
from traffic_yolo.onnx_session import cpu_session

OPSET = 17


class OnnxruntimeRuntime(Runtime):
    """onnxruntime's own kernels for the CPU, float32 only."""

    name: ClassVar[str] = "onnxruntime"

    def __init__(self, network: Network, *, precision: str, input_hw: tuple[int, int] | None = None) -> None:
        """See `Runtime`; raises `OptionsError` where the package is missing and for bfloat16."""
        super().__init__(network, precision=precision, input_hw=input_hw)
        if precision != "float32":
            raise OptionsError(f"runtime onnxruntime computes in float32 only, not in {precision}; choose pytorch")
        if missing := missing_packages():
            raise OptionsError(f"runtime onnxruntime needs the package {missing}: pip install traffic-yolo[deploy]")
        self._names = [f"logits_{head.layer_index}" for head in network.heads]
        example = torch.zeros(1, self.input_channels, *self.input_hw)
        copy = inference_network(network, precision=precision).cpu()
        graph = trace_to_onnx(copy, example, output_names=self._names, opset=OPSET)
        self._session: Any = cpu_session(graph)

    def _run_picture(self, picture: Tensor) -> list[Tensor]:
        outputs = self._session.run(self._names, {"input": picture.cpu().numpy()})
        return [torch.from_numpy(output) for output in outputs]


def missing_packages() -> str | None:
    """The first package that is not installed of those that this runtime needs."""
    return next((name for name in ("onnx", "onnxruntime") if find_spec(name) is None), None)
