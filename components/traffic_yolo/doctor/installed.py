"""The program, Python, the packages that it needs and those of its extras, and what OpenCV was built with."""

import platform
import re
import sys
from importlib import metadata

from traffic_yolo._version import __version__
from traffic_yolo.doctor.probe import State

Seen = list[tuple[str, str, State]]
DISTRIBUTION = "traffic-yolo"
NAME_OF = re.compile(r"^[A-Za-z0-9._-]+")
EXTRA_OF = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
OPENCV_PARTS = ("JPEG", "PNG", "WEBP", "FFMPEG", "GStreamer", "Parallel framework", "CPU/HW features")


def program() -> Seen:
    """Versions of the program, of Python and of the system."""
    return [
        ("traffic-yolo", f"{__version__}, {sys.prefix}", "ok"),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})", "ok"),
        ("system", f"{platform.platform()}, libc {platform.libc_ver()[1] or '-'}", "ok"),
    ]


def packages() -> Seen:
    """What the program needs, with versions in one line, and a line for each that is missing."""
    return _named(required()[""], "packages", is_needed=True)


def extras() -> Seen:
    """A line for each extra: its packages with their versions, or those that are missing."""
    found: Seen = []
    for extra, names in sorted(required().items()):
        if extra:
            found += _named(names, extra, is_needed=False)
    return found


def required() -> dict[str, list[str]]:
    """Extra -> names of its packages, by what the installed program states; "" for what it always needs."""
    wanted: dict[str, list[str]] = {"": []}
    for line in metadata.requires(DISTRIBUTION) or []:
        extra, name = EXTRA_OF.search(line), NAME_OF.match(line)
        if name:
            wanted.setdefault(extra[1] if extra else "", []).append(name[0])
    return wanted


def _named(names: list[str], what: str, *, is_needed: bool) -> Seen:
    versions = {name: _version(name) for name in names}
    there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    missing = [name for name, version in versions.items() if not version]
    if not missing:
        return [(what, there, "ok")]
    if is_needed:
        return [(what, there, "ok"), ("missing", f"{', '.join(missing)}; install the program anew", "warning")]
    how = f"missing: {', '.join(missing)}"
    return [(what, f"{how} (there: {there})" if there else "not installed", "ok")]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def opencv() -> Seen:
    """What OpenCV reads and writes, by its own account of how it was built."""
    import cv2

    built = cv2.getBuildInformation()
    found: Seen = [("version", str(cv2.__version__), "ok")]
    for part in OPENCV_PARTS:
        line = re.search(rf"^\s*{re.escape(part)}:\s*(.+)$", built, re.MULTILINE)
        found.append((part, " ".join(line[1].split()) if line else "not named", "ok"))
    return found


def fonts() -> Seen:
    """The fonts that reports draw their figures with."""
    from matplotlib import font_manager

    found = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return [("DejaVu Sans", str(found), "ok")]
