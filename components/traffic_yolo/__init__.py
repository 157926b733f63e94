"""From roadside ATM recordings to a YOLOv4 that runs in DeepStream. Stays light: importing it loads no torch."""

from traffic_yolo._version import __version__

__all__ = ["__version__"]
