"""Darknet's file formats and networks; `read` shows a cfg with its weights to a program."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traffic_yolo.darknet.darknet_files import DarknetFiles, read

__all__ = ["DarknetFiles", "read"]


def __getattr__(name: str) -> Any:
    """A name of `__all__`, loaded; `AttributeError` for any other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module("traffic_yolo.darknet.darknet_files"), name)
    globals()[name] = value
    return value
