"""Everything that a run's tasks would refuse and that takes seconds to see. All of it is looked at, and told at once.

The task `preflight` on a cluster and `traffic-yolo run --local` share it. torch is loaded where a cfg or weights were
given, or GPUs asked for: with the package's own cfg there is nothing to refuse.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import StorageError, TrafficYoloError
from traffic_yolo.options import fields_of
from traffic_yolo.preflight.writable import try_to_write
from traffic_yolo.storage import NAS_ROOT_VARIABLE, check_location, exists, is_s3, local_path, shown
from traffic_yolo.storage.in_pods import NAS_MOUNT_PATH
from traffic_yolo.training.options import TrainingOptions

MOST_RECORDINGS = 500  # whose structure is looked at: a second or two here, some more on a NAS
MOST_LABEL_BYTES = 64 << 20  # of label files that are read: a second or two
# Options that may be a name or a text instead of a place
_OF_THE_DATA = (
    "source", "labels", "layout", "class_map", "mapping", "policy", "keep_splits", "report_cfg", "regions",
    "calibration",
)  # fmt: skip
_OF_THE_START = ("cfg", "weights", "weights_names", "teacher")


class _Found:
    """Problems so far: each once, and which options have one."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}
        self.options: set[str] = set()

    def look(self, check: Callable[[], Any], option: str = "") -> Any:
        """The check's result; None where it found a problem. `option`: whose place it looks at."""
        try:
            return check()
        except TrafficYoloError as error:
            self.lines[f"{option}: {error}" if option else str(error)] = None
            self.options.add(option)
            return None


def find_problems(
    made: Mapping[str, tuple[Any, ...]], *, train_work: str = "", gpus: str | None = None, out: str = ""
) -> list[str]:
    """What speaks against a run, one line each, in the words of its options; empty where nothing does.

    `made`: step -> its options, those that could be made. `train_work`, `gpus`: the form's, None on this machine, where
    another look was taken. `out`: the folder of a local run. Nothing is left behind.
    """
    found = _Found()
    found.look(check_nas_mounted)
    if os.environ.get("TMPDIR"):  # Python takes another folder without a word where it cannot write this one
        found.look(lambda: try_to_write(os.environ["TMPDIR"]), "temporary files (TMPDIR)")
    for option, location in _read_places(made):
        found.look(lambda location=location: check_there(location), option)  # type: ignore[misc]
    for option, folder in _written_places(made, train_work):
        found.look(lambda folder=folder: try_to_write(folder), option)  # type: ignore[misc]
    if out:
        found.look(lambda: try_to_write(out))
    if "publish" in made:
        found.look(lambda: _check_model_name(made["publish"][0].model_name))
        if "zoo" not in found.options:
            found.look(lambda: _check_no_bare_zoo(made["publish"][0].zoo))
    if "snapshot" in made:
        found.look(lambda: _check_cache_outside(made["snapshot"][0]))
    if "train" in made:
        _look_at_the_training(found, made)
        if gpus is not None:
            found.look(lambda: _check_gpus(made["train"][0], gpus))
    return list(found.lines)


def check_nas_mounted() -> None:
    """Raises `StorageError` in a pod whose share is not mounted: its folder would be the container's own disk."""
    root = os.environ.get(NAS_ROOT_VARIABLE, "")
    if root == NAS_MOUNT_PATH and not os.path.ismount(root):
        raise StorageError(f"nothing is mounted at {NAS_MOUNT_PATH}; check the claim of the NAS (nas_claim)")


def _read_places(made: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """Option and value of everything that is read, each once; no name of a layout or public data, no text in braces."""
    seen = set()
    for every in made.values():
        for options in every:
            for name, field in fields_of(type(options)).items():
                value = getattr(options, name)
                if field.metadata.get("location") != "read":
                    continue
                for place in (value,) if isinstance(value, str) else value:
                    if place and not is_name(name, place) and (name, place) not in seen:
                        seen.add((name, place))
                        yield name, place


def is_name(option: str, value: str) -> bool:
    """Whether what an option of a place is given is a name or a text, or need not be there."""
    is_layout = option == "layout" and value in builtin_layouts()
    is_public = option == "trained_on" and value.partition("/")[0] == "coco"
    # A first look has no earlier one
    return is_layout or is_public or option == "previous" or value.lstrip().startswith("{")


def check_there(location: str) -> None:
    """Raises `StorageError` where nothing lies at a location."""
    check_location(location)
    if not exists(location):
        raise StorageError(f"{shown(location)}: not found; check the path, or that the share is mounted")


def _written_places(made: Mapping[str, tuple[Any, ...]], train_work: str) -> Iterator[tuple[str, str]]:
    if "publish" in made:
        yield "zoo", made["publish"][0].zoo
    cache = made["snapshot"][0].snapshot_cache if "snapshot" in made else ""
    if cache:
        yield "snapshot_cache", cache.rpartition("/")[0] if is_s3(cache) else str(local_path(cache).parent)
    if "convert" in made and made["convert"][0].data_store:
        yield "data_store", made["convert"][0].data_store
    if "convert" in made and made["convert"][0].quarantine:
        yield "quarantine", made["convert"][0].quarantine
    if train_work:
        yield "train_work", train_work


def _check_model_name(name: str) -> None:
    from traffic_yolo.registry.model_home import check_model_name

    check_model_name(name)


def _check_no_bare_zoo(zoo: str) -> None:
    from traffic_yolo.registry.bare_zoo import check_no_bare_zoo

    check_no_bare_zoo(zoo)


def _check_cache_outside(snapshot: Any) -> None:
    from traffic_yolo.snapshot.snapshot import refuse_inside

    refuse_inside(snapshot.source, snapshot.snapshot_cache, what="the cache")


def _look_at_the_training(found: _Found, made: Mapping[str, tuple[Any, ...]]) -> None:
    """Classes of the data, then cfg and weights for them; what would only repeat a problem is left out."""
    training: TrainingOptions = made["train"][0]
    classes = None
    if "convert" in made and not found.options & set(_OF_THE_DATA):
        classes = found.look(lambda: classes_of(made["convert"][0]))
    if not found.options & set(_OF_THE_START):
        found.look(lambda: check_training(training, classes))


def classes_of(options: ConvertOptions) -> tuple[str, ...] | None:
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


def check_training(options: TrainingOptions, classes: tuple[str, ...] | None) -> None:
    """Builds the network where cfg or weights were given; raises what a training would.

    `classes`: those of the data; where they are not known, what the weights were trained for says whether they fit the
    cfg.
    """
    if not options.cfg and not options.weights and not options.teacher:
        return
    from traffic_yolo.training.check_start import check_start
    from traffic_yolo.training.start import read_names

    if classes is None:
        classes = tuple(read_names(options.weights_names)) if options.weights_names else ("object",)
        options = dataclasses.replace(options, class_seeds="", teacher="")
        if not options.weights_names:
            options = dataclasses.replace(options, weights="", fine_tune_layers="all")
    check_start(options, classes)


def _check_gpus(training: TrainingOptions, gpus: str) -> None:
    from traffic_yolo.training.gpus import gpu_count, on_gpus

    on_gpus(training, gpu_count(gpus))
