"""AP of several ONNX graphs on the same pictures: every picture is decoded and resized once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from traffic_yolo.darknet.resize import network_boxes_to_picture
from traffic_yolo.darknet.tracing import INPUT_NAME
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.detection.detect import network_input
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.protocol import protocol_of
from traffic_yolo.detection.raw_detections import CONFIDENCE_FLOOR, RawDetections, offsets_of
from traffic_yolo.errors import ModelError
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.progress import progress
from traffic_yolo.quantization.running import open_session

Rows = NDArray[np.float32]  # (n, 6): x1, y1, x2, y2 in network pixels, score, label


@dataclass(frozen=True)
class Precision:
    """AP and AP50 in [0, 1] of one graph; None where the split has no truth."""

    ap: float | None
    ap50: float | None


def judge(
    graphs: Mapping[str, onnx.ModelProto], model: ModelFolder, data: DataSet, split: str, *, what: str
) -> list[Precision]:
    """AP of each of `graphs`, by name, with the interface of `export`'s file: one class a box, from 0.001 up.

    Pictures are resized as `evaluate` does, NMS is Darknet's by IoU 0.45. Raises `ModelError` for a graph whose rows
    are not finite, `DatasetError` for a picture that cannot be decoded.
    """
    pictures = data.split(split)
    sessions = {name: open_session(graph) for name, graph in graphs.items()}
    rows: list[list[Rows]] = [[] for _ in graphs]
    for picture in progress(pictures, description=what, unit="picture"):
        tensor = network_input(picture, model.network_hw, letterboxed=model.letterbox)
        for (name, session), kept in zip(sessions.items(), rows, strict=True):
            found = session.run(["output"], {INPUT_NAME: tensor[None]})[0][0]
            found = found[~(found[:, 4] <= CONFIDENCE_FLOOR)]  # a score that is NaN stays, to be seen
            if not np.isfinite(found).all():
                advice = "leave it out (--no-fp16)" if name == "fp16" else "the weights or ranges are broken"
                raise ModelError(f"{picture.file_name}: boxes or scores of {name} are NaN or infinite; {advice}")
            kept.append(found)
    truth = read_ground_truth(data.coco_path(split), model.classes)
    nms = NmsOptions(confidence_threshold=CONFIDENCE_FLOOR)
    judged = []
    for kept in rows:
        metrics = evaluate_coco(truth, non_maximum_suppression(raw_of(kept, pictures, model, data, split), nms))
        judged.append(Precision(metrics.ap, metrics.ap50))
    return judged


def raw_of(
    rows: Sequence[Rows], pictures: Sequence[LabelledImage], model: ModelFolder, data: DataSet, split: str
) -> RawDetections:
    """The rows of each picture as raw detections with one class a box, in picture pixels."""
    width, height = model.network_hw[1], model.network_hw[0]
    boxes = [np.zeros((0, 4), np.float32)]
    for found, picture in zip(rows, pictures, strict=True):
        corners = found[:, :4] / np.array([width, height] * 2, np.float32)
        norm = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1)
        hw = (picture.height, picture.width)
        boxes.append(network_boxes_to_picture(norm, hw, model.network_hw, model.letterbox))
    joined = np.concatenate([np.zeros((0, 6), np.float32), *rows])
    return RawDetections(
        image_ids=np.array([picture.image_id for picture in pictures], np.int64),
        image_hw=np.array([(picture.height, picture.width) for picture in pictures], np.int32).reshape(-1, 2),
        offsets=offsets_of([len(found) for found in rows]),
        boxes_xyxy=np.concatenate(boxes),
        objectness=joined[:, 4].astype(np.float16),
        score_offsets=np.arange(len(joined) + 1, dtype=np.int64),
        score_class_ids=joined[:, 5].astype(np.int16),
        scores=joined[:, 4],
        classes=model.classes,
        protocol=protocol_of(model, data, split),
    )
