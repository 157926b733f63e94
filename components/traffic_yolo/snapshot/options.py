"""What a user may choose about a snapshot; the names are those of the command line and of the KFP component."""

import dataclasses
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

DEFAULT_JOBS = 4  # a share answers several questions at once faster than one after another


@dataclass(frozen=True)
class RecordingsChoice:
    """Which files belong together: a source, the labels of it, and how its recordings are read."""

    source: str = option(
        dataclasses.MISSING,
        "Recordings, or a data set: a folder, or its label file.",
        headline=True,
        location="read",
    )
    labels: str = option(
        "", "Label file or folder with the human labels of the recordings.", headline=True, location="read"
    )
    layout: str = option(
        "", "Layout of the recordings: a name or a YAML file; empty: each file's own.", headline=True, location="read"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if not self.source:
            raise OptionsError("source: expected a folder or file, found nothing")


@dataclass(frozen=True)
class SnapshotOptions(RecordingsChoice):
    """One look at a share. Raises `OptionsError` for values that make no sense."""

    snapshot_cache: str = option(
        "",
        "File that keeps checksums between looks, such as nas://.cache/recordings; empty reads every file each time.",
        headline=True,
        location="keep",
        alias="--cache",
    )
    previous: str = option(
        "", "Snapshot to compare with; one that does not exist yet counts as none.", headline=True, location="read"
    )
    settle_s: float = option(0.0, "Leave out recordings written to within so many seconds.", least=0)
    jobs: int = option(DEFAULT_JOBS, "Files read at the same time.", least=1)
