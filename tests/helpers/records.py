"""A made-up evaluation record that its schema allows, for tests that need one and care for a few of its fields."""

import dataclasses
from typing import Any

from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.pruned_from import LayerChange, NetworkSize, PrunedFrom

KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
DIGEST = "d" * 64
# What a training leaves beside the weights: the content of trained_on.json
TRAINED_ON: dict[str, Any] = {
    "schema_version": 1,
    "data_fingerprint": "a" * 64,
    "pictures": ["0" * 16, "1" * 16],
    "chosen_on": ["2" * 16],
    "start_weights": "yolov4-tiny.conv.29",
    "start_weights_sha256": "b" * 64,
}


def pruned_from(*, parent: str, weights: str) -> PrunedFrom:
    """The record of a pruning that halved a network with the weights of hash `parent`."""
    return PrunedFrom(
        parent_weights_sha256=parent,
        parent_cfg_sha256="c" * 64,
        weights_sha256=weights,
        options={"prune_kind": "regular", "importance": "scale"},
        before=NetworkSize(5, 400, 2.0, 1620),
        after=NetworkSize(5, 200, 1.0, 820),
        latency_ms=None,
        layers=(LayerChange(0, 7, 16, 8),),
        blocks=(),
        carry_errors=((1, 0.5, 0.25),),
        units=8,
        free_units=16,
        reestimated_on=0,
        refitted_on=64,
        refits=((2, 0.312, 0.045),),
    )


def made_up_record(**changes: Any) -> EvaluationRecord:
    """The record with some of its fields replaced."""
    count = {"pictures": 9, "true_per_picture": 0.3, "mean": 0.1, "mean_absolute": 0.2, "exact": 0.7}
    record = EvaluationRecord(
        split="test",
        classes=("CAR", "traffic light"),
        engine="fast",
        metrics={"ap": 0.4, "ap50": 0.45, "ap75": 0.4, "ar100": 0.5, "precision": 0.6},
        per_class=(),
        confusion={"labels": [], "counts": []},
        slices=(),
        errors={
            "ap50": 0.45,
            "ap50_cost": dict.fromkeys(KINDS, 0.1),
            "ap50_cost_of_false_positives": 0.2,
            "ap50_cost_of_false_negatives": 0.3,
            "counts": dict.fromkeys(KINDS, 2),
            "counts_by_class": {},
        },
        counting={"overall": {"name": "all", **count}, "per_class": [], "per_site": []},
        nms={
            "confidence_threshold": 0.25,
            "iou_threshold": 0.45,
            "kind": "default",
            "beta": 0.6,
            "max_detections": 300,
        },
        matching={"iou": 0.5, "coco_max_detections": 100},
        protocol={
            "cfg_sha256": DIGEST,
            "weights_sha256": DIGEST,
            "network_hw": (64, 96),
            "resize": "stretch",
            "images_fingerprint": f"{DIGEST}/test",
            "confidence_floor": 0.001,
            "runtime": "pytorch",
            "precision": "float32",
        },
        data={"fingerprint": DIGEST, "ground_truth_sha256": DIGEST, "pictures": 9, "truths": 3, "ignored": 0},
        provenance={
            "verdict": "not seen",
            "pictures": 0,
            "of": 9,
            "reasons": ["made up"],
            "trained_on": [],
            "start_weights_sha256": None,
        },
        training={"seed": 1},
        software={"python": "3.11"},
    )
    return dataclasses.replace(record, **changes)
