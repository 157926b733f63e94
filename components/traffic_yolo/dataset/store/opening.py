"""The way from a reference, or a folder in a store, to files that stay there while they are read."""

import logging
from pathlib import Path

from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.dataset.store.data_store import DataStore, stored_in
from traffic_yolo.dataset.store.remaking import make_again
from traffic_yolo.errors import DatasetError, TrafficYoloError
from traffic_yolo.storage import AnyPath, existing_path, input_path, shown
from traffic_yolo.storage.lease import LeaseTiming, lease

REBUILDS_NAME = ".rebuilds"

_log = logging.getLogger(__name__)


def data_set_folder(location: AnyPath) -> Path:
    """The folder of the data set at a location: that itself, or the one that it refers to; none need be there.

    One in a store stays for as long as this process lives, and is made again where it is gone: raises what
    `folder_of` does.
    """
    folder = input_path(location, what="data set")
    reference = DatasetReference.of(folder)
    return held(folder) if reference is None else folder_of(reference)


def source_folder(location: str) -> Path:
    """`existing_path` of a source, or the data set that it refers to, as `data_set_folder` has it."""
    path = existing_path(location, what="source")
    reference = DatasetReference.of(path) if path.is_dir() else None
    return held(path) if reference is None else folder_of(reference)


def held(folder: Path) -> Path:
    """The folder itself; one in a store, held against collections. Raises `DatasetError` where that is gone."""
    store = stored_in(folder)
    if store is not None and store.held(folder.name) is None:
        raise DatasetError(f"data set not found: {folder}; it is gone from its store: run convert anew")
    return folder


def folder_of(reference: DatasetReference) -> Path:
    """The folder that a reference names; one in a store is held against collections, and made again where it is gone.

    Raises `DatasetError` where it is not there and cannot be made again: the source has changed since, say.
    """
    if reference.stored is None:
        return held(reference.folder())
    store = DataStore(reference.stored.recipe.options.data_store)
    folder = store.held(reference.fingerprint)
    if folder is not None:
        return folder
    try:
        _make_again(reference, store)
    except TrafficYoloError as error:
        raise DatasetError(
            f"{shown(reference.location)}: the data set is gone and could not be made again: {error}"
        ) from error
    return store.root / reference.fingerprint


def _make_again(reference: DatasetReference, store: DataStore) -> None:
    """Converts again; of several processes that miss one data set, one works and the others wait for it."""
    assert reference.stored is not None
    place = store.root / reference.fingerprint
    _log.warning("%s: the data set is gone; it is converted again", shown(reference.location))
    with lease(store.root / REBUILDS_NAME / reference.fingerprint, LeaseTiming(), unless=place.is_dir) as own:
        if own is not None:
            make_again(reference.stored.recipe, store, expected=reference.fingerprint)
