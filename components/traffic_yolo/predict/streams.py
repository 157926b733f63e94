"""Live sources: network streams and cameras. They are read as fast as they come, and reached again when they drop.

A stream does not wait for a network that is slower: the oldest frames that wait are dropped then, and counted.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import PictureError
from traffic_yolo.predict.addresses import public_address
from traffic_yolo.predict.video import opened_video

WAITING = 8  # frames that wait for the network at most
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before an attempt to reach a stream again; it doubles in between

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """`number`: from 0, of all that the stream gave; `time_s`: since the first, by this machine's clock.

    `pixels_rgb`: (H, W, 3) uint8, a view of what OpenCV decodes, blue first.
    """

    number: int
    time_s: float
    pixels_rgb: NDArray[np.uint8]


class LiveStream:
    """Reads a stream in a thread of its own from `frames` on; what it counts is complete when they end.

    `num_read`: frames that came. `num_dropped`: of those that were to be looked at, how many the network was too slow
    for. `num_reached_again`: how often it dropped and was reached again. `is_lost`: it was not reached again in
    `attempts` attempts, one after another.
    """

    def __init__(
        self,
        address: str,
        *,
        stride: int = 1,
        attempts: int = 5,
        first_wait_s: float = FIRST_WAIT_S,
        open_video: Callable[[str], Any] = opened_video,
    ) -> None:
        self.address, self.shown = address, public_address(address)
        self.num_read = self.num_dropped = self.num_reached_again = 0
        self.is_lost = False
        self._stride, self._attempts, self._first_wait_s, self._open = stride, attempts, first_wait_s, open_video
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._is_over = False
        self._error: BaseException | None = None
        self._start_s: float | None = None

    def frames(self, *, seconds: float | None = None) -> Generator[Frame, None, None]:
        """Every `stride`-th frame that the caller has time for, in order, until the stream is lost.

        `seconds`: no frames after so much time from the first. Raises `PictureError` for a frame of too many pixels.
        """
        thread = threading.Thread(target=self._run, daemon=True, name="reading a stream")
        thread.start()
        try:
            while (frame := self._next(seconds)) is not None:
                yield frame
        finally:
            self._stop.set()
            thread.join()  # a stream that is silent holds it for `video.TIMEOUT_S` at most

    def notes(self) -> Iterator[str]:
        """What people should know of how it went."""
        if self.num_dropped:
            yield (
                f"{self.shown}: {self.num_dropped} of the {self.num_read} frames that came were dropped, for the "
                f"network is slower; a higher stride or a faster runtime looks at them evenly"
            )
        if self.num_reached_again:
            yield f"{self.shown}: dropped and reached again {self.num_reached_again} times; frames between are missing"
        if self.is_lost:
            yield (
                f"{self.shown}: the stream ended after {self.num_read} frames and was not reached again in "
                f"{self._attempts} attempts"
            )

    def _next(self, seconds: float | None) -> Frame | None:
        with self._changed:
            while not self._waiting:
                left = None
                if seconds is not None and self._start_s is not None:
                    left = self._start_s + seconds - time.monotonic()
                if self._is_over or (left is not None and left <= 0):
                    break
                self._changed.wait(left)
            if not self._waiting:
                if self._error is not None:
                    raise self._error
                return None
            frame = self._waiting.popleft()
        return None if seconds is not None and frame.time_s >= seconds else frame

    def _run(self) -> None:
        try:
            for video in self._connections():
                self._read(video)
        except BaseException as error:  # the reader's to raise
            self._error = error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _connections(self) -> Iterator[Any]:
        """The open stream, again each time that it drops; ends when it is not reached, or nobody reads any more."""
        failures, wait_s = 0, 0.0
        while not self._stop.wait(wait_s):
            before = self.num_read
            video = self._opened()
            if video is not None:
                with video:
                    yield video
            if self._stop.is_set():
                return
            failures = 1 if self.num_read > before else failures + 1
            if failures > self._attempts:
                self.is_lost = True
                return
            wait_s = min(self._first_wait_s * 2 ** (failures - 1), LONGEST_WAIT_S)
            logger.warning(
                "%s: dropped after %d frames; attempt %d of %d to reach it again in %g s",
                self.shown, self.num_read, failures, self._attempts, wait_s,
            )  # fmt: skip

    def _opened(self) -> Any:
        try:
            return self._open(self.address)
        except PictureError:
            return None

    def _read(self, video: Any) -> None:
        is_again = self.num_read > 0
        for number in itertools.count(self.num_read):
            if self._stop.is_set() or not video.capture.grab():
                return
            if is_again:
                self.num_reached_again, is_again = self.num_reached_again + 1, False
            now = time.monotonic()
            if self._start_s is None:
                self._start_s = now
            wanted = number % self._stride == 0
            pixels = None
            if wanted:
                found, frame_bgr = video.capture.retrieve()
                if not found:
                    return
                pixels = frame_bgr[..., ::-1]
            with self._changed:
                self.num_read += 1
                if pixels is not None:
                    self._waiting.append(Frame(number, now - self._start_s, pixels))
                    if len(self._waiting) > WAITING:
                        self._waiting.popleft()
                        self.num_dropped += 1
                self._changed.notify_all()
