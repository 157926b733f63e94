"""How much a recording may state before it is taken for damaged or hostile; looked at before anything is read.

They are part of the limits of docs/limits.md; this is what the reader of recordings takes of them.
"""

from dataclasses import dataclass

from traffic_yolo.limits import Limits, limits
from traffic_yolo.options import check_options, option

# zlib's own bound: 258 bytes from two bits (zlib.net/zlib_tech.html, "Maximum Compression Factor")
DEFLATE_EXPANSION = 1032


@dataclass(frozen=True)
class RecordingLimits:
    """The limits of one reading. Raises `OptionsError` for a limit outside its range."""

    scans: int = option(Limits.recording_scans, "Most scans of a recording.", least=1)
    data_set_bytes: int = option(
        Limits.recording_data_set_bytes, "Most bytes that a data set may come to once it is unpacked.", least=1
    )
    expansion: int = option(
        Limits.recording_expansion,
        "Most bytes that a compressed data set may state for each byte that it stores.",
        least=1,
        most=DEFLATE_EXPANSION,
    )
    table_rows: int = option(Limits.recording_table_rows, "Most rows of a table in one scan.", least=1)
    picture_pixels: int = option(Limits.picture_pixels, "Most pixels that a picture's header may state.", least=1)
    status_bytes: int = option(Limits.recording_status_bytes, "Most bytes of a scan's status (JSON).", least=1)

    def __post_init__(self) -> None:
        check_options(self)


def limits_in_force() -> RecordingLimits:
    """What the policy or the environment allows; raises `OptionsError` for a limit outside its range."""
    found = limits()
    return RecordingLimits(
        scans=found.recording_scans,
        data_set_bytes=found.recording_data_set_bytes,
        expansion=found.recording_expansion,
        table_rows=found.recording_table_rows,
        picture_pixels=found.picture_pixels,
        status_bytes=found.recording_status_bytes,
    )
