"""A run of MLflow with what the folders of steps say: numbers, what moved them, and their reports."""

import re
import time
from collections.abc import Sequence

from traffic_yolo.errors import OptionsError
from traffic_yolo.tracking.mlflow_client import (
    MOST_METRICS,
    MOST_PARAMS,
    MOST_TEXT,
    experiment_id,
    reason_of,
)
from traffic_yolo.tracking.programs import URI_VARIABLE, check_program, tracking_uri
from traffic_yolo.tracking.step_numbers import StepNumbers

from mlflow.entities import Metric, Param, RunTag  # isort: skip (the module above sets what it reads when loaded)
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.tracking import MlflowClient  # isort: skip

NOT_IN_NAMES = re.compile(r"[^\w./ -]")  # that MLflow takes in no name of a metric


def tell_mlflow(steps: Sequence[StepNumbers], *, run_id: str = "", run_name: str = "") -> str:
    """Tells the server of `MLFLOW_TRACKING_URI` of the folders, in one run, and returns the run's id.

    `run_id`: a run that is there, such as that of a training, which then has these numbers too; else a new one, called
    `run_name`, by default as the first folder. A new run that could not be told everything is FAILED there. Raises
    `OptionsError` where no server is named and where it cannot be told.
    """
    check_program("mlflow")
    uri = tracking_uri()
    client = MlflowClient(tracking_uri=uri)
    told, is_whole = run_id, False
    try:
        if run_id:
            client.get_run(run_id)
        else:
            told = str(client.create_run(experiment_id(client), run_name=run_name or steps[0].folder.name).info.run_id)
        for step in steps:
            _tell(client, told, step)
        is_whole = True
    except (MlflowException, OSError) as error:
        raise OptionsError(f"--program mlflow: {URI_VARIABLE}={uri}: {reason_of(error)}") from error
    finally:
        if told and not run_id:
            _end(client, told, "FINISHED" if is_whole else "FAILED")
    return told


def _tell(client: MlflowClient, run_id: str, step: StepNumbers) -> None:
    now_ms = int(time.time() * 1000)
    metrics = [Metric(NOT_IN_NAMES.sub("_", name), value, now_ms, 0) for name, value in step.metrics.items()]
    params = [Param(name, value[:MOST_TEXT]) for name, value in step.params.items()]
    tags = [RunTag(f"traffic_yolo.{name}", value[:MOST_TEXT]) for name, value in step.tags.items()]
    tags.append(RunTag(f"traffic_yolo.{step.step}.folder", str(step.folder)[:MOST_TEXT]))
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])
    for start in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
    client.log_batch(run_id, tags=tags)
    for path in step.files:
        client.log_artifact(run_id, str(path), step.step)


def _end(client: MlflowClient, run_id: str, status: str) -> None:
    try:
        client.set_terminated(run_id, status)
    except (MlflowException, OSError) as error:
        if status == "FINISHED":
            raise OptionsError(f"--program mlflow: the run {run_id} could not be ended: {reason_of(error)}") from error
