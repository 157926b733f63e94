"""Names of the container images, and how pods run them; nobody types a tag elsewhere.

`python -m traffic_yolo.container_images train cuda` prints one, for builds and pushes (Makefile).
"""

import os
import re
import sys
from typing import Any

from traffic_yolo._version import __version__
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown

# name -> the flavours that its Dockerfile builds (FLAVOUR, a build argument), first the one that needs no GPU
IMAGES: dict[str, tuple[str, ...]] = {"train": ("cpu", "cuda"), "deepstream": ()}
DEFAULT_PREFIX = "traffic-yolo"
USER_ID = 1000  # of every image, and so the owner of what pods write to a share where the platform chooses no other


def security_context() -> dict[str, Any]:
    """What a container of ours may do, as Kubernetes writes it: all that Pod Security's level `restricted` asks for.

    With the user's number, since a sidecar that takes over the context, such as Katib's, has an image of root's.
    """
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def image(name: str, flavour: str = "") -> str:
    """The image that `docker/<name>/Dockerfile` builds, tagged with this package's version and the flavour.

    `flavour` "" is the first of the image's. `TRAFFIC_YOLO_IMAGE_PREFIX` names the registry and path of a team's own
    copies (`registry.example/vision`); it is read when a pipeline or an experiment is compiled. Raises `OptionsError`
    for an image or a flavour that is not ours.
    """
    if name not in IMAGES:
        raise OptionsError(f"image {name!r} is not one of ours: expected one of {', '.join(IMAGES)}")
    prefix = os.environ.get("TRAFFIC_YOLO_IMAGE_PREFIX", "").rstrip("/") or DEFAULT_PREFIX
    return f"{prefix}/{name}:{_tag(name, flavour)}"


def in_flavour(text: str, flavour: str) -> str:
    """The same image under the same prefix in another flavour; one without flavours as it is.

    Raises `OptionsError` for a text that `image` did not make: which flavour another image is nobody can tell.
    """
    found = _parts(text)
    if found is None:
        known = ", ".join(f"{name}:{tag}" for name in IMAGES for tag in _tags(name))
        raise OptionsError(f"image {shown(text)} is not one of ours: expected {known} behind a prefix")
    prefix, name = found
    return f"{prefix}{name}:{_tag(name, flavour if IMAGES[name] else '')}"


def is_ours(text: str) -> bool:
    """Whether `image` made this text, under any prefix."""
    return _parts(text) is not None


def _parts(text: str) -> tuple[str, str] | None:
    """(prefix with its last slash, name) of an image of ours."""
    found = re.fullmatch(r"((?:.*/)?)([^/:]+):([^/:]+)", text)
    return (found[1], found[2]) if found and found[2] in IMAGES and found[3] in _tags(found[2]) else None


def _tags(name: str) -> list[str]:
    return [_tag(name, flavour) for flavour in IMAGES[name] or ("",)]


def _tag(name: str, flavour: str) -> str:
    flavours = IMAGES[name]
    if flavour and flavour not in flavours:
        expected = f"one of {', '.join(flavours)}" if flavours else "none"
        raise OptionsError(f"image {name}: flavour: expected {expected}, found {shown(flavour)}")
    return "-".join([__version__, *([flavour or flavours[0]] if flavours else [])])


if __name__ == "__main__":
    print(image(*sys.argv[1:]))
