"""Pictures of a data set out of video files: which frames are taken, and what is wrong with a video as a whole.

A video is judged once, before its first picture is taken: behind a place where frames were lost all labels would lie on
other pictures, so none of it is used.
"""

from collections import Counter
from pathlib import Path

from traffic_yolo.dataset.problems import About, Problem, ProblemSink
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.dataset.video_file import FRAME_QUALITY, FrameReader, VideoScan, check_video, scan_video
from traffic_yolo.errors import DatasetError, PictureError

# What the report says after the number
UNREAD = "frames of videos that cannot be used left out"
BEHIND = "frames behind the end of a video left out, in which nothing is drawn"
VARIES = "videos of a varying frame rate: each picture has the time of its own frame"
TURNED = "videos turned as their metadata say, as players and labelling tools turn them"
SHORT_FRAMES, SHORT_SHARE = 2, 0.02  # fewer than stated by so little, for a container's number may be a guess
SHORTER = "videos with fewer frames than their container states, none of them lost in the middle"


class VideoPictures:
    """The videos of one source. `every`: of the frames of a video that labels name, the first and each N-th after it.

    `tally` counts what is left out, and what is to be known of videos.
    """

    def __init__(self, every: int, tally: Counter[str]) -> None:
        self._every = every
        self._tally = tally
        self._reader = FrameReader()
        self._opens: dict[Path, bool] = {}
        self._scans: dict[Path, VideoScan | None] = {}
        self._met: Counter[str] = Counter()
        self._taken = 0

    def begin(self) -> None:
        """Starts a pass over all labels."""
        self._met.clear()
        self._taken = 0

    def takes(self, labels: PictureLabels, recording: str, on_problem: ProblemSink) -> bool:
        """Whether the frame of these labels becomes a picture. Ask once for each, in order.

        A video that cannot be opened is told once, and none of its frames is taken.
        """
        assert labels.video is not None
        path = labels.video.path
        if path not in self._opens:
            self._opens[path] = True
            try:
                check_video(path)
            except DatasetError as error:
                self._opens[path] = False
                on_problem(Problem("picture-unreadable", str(error), About((labels.where,), labels.name, path)))
        if not self._opens[path]:
            return False
        self._met[recording] += 1
        taken = (self._met[recording] - 1) % self._every == 0
        self._taken += taken
        return taken

    def notes(self) -> list[str]:
        """A line for the report, where there are videos."""
        if not self._met:
            return []
        chosen = f", every {self._every}th" if self._every > 1 else ""
        total = self._met.total()
        frames = f"{self._taken} of {total} labelled frames of {len(self._met)} videos taken{chosen}"
        return [f"{frames}: decoded, and written as JPEG of quality {FRAME_QUALITY}"]

    @property
    def is_used(self) -> bool:
        """Whether any frame of a video was met."""
        return bool(self._met)

    def picture(self, labels: PictureLabels, name: str, on_problem: ProblemSink) -> tuple[bytes, float] | None:
        """The frame's JPEG and its time in seconds; None for one that is left out, which is told or counted."""
        assert labels.video is not None
        path, number, _ = labels.video
        if path not in self._scans:
            self._scans[path] = self._judged(labels, name, on_problem)
        scan = self._scans[path]
        if scan is None:
            self._tally[UNREAD] += 1
            return None
        about = About((labels.where,), name)
        if number >= scan.num_frames:
            if labels.implied:
                self._tally[BEHIND] += 1
                return None
            found = f"expected a frame {number} (from 0) in {path}, found {scan.num_frames} frames"
            advice = "give the video that was labelled, or remove the labels"
            on_problem(Problem("picture-missing", f"{labels.where}: {found}; {advice}", about))
            return None
        try:
            return self._reader.jpeg(path, number), scan.times_s[number]
        except DatasetError as error:
            on_problem(Problem("picture-unreadable", str(error), about))
            return None

    def _judged(self, labels: PictureLabels, name: str, on_problem: ProblemSink) -> VideoScan | None:
        """All frames counted; None for a video that cannot be used, which is told."""
        assert labels.video is not None
        path, _, stated = labels.video
        about = About((labels.where,), name, path)
        try:
            scan = scan_video(path)
        except PictureError as error:
            on_problem(Problem("picture-unreadable", str(error), about))
            return None
        if scan.lost:
            message = (
                f"{path}: expected {scan.stated} frames, as the video states, found {scan.num_frames}, and "
                f"{scan.jumps} gaps between their times: frames were lost, so that labels would lie on others; copy "
                f"the video again, or label what can be played"
            )
            on_problem(Problem("picture-unreadable", message, about))
            return None
        if stated is not None and stated != scan.num_frames:
            message = f"{labels.where}: labels are of {stated} frames, {path} has {scan.num_frames}; give the video "
            on_problem(Problem("picture-size", message + "that was labelled", about))
            return None
        self._tally[VARIES] += scan.varies
        self._tally[TURNED] += bool(scan.turned)
        missing = (scan.stated or 0) - scan.num_frames
        if missing > max(SHORT_FRAMES, SHORT_SHARE * scan.num_frames):  # what is there has its own numbers still
            message = f"{path}: cut off: expected {scan.stated} frames, as the video states, found {scan.num_frames}; "
            on_problem(Problem("picture-unreadable", message + "copy it again", about))
        else:
            self._tally[SHORTER] += missing > 0
        return scan
