"""Keeps the detections that stand in a source's regions of interest."""

from collections.abc import Sequence

import cv2
import numpy as np

from traffic_yolo.detection.nms import Detections
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Input
from traffic_yolo.predict.region import Region


def inside(regions: Sequence[Region], file: Input, picture: InputPicture, found: Detections) -> Detections:
    """Those of `found` whose foot, the middle of the lower edge, is in a region for this file or on its edge.

    All of them where no region is for it. Raises `OptionsError` for a region that leaves the picture.
    """
    mine = [region for region in regions if region.is_for(file.name)]
    if not mine:
        return found
    polygons = []
    for region in mine:
        region.check_inside((picture.width, picture.height), where=file.shown)
        polygons.append(np.array(region.corners_xy, np.float32).reshape(-1, 1, 2))
    feet = np.stack([found.boxes_xyxy[:, [0, 2]].mean(axis=1), found.boxes_xyxy[:, 3]], axis=1)
    # A box that reaches below the picture stands on its edge
    feet = np.clip(feet, 0, (picture.width, picture.height))
    kept = [any(cv2.pointPolygonTest(each, foot, False) >= 0 for each in polygons) for foot in feet.tolist()]
    return found.select(np.array(kept, np.bool_))
