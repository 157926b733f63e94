"""Where a conversion writes: looked at before anything is read, and what is put aside beside the data set."""

from pathlib import Path

from traffic_yolo.dataset.folder.writer import Stage
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.quarantine import PARTS_NAME, check_quarantine, write_quarantine
from traffic_yolo.dataset.sources.source_list import locations_of
from traffic_yolo.dataset.store.data_store import DataStore
from traffic_yolo.storage import check_new_folder, check_writable


def check_places(options: ConvertOptions, target: Path) -> None:
    """Raises `StorageError` where output, store or quarantine cannot be written, before anything is read."""
    check_new_folder(target)
    if options.data_store:
        check_writable(DataStore(options.data_store).root)
    if options.quarantine:
        check_quarantine(options.quarantine, target, locations_of(options))


def keep_aside(folder: Path | None, stage: Stage, options: ConvertOptions) -> None:
    """Writes what the first stage put aside into the folder of the quarantine."""
    if folder is not None:
        parts = dict.fromkeys(spool.parent / PARTS_NAME for spool in stage.spools)
        write_quarantine(folder, stage.quarantined, parts, {"source": options.source, "labels": options.labels})
