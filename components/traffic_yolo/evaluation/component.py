"""The KFP components of the step `evaluate`: whole, or with the inference before it fanned out over shards."""

from typing import List, Optional  # noqa: UP035 (kfp 2.17 takes no list, and no optional artifact, by another name)

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def evaluate(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    detections: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045
    pictures: str = "blurred",
    split: str = "test",
    confidence_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    settings: str = "",
) -> None:
    """Detect once, compute COCO metrics, write record and report.

    Args:
        model: Model folder.
        dataset: Data set folder.
        evaluation: Raw detections of the validation and the test split, record.json, report.html.
        metrics: AP, AP50, AP75 and AR100 of the split; precision, recall and F1 at the two thresholds.
        confusion: Confusion matrix with background, at the two thresholds.
        report: The report as a page.
        summary: The headline in a few lines.
        detections: Raw detections of this model on this data set (merge_detections), which save the inference.
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        split: Split that the metrics are of.
        confidence_threshold: Detections with a score not above this are dropped; [0, 1).
        iou_threshold: NMS: overlap above which the weaker box of a class goes; (0, 1].
        settings: Other options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.detection.inference_options import InferenceOptions
    from traffic_yolo.detection.nms_options import NmsOptions
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.evaluation.evaluate import EvaluationInputs, splits_of_pipeline
    from traffic_yolo.evaluation.evaluate import evaluate as evaluate_model
    from traffic_yolo.evaluation.options import EvaluateOptions
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        options, nms, inference = task_options([EvaluateOptions, NmsOptions, InferenceOptions], given)
        print(described(options, nms, inference))
        evaluated = evaluate_model(
            model.path,
            dataset.path,
            evaluation.path,
            split=options.split,
            also=splits_of_pipeline(dataset.path, options),
            nms=nms,
            inference=inference,
            inputs=EvaluationInputs.of(options, detections=detections.path if detections else None),
        )
        print(evaluated.markdown)
    shutil.copyfile(Path(evaluation.path) / "report.html", report.path)
    Path(summary.path).write_text(evaluated.markdown)
    for name, value in evaluated.scalars.items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix(evaluated.record.confusion["labels"], evaluated.record.confusion["counts"])


@dsl.component(base_image=image("train"), install_kfp_package=False)
def plan_detection(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    shards: int = 1,
    last_step: str = "evaluate",
    pictures: str = "blurred",
    split: str = "test",
    confidence_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    settings: str = "",
) -> List[str]:  # noqa: UP006
    """Name the shards of an inference, and refuse what the tasks after it would refuse.

    Args:
        model: Model folder.
        dataset: Data set folder, or a reference to one.
        shards: How many parts the pictures of a split are cut into, detected side by side.
        last_step: How far it goes: evaluate, tune (and choose thresholds on the validation split), validate (and
            compare with DeepStream's rules) or deepstream (and run the real one on a node with a GPU).
        pictures: Pictures in reports and logs: none; blurred (number plates and heads, by the boxes); or full.
        split: Split that the metrics are of.
        confidence_threshold: Detections with a score not above this are dropped; [0, 1).
        iou_threshold: NMS: overlap above which the weaker box of a class goes; (0, 1].
        settings: Other options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).

    Returns:
        "test 1/4" and so on, for every split of which raw detections are wanted.
    """
    given = dict(locals())

    from traffic_yolo.detection.inference_options import InferenceOptions
    from traffic_yolo.detection.nms_options import NmsOptions
    from traffic_yolo.detection.shards import plan_detection as plan
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.evaluation.evaluate import splits_of_pipeline
    from traffic_yolo.evaluation.options import EvaluateOptions, EvaluationPlanOptions
    from traffic_yolo.option_settings import task_options

    with one_line_errors():
        types = [EvaluationPlanOptions, EvaluateOptions, NmsOptions, InferenceOptions]
        planned, options, _, inference = task_options(types, given)
        names = plan(model.path, dataset.path, splits_of_pipeline(dataset.path, options), planned.shards, inference)
        print(", ".join(names))
    return names


@dsl.component(base_image=image("train"), install_kfp_package=False)
def detect_shard(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    shard: str,
    part: dsl.Output[dsl.Artifact],
    gpus: str = "0",
    settings: str = "",
) -> None:
    """Run the network once over one shard of a split; merge_detections joins all of them.

    Args:
        model: Model folder.
        dataset: Data set folder, or a reference to one.
        shard: Split, and which part of how many.
        part: Raw detections of the shard.
        gpus: GPUs that the task asks for; with 1 or more it fails where it sees none. A whole number.
        settings: Options of evaluate: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    from traffic_yolo.detection.inference_options import InferenceOptions, on_gpus
    from traffic_yolo.detection.nms_options import NmsOptions
    from traffic_yolo.detection.shards import detect_shard as detect
    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.evaluation.options import EvaluateOptions
    from traffic_yolo.gpu_count import gpu_count
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described

    with one_line_errors():
        _, _, inference = task_options([EvaluateOptions, NmsOptions, InferenceOptions], given)
        inference = on_gpus(inference, gpu_count(gpus))
        print(described(inference))
        found = detect(model.path, dataset.path, shard, part.path, inference)
        print(f"{shard}: {len(found)} pictures, {len(found.boxes_xyxy)} boxes by {found.protocol.runtime}")


@dsl.component(base_image=image("train"), install_kfp_package=False)
def merge_detections(
    parts: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    shards: List[str],  # noqa: UP006
    detections: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Join the shards of an inference: the bytes of one run.

    Args:
        parts: Raw detections of all shards, in any order.
        shards: What plan_detection named; one that is missing ends the task.
        detections: Folder with the raw detections of each split.
        metrics: Pictures and boxes of each split.
    """
    from traffic_yolo.detection.shards import merge_planned
    from traffic_yolo.entry_point import one_line_errors

    with one_line_errors():
        merged = merge_planned([part.path for part in parts], shards, detections.path)
    for split, raw in merged.items():
        print(f"{split}: {len(raw)} pictures, {len(raw.boxes_xyxy)} boxes")
        metrics.log_metric(f"{split}_images", len(raw))
        metrics.log_metric(f"{split}_raw_boxes", len(raw.boxes_xyxy))
