"""The MLflow server of `MLFLOW_TRACKING_URI`: how long a call to it may last, and the experiment that runs stand in."""

import contextlib
import os

from traffic_yolo.tracking.programs import EXPERIMENT_VARIABLE

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds, instead of 120
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # instead of 7: who tells it tries again, or says that it failed
    "MLFLOW_DISABLE_TELEMETRY": "true",  # the server that was given is told, and nobody else
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

from mlflow.exceptions import MlflowException  # noqa: E402 (it reads the environment)
from mlflow.tracking import MlflowClient  # noqa: E402

EXPERIMENT = "traffic-yolo"
MOST_METRICS, MOST_PARAMS = 1000, 100  # of one request (mlflow/utils/validation.py)
MOST_TEXT = 500  # of a parameter; older servers refuse longer ones


def reason_of(error: Exception) -> str:
    """Why a call failed, in one line of at most 400 characters."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:400]


def experiment_id(client: MlflowClient) -> str:
    """The experiment of `MLFLOW_EXPERIMENT_NAME`, made where it is not there; `OSError` where it cannot be."""
    name = os.environ.get(EXPERIMENT_VARIABLE, EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is None:
        # Of two runs that begin at once, one makes it
        with contextlib.suppress(MlflowException):
            return str(client.create_experiment(name))
        found = client.get_experiment_by_name(name)
    if found is None:
        raise OSError(f"experiment {name} can be neither found nor made")
    return str(found.experiment_id)
