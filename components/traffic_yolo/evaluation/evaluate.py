"""The step `evaluate`: detect once on the splits asked for, then metrics, record and report of one of them."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.dataset.pictures.choice import BLURRED
from traffic_yolo.detection.detect_split import read_or_detect
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections, NmsOptions, suppressed_to_floor
from traffic_yolo.detection.protocol import check_same_classes, detections_name
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.evaluation.analysis import analyse
from traffic_yolo.evaluation.count_error import picture_counts
from traffic_yolo.evaluation.options import EvaluateOptions
from traffic_yolo.evaluation.provenance import provenance
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord, Number, software_versions
from traffic_yolo.evaluation.report import Evaluation, report_html
from traffic_yolo.evaluation.samples import sample_pictures
from traffic_yolo.evaluation.summary import summary_markdown
from traffic_yolo.evaluation.threshold_surface import ThresholdSurface, read_surface
from traffic_yolo.metrics.coco import CocoMetrics, evaluate_coco
from traffic_yolo.metrics.coco_settings import COCO_MAX_DETECTIONS, ENGINES
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes
from traffic_yolo.metrics.matching import MATCH_IOU, Matching, match
from traffic_yolo.metrics.operating_point import (
    ConfusionMatrix,
    Curve,
    OperatingPoint,
    confidence_curve,
    confusion_matrix,
    operating_point,
)
from traffic_yolo.model_folder import EXPORT_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.page_origin import About, Subject, short_path, subject_with_page
from traffic_yolo.storage import (
    AnyPath,
    atomic_folder,
    output_path,
    read_json,
    read_yaml,
    sha256_of_file,
    write_json,
    write_text,
)
from traffic_yolo.trained_on import TRAINED_ON_NAME, TrainedOn, picture_hashes

HELD_OUT_SPLITS = ("val", "test")  # of which a pipeline wants raw detections: `tune` reads both
REPORT_NAME = "report.html"
METRICS_NAME = "metrics.json"
OPTIONS_NAME = "options.yaml"  # a training run's
CURVE_CONFIDENCES = np.linspace(0.005, 0.995, 199)
SCALARS = ("ap", "ap50", "ap75", "ar100", "precision", "recall", "f1")


@dataclass(frozen=True)
class EvaluationSummary:
    """What `evaluate` hands on: the folder and the record; the rest follows from them."""

    path: Path
    record: EvaluationRecord

    @property
    def markdown(self) -> str:
        """The headline in a few lines."""
        return summary_markdown(self.record)

    @property
    def scalars(self) -> dict[str, float]:
        """The few numbers that the Kubeflow UI lists; one that is undefined is left out."""
        return {name: value for name in SCALARS if (value := self.record.metrics[name]) is not None}


@dataclass(frozen=True)
class EvaluationInputs:
    """What an evaluation may be given besides model, data and thresholds.

    `detections`: a folder with raw detections of this very model on this very data set, which saves the inference of
    the splits whose file lies there.
    `trained_on`: what the weights were trained on, where no file beside them says so: names of public sets or folders
    of data sets. `sweep`: the folder of a tune step, whose surface of thresholds the report then shows. `engine`: what
    computes COCO's numbers, "fast" or "pycocotools". `pictures`: how the report shows pictures, a word of
    `dataset.picture_choice.PictureChoice`.
    """

    detections: AnyPath | None = None
    trained_on: tuple[str, ...] = ()
    sweep: AnyPath | None = None
    engine: str = ENGINES[0]
    pictures: str = BLURRED

    @classmethod
    def of(
        cls, options: EvaluateOptions, *, detections: AnyPath | None = None, sweep: AnyPath | None = None
    ) -> "EvaluationInputs":
        """What `options` say, and these folders."""
        return cls(detections, options.trained_on, sweep, options.engine, options.pictures)


@dataclass(frozen=True)
class Measured:
    """All that is computed from the raw detections of one split at one choice of thresholds.

    `everything`: the detections above the floor after NMS, `matching` theirs; `reported`: those above the confidence
    threshold.
    """

    coco: CocoMetrics
    point: OperatingPoint
    curve: Curve
    matrix: ConfusionMatrix
    reported: Detections
    everything: Detections
    matching: Matching


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: a model on one split of a data set."""

    model: ModelFolder
    data: DataSet
    split: str
    images: list[LabelledImage]
    truth: GroundTruth


def evaluate(
    model: AnyPath,
    dataset: AnyPath,
    out: AnyPath,
    *,
    split: str = "test",
    also: Sequence[str] = (),
    nms: NmsOptions | None = None,
    inference: InferenceOptions | None = None,
    inputs: EvaluationInputs | None = None,
) -> EvaluationSummary:
    """Writes the evaluation folder: `record.json report.html metrics.json`, and a `detections_<split>.npz` each.

    `split`: the one that metrics, record and report are of. `also`: other splits that raw detections are wanted of, for
    later steps: `tune` reads those of val and test. Raises `EvaluationError` for a model whose classes are not the
    data set's, a split without pictures, or raw detections that were made under another protocol.
    """
    target = output_path(out)
    nms, inputs = nms or NmsOptions(), inputs or EvaluationInputs()
    subject = _subject(model, dataset, split)
    names = list(dict.fromkeys((split, *also)))
    for name in names:
        subject.data.coco_path(name)  # refuses what is no split before anything is inferred
    surface = read_surface(inputs.sweep) if inputs.sweep else None
    seen_before = _provenance(subject, inputs.trained_on)
    with atomic_folder(target) as folder:
        raw_of, origins = read_or_detect(
            inputs.detections, subject.model, subject.data, names, inference or InferenceOptions()
        )
        for name, raw in raw_of.items():
            raw.save(folder / detections_name(name))
        measured = measure(raw_of[split], subject.truth, nms, engine=inputs.engine)
        evaluation = _evaluation(subject, measured, raw_of[split].protocol, surface, inputs.pictures)
        record = _record(
            subject, nms, measured, evaluation, raw_of[split].protocol, inputs.engine, seen_before, origins
        )
        record.write(folder / RECORD_NAME)
        summary = EvaluationSummary(target, record)
        write_json(folder / METRICS_NAME, summary.scalars)
        write_text(folder / REPORT_NAME, report_html(record, evaluation, _about(subject, inputs, target)))
    return summary


def _about(subject: _Subject, inputs: EvaluationInputs, target: Path) -> About:
    """Model and data set, and the thresholds' report where one was given."""
    about = [subject.model.subject(target), subject.data.subject(target), Subject("split", subject.split)]
    if inputs.sweep is not None:
        sweep = Path(inputs.sweep)
        about.append(subject_with_page("thresholds", short_path(sweep), sweep.absolute(), target))
    return About(tuple(about), target)


def splits_of_pipeline(dataset: AnyPath, options: EvaluateOptions) -> tuple[str, ...]:
    """The splits that a pipeline wants raw detections of: the one judged, those that `tune` reads, and `also`.

    A data set without splits has none for `tune`.
    """
    held_out = [split for split in HELD_OUT_SPLITS if split in DataSet.open(dataset).splits]
    return tuple(dict.fromkeys((options.split, *held_out, *options.also)))


def _subject(model: AnyPath, dataset: AnyPath, split: str) -> _Subject:
    folder_of_model, data = ModelFolder.open(model), DataSet.open(dataset)
    check_same_classes(folder_of_model.classes, data.classes)
    images = data.split(split)
    if not images:
        raise EvaluationError(f"{dataset}: split {split!r} has no pictures to evaluate on; {data.filled_splits}")
    truth = read_ground_truth(data.coco_path(split), folder_of_model.classes)
    return _Subject(folder_of_model, data, split, images, truth)


def measure(raw: RawDetections, truth: GroundTruth, nms: NmsOptions, *, engine: str = ENGINES[0]) -> Measured:
    """Metrics of raw detections: one NMS at the floor serves AP, the curve and the operating point."""
    everything = suppressed_to_floor(raw, nms)
    reported = everything.select(everything.scores > np.float32(nms.confidence_threshold))
    matching = match(everything, truth)
    return Measured(
        coco=evaluate_coco(truth, everything, max_detections=COCO_MAX_DETECTIONS, engine=engine),
        point=operating_point(
            matching,
            truth.classes,
            confidence_threshold=nms.confidence_threshold,
            iou_threshold=nms.iou_threshold,
        ),
        curve=confidence_curve(matching, CURVE_CONFIDENCES),
        matrix=confusion_matrix(reported, truth),
        reported=reported,
        everything=everything,
        matching=matching,
    )


def metrics_of(measured: Measured) -> dict[str, Number]:
    """The metrics as records name them."""
    point = measured.point
    counts = ("true_positives", "false_positives", "false_negatives", "false_positives_per_picture")
    return {**measured.coco.twelve(), **{name: getattr(point, name) for name in ("precision", "recall", "f1", *counts)}}


def _evaluation(
    subject: _Subject, measured: Measured, protocol: Protocol, surface: ThresholdSurface | None, pictures: str
) -> Evaluation:
    truth, reported = subject.truth, measured.reported
    labels = read_label_attributes(subject.data.coco_path(subject.split), truth)
    analysis = analyse(
        measured.everything,
        reported,
        truth,
        labels,
        subject.images,
        protocol=protocol,
        confidence_threshold=measured.point.confidence_threshold,
        max_detections=COCO_MAX_DETECTIONS,
    )
    return Evaluation(
        coco=measured.coco,
        point=measured.point,
        curve=measured.curve,
        class_curves=class_curves(measured.matching, CURVE_CONFIDENCES),
        matrix=measured.matrix,
        analysis=analysis,
        count_differences=picture_counts(reported, truth)[0].sum(axis=1),
        samples=sample_pictures(subject.images, reported, truth, analysis.errors, pictures_shown=pictures),
        surface=surface,
    )


def class_curves(matching: Matching, confidences: NDArray[np.float64]) -> tuple[Curve, ...]:
    """`confidence_curve` of each class alone."""
    curves = []
    for class_id, truths in enumerate(matching.num_truths):
        mine = matching.class_ids == class_id
        one = dataclasses.replace(
            matching,
            scores=matching.scores[mine],
            class_ids=matching.class_ids[mine],
            outcomes=matching.outcomes[mine],
            order=matching.order[mine],
            truths=matching.truths[mine],
            num_truths=np.array([truths]),
        )
        curves.append(confidence_curve(one, confidences))
    return tuple(curves)


def _provenance(subject: _Subject, declared: tuple[str, ...]) -> dict[str, Any]:
    names = [image.file_name for image in subject.images]
    beside = subject.model.path / TRAINED_ON_NAME
    found = provenance(
        names,
        picture_hashes(subject.data.root, subject.data.manifest, names),
        weights_sha256=subject.model.sha256(WEIGHTS_NAME),
        trained_on=TrainedOn.read(beside) if beside.is_file() else None,
        declared=declared,
    )
    return found.as_dict()


def _record(
    subject: _Subject,
    nms: NmsOptions,
    measured: Measured,
    evaluation: Evaluation,
    protocol: Protocol,
    engine: str,
    seen_before: dict[str, Any],
    origins: dict[str, str],
) -> EvaluationRecord:
    truth, analysis = subject.truth, evaluation.analysis
    per_class = tuple(
        {
            **{name: getattr(ap, name) for name in ("class_name", "ap", "ap50", "ap75", "ar", "num_truths")},
            **{f"ap_{area}": value for area, value in ap.ap_by_area.items()},
            **{name: getattr(counts, name) for name in ("precision", "recall", "f1")},
        }
        for ap, counts in zip(measured.coco.per_class, measured.point.per_class, strict=True)
    )
    return EvaluationRecord(
        split=subject.split,
        classes=subject.model.classes,
        engine=engine,
        metrics=metrics_of(measured),
        per_class=per_class,
        confusion={"labels": list(measured.matrix.labels), "counts": measured.matrix.counts.tolist()},
        slices=tuple(analysis.slices_record()),
        errors=analysis.errors_record(),
        counting=analysis.counting_record(),
        nms=dataclasses.asdict(nms),
        matching={"iou": MATCH_IOU, "coco_max_detections": COCO_MAX_DETECTIONS},
        protocol=dataclasses.asdict(protocol),
        data={
            "fingerprint": subject.data.fingerprint,
            "ground_truth_sha256": sha256_of_file(subject.data.coco_path(subject.split)),
            "pictures": len(truth.image_ids),
            "truths": int(truth.num_truths.sum()),
            "ignored": int(truth.ignore.sum()),
        },
        provenance=seen_before,
        training=_training_options(subject.model),
        software=software_versions(),
        detections=origins,
    )


def _training_options(model: ModelFolder) -> dict[str, Any] | None:
    """The options of the model's training: a run keeps them in a file of its own, an exported model in export.json."""
    options: Any = None
    if (model.path / OPTIONS_NAME).is_file():
        options = read_yaml(model.path / OPTIONS_NAME, what="training options", error=ModelError)
    elif (model.path / EXPORT_NAME).is_file():
        options = read_json(model.path / EXPORT_NAME, what="export record").get("training")
    return json.loads(json.dumps(options, default=str)) if isinstance(options, dict) else None
