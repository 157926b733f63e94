"""The KFP component that runs a Katib Experiment and returns its best parameters."""

from typing import NamedTuple

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def search(
    experiment: str,
    run_id: str,
    finished: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    namespace: str = "",
    timeout_hours: float = 24.0,
    keep: bool = True,
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
        experiment: The Experiment as YAML text, or where its file is (a path, file:// or nas://).
        run_id: Id of the pipeline run; the Experiment's name comes from it, so a restarted task finds its own.
        finished: The Experiment with its status, as YAML.
        metrics: The best trial's metrics.
        report: The best trial as a page.
        namespace: Where it runs; empty takes the task's own.
        timeout_hours: Longest time to wait.
        keep: Whether the Experiment and its trials stay on the cluster.

    Returns:
        The best trial's parameters; one that is not varied is 0.25, 0.45, "" or 0 (the trial's defaults).
    """
    from pathlib import Path

    from traffic_yolo.errors import one_line_errors
    from traffic_yolo.storage import existing_path
    from traffic_yolo.tuning.katib_launch.launch import LaunchOptions, best_html, run_experiment, write_document

    with one_line_errors():
        is_text = "\n" in experiment
        text = experiment if is_text else existing_path(experiment, what="experiment").read_text(encoding="utf-8")
        options = LaunchOptions(run_id, namespace, timeout_s=timeout_hours * 3600, keep=keep)
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
