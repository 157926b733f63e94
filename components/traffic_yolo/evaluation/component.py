"""The KFP component of the step `evaluate`."""

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
    split: str = "test",
    confidence_threshold: float = 0.25,
    iou_threshold: float = 0.45,
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
        split: The split that the metrics are of.
        confidence_threshold: Detections below do not count in precision, recall, F1 and the confusion matrix.
        iou_threshold: NMS: overlap above which the weaker box of a class goes.
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.evaluation.evaluate import HELD_OUT_SPLITS
    from traffic_yolo.evaluation.evaluate import evaluate as evaluate_model

    with one_line_errors():
        nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
        evaluated = evaluate_model(
            model.path, dataset.path, evaluation.path, split=split, also=HELD_OUT_SPLITS, nms=nms
        )
        print(evaluated.markdown)
    shutil.copyfile(Path(evaluation.path) / "report.html", report.path)
    Path(summary.path).write_text(evaluated.markdown)
    for name, value in evaluated.scalars.items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix(evaluated.record.confusion["labels"], evaluated.record.confusion["counts"])
