"""Whether one model is better than another on the same pictures: paired resampling of recordings or sites."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.protocol import detections_name, images_fingerprint
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.metrics.bootstrap import CONFIDENCE, Groups, coarsest_groups, resample_weights
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes
from traffic_yolo.metrics.paired import Difference, Sampled, differences_of, sampled
from traffic_yolo.progress import stage
from traffic_yolo.storage import AnyPath, input_path, sha256_of_file

SAME_DATA = ("fingerprint", "ground_truth_sha256")  # of a record's `data`: what both must have been judged by


@dataclass(frozen=True)
class Comparison:
    """Two models on the same pictures. `differing`: what else the evaluations differ in, name -> (first, second)."""

    split: str
    pictures: int
    groups: Groups
    differences: tuple[Difference, ...]
    differing: Mapping[str, tuple[Any, Any]]

    @property
    def text(self) -> str:
        """What the command prints."""
        lines = [each.text for each in self.differences]
        resampled = f"{self.groups.count} {self.groups.of}s"
        lines.append(
            f"split {self.split}, {self.pictures} pictures, paired over {resampled}. {self.groups.note}".rstrip()
        )
        lines += [f"they differ in {name}: {first} -> {second}" for name, (first, second) in self.differing.items()]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The comparison as plain values, for JSON."""
        return {
            "split": self.split,
            "pictures": self.pictures,
            "groups": {"of": self.groups.of, "count": self.groups.count, "note": self.groups.note},
            "interval_confidence": CONFIDENCE,
            "differences": [{**dataclasses.asdict(each), "verdict": each.verdict} for each in self.differences],
            "differing": {name: list(pair) for name, pair in self.differing.items()},
        }


def compare(first: AnyPath, second: AnyPath, dataset: AnyPath) -> Comparison:
    """Compares two folders of the step evaluate; each model at its own thresholds, AP over all detections.

    Both are judged on the same resamples, so what makes a recording hard for both cancels out. Raises `EvaluationError`
    for evaluations of different pictures or truths: their numbers cannot be set against each other.
    """
    one_path, other_path = (input_path(folder, what="evaluation") for folder in (first, second))
    records = [EvaluationRecord.read(folder / RECORD_NAME) for folder in (one_path, other_path)]
    data = DataSet.open(dataset)
    check_comparable((one_path, records[0]), (other_path, records[1]), data)
    split = records[0].split
    raws = [_read(folder, data, split) for folder in (one_path, other_path)]
    truths = [read_ground_truth(data.coco_path(split), raw.classes) for raw in raws]
    groups = coarsest_groups(read_label_attributes(data.coco_path(split), truths[0]))
    weights = resample_weights(groups)
    sampled = []
    for raw, truth, record, which in zip(raws, truths, records, ("first", "second"), strict=True):
        with stage(f"resampling the {which} evaluation"):
            sampled.append(_sampled(raw, truth, NmsOptions(**record.nms), weights))
    one, other = sampled
    return Comparison(
        split=split,
        pictures=len(truths[0].image_ids),
        groups=groups,
        differences=differences_of(one, other, groups),
        differing=_differing(*records),
    )


def check_comparable(
    first: tuple[Path, EvaluationRecord], second: tuple[Path, EvaluationRecord], data: DataSet
) -> None:
    """Raises `EvaluationError` unless both records are of one split, one set of pictures and one truth, `data`'s."""
    (first_path, one), (second_path, other) = first, second
    if one.split != other.split:
        raise EvaluationError(
            f"{first_path} is of split {one.split!r}, {second_path} of {other.split!r}: models can be compared on the "
            f"same pictures only; evaluate both on one split"
        )
    for name in SAME_DATA:
        if one.data[name] != other.data[name]:
            raise EvaluationError(
                f"{first_path} and {second_path} were judged by different truths: {name} is {one.data[name][:12]}… and "
                f"{other.data[name][:12]}…; evaluate both on one data set"
            )
    if set(one.classes) != set(other.classes):
        only = sorted(set(one.classes) ^ set(other.classes))
        raise EvaluationError(f"{first_path} and {second_path} have different classes: {', '.join(only)} in one alone")
    if sha256_of_file(data.coco_path(one.split)) != one.data["ground_truth_sha256"]:
        raise EvaluationError(
            f"{data.coco_path(one.split)} is not the truth that {first_path} was judged by; give the data set of the "
            f"evaluations"
        )


def _read(folder: Path, data: DataSet, split: str) -> RawDetections:
    path = folder / detections_name(split)
    raw = RawDetections.load(path)
    if raw.protocol.images_fingerprint != images_fingerprint(data, split):
        raise EvaluationError(
            f"{path} was made on pictures {raw.protocol.images_fingerprint}, the data set {data.root} has "
            f"{images_fingerprint(data, split)}; evaluate again"
        )
    return raw


def _sampled(raw: RawDetections, truth: GroundTruth, nms: NmsOptions, weights: NDArray[np.int64]) -> Sampled:
    floor = dataclasses.replace(nms, confidence_threshold=raw.protocol.confidence_floor)
    return sampled(non_maximum_suppression(raw, floor), truth, nms.confidence_threshold, weights)


def _differing(first: EvaluationRecord, second: EvaluationRecord) -> dict[str, tuple[Any, Any]]:
    """What moves the numbers besides the weights, where the two records differ in it."""
    found: dict[str, tuple[Any, Any]] = {}
    for part in ("protocol", "nms"):
        one, other = getattr(first, part), getattr(second, part)
        for name in sorted({*one, *other} - {"cfg_sha256", "weights_sha256"}):
            if one.get(name) != other.get(name):
                found[name] = (one.get(name), other.get(name))
    return found
