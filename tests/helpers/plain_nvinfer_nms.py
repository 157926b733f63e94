"""nvinfer's cluster mode 2 in plain NumPy, a box at a time: slow and easy to read; an oracle, and the benchmark's peer."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.nvinfer_postprocess import Objects


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
