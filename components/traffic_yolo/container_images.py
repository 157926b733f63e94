"""Names of the container images; nobody types a tag elsewhere."""

import os

from traffic_yolo._version import __version__
from traffic_yolo.errors import OptionsError

IMAGES = ("train", "deepstream")
DEFAULT_PREFIX = "traffic-yolo"


def image(name: str) -> str:
    """The image that `docker/<name>/Dockerfile` builds, tagged with this package's version.

    `TRAFFIC_YOLO_IMAGE_PREFIX` names the registry and path of a team's own copies (`registry.example/vision`); it is
    read when a pipeline or an experiment is compiled.
    """
    if name not in IMAGES:
        raise OptionsError(f"image {name!r} is not one of ours: expected one of {', '.join(IMAGES)}")
    prefix = os.environ.get("TRAFFIC_YOLO_IMAGE_PREFIX", "").rstrip("/") or DEFAULT_PREFIX
    return f"{prefix}/{name}:{__version__}"
