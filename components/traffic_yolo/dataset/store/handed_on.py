"""Where a conversion writes: the folder that was asked for, or a store, with a reference in that folder."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.dataset.manifest import MANIFEST_NAME
from traffic_yolo.dataset.reference import DatasetReference, StoredContent
from traffic_yolo.dataset.store.data_store import DataStore
from traffic_yolo.dataset.store.recipe import Recipe
from traffic_yolo.errors import DatasetError
from traffic_yolo.storage import atomic_folder, read_json, sha256_of_file


@contextlib.contextmanager
def data_set_written(target: Path, recipe: Recipe) -> Iterator[Path]:
    """Yields the folder to write a data set into; `target` appears whole or not at all when the block ends well.

    Without `recipe.options.data_store` it is the data set. With one, the data set has its place in the store, and
    `target` gets what is this conversion's own (manifest, report, `splits.yaml`) and the reference. Killed between the
    two, the data set is in the store, where the next conversion of the same content finds it.
    """
    if not recipe.options.data_store:
        with atomic_folder(target) as folder:
            yield folder
        return
    store = DataStore(recipe.options.data_store)
    with atomic_folder(target) as artifact:
        with store.written() as folder:
            yield folder
            fingerprint = _copy_own(folder, artifact)
        stored = StoredContent(sha256_of_file(artifact / MANIFEST_NAME), recipe)
        DatasetReference(store.place_of(fingerprint), fingerprint, stored).write(artifact)


def _copy_own(folder: Path, artifact: Path) -> str:
    """Copies what the manifest does not list, and so no fingerprint tells of; returns the fingerprint."""
    manifest = read_json(folder / MANIFEST_NAME, what="manifest", error=DatasetError)
    listed = {entry["path"] for entry in manifest["files"]}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in listed:
            shutil.copyfile(path, artifact / path.name)
    return str(manifest["fingerprint"])
