"""The KFP component that ends a run: it runs whatever happened to the tasks before it."""

from kfp import dsl

from traffic_yolo.container_images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def report_run(
    status: dsl.PipelineTaskFinalStatus,
    summary: dsl.Output[dsl.Markdown],
    run_id: str,
    pipeline: str,
    host: str = "",
    zoo: str = "",
    model_name: str = "",
) -> None:
    """Say how a run ended: which tasks ran, which failed and why, what is in use now; tell a webhook.

    Args:
        status: How the steps ended, as Kubeflow fills it in.
        summary: The report.
        run_id: Id of the pipeline run.
        pipeline: Name of the pipeline.
        host: Address of Kubeflow Pipelines, for the link to the run's page; empty: no link.
        zoo: Model zoo, to say what is in use there; empty: nothing is said.
        model_name: The model there.
    """
    from pathlib import Path

    from traffic_yolo.entry_point import one_line_errors
    from traffic_yolo.errors import TrafficYoloError
    from traffic_yolo.run_report.report import report_of
    from traffic_yolo.webhook import tell_webhook

    with one_line_errors():
        report = report_of(
            pipeline=pipeline, run_id=run_id, state=status.state, host=host, zoo=zoo, model_name=model_name
        )
        print(report.line)
        Path(summary.path).write_text(report.markdown(), encoding="utf-8")
        try:
            tell_webhook(report.line)
        except TrafficYoloError as error:  # of a run that succeeded, nothing else is wrong
            print(f"note: {error}")
