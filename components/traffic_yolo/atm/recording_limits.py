"""How much a recording may state before it is taken for damaged or hostile; looked at before anything is read."""

from dataclasses import dataclass, fields

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import option

DEFLATE_EXPANSION = (
    1032  # zlib's own bound: 258 bytes from two bits (zlib.net/zlib_tech.html, "Maximum Compression Factor")
)


@dataclass(frozen=True)
class RecordingLimits:
    """The limits of one reading. Raises `OptionsError` for a limit outside its range."""

    scans: int = option(1_000_000, "Most scans of a recording.", least=1)
    data_set_bytes: int = option(64 << 20, "Most bytes that a data set may come to once it is unpacked.", least=1)
    expansion: int = option(
        DEFLATE_EXPANSION,
        "Most bytes that a compressed data set may state for each byte that it stores.",
        least=1,
        most=DEFLATE_EXPANSION,
    )
    table_rows: int = option(65_536, "Most rows of a table of detections or tracks in one scan.", least=1)
    picture_pixels: int = option(100_000_000, "Most pixels that a picture's header may state.", least=1)
    status_bytes: int = option(1 << 20, "Most bytes of a scan's status (JSON).", least=1)

    def __post_init__(self) -> None:
        for limit in fields(self):
            value, least = getattr(self, limit.name), limit.metadata["least"]
            most = limit.metadata.get("most", float("inf"))
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                upper = f" to {most}" if "most" in limit.metadata else ""
                raise OptionsError(f"{limit.name}: expected a whole number from {least}{upper}; found {value!r}")


USUAL_LIMITS = RecordingLimits()
