"""nvinfer's rules behind the parser in plain NumPy, a box or a class at a time: slow and easy to read.

An oracle of the tests, and the benchmark's peer.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.simulate.postprocess import Objects
from traffic_yolo.deepstream.simulate.preprocess import Placement


def plain_cluster(objects: Objects, attributes: Sequence[ClassAttributes]) -> Objects:
    """As `nvinfer_postprocess.cluster`."""
    kept = []
    for class_id in np.unique(objects.class_ids):
        rules = attributes[class_id]
        members = np.flatnonzero(objects.class_ids == class_id)
        members = members[np.argsort(-objects.scores[members], kind="stable")]
        members = members[plain_survivors(objects.boxes_xywh[members], rules.nms_iou_threshold)]
        members = members[objects.scores[members] > np.float32(rules.post_cluster_threshold)]
        kept.append(members if rules.topk < 0 else members[: rules.topk])
    return objects.select(np.concatenate(kept) if kept else np.zeros(0, np.intp))


def plain_survivors(boxes_xywh: NDArray[np.float32], iou_threshold: float) -> NDArray[np.intp]:
    """Indices of the boxes (by falling score) whose IoU with every kept one is not above the threshold."""
    right_bottom = boxes_xywh[:, :2] + boxes_xywh[:, 2:]
    areas = boxes_xywh[:, 2] * boxes_xywh[:, 3]
    threshold = np.float32(iou_threshold)
    alive = np.ones(len(boxes_xywh), np.bool_)
    for index in range(len(boxes_xywh)):
        if not alive[index]:
            continue
        rest = slice(index + 1, None)
        low = np.maximum(boxes_xywh[index, :2], boxes_xywh[rest, :2])
        high = np.minimum(right_bottom[index], right_bottom[rest])
        overlap = np.clip(high - low, 0, None).prod(axis=1)
        union = areas[index] + areas[rest] - overlap
        iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union != 0)
        alive[rest] &= ~(iou > threshold)
    return np.flatnonzero(alive)


def plain_to_frame(
    objects: Objects,
    placement: Placement,
    frame_hw: tuple[int, int],
    attributes: Sequence[ClassAttributes],
    *,
    crop_to_frame: bool,
) -> Objects:
    """As `nvinfer_postprocess.to_frame`."""
    frame_height, frame_width = frame_hw
    left, top, width, height = objects.boxes_xywh.astype(np.float64).T
    left = np.maximum(((left - placement.left) / placement.ratio_x).astype(np.float32), 0)
    top = np.maximum(((top - placement.top) / placement.ratio_y).astype(np.float32), 0)
    width = (width / placement.ratio_x).astype(np.float32)
    height = (height / placement.ratio_y).astype(np.float32)

    keep = np.ones(len(left), np.bool_)
    for class_id in np.unique(objects.class_ids):
        mine = objects.class_ids == class_id
        rules = attributes[class_id]
        bad = (width < rules.detected_min_w) | (height < rules.detected_min_h)
        bad |= (width > rules.detected_max_w) & (rules.detected_max_w > 0)
        bad |= (height > rules.detected_max_h) & (rules.detected_max_h > 0)
        low_edge = np.float32(frame_height - rules.roi_bottom_offset)
        if crop_to_frame:
            top = np.where(mine, np.maximum(top, np.float32(rules.roi_top_offset)), top)
            height = np.where(mine & (top + height > low_edge), low_edge - top, height)
        else:
            bad |= (top < rules.roi_top_offset) | (top + height > low_edge)
        keep &= ~(mine & bad)
    if crop_to_frame:
        width = np.where(left + width >= frame_width, np.float32(frame_width) - left, width)
    boxes_xywh = np.stack([left, top, width, height], axis=1).astype(np.float32)
    return Objects(boxes_xywh, objects.scores, objects.class_ids).select(keep)
