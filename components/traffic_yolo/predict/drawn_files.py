"""The drawn pictures and videos that a run writes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.detection.nms import Detections
from traffic_yolo.predict.drawing import draw
from traffic_yolo.predict.following import Followed
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.inputs import Input
from traffic_yolo.predict.video import VideoWriter
from traffic_yolo.predict.written_rows import write_jpeg

LONGEST_GAP_S = 2.0  # that a drawn video shows of the time in which a stream gave nothing


class Drawing:
    """Draws pictures into a folder; one video is open at a time."""

    def __init__(self, folder: Path, classes: tuple[str, ...]) -> None:
        self._folder, self._classes = folder, classes
        self._video: VideoWriter | None = None
        self._of: Input | None = None
        self._written = 0  # frames of that video

    def add(self, file: Input, picture: InputPicture, found: Detections, followed: Followed) -> None:
        """Draws a picture, on its own memory where it is a video's frame: it must be the last that looks at it."""
        image_bgr = picture.bgr()
        draw(image_bgr, found.boxes_xyxy, found.scores, found.class_ids, self._classes, followed)
        if self._of is not file:
            self.close()
        if not file.is_video:
            write_jpeg(self._folder / f"{picture.name}.jpg", image_bgr)
            return
        if self._video is None:
            size_wh = (picture.width, picture.height)
            self._video = VideoWriter(self._folder / f"{file.name}.avi", size_wh=size_wh, fps=file.fps)
            self._of, self._written = file, 0
        times = 1 if not file.is_live else self._times(file, picture.time_s or 0.0)
        if times:
            self._video.add(image_bgr, times=times)
            self._written += times

    def _times(self, file: Input, time_s: float) -> int:
        """How many frames long a picture of a stream is shown, so that the video lasts as long as the street did."""
        due = round(time_s * file.fps) + 1 - self._written
        if due > (most := max(1, round(LONGEST_GAP_S * file.fps))):
            self._written += due - most  # a gap in the stream is cut short
            return most
        return max(0, due)

    def close(self) -> None:
        """Completes the video that is open."""
        video, self._video, self._of = self._video, None, None
        if video is not None:
            video.close()


@contextlib.contextmanager
def opened_drawing(folder: Path, classes: tuple[str, ...], *, wanted: bool) -> Iterator[Drawing | None]:
    if not wanted:
        yield None
        return
    drawing = Drawing(folder, classes)
    try:
        yield drawing
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong before is what matters
            drawing.close()
        raise
    drawing.close()
