"""Measures a new version and its opponents on the same pictures: the data set and split of its own evaluation.

Every model is inferred at most once, under the protocol of that evaluation: its runtime, precision, NMS and matching.
What a model is by itself stays its own: network size, resize rule, and for F1 the thresholds that it is deployed with.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import NmsOptions, suppressed_to_floor
from traffic_yolo.detection.protocol import detections_name, images_fingerprint, read_detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import DarknetFormatError, EvaluationError, ModelError
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.metrics.bootstrap import Groups, coarsest_groups, interval, resample_weights
from traffic_yolo.metrics.class_subset import detections_of_classes, of_classes
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.label_attributes import LabelAttributes, read_label_attributes
from traffic_yolo.model_folder import CFG_NAME, CLASSES_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.registry.bundle import checksums_of
from traffic_yolo.registry.card import CARD_NAME
from traffic_yolo.registry.gates.gate import LEAST_BOXES, Change
from traffic_yolo.registry.gates.numbers import ModelNumbers, numbers_of
from traffic_yolo.storage import AnyPath, input_path, read_json, sha256_of_file

FILES_OF_A_MODEL = (CFG_NAME, WEIGHTS_NAME, CLASSES_NAME, CARD_NAME)


@dataclass(frozen=True)
class Compared:
    """The candidate and its opponents on the classes that it shares with the version in use.

    `numbers`: version -> what was measured of it, `candidate` the same of the new one. `unusable`: version -> why it
    could not be measured. `guarded`: the classes with `LEAST_BOXES` true boxes or more, `few`: the others and how many
    they have. `left_out`: classes of one alone of the candidate and the version in use.
    """

    candidate: ModelNumbers
    numbers: Mapping[str, ModelNumbers]
    unusable: Mapping[str, str]
    groups: Groups
    pictures: int
    guarded: tuple[str, ...]
    few: Mapping[str, int]
    left_out: tuple[str, ...]

    def change(self, version: str, metric: str) -> Change | None:
        """The candidate's number less that of another version; None where the number is not defined."""
        one, other = self.numbers[version], self.candidate
        if metric not in one.values or metric not in other.values:
            return None
        pair = (one.values[metric], other.values[metric])
        return self._change(pair, other.samples - one.samples)

    def class_change(self, version: str, class_name: str, *, confidence: float) -> Change:
        """The same of AP50 of a guarded class."""
        one, other = self.numbers[version], self.candidate
        pair = (one.class_ap50[class_name], other.class_ap50[class_name])
        samples = other.class_samples[class_name] - one.class_samples[class_name]
        return self._change(pair, samples, confidence=confidence)

    def _change(self, pair: tuple[float, float], samples: Any, **confidence: float) -> Change:
        found = interval(pair[1] - pair[0], samples, groups=self.groups.count, **confidence)
        return Change(*pair, found, self.groups.count, self.groups.of, self.pictures, **confidence)


@dataclass(frozen=True)
class _Model:
    """What is measured: raw detections, the classes they are numbered by, and the thresholds of the deployed model."""

    raw: RawDetections
    point: Mapping[str, Any]


class Judge:
    """Holds the candidate's pictures, truth and detections; remembers what it has inferred."""

    def __init__(
        self,
        evaluation: AnyPath,
        record: EvaluationRecord,
        point: Mapping[str, Any],
        dataset: AnyPath,
        *,
        metric: str,
        earlier_detections: Sequence[AnyPath] = (),
    ) -> None:
        """Raises `EvaluationError` where `dataset` is not the one that `record`, the candidate's, is of.

        `evaluation`: the candidate's folder, `point`: its operating point.
        """
        self._record, self._metric = record, metric
        self._data = DataSet.open(dataset)
        self._check_data(dataset)
        self._evaluation = input_path(evaluation, what="evaluation")
        self._candidate_point = point
        self._earlier = [input_path(folder, what="earlier_detections") for folder in earlier_detections]
        self._measured: dict[str, _Model] = {}

    @property
    def split(self) -> str:
        """The split that everything is measured on."""
        return self._record.split

    @property
    def pictures(self) -> dict[str, str]:
        """What says which pictures and which truth that is."""
        return {name: str(self._record.data[name]) for name in ("fingerprint", "ground_truth_sha256")} | {
            "split": self.split
        }

    @property
    def recordings(self) -> int:
        """How many recordings the labels of the split name."""
        return len({picture.recording for picture in self._labels.pictures if picture.recording})

    def compare(self, in_use: str | None, others: Sequence[str], bundle_of: Callable[[str], AnyPath]) -> Compared:
        """Measures the candidate, the version in use and `others`; `bundle_of`: where a version's bundle lies.

        A version whose bundle is missing or damaged, or that lacks classes which the candidate shares with the version
        in use, is not measured. Raises what inference raises.
        """
        unusable: dict[str, str] = {}
        folders: dict[str, tuple[ModelFolder, Mapping[str, Any]]] = {}
        for version in [*([in_use] if in_use is not None else []), *others]:
            try:
                folders[version] = open_version(bundle_of(version))
            except (ModelError, DarknetFormatError) as error:
                unusable[version] = str(error)
        known = folders[in_use][0].classes if in_use in folders else self._data.classes
        classes = tuple(name for name in self._data.classes if name in known)
        for version, (folder, _) in list(folders.items()):
            if lacking := [name for name in classes if name not in folder.classes]:
                unusable[version] = f"it does not know {', '.join(lacking)}"
            elif not classes:
                unusable[version] = "it has no class in common with the new version"
            else:
                continue
            del folders[version]
        for version, (folder, card) in folders.items():
            if version not in self._measured:
                raw = self._known_detections(folder) or self._detected(folder)
                self._measured[version] = _Model(raw, card["operating_point"])
        truth = of_classes(self._truth, classes)
        counts = dict(zip(classes, truth.num_truths.tolist(), strict=True))
        return Compared(
            candidate=self._numbers(self._candidate, truth),
            numbers={version: self._numbers(self._measured[version], truth) for version in folders},
            unusable=unusable,
            groups=self._groups,
            pictures=len(truth.image_ids),
            guarded=tuple(name for name in classes if counts[name] >= LEAST_BOXES),
            few={name: counts[name] for name in classes if counts[name] < LEAST_BOXES},
            left_out=tuple(sorted(set(known) ^ set(self._data.classes))),
        )

    @cached_property
    def _truth(self) -> GroundTruth:
        return read_ground_truth(self._data.coco_path(self.split), self._data.classes)

    @cached_property
    def _labels(self) -> LabelAttributes:
        return read_label_attributes(self._data.coco_path(self.split), self._truth)

    @cached_property
    def _groups(self) -> Groups:
        return coarsest_groups(self._labels)

    @cached_property
    def _weights(self) -> Any:
        return resample_weights(self._groups)

    @cached_property
    def _candidate(self) -> _Model:
        path = self._evaluation / detections_name(self.split)
        raw = RawDetections.load(path)
        expected = images_fingerprint(self._data, self.split)
        stated = self._record.protocol
        if raw.protocol.images_fingerprint != expected or raw.protocol.weights_sha256 != stated["weights_sha256"]:
            raise EvaluationError(f"{path}: not of the model and the pictures of the record beside it; evaluate again")
        return _Model(raw, self._candidate_point)

    def _check_data(self, dataset: AnyPath) -> None:
        stated, found = self._record.data, self._data.fingerprint
        if stated["fingerprint"] != found:
            raise EvaluationError(
                f"{dataset}: its fingerprint is {found[:12]}…, the model was evaluated on "
                f"{stated['fingerprint'][:12]}…; give the data set of the evaluation"
            )
        path = self._data.coco_path(self.split)
        if sha256_of_file(path) != stated["ground_truth_sha256"]:
            raise EvaluationError(f"{path} is not the truth that the model was evaluated by; evaluate again")

    def _known_detections(self, folder: ModelFolder) -> RawDetections | None:
        """What lies in one of the folders given, of this model on these pictures, under the candidate's protocol."""
        wanted = self._record.protocol
        for place in self._earlier:
            if not (place / detections_name(self.split)).is_file():
                continue
            try:
                raw = read_detections(place, folder, self._data, self.split)
            except EvaluationError:  # of another version
                continue
            found = raw.protocol
            if (found.runtime, found.precision, found.confidence_floor) == tuple(
                wanted[name] for name in ("runtime", "precision", "confidence_floor")
            ):
                return raw
        return None

    def _detected(self, folder: ModelFolder) -> RawDetections:
        from traffic_yolo.detection.detect_options import DetectOptions
        from traffic_yolo.detection.detect_split import detect_split  # loads torch

        protocol = self._record.protocol
        inference = InferenceOptions(runtime=protocol["runtime"], precision=protocol["precision"])
        options = DetectOptions(confidence_floor=protocol["confidence_floor"])
        return detect_split(folder, self._data, self.split, inference, options=options)

    def _numbers(self, model: _Model, truth: GroundTruth) -> ModelNumbers:
        stated = NmsOptions(**self._record.nms)
        deployed = dataclasses.replace(
            NmsOptions(**{**self._record.nms, **(model.point.get("nms") or {})}),
            iou_threshold=model.point["iou_threshold"],
        )
        found, reported = (
            detections_of_classes(suppressed_to_floor(model.raw, nms), model.raw.classes, truth.classes)
            for nms in (stated, deployed)
        )
        own = model.point.get("class_thresholds") or {}
        thresholds = [own.get(name, model.point["confidence_threshold"]) for name in truth.classes]
        return numbers_of(found, reported, truth, metric=self._metric, thresholds=thresholds, weights=self._weights)


def open_version(bundle: AnyPath) -> tuple[ModelFolder, Mapping[str, Any]]:
    """The model of a bundle and its card, after holding the files that say what it detects to their checksums.

    Raises `ModelError` where one is missing or was changed.
    """
    sums = checksums_of(bundle)
    folder = Path(input_path(bundle, what="bundle"))
    for name in FILES_OF_A_MODEL:
        if name not in sums or not (folder / name).is_file():
            raise ModelError(f"{bundle}: {name} is missing")
        if sha256_of_file(folder / name) != sums[name]:
            raise ModelError(f"{bundle}: {name} was changed after publishing")
    card = read_json(folder / CARD_NAME, what="model card", error=ModelError)
    if not isinstance(card, dict) or not isinstance(card.get("operating_point"), dict):
        raise ModelError(f"{bundle}: {CARD_NAME} is no model card")
    return ModelFolder.open(folder), card
