"""The addresses of streams and cameras: what is one, what is wrong with it, and what of it may be shown."""

import re

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown as shown_value

SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")
FILES = ("http://", "https://")  # schemes by which a video with an end may come
CAMERA = "camera:"


def is_address(text: str) -> bool:
    """Whether `text` names a stream or a camera ("camera:0") rather than a file."""
    return text.startswith((*SCHEMES, CAMERA))


def check_address(text: str) -> None:
    """Raises `OptionsError` for a camera that is no number, and for a stream of no machine."""
    if text.startswith(CAMERA):
        if not text.removeprefix(CAMERA).isdecimal():
            raise OptionsError(f"SOURCE: expected {CAMERA} and a number from 0, found {shown_value(text)}")
    elif not text.partition("://")[2].strip("/"):
        raise OptionsError(f"SOURCE: {shown_value(text)} names no machine; expected rtsp://HOST/PATH or the like")


def public_address(text: str) -> str:
    """The address without user, password and query, which are nobody's business in files and messages."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def name_of(text: str) -> str:
    """What files of this stream are called: letters, digits, dots, `-` and `_`."""
    return re.sub(r"[^\w.-]+", "_", public_address(text).rpartition("://")[2]).strip("._") or "stream"
