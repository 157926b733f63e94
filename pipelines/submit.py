"""Starts a run of a pipeline on a Kubeflow Pipelines server: from a version of it there, once.

`server_connection` makes the calls, `pipeline_versions` uploads, `run_watch` waits for what was started.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.errors import ClusterError
from traffic_yolo_pipelines.compile import compiled_for
from traffic_yolo_pipelines.pipeline_versions import PipelineVersion, uploaded
from traffic_yolo_pipelines.platform_settings import GPUS_PARAMETER
from traffic_yolo_pipelines.server_connection import Connection, NoAnswerError, equal_name
from traffic_yolo_pipelines.server_needs import server_needs


@dataclass(frozen=True)
class Submitted:
    """A run that the server has taken. `name`: its own, which no other has; `images`: those of its tasks, each once."""

    run_id: str
    name: str
    pipeline: str
    version: PipelineVersion
    images: tuple[str, ...]
    link: str


def submit(
    connection: Connection,
    pipeline: Any,
    parameters: Mapping[str, Any],
    *,
    experiment: str,
    cluster: ClusterSettings | None = None,
) -> Submitted:
    """Compiles `pipeline`, with the settings of a cluster where they are given, uploads that and starts a run of it.

    The images are those of the settings, else of this process's environment (`traffic_yolo.container_images`), not
    those of a file that was compiled before. A run whose start the server did not confirm is looked for by its name and
    never started twice. Raises `ClusterError` where the server is older than what the run needs, refuses, or does not
    say what became of it; `OptionsError` for settings that do not fit the pipeline.
    """
    made = compiled_for(pipeline, cluster=cluster, gpus=parameters.get(GPUS_PARAMETER))
    connection.check_needs(server_needs(made))
    experiment_id = connection.experiment_id(experiment)
    version = uploaded(connection, made)
    name = f"{pipeline.name} {datetime.now():%Y-%m-%d %H-%M-%S} {secrets.token_hex(3)}"
    account = cluster.service_account if cluster else ""
    run_id = _started(connection, name, experiment_id, version, parameters, account)
    return Submitted(run_id, name, pipeline.name, version, images_of(made), run_link(connection, run_id))


def run_link(connection: Connection, run_id: str) -> str:
    """A run's page in the user interface."""
    return f"{connection.ui}/#/runs/details/{run_id}"


def images_of(pipeline: Any) -> tuple[str, ...]:
    """The images of a pipeline's tasks, each once, in the order of their names."""
    executors = pipeline.pipeline_spec.deployment_spec["executors"].values()
    return tuple(sorted({one["container"]["image"] for one in executors if "container" in one}))


def _started(
    connection: Connection,
    name: str,
    experiment_id: str,
    version: PipelineVersion,
    parameters: Mapping[str, Any],
    account: str,
) -> str:
    """The id of a new run, which the server is told to start once."""
    asked = "told to start the run"
    try:
        run = connection.ask(
            asked,
            lambda: connection.client.run_pipeline(
                experiment_id,
                name,
                params=dict(parameters),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=account or None,
            ),
            attempts=1,
        )
    except NoAnswerError as error:
        found = _named(connection, name, experiment_id)
        if found:
            return found
        raise ClusterError(
            f"{error}; no run {name!r} is there, and none was started a second time: look at "
            f"{connection.ui}/#/runs before you submit again"
        ) from error
    return connection.id_of(run.run_id, asked)


def _named(connection: Connection, name: str, experiment_id: str) -> str:
    """The id of the run of this name, "" where there is none."""
    asked = f"asked for the run {name!r}"
    answer = connection.ask(
        asked,
        lambda: connection.client.list_runs(
            experiment_id=experiment_id, namespace=connection.namespace or None, filter=equal_name(name)
        ),
    )
    return next((connection.id_of(run.run_id, asked) for run in answer.runs or ()), "")
