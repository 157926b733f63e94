"""The programs that `log` can tell of a run, and what each needs before anything is read; loads none of them."""

import importlib.util
import os

from traffic_yolo.errors import OptionsError

PROGRAMS = ("mlflow",)  # each an extra of setup.cfg, which brings the package of the same name
URI_VARIABLE, EXPERIMENT_VARIABLE = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"


def check_program(program: str) -> None:
    """Raises `OptionsError` where the program is not installed, or nobody says where its server is."""
    if importlib.util.find_spec(program) is None:
        raise OptionsError(f'--program: {program} is not installed; pip install "traffic-yolo[{program}]"')
    if not tracking_uri():
        raise OptionsError(f"--program mlflow: the server is not known; set {URI_VARIABLE} to its address")


def tracking_uri() -> str:
    """The address of MLflow's server; "" where none is named."""
    return os.environ.get(URI_VARIABLE, "")
