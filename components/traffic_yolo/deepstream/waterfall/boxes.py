"""What is reported of a network's rows under any setting of the rules, from Darknet's NMS and edges to nvinfer's."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.deepstream.config.nvinfer_config import ALL_BOXES, ClassAttributes
from traffic_yolo.deepstream.simulate.postprocess import Objects, cluster, parse_yolo, to_frame
from traffic_yolo.deepstream.waterfall.inputs import View
from traffic_yolo.deepstream.waterfall.rules import NVINFER, PER_CLASS, Rules
from traffic_yolo.detection.nms import Detections, NmsOptions, clipped_boxes, surviving_rows
from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR, Protocol, RawDetections, offsets_of

NO_LIMIT = 1_000_000  # detections of a picture: more than a network has cells


@dataclass(frozen=True)
class Frame:
    """What the network gave for one picture: `rows` (n, 6) float32 x1, y1, x2, y2, score, label in network pixels."""

    image_id: int
    view: View
    rows: NDArray[np.float32]


@dataclass(frozen=True)
class Reporting:
    """What stays the same in all states of one waterfall.

    `attributes`: nvinfer's, by class_id. `nms`: the operating point's, of which Darknet's side takes beta and limit.
    """

    network_hw: tuple[int, int]
    classes: tuple[str, ...]
    attributes: tuple[ClassAttributes, ...]
    crop_to_frame: bool
    nms: NmsOptions


def reported(frames: Sequence[Frame], rules: Rules, settings: Reporting) -> Detections:
    """The detections in picture pixels with scores from 0.001 up, picture by picture, in a picture by falling score.

    Of a box's classes only the best is there, since the rows hold no other. The thresholds of `rules` are not applied:
    weaker boxes change nothing above them. Raises `ModelError` for labels beyond the classes and for numbers that are
    not finite.
    """
    attributes = _at_the_floor(rules, settings)
    found = [parse_yolo(frame.rows, settings.network_hw, attributes) for frame in frames]  # which checks the rows too
    if not rules.edge:
        found = [_whole(frame.rows) for frame in frames]
    if rules.nms_kind == NVINFER:
        found = [cluster(objects, attributes) for objects in found]
    else:
        found = _darknet_nms(frames, found, rules, settings)
    if rules.topk == PER_CLASS:
        found = [_strongest_of_classes(objects, settings.attributes) for objects in found]
    else:
        found = [objects.select(_falling(objects)[: settings.nms.max_detections]) for objects in found]
    parts = []
    for frame, objects in zip(frames, found, strict=True):
        if rules.edge:
            boxes, objects = _by_nvinfer(frame.view, objects, attributes, settings)
        else:
            boxes = _clipped(_in_picture(objects.boxes_xywh, frame.view), frame.view.picture_hw)
        order = _falling(objects)
        image_ids = np.full(len(order), frame.image_id, np.int64)
        parts.append(Detections(image_ids, boxes[order], objects.scores[order], objects.class_ids[order]))
    return Detections.concatenate(parts)


def _at_the_floor(rules: Rules, settings: Reporting) -> list[ClassAttributes]:
    """Nvinfer's attributes, with every threshold at the floor and the overlaps of `rules`; topk comes later."""
    return [
        dataclasses.replace(
            each,
            pre_cluster_threshold=CONFIDENCE_FLOOR,
            post_cluster_threshold=0.0,
            nms_iou_threshold=iou,
            topk=ALL_BOXES,
        )
        for each, iou in zip(settings.attributes, rules.ious, strict=True)
    ]


def _whole(rows: NDArray[np.float32]) -> Objects:
    """The rows as they are, also outside of the network; Darknet wants scores strictly above the floor."""
    kept = rows[rows[:, 4] > np.float32(CONFIDENCE_FLOOR)]
    boxes_xywh = np.concatenate([kept[:, :2], kept[:, 2:4] - kept[:, :2]], axis=1)
    return Objects(boxes_xywh, kept[:, 4], kept[:, 5].astype(np.int64))


def _darknet_nms(frames: Sequence[Frame], found: Sequence[Objects], rules: Rules, settings: Reporting) -> list[Objects]:
    """Class by class in picture pixels, as Darknet does: its penalty for distant centres knows no other."""
    kept: list[list[NDArray[np.intp]]] = [[] for _ in frames]
    for iou in sorted(set(rules.ious)):
        of_iou = np.flatnonzero(np.array(rules.ious) == iou)
        rows = [np.flatnonzero(np.isin(objects.class_ids, of_iou)) for objects in found]
        raw = _raw(frames, [objects.select(chosen) for objects, chosen in zip(found, rows, strict=True)], settings)
        options = NmsOptions(CONFIDENCE_FLOOR, iou, rules.nms_kind, settings.nms.beta, NO_LIMIT)
        _, boxes, pictures = surviving_rows(_above_all(raw), options)
        ends = np.searchsorted(pictures, np.arange(len(rows) + 1))
        for index, chosen in enumerate(rows):
            kept[index].append(chosen[boxes[ends[index] : ends[index + 1]] - raw.offsets[index]])
    # in row order, as they came
    return [objects.select(np.sort(np.concatenate(chosen))) for objects, chosen in zip(found, kept, strict=True)]


def _raw(frames: Sequence[Frame], found: Sequence[Objects], settings: Reporting) -> RawDetections:
    """Objects as raw detections in picture pixels, with one score a box."""
    count = sum(len(objects.scores) for objects in found)
    boxes = [_in_picture(objects.boxes_xywh, frame.view) for frame, objects in zip(frames, found, strict=True)]
    return RawDetections(
        image_ids=np.array([frame.image_id for frame in frames], np.int64),
        image_hw=np.array([frame.view.picture_hw for frame in frames], np.int32).reshape(-1, 2),
        offsets=offsets_of([len(objects.scores) for objects in found]),
        boxes_xyxy=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        objectness=np.ones(count, np.float16),
        score_offsets=np.arange(count + 1, dtype=np.int64),
        score_class_ids=np.concatenate([np.zeros(0, np.int64), *(each.class_ids for each in found)]).astype(np.int16),
        scores=np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)]),
        classes=settings.classes,
        protocol=Protocol("", "", settings.network_hw, "stretch", "", CONFIDENCE_FLOOR),
    )


def _above_all(raw: RawDetections) -> RawDetections:
    """Nvinfer's floor takes a score of exactly 0.001, Darknet's does not: here what came in counts."""
    lifted = np.maximum(raw.scores, np.nextafter(np.float32(CONFIDENCE_FLOOR), np.float32(1)))
    return dataclasses.replace(raw, scores=lifted)


def _strongest_of_classes(objects: Objects, attributes: Sequence[ClassAttributes]) -> Objects:
    """At most topk objects of each class; a negative one keeps all."""
    kept = []
    for class_id in np.unique(objects.class_ids):
        members = np.flatnonzero(objects.class_ids == class_id)
        members = members[np.argsort(-objects.scores[members], kind="stable")]
        topk = attributes[class_id].topk
        kept.append(members if topk < 0 else members[:topk])
    return objects.select(np.concatenate(kept) if kept else np.zeros(0, np.intp))


def _by_nvinfer(
    view: View, objects: Objects, attributes: Sequence[ClassAttributes], settings: Reporting
) -> tuple[NDArray[np.float32], Objects]:
    """Boxes (n, 4) x1, y1, x2, y2 in picture pixels by nvinfer's rules at the frame's edges, and what is left."""
    shifted = objects.boxes_xywh
    if any(view.shift_xy):
        shifted = shifted - np.array([*view.shift_xy, 0, 0], np.float32)
    moved = dataclasses.replace(objects, boxes_xywh=shifted)
    in_frame = to_frame(moved, view.placement, view.frame_hw, attributes, crop_to_frame=settings.crop_to_frame)
    boxes = xywh_to_xyxy(in_frame.boxes_xywh)
    if view.frame_hw != view.picture_hw:
        boxes = boxes * _frame_to_picture(view)
    return boxes, in_frame


def _in_picture(boxes_xywh: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Boxes (n, 4) in network pixels -> x1, y1, x2, y2 in picture pixels, float32, unclipped."""
    placement = view.placement
    offset = np.array([placement.left + view.shift_xy[0], placement.top + view.shift_xy[1]] * 2)
    ratio = np.array([placement.ratio_x, placement.ratio_y] * 2)
    boxes = (xywh_to_xyxy(boxes_xywh).astype(np.float64) - offset) / ratio * _frame_to_picture(view)
    in_picture: NDArray[np.float32] = boxes.astype(np.float32)
    return in_picture


def _frame_to_picture(view: View) -> NDArray[np.float32]:
    """What frame pixels x1, y1, x2, y2 (4,) are multiplied by."""
    (frame_height, frame_width), (height, width) = view.frame_hw, view.picture_hw
    return np.array([width / frame_width, height / frame_height] * 2, np.float32)


def _clipped(boxes_xyxy: NDArray[np.float32], picture_hw: tuple[int, int]) -> NDArray[np.float32]:
    return clipped_boxes(boxes_xyxy, np.broadcast_to(np.array(picture_hw, np.int32), (len(boxes_xyxy), 2)))


def _falling(objects: Objects) -> NDArray[np.intp]:
    """Indices by falling score; equals stay in the order given."""
    return np.argsort(-objects.scores, kind="stable")
