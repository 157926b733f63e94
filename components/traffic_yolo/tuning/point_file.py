"""The chosen operating point as a JSON document that deployment reads, and as lines for people."""

from collections.abc import Sequence
from typing import Any

from traffic_yolo.metrics.bootstrap import CONFIDENCE
from traffic_yolo.metrics.matching import MATCH_IOU
from traffic_yolo.metrics.operating_point import Counts
from traffic_yolo.tuning.search import ApRow, Found, Part

SCHEMA_VERSION = 1
POINT_NAME = "operating_point.json"


def point_document(found: Found, parts: Sequence[Part], *, absent: Sequence[str] = ()) -> dict[str, Any]:
    """The content of operating_point.json.

    `class_thresholds`: class name -> confidence threshold, empty where one serves all; `validate` writes each into the
    group [class-attrs-N] of its class. The first of `parts` is where the choice was made; a split that is `absent` is
    null.
    """
    nms, objective, first = found.nms, found.options.objective, parts[0]
    names = [counts.class_name for counts in found.point.per_class]
    nothing = dict.fromkeys(absent)
    per_class = [
        {"class_name": name, **{part.split: _numbers(part.point.per_class[index]) for part in parts}, **nothing}
        for index, name in enumerate(names)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "confidence_threshold": nms.confidence_threshold,
        "iou_threshold": nms.iou_threshold,
        "class_thresholds": dict(zip(names, found.point.class_thresholds, strict=False)),
        "nms": {"kind": nms.kind, "beta": nms.beta, "max_detections": nms.max_detections},
        "chosen_on": first.split,
        "objective": objective.objective,
        "objective_options": {
            "false_positives_per_picture": objective.false_positives_per_picture,
            "miss_cost": objective.miss_cost,
            "false_alarm_cost": objective.false_alarm_cost,
            "class_costs": {name: list(pair) for name, pair in objective.class_costs.items()},
        },
        "match_iou": MATCH_IOU,
        **{part.split: _part_numbers(part) for part in parts},
        **nothing,
        "per_class": per_class,
        "grid": {
            "method": found.options.method,
            "confidences": list(found.sweeps[found.best].confidences),
            "iou_thresholds": list(found.sweeps[found.best].iou_thresholds),
            "nms": [[each.nms.kind, each.nms.max_detections] for each in found.sweeps],
        },
    }


def described(found: Found, parts: Sequence[Part], ap_rows: Sequence[ApRow], *, absent: Sequence[str] = ()) -> str:
    """A few lines: the choice, what it gives on each split, and why AP did not make it."""
    nms, first = found.nms, parts[0]
    thresholds = f"confidence_threshold {nms.confidence_threshold:g}, iou_threshold {nms.iou_threshold:g}"
    if len(found.sweeps) > 1:
        thresholds += f", NMS {nms.kind}, at most {nms.max_detections} detections a picture"
    lines = [f"{thresholds}: best {shown_objective(found)} on {first.split}: {_sentence(first)}"]
    if not found.point.true_positives:
        lines[0] += "; no threshold finds anything right: train longer"
    if found.point.class_thresholds:
        own = [
            f"{counts.class_name} {threshold:g}"
            for counts, threshold in zip(found.point.per_class, found.point.class_thresholds, strict=True)
            if threshold != nms.confidence_threshold
        ]
        lines.append(
            f"thresholds of single classes: {', '.join(own) or 'none'}; one for all gives F1 "
            f"{found.shared_point.f1:.4f}"
        )
    lines += [f"on {part.split}: {_sentence(part)}" for part in parts[1:]]
    lines += [f"on {split}: no pictures" for split in absent]
    lines += [f"intervals on {part.split}: {part.groups.note}" for part in parts if part.groups.note]
    return "\n".join([*lines, ap_sentence(ap_rows, nms.confidence_threshold)])


def ap_sentence(ap_rows: Sequence[ApRow], chosen: float) -> str:
    """Why AP alone cannot choose a confidence threshold, with the numbers."""
    lowest, at_choice = ap_rows[0], next(row for row in ap_rows if row.confidence == chosen)
    return (
        f"AP alone cannot choose the confidence threshold, since it never falls when that falls: {lowest.ap:.4f} at "
        f"{lowest.confidence:g} (F1 {lowest.f1:.4f}), {at_choice.ap:.4f} at {at_choice.confidence:g} "
        f"(F1 {at_choice.f1:.4f})"
    )


def shown_objective(found: Found) -> str:
    """The objective as a few words with its numbers."""
    objective = found.options.objective
    return {
        "f1": "F1",
        "map": "AP",
        "map50": "AP50",
        "recall_at_fppi": f"recall at {objective.false_positives_per_picture:g} false positives a picture",
        "cost": f"cost (miss {objective.miss_cost:g}, false alarm {objective.false_alarm_cost:g})",
    }[objective.objective]


def _part_numbers(part: Part) -> dict[str, Any]:
    point = part.point
    return {
        **_numbers(point),
        "pictures": point.num_pictures,
        "false_positives_per_picture": point.false_positives_per_picture,
        "intervals": {name: [each.low, each.high] for name, each in part.intervals.items()},
        "ap": part.intervals["ap"].value if "ap" in part.intervals else None,
        "interval_confidence": CONFIDENCE,
        "interval_groups": {"of": part.groups.of, "count": part.groups.count, "note": part.groups.note},
    }


def _numbers(counts: Counts) -> dict[str, float]:
    names = ("precision", "recall", "f1", "true_positives", "false_positives", "false_negatives")
    return {name: getattr(counts, name) for name in names}


def _sentence(part: Part) -> str:
    point, f1 = part.point, part.intervals["f1"]
    ratios = f"precision {point.precision:.4f}, recall {point.recall:.4f}, F1 {point.f1:.4f}"
    between = f"95 % interval {f1.low:.4f} to {f1.high:.4f}"
    return f"{ratios} ({between}), {point.false_positives_per_picture:.2f} false positives for each picture"
