"""What an evaluation looks into beyond its headline: slices, kinds of errors and their costs, counting."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.evaluation.count_error import CountErrors, count_errors
from traffic_yolo.evaluation.error_split import KIND_NAMES, ErrorCosts, ErrorSplit, error_costs, split_errors
from traffic_yolo.evaluation.slice_metrics import SliceMetrics, slice_metrics
from traffic_yolo.evaluation.slices import measure_light, slices_of
from traffic_yolo.metrics.coco_settings import network_area_scale
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.label_attributes import LabelAttributes
from traffic_yolo.metrics.match_table import picture_order


@dataclass(frozen=True)
class Analysis:
    """`errors` are those of the detections reported at the thresholds in use; `costs` of all above the floor."""

    slices: tuple[SliceMetrics, ...]
    errors: ErrorSplit
    costs: ErrorCosts
    counting: CountErrors

    def errors_record(self) -> dict[str, Any]:
        """`errors` of the evaluation record."""
        return {
            "ap50": self.costs.ap50,
            "ap50_cost": dict(self.costs.by_kind),
            "ap50_cost_of_false_positives": self.costs.false_positives,
            "ap50_cost_of_false_negatives": self.costs.false_negatives,
            "counts": self.errors.totals(),
            "counts_by_class": {
                name: dict(zip(KIND_NAMES, self.errors.counts[:, index].tolist(), strict=True))
                for index, name in enumerate(self.errors.classes)
            },
        }

    def slices_record(self) -> list[dict[str, Any]]:
        """`slices` of the evaluation record."""
        return [
            {**dataclasses.asdict(part), "recall_interval": part.recall_interval and list(part.recall_interval)}
            for part in self.slices
        ]

    def counting_record(self) -> dict[str, Any]:
        """`counting` of the evaluation record."""
        return {
            "overall": dataclasses.asdict(self.counting.overall),
            "per_class": [dataclasses.asdict(each) for each in self.counting.per_class],
            "per_site": [dataclasses.asdict(each) for each in self.counting.per_site],
        }


def analyse(
    everything: Detections,
    reported: Detections,
    truth: GroundTruth,
    labels: LabelAttributes,
    images: Sequence[LabelledImage],
    *,
    protocol: Protocol,
    confidence_threshold: float,
    max_detections: int,
) -> Analysis:
    """`everything`: the detections above the floor after NMS; `reported`: those of them above `confidence_threshold`.

    `images` are the pictures of `truth`, in its order; their light is measured. `max_detections`: at most that many of
    a class in a picture count for AP.
    """
    sizes_hw = np.array([(image.height, image.width) for image in images], np.int32).reshape(-1, 2)
    scale = network_area_scale(sizes_hw, protocol.network_hw, letterbox=protocol.resize == "letterbox")
    light = measure_light([image.path for image in images])
    parts = slices_of(truth, labels, light=light, network_area_scale=scale)
    ranked = limited(everything, truth, max_detections)
    return Analysis(
        slices=tuple(
            slice_metrics(
                parts,
                everything,
                truth,
                confidence_threshold=confidence_threshold,
                groups=labels.groups,
                max_detections=max_detections,
            )
        ),
        errors=split_errors(reported, truth),
        costs=error_costs(ranked, truth, split_errors(ranked, truth)),
        counting=count_errors(reported, truth, labels.sites),
    )


def limited(detections: Detections, truth: GroundTruth, max_detections: int) -> Detections:
    """The strongest detections of each picture and class, as COCO's limit leaves them; the order stays."""
    places = truth.image_order()[truth.picture_indices(detections.image_ids)]
    kept, _ = picture_order(detections, places, max_detections)
    return detections.select(np.sort(kept))
