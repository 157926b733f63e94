"""The groups that a split must not cut, from coarse to fine: site, camera, day of a site, recording, picture."""

from collections.abc import Callable, Mapping

from traffic_yolo.dataset.records import Frame, PictureKey

Item = Frame | PictureKey


def site_of(item: Item) -> str:
    """The site's name, "" where it is not known."""
    return item.site


def camera_of(item: Item) -> str:
    """Site and camera (addresses may recur at other sites); the whole site where the camera is not known."""
    return f"{item.site}/{item.camera}" if item.camera else item.site


def day_of(item: Item) -> str:
    """All recordings of one site on one day; the whole site where the day is not known."""
    return f"{item.site}/{item.day}" if item.day else item.site


def recording_of(item: Item) -> str:
    """The recording's name, which a data set has only once."""
    return item.recording


def picture_of(item: Item) -> str:
    """The picture's own name."""
    return f"{item.recording}/{item.scan}"


# level -> the name of an item's group; the coarsest first
LEVELS: Mapping[str, Callable[[Item], str]] = {
    "site": site_of,
    "camera": camera_of,
    "day": day_of,
    "recording": recording_of,
    "picture": picture_of,
}
