"""The tuning pipeline: runs a Katib Experiment and hands on its best parameters.

On a cluster Katib runs the trials; under kfp.local the same task runs them on this machine. Only wires.
"""

from kfp import dsl

from traffic_yolo.katib.launch.component import search
from traffic_yolo_pipelines.wiring import form_parameters, reach_storage


@dsl.pipeline(name="traffic-yolo-tune")
def tune_pipeline(
    experiment: str,
    namespace: str = "",
    timeout_hours: float = 24.0,
    keep: bool = True,
    ignore: str = "",
    nas_claim: str = "nas-data",
    s3_secret: str = "none",
) -> None:
    """Search thresholds and fine-tuning layers with Katib; the run shows the best trial.

    Args:
        experiment: The Experiment as YAML text, or where its file is (a path, nas:// or s3://).
        namespace: Where it runs; empty: the task's own.
        timeout_hours: Longest time to wait, since it was made.
        keep: Whether the Experiment and its trials stay on the cluster.
        ignore: A rule of `katib check` that does not count, by its name. Several with commas between.
        nas_claim: PersistentVolumeClaim of the NAS, mounted at /nas, where the Experiment's file may lie.
        s3_secret: Secret with address and credentials of the object storage, for s3:// locations; none: without.
    """
    form = dict(locals())
    task = search(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **form_parameters(search, form))
    # The data, the start weights and the store lie on the NAS, which KFP's cache key does not see.
    task.set_caching_options(False)
    # A pod that is evicted while it waits comes back and finds its Experiment.
    task.set_retry(2)
    reach_storage(task, nas_claim=nas_claim, s3_secret=s3_secret)


if __name__ == "__main__":
    from traffic_yolo_pipelines.compile import compile_beside

    compile_beside(tune_pipeline, __file__)
