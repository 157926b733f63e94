"""Whether the code runs for its results or is being recorded by one of PyTorch's exporters."""

import torch


def is_traced() -> bool:
    """True under torch.jit.trace, torch.export and torch.compile, where sizes may be symbols that no `if` can ask."""
    return bool(torch.jit.is_tracing() or torch.compiler.is_compiling())  # type: ignore[attr-defined,no-untyped-call]
