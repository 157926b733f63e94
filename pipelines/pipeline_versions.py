"""Versions of a pipeline on a server, named after their content: the same one is never uploaded twice."""

import functools
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api

from traffic_yolo._version import __version__
from traffic_yolo_pipelines.compile import write_package
from traffic_yolo_pipelines.server_connection import (
    PAGE_SIZE,
    Connection,
    NoAnswerError,
    TakenError,
    equal_name,
    pause,
    pause_s,
)

ROUNDS = 3  # of looking for a version and uploading it


@dataclass(frozen=True)
class PipelineVersion:
    """A version as the server has it; `is_uploaded`: whether it was for this call."""

    pipeline_id: str
    version_id: str
    name: str
    is_uploaded: bool


def uploaded(connection: Connection, made: Any) -> PipelineVersion:
    """The version of a compiled pipeline (`compiled_for`), with the pipeline, where the server has not got them.

    An upload whose answer is lost, or that another was quicker with, is found by its name; a server takes no second
    one. Raises `ClusterError`.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "pipeline.yaml")
        write_package(made, package)
        name = f"{__version__}-{hashlib.sha256(package.read_bytes()).hexdigest()[:12]}"
        for attempt in range(1, ROUNDS):
            try:
                return _found_or_uploaded(connection, made.name, package, name)
            except (NoAnswerError, TakenError):
                pause(pause_s(attempt))
        return _found_or_uploaded(connection, made.name, package, name)


def _found_or_uploaded(connection: Connection, pipeline: str, package: Path, name: str) -> PipelineVersion:
    pipeline_id = _pipeline_id(connection, pipeline)
    found = _version_id(connection, pipeline, pipeline_id, name)
    if found:
        return PipelineVersion(pipeline_id, found, name, is_uploaded=False)
    asked = f"given the version {name} of {pipeline}"
    upload = functools.partial(connection.client.upload_pipeline_version, str(package), name, pipeline_id=pipeline_id)
    made = connection.ask(asked, upload, attempts=1)
    return PipelineVersion(pipeline_id, connection.id_of(made.pipeline_version_id, asked), name, is_uploaded=True)


def _version_id(connection: Connection, pipeline: str, pipeline_id: str, name: str) -> str:
    """Of the version of this name, "" where there is none."""
    asked = f"asked for the versions of {pipeline}"
    every = connection.pages(
        asked,
        lambda token: connection.client.list_pipeline_versions(pipeline_id, page_token=token, page_size=PAGE_SIZE),
        "pipeline_versions",
    )
    return next((connection.id_of(one.pipeline_version_id, asked) for one in every if one.display_name == name), "")


def _pipeline_id(connection: Connection, name: str) -> str:
    """Of the pipeline of this name in the namespace, which is made where there is none."""
    asked = f"asked for the pipeline {name}"
    client, namespace = connection.client, connection.namespace or None
    found = connection.ask(asked, lambda: client.list_pipelines(namespace=namespace, filter=equal_name(name)))
    if found.pipelines:
        return connection.id_of(found.pipelines[0].pipeline_id, asked)
    asked = f"told to make the pipeline {name}"
    body = kfp_server_api.V2beta1Pipeline(display_name=name, namespace=namespace)
    # kfp.Client has no call for it
    made = connection.ask(asked, lambda: client._pipelines_api.pipeline_service_create_pipeline(body), attempts=1)
    return connection.id_of(made.pipeline_id, asked)
