"""Reads videos by OpenCV frame by frame, and writes drawn ones as MJPEG in AVI, which needs no licensed encoder."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.decode import check_pixels
from traffic_yolo.dataset.video_file import codec_of, no_frame, open_quietly
from traffic_yolo.errors import PictureError, StorageError
from traffic_yolo.predict.addresses import CAMERA

FRAME_QUALITY = 80  # of the JPEGs of a drawn video; at 90 they take a third longer and are half as large again
RIFF_HEAD = 8  # bytes: the word, and how many follow
ASSUMED_FPS = 25.0  # of a video that states none: a bare stream of frames
MOST_FPS = 1000.0  # a container that states more states no rate
TIMEOUT_S = 10.0  # until a stream that does not answer, or gives nothing more, counts as gone


@dataclass(frozen=True)
class VideoFacts:
    """What a video states of itself. `num_frames`: None where it does not say; `fps`: `ASSUMED_FPS` then."""

    size_wh: tuple[int, int]
    fps: float
    num_frames: int | None


def video_facts(path: Path | str, *, shown: str = "") -> VideoFacts:
    """Opens a video and decodes its first frame. `path` is a file, the address of a stream, or "camera:NUMBER".

    Raises `PictureError`, which calls it `shown`, for what is no video or does not answer, one of a codec that OpenCV
    lacks, and one without a frame.
    """
    with opened_video(path, shown=shown) as video:
        found, frame = video.capture.read()
        if not found or frame is None:
            raise no_frame(shown or path, video.codec)
        height, width = frame.shape[:2]
        check_pixels(width, height, what=shown or str(path))
        return VideoFacts((width, height), video.fps, video.num_frames)


def video_frames(path: Path | str, *, stride: int = 1) -> Generator[tuple[int, float, NDArray[np.uint8]], None, None]:
    """(number from 0, seconds, pixels (H, W, 3) uint8 RGB) of every `stride`-th frame, until none can be decoded.

    The pixels lie in memory as OpenCV decodes them, blue first: a view turns them round.
    """
    with opened_video(path) as video:
        number = 0
        while video.capture.grab():
            if number % stride == 0:
                found, frame = video.capture.retrieve()
                if not found:
                    return
                # The frame's own time, for the rate of a phone's or a camera's video changes
                time_s = float(video.capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
                yield number, time_s, frame[..., ::-1]
            number += 1


class VideoWriter:
    """A drawn video while it grows; `close` completes it. Raises `StorageError` for what cannot be written.

    libjpeg-turbo encodes a frame in a third of the time that FFmpeg's own encoder takes (1920 x 1080: 8 ms against 25);
    OpenCV only puts the JPEGs into the file.
    """

    def __init__(self, path: Path, *, size_wh: tuple[int, int], fps: float) -> None:
        self._path, self._size_wh = path, size_wh
        path.parent.mkdir(parents=True, exist_ok=True)
        as_they_are = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
        fourcc = cv2.VideoWriter.fourcc(*"MJPG")
        self._writer: Any = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, size_wh, as_they_are)
        if not self._writer.isOpened():
            raise StorageError(f"{path}: OpenCV cannot write an MJPEG video there; draw pictures of its frames instead")

    def add(self, image_bgr: NDArray[np.uint8], *, times: int = 1) -> None:
        """One frame (H, W, 3) uint8 BGR of the size that all have, shown `times` frames long."""
        height, width = image_bgr.shape[:2]
        if (width, height) != self._size_wh:
            stated = f"{self._size_wh[0]} x {self._size_wh[1]}"
            raise PictureError(f"{self._path.name}: the video's frames change from {stated} to {width} x {height}")
        jpeg = encoded(image_bgr)
        for _ in range(times):
            self._writer.write(np.frombuffer(jpeg, np.uint8)[np.newaxis])

    def close(self) -> None:
        """Writes what the file ends with, and looks whether all is there: OpenCV does not say when a disk is full."""
        self._writer.release()
        if not _is_whole(self._path):
            raise StorageError(f"{self._path}: the drawn video could not be written whole; is the disk full?")


def encoded(image_bgr: NDArray[np.uint8]) -> bytes:
    """The JPEG of a frame (H, W, 3) uint8 BGR of a drawn video."""
    image_bgr = np.ascontiguousarray(image_bgr)
    jpeg: bytes = simplejpeg.encode_jpeg(image_bgr, quality=FRAME_QUALITY, colorspace="BGR", colorsubsampling="420")
    return jpeg


def _is_whole(path: Path) -> bool:
    """Whether an AVI holds all the bytes that its RIFF chunks, which stand one after another, state."""
    if not path.is_file():
        return False
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            head = file.read(RIFF_HEAD)
            if len(head) < RIFF_HEAD or not head.startswith(b"RIFF"):
                return False
            position += RIFF_HEAD + int.from_bytes(head[4:], "little")
    return position == size and size > 0


class opened_video:
    """A capture, released after the block; what it may be of, and what is raised, says `video_facts`."""

    def __init__(self, path: Path | str, *, shown: str = "") -> None:
        self.capture: Any = _capture(str(path))
        if not self.capture.isOpened():
            self.capture.release()
            reason = "OpenCV cannot open this as a video; it is damaged, of a codec that OpenCV lacks, or no video"
            if str(path).startswith(CAMERA):
                reason = "OpenCV finds no such camera; see the files /dev/video*"
            elif "://" in str(path):
                reason = f"no video there; it does not answer in {TIMEOUT_S:g} s, asks for a password, or is none"
            raise PictureError(f"{shown or path}: {reason}", reason="unreadable")
        fps, frames = (float(self.capture.get(key)) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if math.isfinite(fps) and 0 < fps <= MOST_FPS else ASSUMED_FPS
        self.num_frames = int(frames) if math.isfinite(frames) and 0 < frames < 1 << 40 else None

    @property
    def codec(self) -> str:
        """The four letters by which a container names its codec."""
        return codec_of(self.capture)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.capture.release()


def _capture(text: str) -> Any:
    if text.startswith(CAMERA):
        return open_quietly(int(text.removeprefix(CAMERA)), cv2.CAP_ANY)
    if "://" not in text:
        return open_quietly(text, cv2.CAP_FFMPEG)
    wait_ms = round(1000 * TIMEOUT_S)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait_ms]
    return open_quietly(text, cv2.CAP_FFMPEG, limits)
