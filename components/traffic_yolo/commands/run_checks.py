"""What a task of the pipeline would refuse, refused before the first one starts.

On this machine everything is looked at that takes seconds: locations, outputs, options, the classes of the data, cfg
and weights. For a cluster only what its NAS and its object storage have no part in: they are not this machine's.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import OptionsError, StorageError, TrainingError
from traffic_yolo.messages import shown as shown_value
from traffic_yolo.storage import check_location, check_writable, exists, is_s3, local_path, output_path, shown
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH
from traffic_yolo.training.options import TrainingOptions

MOST_NAME = 253  # RFC 1123, as Kubernetes has it
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_IN_A_POD = f"give nas://, s3:// or the path below {NAS_MOUNT_PATH}, where a pod has the NAS"
MOST_RECORDINGS = 500  # whose structure is looked at: a second or two here, some more on a NAS
MOST_LABEL_BYTES = 64 << 20  # of label files that are read: a second or two


def check_cluster_names(names: Mapping[str, str]) -> None:
    """Raises `OptionsError` for a value, by its flag, that no object of Kubernetes can be called."""
    for flag, name in names.items():
        if len(name) > MOST_NAME or not _NAME.fullmatch(name):
            expected = f"a name in Kubernetes (at most {MOST_NAME} of a-z, 0-9, - and .)"
            raise OptionsError(f"{flag}: expected {expected}, found {shown_value(name)}")


def check_cluster_run(parameters: Mapping[str, Any], places: Iterable[tuple[str, str]], *, has_secret: bool) -> None:
    """Raises `TrafficYoloError` for options of the pipeline's steps that a pod would refuse wherever it runs.

    `places`: how each location was given, and the location; `has_secret`: whether the pods get credentials.
    """
    _check_zoo(parameters)
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


def check_gpus(gpus: int, training: TrainingOptions, *, here: bool) -> None:
    """Raises `TrafficYoloError` for a number of GPUs that the training would refuse; `here`: on this machine."""
    if gpus < 0:
        raise OptionsError(f"--gpus: expected a whole number of 0 or more, found {gpus}")
    if gpus and training.device == "cpu":
        raise OptionsError(f"--gpus asks for {gpus}, but --device is cpu; leave one of them out")
    if gpus and here:
        from traffic_yolo.training.gpus import on_gpus  # loads torch

        try:
            on_gpus(training, gpus)
        except TrainingError as error:
            raise TrainingError(f"--{error}") from error


def check_locations(parameters: Mapping[str, Any], fields: Iterable["dataclasses.Field[Any]"]) -> None:
    """Raises `OptionsError` for an option among `fields` whose value is no location on this machine."""
    for field in fields:
        value = parameters.get(field.name)
        is_location = field.metadata.get("location") and isinstance(value, str)
        if is_location and value and not value.lstrip().startswith("{"):
            with _named(field.name):
                check_location(value)


def check_local_run(
    parameters: Mapping[str, Any], out: Path, *, convert: ConvertOptions, training: TrainingOptions
) -> None:
    """Raises `TrafficYoloError` for options of the pipeline's steps that a task of a run here would refuse.

    `parameters`: the values of all of them by name; `out`: the folder of runs. Nothing is written.
    """
    from traffic_yolo.snapshot.snapshot import refuse_inside

    _check_zoo(parameters)
    for name, value in locations_given(parameters):
        with _named(name):
            _check_place(name, value)
    check_writable(out)
    refuse_inside(parameters["source"], parameters["snapshot_cache"], what="the cache")
    _check_training(training, _classes(convert))


def _check_zoo(parameters: Mapping[str, Any]) -> None:
    from traffic_yolo.registry.model_home import check_model_name

    check_model_name(parameters["model_name"])
    if is_s3(parameters["zoo"]):
        with _named("zoo"):
            output_path(parameters["zoo"])  # says what to do instead


def _check_place(name: str, location: str) -> None:
    """Raises `StorageError` for an output that could not be written, or an input that is not there."""
    if name in ("zoo", "data_store"):
        check_writable(location)
    elif name != "snapshot_cache":
        if not exists(location):
            raise StorageError(f"{shown(location)}: not found; check the path, or that the share is mounted")
    elif not is_s3(location):
        check_writable(local_path(location).parent)


def locations_given(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of each location that was given; no name of a layout, and no text in braces."""
    from traffic_yolo.atm.layouts import builtin_layouts

    fields = (*dataclasses.fields(ConvertOptions), *dataclasses.fields(TrainingOptions))
    names = ["zoo", "snapshot_cache", *(field.name for field in fields if field.metadata.get("location"))]
    for name in names:
        value = str(parameters.get(name, ""))
        is_text = value.lstrip().startswith("{") or (name == "layout" and value in builtin_layouts())
        if value and not is_text:
            yield name, value


def _classes(options: ConvertOptions) -> tuple[str, ...] | None:
    """The classes that the data set will have; None where it would take long to tell."""
    from traffic_yolo.atm.recording import find_recordings
    from traffic_yolo.dataset.look_ahead import look_ahead

    for location in filter(None, (options.source, options.labels)):
        if is_s3(location):
            return None
        path = local_path(location)
        if path.is_file() and path.stat().st_size > MOST_LABEL_BYTES:
            return None
        if path.is_dir() and len(find_recordings(path)) > MOST_RECORDINGS:
            return None
    return look_ahead(options)


def _check_training(options: TrainingOptions, classes: tuple[str, ...] | None) -> None:
    """Builds the network where cfg or weights were given: with the package's own there is nothing to refuse."""
    if not options.cfg and not options.weights:
        return
    from traffic_yolo.training.check_start import check_start
    from traffic_yolo.training.start import read_names

    if classes is None:  # what the weights were trained for says whether they fit the cfg
        classes = tuple(read_names(options.weights_names)) if options.weights_names else ("object",)
        options = dataclasses.replace(options, class_seeds="")
        if not options.weights_names:
            options = dataclasses.replace(options, weights="", fine_tune_layers="all")
    check_start(options, classes)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Puts the flag before what storage says."""
    try:
        yield
    except StorageError as error:
        raise OptionsError(f"{_flag(name)}: {error}") from error


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
