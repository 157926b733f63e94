"""Data sets kept on the share under their fingerprint, so that steps read them there instead of copying them.

A folder there is whole from its first moment, and never changed: two runs that make the same data set share one. Where
one was removed, the next run makes it again; a run that still reads it ends with a line that names it.
"""

import os
import shutil
from collections.abc import Sequence

from traffic_yolo.dataset.convert import ConvertSummary
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.dataset.shards import merge_shards
from traffic_yolo.errors import StorageError
from traffic_yolo.run_id import known_run_id
from traffic_yolo.storage import AnyPath, atomic_folder, check_scheme, join, output_path

REPORT_NAME = "report.html"


def merge_into_store(parts: Sequence[AnyPath], store: AnyPath, out: AnyPath, *, run_id: str) -> ConvertSummary:
    """Merges the shards of a conversion into `<store>/<fingerprint>`, and writes the folder `out`: a reference to it.

    `run_id`: names the place where it is made before it has its name. Raises what `merge_shards` raises, `StorageError`
    for a store in object storage, and `DatasetError` where another content lies under the name.
    """
    target = output_path(out)
    check_scheme(str(store))
    place = output_path(join(store, f"making-{known_run_id(run_id)}"))
    if place.exists():  # of a task of this run that was killed
        shutil.rmtree(place)
    merged = merge_shards(parts, place)
    location = join(store, merged.fingerprint)
    kept, reference = output_path(location), DatasetReference.to(location, merged.fingerprint)
    try:
        os.rename(place, kept)
    except OSError as error:
        if not kept.is_dir():
            raise StorageError(f"{kept}: the data set cannot be put there: {error.strerror}") from error
        reference.check(DataSet.open(kept).fingerprint)  # another run's: the same
        shutil.rmtree(place)
    with atomic_folder(target) as folder:
        reference.write(folder)
        shutil.copyfile(kept / REPORT_NAME, folder / REPORT_NAME)
    return merged
