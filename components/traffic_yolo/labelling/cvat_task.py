"""The folder of a CVAT task: frames with their pre-labels and pictures, for people to correct."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from traffic_yolo.dataset.export_labels import FolderExport
from traffic_yolo.dataset.sources.label_writers import LABEL_WRITERS

TASK_FOLDER = "cvat"
# Attributes of a pre-label that stay with it when a human has corrected it: who drew it, and how sure it was
PRELABEL_SOURCE, PRELABEL_CONFIDENCE = "prelabel_source", "prelabel_confidence"
SELECTED_RANK, SELECTED_FOR = "selected_rank", "selected_for"  # attributes of a picture


@contextlib.contextmanager
def open_task(
    folder: Path, classes: Sequence[str], *, to: str = "cvat", copy_pictures: bool = True
) -> Iterator[FolderExport]:
    """Writes labels in the format `to`, and pictures, into `folder`, which is made; complete when the block ends."""
    folder.mkdir()
    with LABEL_WRITERS[to](folder, classes, ()) as writer:
        export = FolderExport(folder, writer, Counter(), copy_pictures=copy_pictures)
        with contextlib.closing(export):
            if not writer.says_frames:
                export.begin(classes, ())
            yield export
            writer.complete()
