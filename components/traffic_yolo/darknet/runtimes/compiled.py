"""PyTorch's compiler as a runtime: C++ for this very network and processor, what surrounds convolutions fused."""

import shutil
import sysconfig
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.inference_network import inference_network
from traffic_yolo.errors import OptionsError


class CompiledRuntime(Runtime):
    """torch.compile with frozen weights. Making one takes 10 to 20 seconds, or a few where PyTorch's cache has it."""

    name: ClassVar[str] = "compiled"

    def __init__(self, network: Network, *, precision: str, input_hw: tuple[int, int] | None = None) -> None:
        """See `Runtime`; compiles at once. Raises `OptionsError` where it cannot: no compiler, a network on a GPU."""
        super().__init__(network, precision=precision, input_hw=input_hw)
        if (device := next(network.parameters()).device).type != "cpu":
            raise OptionsError(f"runtime compiled is for processors, the network is on {device}; choose pytorch")
        if missing := missing_for_compiling():
            raise OptionsError(f"runtime compiled needs {missing}, found none; install it or choose pytorch")
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        copy = inference_network(network, precision=precision)
        example = torch.zeros(1, self.input_channels, *self.input_hw)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own use of what PyTorch gives up
            # Exported first: the compiler keeps at most eight results for one piece of Python, and this is a new one.
            exported = torch.export.export(copy, (self._input(example),)).module()
            options: dict[str, Any] = {"freezing": True, "freezing_discard_parameters": True}
            self._compiled = torch.compile(exported, fullgraph=True, dynamic=False, options=options)
            try:
                self._run_picture(example)
            except torch._dynamo.exc.BackendCompilerFailed as error:
                line = str(error.inner_exception).strip().splitlines()[0]
                raise OptionsError(f"runtime compiled: PyTorch could not compile: {line}; choose pytorch") from error

    def _input(self, picture: Tensor) -> Tensor:
        return picture.to(self._dtype).contiguous(memory_format=torch.channels_last)

    def _run_picture(self, picture: Tensor) -> list[Tensor]:
        return [logits.float().contiguous() for logits in self._compiled(self._input(picture))]


def missing_for_compiling() -> str | None:
    """What torch.compile lacks on this machine: a C++ compiler or Python's header files; None where it has both."""
    from torch._inductor import config

    candidates = config.cpp.cxx if isinstance(config.cpp.cxx, tuple | list) else (config.cpp.cxx,)
    if not any(name and shutil.which(name) for name in candidates):
        return "a C++ compiler (g++)"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python's header files (python3-dev)"
    return None
