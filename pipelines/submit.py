"""Submits a compiled pipeline to a Kubeflow Pipelines server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kfp

from traffic_yolo.errors import OptionsError


def submit(package: Path, parameters: Mapping[str, Any], *, host: str, namespace: str, experiment: str) -> str:
    """Starts a run of the compiled `package` on the server at `host` and returns the run's id.

    Raises `OptionsError` when the server cannot be reached or refuses the run.
    """
    try:
        client = kfp.Client(host=host, namespace=namespace)
        run = client.create_run_from_pipeline_package(
            str(package), arguments=dict(parameters), experiment_name=experiment, namespace=namespace or None
        )
    except Exception as error:  # kfp lets urllib3's, its own and generated REST exceptions through, of no common root
        raise OptionsError(f"the server at {host} did not take the run: {str(error).splitlines()[0]}") from error
    return str(run.run_id)
