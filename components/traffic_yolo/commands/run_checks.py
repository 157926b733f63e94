"""What a task of the pipeline would refuse, refused before the first one starts.

On this machine everything is looked at that takes seconds (`preflight.checks`). For a cluster only what its NAS and its
object storage have no part in: they are not this machine's, and the run's first task looks at them.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_yolo.cluster.kubernetes_rules import check_claim, check_name
from traffic_yolo.errors import OptionsError, ProblemsError, StorageError, TrainingError
from traffic_yolo.preflight.checks import find_problems
from traffic_yolo.registry.model_home import check_model_name
from traffic_yolo.storage import check_location, is_s3, shown
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH
from traffic_yolo.training.options import TrainingOptions

_IN_A_POD = f"give nas://, s3:// or the path below {NAS_MOUNT_PATH}, where a pod has the NAS"


def check_cluster_names(names: Mapping[str, str]) -> None:
    """Raises `OptionsError` for a value, by its flag, that no object of Kubernetes can be called."""
    for flag, name in names.items():
        (check_claim if flag == "--nas-claim" else check_name)(flag, name)


def check_cluster_run(places: Iterable[tuple[str, str]], *, model_name: str | None, has_secret: bool) -> None:
    """Raises `TrafficYoloError` for options of the pipeline's steps that a pod would refuse wherever it runs.

    What its NAS and its object storage have a part in, the task `preflight` looks at there. `places`: how each location
    was given, and the location; `model_name`: None where nothing is published; `has_secret`: whether the pods get
    credentials.
    """
    if model_name is not None:
        check_model_name(model_name)
    for flag, location in places:
        if is_s3(location):
            if not has_secret:
                raise OptionsError(
                    f"{flag}: {shown(location)}: a pod has no credentials for object storage; give --s3-secret, the "
                    "Kubernetes secret that holds them (docs/pipelines.md)"
                )
            continue
        path = location.removeprefix("file://")
        if "://" in path:
            continue
        if not path.startswith("/"):
            raise OptionsError(f"{flag}: {shown(location)}: a relative path means nothing in a pod; {_IN_A_POD}")
        if not PurePosixPath(os.path.normpath(path)).is_relative_to(NAS_MOUNT_PATH):
            raise OptionsError(
                f"{flag}: {shown(location)}: a path of this machine, which a pod does not have; {_IN_A_POD}"
            )


def check_gpus(gpus: int, training: TrainingOptions | None, *, here: bool) -> None:
    """Raises `TrafficYoloError` for a number of GPUs that a training would refuse; `here`: on this machine."""
    if gpus < 0:
        raise OptionsError(f"--gpus: expected a whole number of 0 or more, found {gpus}")
    if gpus and training and training.device == "cpu":
        raise OptionsError(f"--gpus asks for {gpus}, but --device is cpu; leave one of them out")
    if gpus and training and here:
        from traffic_yolo.training.gpus import on_gpus  # loads torch

        try:
            on_gpus(training, gpus)
        except TrainingError as error:
            raise TrainingError(f"--{error}") from error


def check_locations(parameters: Mapping[str, Any], fields: Iterable["dataclasses.Field[Any]"]) -> None:
    """Raises `OptionsError` for an option among `fields` whose value is no location on this machine."""
    for field in fields:
        given = parameters.get(field.name)
        values = given if isinstance(given, tuple) else (given,)
        for value in values if field.metadata.get("location") else ():
            if isinstance(value, str) and value and not value.lstrip().startswith("{"):
                with _named(field.name):
                    check_location(value)


def check_local_run(made: Mapping[str, tuple[Any, ...]], out: Path) -> None:
    """Raises `ProblemsError` with all that a task of a run here would refuse, in the words of the options.

    `made`: step -> its options; `out`: the folder of runs. Nothing is left behind.
    """
    problems = find_problems(made, out=str(out))
    if problems:
        raise ProblemsError(problems)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Puts the flag before what storage says."""
    try:
        yield
    except StorageError as error:
        raise OptionsError(f"--{name.replace('_', '-')}: {error}") from error
