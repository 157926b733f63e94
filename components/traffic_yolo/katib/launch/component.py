"""The KFP component that runs a Katib Experiment and returns its best parameters."""

from typing import NamedTuple

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def search(
    run_id: str,
    finished: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    experiment: str,
    namespace: str = "",
    timeout_hours: float = 24.0,
    keep: bool = True,
    ignore: str = "",
) -> NamedTuple(  # type: ignore[valid-type]  # kfp reads the fields where the function is
    "Best",
    [
        ("confidence_threshold", float),
        ("iou_threshold", float),
        ("fine_tune_layers", str),
        ("learning_rate", float),
        ("objective", float),
    ],
):
    """Run a Katib Experiment to its end and return the best trial's parameters.

    Args:
        run_id: Id of the pipeline run; the Experiment's name comes from it, so a restarted task finds its own.
        finished: The Experiment with its status, as YAML.
        metrics: The best trial's metrics.
        report: The best trial as a page.
        experiment: The Experiment as YAML text, or where its file is (a path, nas:// or s3://).
        namespace: Where it runs; empty: the task's own.
        timeout_hours: Longest time to wait, since it was made.
        keep: Whether the Experiment and its trials stay on the cluster.
        ignore: A rule of `katib check` that does not count, by its name. Several with commas between.

    Returns:
        The best trial's parameters; one that is not varied is 0.25, 0.45, "" or 0 (the trial's defaults).
    """
    given = dict(locals())

    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.katib.launch.launch import LaunchOptions, best_html, run_experiment, write_document
    from traffic_yolo.katib.launch.options import SearchTaskOptions
    from traffic_yolo.option_settings import task_options
    from traffic_yolo.run_id import known_run_id
    from traffic_yolo.storage import existing_path

    with one_line_errors():
        (task,) = task_options([SearchTaskOptions], given)
        text = task.experiment
        if "\n" not in text:
            text = existing_path(text, what="experiment").read_text(encoding="utf-8")
        timeout_s = task.timeout_hours * 3600
        options = LaunchOptions(
            known_run_id(run_id), task.namespace, timeout_s=timeout_s, keep=task.keep, ignore=task.ignore
        )
        work = Path(finished.path).with_name("local-run")
        best = run_experiment(text, options, work)
        write_document(best, Path(finished.path))
        Path(report.path).write_text(best_html(best), encoding="utf-8")
    for name, value in best.metrics.items():
        metrics.log_metric(name, value)
    return (
        best.number("confidence_threshold", 0.25),
        best.number("iou_threshold", 0.45),
        best.parameters.get("fine_tune_layers", ""),
        best.number("learning_rate", 0.0),
        best.metrics[best.objective],
    )
