"""Copying a version out of a zoo, to where it is deployed."""

from pathlib import Path

from traffic_yolo.registry.bundle import SUMS_NAME, checksums_of, verify_bundle
from traffic_yolo.registry.known_home import known_home
from traffic_yolo.registry.model_home import chosen_version
from traffic_yolo.storage import AnyPath, atomic_folder, fetch, join, output_path


def fetch_version(zoo: AnyPath, name: str, version: str, out: AnyPath) -> tuple[str, Path]:
    """Copies a version (its name or number; "": the one in use) to a folder that appears whole and verified.

    Engines that were built beside it are not copied. Returns the version's name and the folder. Raises `ModelError` for
    a version that is not there or damaged, `StorageError` for a folder with something in it, or a full disk.
    """
    home = known_home(zoo, name)
    chosen = chosen_version(home, version)
    bundle, target = str(home.bundle(chosen)), output_path(out)
    with atomic_folder(target) as folder:
        fetch(join(bundle, SUMS_NAME), to=folder / SUMS_NAME)
        for file in checksums_of(folder):
            fetch(join(bundle, file), to=folder / file)
        verify_bundle(folder)
    return chosen, target
