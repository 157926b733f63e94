"""Recording a network with PyTorch's tracer, and whether the code runs for its results or is being recorded."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

INPUT_NAME = "input"


def is_traced() -> bool:
    """True under torch.jit.trace, torch.export and torch.compile, where sizes may be symbols that no `if` can ask."""
    return bool(torch.jit.is_tracing() or torch.compiler.is_compiling())  # type: ignore[attr-defined,no-untyped-call]


def trace_to_onnx(module: nn.Module, example: Tensor, *, output_names: Sequence[str], opset: int) -> bytes:
    """The ONNX file of `module` in eval mode: input `input` of the example's shape, the outputs as named.

    The first dimension, the batch, is open in all of them. By tracing (`dynamo=False`): the newer exporter of torch
    needs onnxscript, another package. Equal weights give equal bytes under one version of torch.
    """
    buffer: Any = io.BytesIO()  # the tracing exporter takes an open file, its annotation says a path
    with warnings.catch_warnings(), torch.no_grad():
        # That tracing is deprecated, and that sizes become constants, is known and meant.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        torch.onnx.export(
            module,
            (example,),
            buffer,
            opset_version=opset,
            input_names=[INPUT_NAME],
            output_names=list(output_names),
            dynamic_axes={name: {0: "batch"} for name in (INPUT_NAME, *output_names)},
            dynamo=False,
        )
    return bytes(buffer.getvalue())
