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
    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.evaluation.evaluate import HELD_OUT_SPLITS, EvaluationInputs
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
            also=(*HELD_OUT_SPLITS, *options.also),
            nms=nms,
            inference=inference,
            inputs=EvaluationInputs(trained_on=options.trained_on, engine=options.engine),
        )
        print(evaluated.markdown)
    shutil.copyfile(Path(evaluation.path) / "report.html", report.path)
    Path(summary.path).write_text(evaluated.markdown)
    for name, value in evaluated.scalars.items():
        metrics.log_metric(name, value)
    confusion.log_confusion_matrix(evaluated.record.confusion["labels"], evaluated.record.confusion["counts"])
