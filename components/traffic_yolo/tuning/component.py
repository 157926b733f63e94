"""The KFP component of the step `tune`."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def tune(
    evaluation: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    tuning: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    objective: str = "f1",
    false_positives_per_picture: float = 0.1,
    miss_cost: float = 1.0,
    false_alarm_cost: float = 1.0,
    per_class: bool = False,
    settings: str = "",
) -> None:
    """Choose confidence and IoU threshold on the validation split; state what they give on the test split.

    Args:
        evaluation: Folder of the step evaluate; its raw detections are all that is read of the model.
        dataset: Data set folder, for the true boxes.
        tuning: operating_point.json, sweep.csv, report.html.
        metrics: The chosen thresholds, and precision, recall and F1 on both splits.
        report: The sweep as a page.
        objective: What is made best. One of f1, map, map50, recall_at_fppi, cost.
        false_positives_per_picture: recall_at_fppi: so many false positives a picture are borne.
        miss_cost: cost: of a true box that is missed.
        false_alarm_cost: cost: of a box where nothing is.
        per_class: Also choose a confidence threshold for each class with enough true boxes.
        settings: Other options of tune: YAML text `name: value`, or a file of it (path, nas:// or s3://).
    """
    given = dict(locals())

    import shutil
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.options import described
    from traffic_yolo.tuning.tune import tune as choose_thresholds
    from traffic_yolo.tuning.tune_options import TuneOptions

    with one_line_errors():
        (options,) = task_options([TuneOptions], given)
        print(described(options))
        chosen = choose_thresholds(Path(evaluation.path), Path(dataset.path), Path(tuning.path), options.sweep())
        print(chosen.text)
    shutil.copyfile(Path(tuning.path) / "report.html", report.path)
    for name, value in chosen.scalars.items():
        metrics.log_metric(name, value)
