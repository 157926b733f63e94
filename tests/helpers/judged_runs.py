"""An imagined data set and what imagined models find in it, so that publishing can compare them without inference."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from written_data_set import write_manifest

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.statement import Statement
from traffic_yolo.registry.zoo import Published
from traffic_yolo.registry.zoo import publish as publish_run

CLASSES = ("CAR", "traffic light")
WIDTH, HEIGHT = 320, 640


def write_set(
    root: Path, fingerprint: str = "d" * 64, *, recordings: int = 6, pictures: int = 1, boxes: int = 1,
    classes: tuple[str, ...] = CLASSES,
) -> DataSet:  # fmt: skip
    """A data set with a test split alone: in each picture so many boxes of each class, side by side; no picture files."""
    (root / "annotations").mkdir(parents=True)
    (root / "classes.yaml").write_text(json.dumps({"classes": list(classes)}))
    images, annotations = [], []
    for number in range(recordings * pictures):
        site, recording = f"s{number // pictures}", f"r{number // pictures}"
        images.append({"id": number + 1, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT,
                       "site": site, "recording": recording})  # fmt: skip
        for place in range(boxes * len(classes)):
            box = [place % 16 * 20, place // 16 * 20, 16, 16]
            annotations.append({"id": len(annotations) + 1, "image_id": number + 1, "area": 256, "bbox": box,
                                "category_id": place % len(classes) + 1, "iscrowd": 0})  # fmt: skip
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_test.json").write_text(json.dumps(content))
    write_manifest(root, fingerprint)
    return DataSet.open(root)


def detections(data: DataSet, protocol: Protocol, found: dict[str, float] | float = 1.0) -> RawDetections:
    """What finds this share of the true boxes, of each class or of all: those of the first pictures of each recording.

    A share is met in every recording alike, as nearly as whole boxes allow: what is compared has narrow intervals.
    """
    truth = read_ground_truth(data.coco_path("test"), data.classes)
    kept = np.zeros(len(truth.class_ids), bool)
    for class_id, name in enumerate(data.classes):
        share = found if isinstance(found, float) else found[name]
        for picture in range(len(truth.image_ids)):
            rows = np.flatnonzero((truth.class_ids == class_id) & (truth.truth_pictures == picture))
            kept[rows[: round(share * len(rows))]] = True
    return detections_of_rows(data, protocol, kept)


def detections_of_rows(data: DataSet, protocol: Protocol, kept: "np.ndarray[Any, np.dtype[np.bool_]]") -> RawDetections:
    """What finds the true boxes of these rows (T,) and nothing else."""
    truth = read_ground_truth(data.coco_path("test"), data.classes)
    counts = np.bincount(truth.truth_pictures[kept], minlength=len(truth.image_ids))
    scores = np.zeros((int(kept.sum()), len(data.classes)), np.float32)
    scores[np.arange(len(scores)), truth.class_ids[kept]] = 0.9
    return RawDetections.from_dense(
        image_ids=truth.image_ids,
        image_hw=np.tile(np.array([[HEIGHT, WIDTH]], np.int32), (len(counts), 1)),
        offsets=np.append(0, np.cumsum(counts)),
        boxes_xyxy=xywh_to_xyxy(truth.boxes_xywh[kept]).astype(np.float32),
        objectness=np.full(len(scores), 0.9),
        class_scores=scores,
        classes=data.classes,
        protocol=protocol,
    )


def publish(
    *, zoo: Any, name: str, rules: GateRules | None = None, statement: Statement | None = None, **run: Any
) -> Published:
    """Publishes a run that `make_run` made, on its data set; what every other run found there is at hand."""
    run_folder = Path(str(run["model"])).parent
    at_hand = sorted(str(folder) for folder in run_folder.parent.glob("run*/evaluation"))
    rules = rules or GateRules()
    given = {**{field: getattr(rules, field) for field in vars(rules)}, "earlier_detections": tuple(at_hand)}
    run.setdefault("dataset", run_folder / "dataset")
    return publish_run(**run, zoo=zoo, name=name, rules=GateRules(**given), statement=statement)
