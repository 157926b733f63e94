"""A window that shows what is drawn while it is looked at; OpenCV's, where it was built with windows."""

import os
import re

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import OptionsError

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
TITLE = "traffic-yolo predict"
END_KEYS = (ord("q"), 27)  # 27: escape


def check_window() -> None:
    """Raises `OptionsError` where no window can be opened: no display, or an OpenCV without windows."""
    if not any(os.environ.get(name) for name in DISPLAYS):
        raise OptionsError(f"show: there is no display here ({' and '.join(DISPLAYS)} are not set); leave it out")
    if not has_windows(cv2.getBuildInformation()):
        raise OptionsError(
            "show: this OpenCV has no windows; run pip uninstall opencv-python-headless, then pip install "
            "opencv-python==4.*"
        )


def has_windows(build_information: str) -> bool:
    """Whether `cv2.getBuildInformation()` names a toolkit for windows."""
    found = re.search(r"^\s*GUI:[ \t]*(\S+)", build_information, re.MULTILINE)
    return found is not None and found[1] != "NONE"


def show(image_bgr: NDArray[np.uint8]) -> bool:
    """Shows (H, W, 3) uint8 BGR in the window; False once q or escape was pressed. For the main thread alone."""
    try:
        cv2.imshow(TITLE, image_bgr)
        return cv2.waitKey(1) & 0xFF not in END_KEYS
    except cv2.error as error:
        raise OptionsError(f"show: OpenCV cannot open a window: {str(error).strip().splitlines()[0]}") from error
