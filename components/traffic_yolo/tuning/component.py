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
) -> None:
    """Choose confidence and IoU threshold by F1 on the validation split; state what they give on the test split.

    Args:
        evaluation: Folder of the step evaluate; its raw detections are all that is read of the model.
        dataset: Data set folder, for the true boxes.
        tuning: operating_point.json, sweep.csv, report.html.
        metrics: The chosen thresholds, and precision, recall and F1 on the test split.
        report: The sweep as a page.
    """
    import shutil
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.tuning.tune import tune as choose_thresholds

    with one_line_errors():
        chosen = choose_thresholds(Path(evaluation.path), Path(dataset.path), Path(tuning.path))
        print(chosen.text)
    shutil.copyfile(Path(tuning.path) / "report.html", report.path)
    for name, value in chosen.scalars.items():
        metrics.log_metric(name, value)
