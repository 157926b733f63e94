"""From roadside ATM recordings to a YOLOv4 that runs in DeepStream.

`import traffic_yolo as ty` loads nothing heavy; each name of `__all__` loads what it needs when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from traffic_yolo._version import __version__

if TYPE_CHECKING:
    from traffic_yolo import darknet
    from traffic_yolo.api.convert import Converted, convert
    from traffic_yolo.api.evaluate import Evaluated, evaluate
    from traffic_yolo.api.sweep import Swept, sweep
    from traffic_yolo.errors import TrafficYoloError
    from traffic_yolo.predict.load import load
    from traffic_yolo.predict.model import Model
    from traffic_yolo.predict.prediction import Prediction

__all__ = [
    "Converted",
    "Evaluated",
    "Model",
    "Prediction",
    "Swept",
    "TrafficYoloError",
    "__version__",
    "convert",
    "darknet",
    "evaluate",
    "load",
    "sweep",
]

# name -> the module that defines it; `darknet` is a module itself
_MODULES = {
    "Converted": "traffic_yolo.api.convert",
    "Evaluated": "traffic_yolo.api.evaluate",
    "Model": "traffic_yolo.predict.model",
    "Prediction": "traffic_yolo.predict.prediction",
    "Swept": "traffic_yolo.api.sweep",
    "TrafficYoloError": "traffic_yolo.errors",
    "convert": "traffic_yolo.api.convert",
    "evaluate": "traffic_yolo.api.evaluate",
    "load": "traffic_yolo.predict.load",
    "sweep": "traffic_yolo.api.sweep",
}


def __getattr__(name: str) -> Any:
    """The name of `__all__`, loaded; `AttributeError` for any other."""
    if name == "darknet":
        return importlib.import_module("traffic_yolo.darknet")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
