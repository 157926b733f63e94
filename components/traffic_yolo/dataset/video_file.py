"""Frames of video files by their exact numbers: decoded by OpenCV in order, counted, never sought.

A container's index is no promise: seeking lands on neighbours, and a decoder drops what is damaged without a word, so
that all later frames carry other numbers. So a video is decoded once to count its frames and their times, and once more
for its pictures. Labels and data sets are left to others.
"""

import math
import os
from array import array
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import simplejpeg

from traffic_yolo.dataset.pictures.decode import check_pixels
from traffic_yolo.errors import LabelError, PictureError

# What OpenCV is asked to open: FFmpeg takes text for a picture of letters, and a picture for a video of one frame
VIDEO_SUFFIXES = frozenset(
    (
        ".3gp", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4",
        ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv",
    )
)  # fmt: skip
FRAME_QUALITY = 95  # of the JPEGs that become pictures of a data set; colours at half, as nearly all videos have them
JUMP = 1.5  # usual steps between two frames from which on a frame is missing, or the rate changes
MOST_FRAMES = 1 << 40  # a container that states more states nothing
# OpenCV reads it when it first opens any video: AV_LOG_QUIET, for what matters we say in one line
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True)
class VideoScan:
    """What decoding all of a video showed.

    `num_frames`: that were decoded; `stated`: by the container, None where it does not say. `times_s` of each frame.
    `turned`: degrees by which its metadata turn it for whoever looks, as OpenCV does.
    """

    num_frames: int
    stated: int | None
    times_s: "array[float]"
    turned: int = 0

    @property
    def jumps(self) -> int:
        """How many steps between two frames are longer than usual by half or more."""
        steps = np.diff(np.asarray(self.times_s, np.float64))
        usual = float(np.median(steps)) if len(steps) else 0.0
        return int((steps > JUMP * usual).sum()) if usual > 0 else 0

    @property
    def lost(self) -> int:
        """Frames that were lost in its middle: the container states them, they do not decode, and times jump."""
        missing = self.stated - self.num_frames if self.stated is not None else 0
        return missing if missing > 0 and self.jumps else 0

    @property
    def varies(self) -> bool:
        """Whether the rate of its frames varies, as a phone's does."""
        return bool(self.jumps) and not self.lost


def scan_video(path: Path) -> VideoScan:
    """Decodes a video to its end. Raises `PictureError` for what OpenCV cannot open, and one without a frame."""
    with VideoFrames(path) as video:
        times = array("d")
        while video.grab():
            times.append(video.time_s)
        if not times:
            raise no_frame(path, video.codec)
        return VideoScan(len(times), video.stated, times, video.turned)


class VideoFrames:
    """An open video, read forward; a context manager. Raises `PictureError` for what OpenCV cannot open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = open_quietly(str(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            self._capture.release()
            raise PictureError(
                f"{path}: OpenCV cannot open this as a video; it is damaged, of a codec that OpenCV lacks, or no video",
                reason="unreadable",
            )
        self.position = 0  # of the frame that `grab` comes to next

    @property
    def stated(self) -> int | None:
        """The number of frames by the container."""
        frames = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        return int(frames) if math.isfinite(frames) and 0 < frames < MOST_FRAMES else None

    @property
    def turned(self) -> int:
        """Degrees by which its metadata turn it."""
        degrees = float(self._capture.get(cv2.CAP_PROP_ORIENTATION_META))
        return round(degrees) % 360 if math.isfinite(degrees) else 0

    @property
    def codec(self) -> str:
        """The four letters by which the container names its codec."""
        return codec_of(self._capture)

    @property
    def time_s(self) -> float:
        """When the last frame of `grab` is shown, in seconds from the beginning."""
        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000

    def grab(self) -> bool:
        """Goes one frame on; False where none is left that decodes."""
        found = bool(self._capture.grab())
        self.position += found
        return found

    def jpeg(self) -> bytes:
        """The last frame of `grab` as a JPEG. Raises `PictureError` where it does not decode."""
        found, frame = self._capture.retrieve()
        if not found or frame is None:
            raise PictureError(f"{self._path}: frame {self.position - 1} of this video does not decode ({self.codec})")
        height, width = frame.shape[:2]
        check_pixels(width, height, what=str(self._path))
        return bytes(
            simplejpeg.encode_jpeg(
                np.ascontiguousarray(frame), quality=FRAME_QUALITY, colorspace="BGR", colorsubsampling="420"
            )
        )

    def close(self) -> None:
        """Lets the file go."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class FrameReader:
    """Gives frames of several videos by number, best in order: one video is open at a time, and one goes back anew.

    A process that was forked from another opens its own.
    """

    def __init__(self) -> None:
        self._open: tuple[int, Path, VideoFrames] | None = None

    def jpeg(self, path: Path, number: int) -> bytes:
        """Frame `number` from 0. Raises `PictureError` where there is none of that number, or it does not decode."""
        video = self._at(path, number)
        while video.position <= number:
            if not video.grab():
                raise PictureError(f"{path}: this video ends after {video.position} frames; found no frame {number}")
        return video.jpeg()

    def close(self) -> None:
        """Lets the open video go."""
        if self._open is not None and self._open[0] == os.getpid():
            self._open[2].close()
        self._open = None

    def _at(self, path: Path, number: int) -> VideoFrames:
        if self._open is not None:
            owner, opened, video = self._open
            if owner == os.getpid() and opened == path and video.position <= number:
                return video
        self.close()
        video = VideoFrames(path)
        self._open = os.getpid(), path, video
        return video


def check_video(path: Path) -> None:
    """Opens a video and decodes its first frame. Raises `PictureError` for what is none, and one without a frame."""
    with VideoFrames(path) as video:
        if not video.grab():
            raise no_frame(path, video.codec)
        video.jpeg()


class VideoFinder:
    """Finds the videos that labels name, in `root` and the folders in it, by the last part of the name.

    No deeper: labels may be laid over a share of recordings, which would be walked through in vain.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, Path | None] = {}

    def find(self, name: str) -> Path | None:
        """The video; None where none is called so. Raises `LabelError` where two are."""
        name = name.replace("\\", "/").rpartition("/")[2]
        if Path(name).suffix.lower() not in VIDEO_SUFFIXES:
            return None
        if name not in self._found:
            folders = [self._root, *sorted(path for path in self._root.iterdir() if path.is_dir())]
            found = [folder / name for folder in folders if is_video(folder / name)]
            if len(found) > 1:
                raise LabelError(f"{self._root}: two videos are called {name}: {found[0]} and {found[1]}; remove one")
            self._found[name] = found[0] if found else None
        return self._found[name]


def is_video(path: Path) -> bool:
    """Whether a path is a video file by its suffix."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def no_frame(what: Path | str, codec: str) -> PictureError:
    """The error for a video without a frame."""
    return PictureError(
        f"{what}: no frame of this video can be decoded ({codec}); it is empty or cut off, or OpenCV lacks its codec: "
        f"write it anew as H.264 or MJPEG",
        reason="unreadable",
    )


def codec_of(capture: Any) -> str:
    """The four letters by which a container names its codec, for a message."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = code.to_bytes(4, "little", signed=code < 0).decode("latin-1")
    return f"codec {letters!r}"


def open_quietly(*arguments: Any) -> Any:
    """`cv2.VideoCapture` that says nothing on stderr."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(*arguments)
    finally:
        cv2.utils.logging.setLogLevel(level)
