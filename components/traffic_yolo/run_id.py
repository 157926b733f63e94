"""The id of a pipeline run as a task is given it: what names places that must be the run's own; and who drives it."""

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

OWNER_VARIABLE = "TRAFFIC_YOLO_RUN_OWNER"  # in the tasks of a local run: which process drives them, as JSON
PLACEHOLDER_START = "{{$."  # what kfp compiles `dsl.PIPELINE_JOB_ID_PLACEHOLDER` to begins so


def known_run_id(run_id: str) -> str:
    """`run_id`; `OptionsError` for none, and for the placeholder itself, which servers before 2.5 leave as it is.

    Every run would have the same id there, so that one would go on with what another has left.
    """
    if not run_id or run_id.startswith(PLACEHOLDER_START):
        raise OptionsError(
            f"run_id: expected the id of this run, found {shown(run_id)}; Kubeflow Pipelines fills it in since 2.5: "
            f"take a newer server, or give a run_id of your own"
        )
    return run_id
