"""Checks of pictures, and of the pairing of pictures and labels. Each is a function from an observation to problems."""

from collections.abc import Iterator

from traffic_yolo.atm.jpeg import complete_jpeg_size
from traffic_yolo.dataset.checks.finding import Objection
from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.pictures.headers import PNG_SIGNATURE
from traffic_yolo.errors import RecordingError


def unreadable_picture(observation: Observation) -> Iterator[Objection]:
    """Bytes that are no picture, or do not decode without damage."""
    if observation.picture is not None and (observation.size_wh is None or observation.damage):
        begin = observation.picture[:4].hex(" ") or "nothing"
        why = f": {observation.damage}" if observation.damage else ""
        yield Objection("a JPEG or PNG that decodes", f"{len(observation.picture)} bytes that begin with {begin}{why}")


def truncated_picture(observation: Observation) -> Iterator[Objection]:
    """A picture without its end marker: part of it is missing."""
    data = observation.picture
    if data is None or observation.size_wh is None:
        return
    if data.startswith(PNG_SIGNATURE):
        if data[-8:-4] != b"IEND":
            yield Objection("a PNG with its last chunk", f"no end in {len(data)} bytes")
        return
    try:
        complete_jpeg_size(data)
    except RecordingError:
        yield Objection("a JPEG with its end marker", f"no end marker in {len(data)} bytes")


def size_mismatch(observation: Observation) -> Iterator[Objection]:
    """A picture of another size than its label states."""
    stated, size = observation.stated_wh, observation.size_wh
    if stated is not None and observation.picture is not None and size is not None and stated != size:
        yield Objection(f"{stated[0]}x{stated[1]} pixels, as the label says", f"{size[0]}x{size[1]}")


def label_without_picture(observation: Observation) -> Iterator[Objection]:
    """A label whose picture is not there."""
    if observation.picture is None and observation.label_file:
        yield Objection("the picture of a label", observation.picture_trouble or "no picture")


def picture_without_label(observation: Observation) -> Iterator[Objection]:
    """A picture that nobody has labelled."""
    if observation.picture is not None and not observation.label_file:
        yield Objection("a human label", "none")


def scan_without_picture(observation: Observation) -> Iterator[Objection]:
    """A scan of a recording that holds no picture."""
    if observation.picture is None and not observation.label_file and not observation.picture_trouble:
        yield Objection("a picture in the scan", "none")
