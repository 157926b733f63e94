"""onnxruntime on the CPU, set up alike wherever a graph is run; needs the extra `deploy`."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from traffic_yolo.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = ["CPUExecutionProvider"]


def cpu_session(
    graph: Path | bytes, *, threads: int | None = None, exact_qdq: bool = False
) -> "onnxruntime.InferenceSession":
    """A session for an ONNX file, or for a serialized graph.

    `threads`: how many share an operator; None: PyTorch's number, which is held to a container's limit, whereas
    onnxruntime counts all of the machine's processors. `exact_qdq`: Q/DQ nodes compute what they say. onnxruntime would
    fuse them into byte kernels, which saturate on processors without VNNI; a figure would then be of the machine.

    Raises `ModelError` for a graph that onnxruntime does not take.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: a warning a session would fill a pipeline's log
    options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
    if exact_qdq:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    source, name = (graph, "") if isinstance(graph, bytes) else (str(graph), f"{graph}: ")
    try:
        return onnxruntime.InferenceSession(source, options, providers=PROVIDERS)
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        what = "it" if name else "the graph"
        raise ModelError(f"{name}onnxruntime cannot load {what}: {str(error).splitlines()[0]}") from error
