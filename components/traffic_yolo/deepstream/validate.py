"""The step `validate`: what DeepStream's rules do to a model, against PyTorch, and the files that deploy it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.deploy_config import CONFIG_NAME, DARKNET_CONFIG_NAME, DeployOptions, deploy_config
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.config.nvinfer_keys import ALL_CLASSES
from traffic_yolo.deepstream.parity.agreement import Parity, compare
from traffic_yolo.deepstream.parity.limits import (
    MAX_AP50_DROP,
    MAX_CLASS_AP50_DROP,
    MIN_CLASS_AGREEMENT,
    MIN_EXPLAINED_AGREEMENT,
    class_falls,
    problems_of_class_aps,
    problems_of_classes,
)
from traffic_yolo.deepstream.simulate.preprocess import GREY
from traffic_yolo.deepstream.simulate.simulator import FLOOR, FrameOutput, Simulator
from traffic_yolo.deepstream.simulate.single_label import best_class_only as best_class_only
from traffic_yolo.deepstream.validation_report import validation_report
from traffic_yolo.deepstream.verdict import (
    AP_NAMES,
    SINGLE_LABEL,
    ValidationSummary,
    cause_of_padding,
    problems_of,
)
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.deepstream.waterfall.report import waterfall_figure
from traffic_yolo.deepstream.waterfall.sources import open_sources
from traffic_yolo.deepstream.waterfall.stages import run_waterfall
from traffic_yolo.detection.deployed_thresholds import DeployedThresholds
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.protocol import check_same_classes, read_detections
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.html_report import standalone_svg
from traffic_yolo.metrics.coco import CocoMetrics, evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.model_folder import LABELS_NAME, ONNX_NAME, WEIGHTS_NAME, ModelFolder, labels_text
from traffic_yolo.page_origin import About, Subject, short_path, subject_with_page
from traffic_yolo.progress import stage
from traffic_yolo.storage import AnyPath, atomic_folder, input_path, output_path, read_json, write_json, write_text

SCHEMA_VERSION = 1
PARITY_NAME = "parity.json"
REPORT_NAME = "report.html"
WATERFALL_NAME, WATERFALL_PICTURE_NAME = "waterfall.json", "waterfall.svg"


def validate(
    model: AnyPath,
    dataset: AnyPath,
    operating_point: AnyPath,
    out: AnyPath,
    *,
    split: str = "test",
    evaluation: AnyPath | None = None,
    inference: InferenceOptions | None = None,
    require_parity: bool = False,
    waterfall: WaterfallOptions | None = None,
) -> ValidationSummary:
    """Writes the validation folder: both configurations, labels.txt, parity.json, report.html.

    `evaluation`: folder of the step evaluate, whose raw detections of this very model on `split` are compared; without
    one, the model is run as `inference` says. The boxes are compared at the thresholds of `operating_point` (the JSON
    file of the step tune), AP from a confidence of 0.001 up. With `require_parity` a model beyond the limits raises
    `ModelError` and leaves nothing; without, the folder says that it failed, and the zoo will not make such a bundle
    current. With `waterfall.waterfall` there are waterfall.json and waterfall.svg too, and the summary holds the
    waterfall; `require_parity` then wants its gates passed as well.

    Raises `ModelError` for a model folder without ONNX or one that does not fit its configuration, `EvaluationError`
    for an operating point that is none, a data set with other classes or an empty split, and an evaluation without raw
    detections of it, or with some of another model, data set or protocol.
    """
    target, point = output_path(out), input_path(operating_point, what="operating point")
    folder_of_model, data = ModelFolder.open(model), DataSet.open(dataset)
    onnx_path = folder_of_model.onnx_path
    check_same_classes(folder_of_model.classes, data.classes)
    images = data.split(split)
    if not images:
        raise EvaluationError(f"{dataset}: split {split!r} has no pictures to compare on; {data.filled_splits}")
    deployed = read_operating_point(point, folder_of_model)
    nms, class_thresholds = deployed.nms, dict(deployed.by_class)
    options = DeployOptions(
        confidence_threshold=nms.confidence_threshold,
        iou_threshold=nms.iou_threshold,
        class_thresholds=class_thresholds,
    )
    config = deploy_config(folder_of_model, options)
    darknet_config = deploy_config(folder_of_model, dataclasses.replace(options, model_format="darknet"))
    wanted = waterfall or WaterfallOptions()
    sources = open_sources(folder_of_model, config, images, wanted) if wanted.waterfall else None

    if evaluation is not None:
        raw = read_detections(input_path(evaluation, what="evaluation"), folder_of_model, data, split)
    else:
        raw = detect_split(folder_of_model, data, split, inference)
    with stage("loading ONNX"):
        simulator = Simulator(config, onnx_path.parent)
    made_of = simulator.metadata.get("weights_sha256", "nothing stated")
    if made_of != folder_of_model.sha256(WEIGHTS_NAME):
        raise ModelError(f"{onnx_path} was not made of {WEIGHTS_NAME} beside it ({made_of[:12]}…); export again")
    labels = ",".join(labels_text(folder_of_model.classes).splitlines())
    if simulator.metadata.get("classes", labels) != labels:
        stated = simulator.metadata["classes"]
        raise ModelError(f"{onnx_path} was made for the classes {stated}, not {labels}; export again")
    frames = simulator.run(images)
    thresholds = [class_thresholds.get(name, nms.confidence_threshold) for name in folder_of_model.classes]
    parity = _parity(raw, nms, thresholds, simulator.detections(frames))
    with stage("computing AP under both rules"):
        measured = _measured(raw, simulator, frames, nms, data.coco_path(split))
    metrics = {side: _aps(each) for side, each in measured.items()}
    problems = (
        *problems_of(parity, metrics),
        *problems_of_classes(parity, folder_of_model.classes),
        *problems_of_class_aps(measured[SINGLE_LABEL].per_class, measured["deepstream"].per_class),
    )
    if problems and folder_of_model.letterbox:
        grey = Simulator(config, onnx_path.parent, padding=GREY)
        with_grey = _parity(raw, nms, thresholds, grey.detections(grey.run(images)))
        problems = (*problems, *cause_of_padding(parity, with_grey))
    fallen = None
    if sources is not None:
        fallen = run_waterfall(folder_of_model, data, split, raw, deployed, sources, wanted, simulated=frames)
    falls = class_falls(measured[SINGLE_LABEL].per_class, measured["deepstream"].per_class)
    summary = ValidationSummary(
        target, split, len(images), parity, metrics, problems, _left(raw.protocol), fallen, falls[0] if falls else None
    )
    if require_parity and (beyond := (*problems, *(fallen.problems if fallen else ()))):
        raise ModelError(f"{model}: {'; '.join(beyond)}; do not deploy this model as it is")
    with atomic_folder(target) as folder:
        write_text(folder / CONFIG_NAME, config.to_text())
        write_text(folder / DARKNET_CONFIG_NAME, darknet_config.to_text())
        write_text(folder / LABELS_NAME, labels_text(folder_of_model.classes))
        described = _description(summary, folder_of_model, nms, raw.protocol)
        write_json(folder / PARITY_NAME, described | {"class_thresholds": class_thresholds})
        if fallen is not None:
            write_json(folder / WATERFALL_NAME, fallen.document())
            write_text(folder / WATERFALL_PICTURE_NAME, standalone_svg(waterfall_figure(fallen)))
        about = [folder_of_model.subject(target), data.subject(target), Subject("split", split)]
        if evaluation is not None:
            judged = Path(evaluation)
            about.append(subject_with_page("detections", short_path(judged), judged.absolute(), target))
        about.append(subject_with_page("thresholds", short_path(point), point.parent, target))
        report = validation_report(summary, folder_of_model.classes, nms, config, About(tuple(about), target))
        write_text(folder / REPORT_NAME, report)
    return summary


def read_operating_point(path: AnyPath, model: ModelFolder) -> DeployedThresholds:
    """The thresholds in an operating point file.

    Raises `StorageError` for a missing file or no JSON, `EvaluationError` for what is no operating point of this model
    or was chosen for other weights, `OptionsError` for values out of range.
    """
    content = read_json(path, what="operating point")
    found = DeployedThresholds.of(content, model.classes, where=str(path))
    made_for, own = content.get("model", {}), model.sha256(WEIGHTS_NAME)
    if not isinstance(made_for, dict):
        raise EvaluationError(f"{path}: not an operating point; expected what is said of the model, found {made_for!r}")
    if made_for.get("weights_sha256", own) != own:
        raise EvaluationError(f"{path} was chosen for other weights than {model.weights_path}; evaluate and tune again")
    return found


def reported(raw: RawDetections, nms: NmsOptions, thresholds: Sequence[float]) -> Detections:
    """What PyTorch reports with a confidence threshold for each class (C,); NMS works class by class, so one serves."""
    lowest = dataclasses.replace(nms, confidence_threshold=min(thresholds))
    found = non_maximum_suppression(raw, lowest)
    return found.select(found.scores > np.array(thresholds, np.float32)[found.class_ids])


def clipped(detections: Detections, raw: RawDetections) -> Detections:
    """Boxes cut at their picture's edges: nvinfer cuts them, PyTorch's reach outside, and neither shows there."""
    hw_of = dict(zip(raw.image_ids.tolist(), raw.image_hw.tolist(), strict=True))
    hw = np.array([hw_of[image_id] for image_id in detections.image_ids.tolist()], np.float32).reshape(-1, 2)
    limits = hw[:, [1, 0, 1, 0]]  # (K, 4)
    return dataclasses.replace(detections, boxes_xyxy=np.clip(detections.boxes_xyxy, 0, limits))


def _parity(raw: RawDetections, nms: NmsOptions, thresholds: Sequence[float], found: Detections) -> Parity:
    """What PyTorch reports against what nvinfer's rules leave, at these thresholds (C,)."""
    return compare(
        clipped(reported(raw, nms, thresholds), raw),
        clipped(found, raw),
        num_classes=len(raw.classes),
        confidence_threshold=thresholds,
        raw=raw,
    )


def _measured(
    raw: RawDetections, simulator: Simulator, frames: list[FrameOutput], nms: NmsOptions, truth_path: Path
) -> dict[str, CocoMetrics]:
    """AP of both sides from the floor up, with the operating point's IoU threshold.

    PyTorch's stands there twice: as Darknet reports boxes, and with one class a box, which is all that the parser of
    DeepStream-Yolo can say. The difference of these two is the price of the parser, not a fault of the deployment.
    """
    truth = read_ground_truth(truth_path, raw.classes)
    at_the_floor = dataclasses.replace(nms, confidence_threshold=FLOOR)
    sides = {
        "pytorch": non_maximum_suppression(raw, at_the_floor),
        SINGLE_LABEL: non_maximum_suppression(best_class_only(raw), at_the_floor),
        "deepstream": simulator.detections(frames, at_floor(simulator.config)),
    }
    return {side: evaluate_coco(truth, detections) for side, detections in sides.items()}


def at_floor(config: NvinferConfig) -> NvinferConfig:
    """The same configuration with the confidence threshold at 0.001 for every class, as AP is computed."""
    groups = {name: values for name, values in config.groups.items() if name != ALL_CLASSES and "attrs" not in name}
    everyone = {key: value for key, value in config.groups.get(ALL_CLASSES, {}).items() if key != "threshold"}
    groups[ALL_CLASSES] = {**everyone, "pre-cluster-threshold": str(FLOOR)}
    return NvinferConfig(groups, source=config.source)


def _aps(metrics: CocoMetrics) -> dict[str, float | None]:
    return {name: getattr(metrics, name) for name in AP_NAMES}


def _left(protocol: Protocol) -> str:
    """What ran the model, as people call it."""
    name = "PyTorch" if protocol.runtime == "pytorch" else protocol.runtime
    return name if protocol.precision == "float32" else f"{name} in {protocol.precision}"


def _description(summary: ValidationSummary, model: ModelFolder, nms: NmsOptions, protocol: Protocol) -> dict[str, Any]:
    """The content of parity.json."""
    parity = summary.parity.document()
    per_class = [
        {"class_name": name, **dataclasses.asdict(counts)}
        | {"agreement": counts.agreement, "explained_agreement": counts.explained_agreement}
        for name, counts in zip(model.classes, summary.parity.per_class, strict=True)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": summary.passed,
        "problems": list(summary.problems),
        "limits": {
            "min_explained_agreement": MIN_EXPLAINED_AGREEMENT,
            "max_ap50_drop": MAX_AP50_DROP,
            "min_class_agreement": MIN_CLASS_AGREEMENT,
            "max_class_ap50_drop": MAX_CLASS_AP50_DROP,
        },
        "split": summary.split,
        "pictures": summary.pictures,
        "left": protocol.runtime,
        "right": "onnxruntime under nvinfer's rules (simulated; no GPU)",
        "nms": dataclasses.asdict(nms),
        "agreement": summary.parity.agreement,
        "explained_agreement": summary.parity.explained_agreement,
        "parity": parity | {"per_class": per_class},
        "metrics": summary.metrics,
        "protocol": dataclasses.asdict(protocol),
        "onnx_sha256": model.sha256(ONNX_NAME),
    }
