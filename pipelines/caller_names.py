"""Spares kfp a look at every loaded module for each setting of a task.

kfp 2.17 asks `inspect.stack()` for its caller's name before it sets anything on a task, for one error message that is
nearly never raised. The stack comes with lines of source, and for frames that have no file `inspect` goes through all
loaded modules: 0.1 s a call where PyTorch is loaded, 20 s for the seven pipelines of this package. The name alone is
all that kfp reads (`inspect.stack()[1][3]`).
"""

import sys
from types import SimpleNamespace

from kfp.dsl import pipeline_task


def _callers() -> list[tuple[None, None, None, str]]:
    """The functions being called, innermost (that which asks) first, each where `inspect.FrameInfo` has its name."""
    frame = sys._getframe(1)
    names = []
    while frame is not None:
        names.append((None, None, None, frame.f_code.co_name))
        frame = frame.f_back
    return names


def spare_the_stack() -> None:
    """Gives kfp's tasks the names alone, from here on. A kfp that looks otherwise is left as it is."""
    if "inspect" in vars(pipeline_task):
        pipeline_task.inspect = SimpleNamespace(stack=_callers)  # type: ignore[attr-defined]
