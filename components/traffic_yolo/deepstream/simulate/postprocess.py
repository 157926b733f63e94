"""What becomes of the network's output in nvinfer: DeepStream-Yolo's parser, thresholds, NMS, mapping to the frame.

The order and every comparison follow nvinfer's sources, float32 included. Two rules cost most: a box has one class (its
best), and NMS overlaps boxes that were cut at the network's edges already, where Darknet overlaps whole ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.simulate.nms import cluster_by_class
from traffic_yolo.deepstream.simulate.preprocess import Placement
from traffic_yolo.errors import ModelError


@dataclass(frozen=True)
class Objects:
    """n objects of one frame: `boxes_xywh` (n, 4) float32 left, top, width, height; `scores` (n,) float32;
    `class_ids` (n,) int64.
    """

    boxes_xywh: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Objects":
        """The objects where the mask is true, or at the given indices, in that order."""
        return Objects(self.boxes_xywh[chosen], self.scores[chosen], self.class_ids[chosen])


def parse_yolo(
    output: NDArray[np.float32], network_hw: tuple[int, int], attributes: Sequence[ClassAttributes]
) -> Objects:
    """DeepStream-Yolo's parser: rows (N, 6) x1, y1, x2, y2, score, label -> objects in network pixels, in row order.

    Drops scores below the class's pre-cluster threshold, cuts boxes at the network's edges, drops what is then less
    than one pixel wide or high. `attributes`: by class_id. Raises `ModelError` for a label outside of them (the real
    parser would read beyond its table) and for values that are not finite.
    """
    if not np.isfinite(output).all():
        raise ModelError("the ONNX file's output holds NaN or infinity; the weights are broken")
    labels = output[:, 5].astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < len(attributes):
        raise ModelError(
            f"the ONNX file gives label {labels.max()}, but num-detected-classes is {len(attributes)}; "
            f"write the configuration of this very model"
        )
    thresholds = np.array([each.pre_cluster_threshold for each in attributes], np.float32)
    rows = output[output[:, 4] >= thresholds[labels]]
    height, width = network_hw
    limits = np.array([width, height], np.float32)
    left_top = np.clip(rows[:, :2], 0, limits)
    size = np.clip(np.clip(rows[:, 2:4], 0, limits) - left_top, 0, limits)
    objects = Objects(np.concatenate([left_top, size], axis=1), rows[:, 4], rows[:, 5].astype(np.int64))
    return objects.select((size >= 1).all(axis=1))


def cluster(objects: Objects, attributes: Sequence[ClassAttributes]) -> Objects:
    """Cluster mode 2: per class, in class order, NMS, the post-cluster threshold, the top k by score.

    Equal scores keep the order of the network. Raises `IndexError` for a class beyond `attributes`.
    """
    class_ids = objects.class_ids
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < len(attributes):
        raise IndexError(f"class {class_ids.max()} is beyond the {len(attributes)} classes of the configuration")
    scores = np.ascontiguousarray(objects.scores, np.float32)
    kept = cluster_by_class(
        np.ascontiguousarray(objects.boxes_xywh, np.float32),
        scores,
        scores.view(np.uint32),
        class_ids,
        np.array([each.nms_iou_threshold for each in attributes], np.float32),
        np.array([each.post_cluster_threshold for each in attributes], np.float32),
        np.array([each.topk for each in attributes], np.int64),
    )
    return objects.select(kept)


def to_frame(
    objects: Objects,
    placement: Placement,
    frame_hw: tuple[int, int],
    attributes: Sequence[ClassAttributes],
    *,
    crop_to_frame: bool,
) -> Objects:
    """Objects in network pixels -> in frame pixels, as they reach the metadata; some are dropped here.

    A left or top below 0 becomes 0 while width and height stay (nvinfer's rule). With `crop_to_frame` (the key
    crop-objects-to-roi-boundary) boxes are cut at the right and the bottom edge; without it, those that reach below
    the bottom or above the top offset are dropped, and the right edge is not looked at.
    """
    frame_height, frame_width = frame_hw
    left, top, width, height = objects.boxes_xywh.astype(np.float64).T
    # nvinfer computes in double and keeps float.
    left = np.maximum(((left - placement.left) / placement.ratio_x).astype(np.float32), 0)
    top = np.maximum(((top - placement.top) / placement.ratio_y).astype(np.float32), 0)
    width = (width / placement.ratio_x).astype(np.float32)
    height = (height / placement.ratio_y).astype(np.float32)

    def of_each(name: str) -> NDArray[np.float32]:
        return np.array([getattr(rules, name) for rules in attributes], np.float32)[objects.class_ids]

    widest, tallest = of_each("detected_max_w"), of_each("detected_max_h")
    bad = (width < of_each("detected_min_w")) | (height < of_each("detected_min_h"))
    bad |= ((width > widest) & (widest > 0)) | ((height > tallest) & (tallest > 0))
    edges = np.array([frame_height - rules.roi_bottom_offset for rules in attributes], np.float32)
    high_edge, low_edge = of_each("roi_top_offset"), edges[objects.class_ids]
    if crop_to_frame:
        top = np.maximum(top, high_edge)
        height = np.where(top + height > low_edge, low_edge - top, height)
    else:
        bad |= (top < high_edge) | (top + height > low_edge)
    if crop_to_frame:
        width = np.where(left + width >= frame_width, np.float32(frame_width) - left, width)
    boxes_xywh = np.stack([left, top, width, height], axis=1).astype(np.float32)
    return Objects(boxes_xywh, objects.scores, objects.class_ids).select(~bad)
