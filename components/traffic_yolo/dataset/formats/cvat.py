"""CVAT XML 1.1, of image tasks and of video tracks: read into labels by picture, written one image after another.

Boxes are kept, other outlines become the boxes around them; points, lines, cuboids, skeletons and tags are counted.
"""

import bisect
import heapq
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import LABEL_SOURCE, flag, number, plain_value, whole_number
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import SOURCE, record_fields
from traffic_yolo.dataset.formats.shapes import (
    Box,
    box_of_corners,
    box_of_points,
    box_of_rotated,
    ordered_xywh,
    polygon_area,
)
from traffic_yolo.dataset.formats.xml_stream import XmlElement, root_tag, xml_elements
from traffic_yolo.dataset.problems import THE_SET, Problem, ProblemSink, strict
from traffic_yolo.dataset.records import Annotation, PictureLabels, VideoFrame
from traffic_yolo.dataset.video_file import VideoFinder
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown

ROOT_TAG = "annotations"
OUTLINES = frozenset({"polygon", "ellipse", "mask"})
TAG = "tag"
LEFT_OUT = frozenset({"polyline", "points", "cuboid", "skeleton", TAG})
DRAWN = frozenset({"box", *OUTLINES})
MAX_FRAMES = 10_000_000  # of a video: 92 hours at 30 a second
VIDEO_PICTURE = re.compile(r"frame_(?P<frame>[0-9]{1,9})")  # as CVAT calls a video's frames among its images
VIDEO_SUFFIX = re.compile(r"\.(?=\w*[A-Za-z])\w{1,5}\Z")  # of a file's kind: one that is all digits is of an address
MANUAL = "manual"  # what `source` says of a shape that a human drew
SUBSETS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def cvat_files(path: Path) -> list[Path]:
    """The CVAT files that `path` is, or that lie in the folder `path`, in the order of their names."""
    candidates = [path] if path.is_file() else sorted(path.glob("*.xml")) if path.is_dir() else []
    return [file for file in candidates if file.suffix == ".xml" and root_tag(file) == ROOT_TAG]


class CvatReader:
    """One XML file, or the folder that holds some, such as an export of each task; see `base.LabelReader`.

    Two files may name one picture, which whoever reads it refuses: no label of it is lost without a word.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        files = cvat_files(path)
        if not files:
            raise StorageError(f"no CVAT file (*.xml with <{ROOT_TAG}>) at {path}")
        self.root = files[0].parent
        videos = VideoFinder(self.root)
        self._files = [_CvatFile(file, videos) for file in files]
        self.is_video = any(file.is_video for file in self._files)
        self.classes = tuple(dict.fromkeys(name for file in self._files for name in file.classes))
        self.default_classes = frozenset(self.classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The pictures of one file after another."""
        for file in self._files:
            yield from file.pictures(on_problem)

    def notes(self) -> list[str]:
        """Shapes that became boxes, and those that were left out."""
        return [note for file in self._files for note in file.notes()]


class _CvatFile:
    """One XML file.

    Pictures of video tracks are called `frame_000012`, as CVAT names them when it exports them; their recording is the
    video, whose file gives the pictures where it lies beside the labels. Between two keyframes a box moves linearly and
    keeps the first one's `occluded` and attributes; after `outside` it is gone until the next keyframe; after the last
    it stays to the end of the task, as CVAT shows it.
    """

    def __init__(self, file: Path, videos: VideoFinder) -> None:
        self._file = file
        self._videos = videos
        self._left_out = LeftOut()
        meta = next(iter(xml_elements(file, ("meta", "image", "track"))), None)
        self._task = _Task.of(meta if meta is not None and meta.tag == "meta" else None, str(file))
        self.is_video = self._task.is_video
        self.classes = self._task.classes or self._classes_in_use()

    def pictures(self, on_problem: ProblemSink) -> Iterator[PictureLabels]:
        """Images one after another; then the frames of the tracks, whose boxes are all in memory."""
        self._left_out.begin(on_problem)
        tracks: dict[tuple[str, str], list[_Track]] = {}
        for element in xml_elements(self._file, ("image", "track")):
            # An object of a video is in many frames, and is read before the first of them
            about = self._left_out.about = None if element.tag == "image" else THE_SET
            try:
                if element.tag == "image":
                    yield self._image(element)
                else:
                    task = (element.attributes.get("task_id", ""), element.attributes.get("subset", ""))
                    tracks.setdefault(task, []).append(self._track(element))
            except LabelError as error:
                on_problem(Problem("label-broken", str(error), about))
        self._left_out.about = None
        for (task_id, subset), of_task in tracks.items():
            yield from self._frames(of_task, task_id, subset, several=len(tracks) > 1)

    def notes(self) -> list[str]:
        """Shapes that became boxes, and those that were left out."""
        return [f"{self._file.name}: {count} {what}" for what, count in sorted(self._left_out.items()) if count]

    def _classes_in_use(self) -> tuple[str, ...]:
        """The labels of all shapes, for a file whose head does not list them."""
        found: dict[str, None] = {}
        for element in xml_elements(self._file, ("track", "box", *OUTLINES)):
            found[element.attributes.get("label", "")] = None
        return tuple(name for name in found if name)

    def _where(self, element: XmlElement) -> str:
        return f"{self._file} line {element.line}"

    def _label(self, element: XmlElement) -> str:
        label = element.attributes.get("label", "")
        if label not in self.classes:
            known = ", ".join(self.classes)
            raise LabelError(f"{self._where(element)}: label {shown(label)} is none of the task's: {known}")
        return label

    def _image(self, image: XmlElement) -> PictureLabels:
        where = self._where(image)
        name = image.attributes.get("name", "")
        if not name:
            raise LabelError(f"{where}: an image without a name")
        stated = [image.attributes.get(side) for side in ("width", "height")]
        width, height = (whole_number(side, "width and height", where) if side else 0 for side in stated)
        annotations = []
        self._left_out.picture()
        for shape in image.children:
            if shape.tag in DRAWN and not shape.attributes.get("label"):
                self._left_out.shape("without a label", self._where(shape))
            elif shape.tag in DRAWN:
                box, area, turned = self._box(shape)
                sound = self._left_out.sound(box, self._where(shape), turned=turned)
                if sound is not None:
                    attributes = _attributes(shape, self._task.text_attributes)
                    drawn = _Drawn(sound, area, flag(shape.attributes.get("occluded"), "occluded", where), attributes)
                    annotations.append(self._annotation(self._label(shape), drawn, shape))
            else:
                self._leave_out(shape)
        self._left_out.end_picture(f"{where} ({name})", len(annotations))
        task_id = image.attributes.get("task_id", "")
        subset = image.attributes.get("subset") or self._task.subset_of.get(task_id, "")
        of_video = VIDEO_PICTURE.fullmatch(name) if self.is_video else None
        video = self._video(task_id, int(of_video["frame"])) if of_video else None
        return PictureLabels(
            name=name,
            annotations=tuple(annotations),
            where=f"{where} ({name})",
            image_wh=(width, height) if width and height else None,
            own_split=SUBSETS.get(subset.lower(), ""),
            recording=self._task.recording_of(task_id) if video is not None else "",
            video=video,
        )

    def _video(self, task_id: str, frame: int) -> VideoFrame | None:
        """The frame in the task's video, where that lies beside the labels."""
        path = self._videos.find(self._task.source_of(task_id))
        return VideoFrame(path, frame) if path is not None else None

    def _leave_out(self, shape: XmlElement) -> None:
        if shape.tag == TAG:  # says something of the whole picture
            self._left_out[f"shapes of the kind {TAG} left out"] += 1
        elif shape.tag in LEFT_OUT:
            self._left_out.shape(f"of the kind {shape.tag}", self._where(shape))

    def _box(self, shape: XmlElement) -> tuple[Box, float | None, bool]:
        """The upright box (xywh) around a shape; its own area, None for the box's; whether it was reversed."""
        where, values = self._where(shape), shape.attributes

        def value(name: str) -> float:
            return number(values.get(name), name, where)

        if shape.tag == "polygon":
            points = _points(values.get("points", ""), where)
            self._left_out["outlines left out, boxes kept"] += 1
            return box_of_points(points), polygon_area(points), False
        if shape.tag == "ellipse":
            turned = min(value("rx"), value("ry")) < 0
            radius_x, radius_y = abs(value("rx")), abs(value("ry"))
            self._left_out["outlines left out, boxes kept"] += 1
            box = value("cx") - radius_x, value("cy") - radius_y, 2 * radius_x, 2 * radius_y
            return box, math.pi * radius_x * radius_y, turned
        if shape.tag == "mask":
            self._left_out["outlines left out, boxes kept"] += 1
            return (value("left"), value("top"), value("width"), value("height")), None, False
        box, turned = box_of_corners(value("xtl"), value("ytl"), value("xbr"), value("ybr"))
        degrees = number(values.get("rotation") or 0, "rotation", where)
        if degrees % 180:
            self._left_out["turned boxes became the upright boxes around them"] += 1
            return box_of_rotated(box, degrees), box[2] * box[3], turned
        return box, None, turned

    def _annotation(self, label: str, drawn: "_Drawn", shape: XmlElement) -> Annotation:
        where = self._where(shape)
        attributes = dict(drawn.attributes)
        if drawn.occluded and "occluded" not in attributes:
            attributes["occluded"] = True
        if shape.attributes.get("group_id"):
            attributes["group_id"] = plain_value(shape.attributes["group_id"])
        source = shape.attributes.get("source", MANUAL)
        if source != MANUAL and LABEL_SOURCE not in attributes:
            attributes[SOURCE] = source
        try:
            return Annotation(label, drawn.box, area=drawn.area, number=shape.line, **record_fields(attributes))
        except LabelError as error:
            raise LabelError(f"{where}: {error}") from error

    def _track(self, element: XmlElement) -> "_Track":
        label = self._label(element)
        frames: list[_Drawn] = []
        for shape in element.children:
            if shape.tag not in DRAWN:
                self._leave_out(shape)
                continue
            where = self._where(shape)
            box, area, turned = self._box(shape)
            outside = flag(shape.attributes.get("outside"), "outside", where)
            ordered = ordered_xywh(box)
            if (turned or ordered != box) and not outside:  # of one that is outside, tools leave any box
                self._left_out.turned(box, where)
            frames.append(
                _Drawn(
                    ordered,
                    area,
                    flag(shape.attributes.get("occluded"), "occluded", where),
                    _attributes(shape, self._task.text_attributes),
                    frame=whole_number(shape.attributes.get("frame"), "frame", where),
                    outside=outside,
                )
            )
        frames.sort(key=lambda drawn: drawn.frame)
        if frames and frames[-1].frame - frames[0].frame > MAX_FRAMES:
            raise LabelError(f"{self._where(element)}: track from frame {frames[0].frame} to {frames[-1].frame}")
        for before, after in itertools.pairwise(frames):
            if before.frame == after.frame:
                raise LabelError(f"{self._where(element)}: track has two boxes in frame {after.frame}; keep one")
        return _Track(label, element, tuple(frames), element.attributes.get("id", ""))

    def _frames(
        self, tracks: "Sequence[_Track]", task_id: str, subset: str, *, several: bool
    ) -> Iterator[PictureLabels]:
        """The frames of one task: those in its range, and any others that a track names."""
        drawn = sorted({drawn.frame for track in tracks for drawn in track.drawn})
        if drawn and drawn[-1] - drawn[0] > MAX_FRAMES:
            raise LabelError(f"{self._file}: tracks from frame {drawn[0]} to {drawn[-1]} make no video of one task")
        frames = self._task.frames(drawn, task_id)
        named = set(drawn)
        recording = self._task.recording_of(task_id) or (f"task-{task_id}" if several else "")
        for frame in frames:
            annotations = []
            self._left_out.picture()
            for track in tracks:
                found = track.at(frame)
                where = f"{self._where(track.element)} frame {frame}"
                if found is None or self._left_out.sound(found.box, where) is None:
                    continue
                attributes = {**found.attributes, **({"track_id": plain_value(track.number)} if track.number else {})}
                moved = _Drawn(found.box, found.area, found.occluded, attributes)
                annotations.append(self._annotation(track.label, moved, track.element))
            self._left_out.end_picture(f"{self._file} frame {frame}", len(annotations))
            yield PictureLabels(
                name=f"frame_{frame:06d}",
                annotations=tuple(annotations),
                where=f"{self._file} frame {frame}",
                image_wh=self._task.frame_wh,
                recording=recording,
                scan=str(frame),
                own_split=SUBSETS.get((subset or self._task.subset_of.get(task_id, "")).lower(), ""),
                implied=not annotations or frame not in named,
                video=self._video(task_id, frame),
            )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A shape as a box: xywh, the shape's own area, and for tracks the frame and whether the object is gone."""

    box: Box
    area: float | None
    occluded: bool
    attributes: Mapping[str, Any]
    frame: int = 0
    outside: bool = False


@dataclass(frozen=True)
class _Track:
    """One object through a video; `drawn` in the order of the frames."""

    label: str
    element: XmlElement
    drawn: tuple[_Drawn, ...]
    number: str
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.starts.extend(drawn.frame for drawn in self.drawn)
        self.element.children.clear()  # what they said is in `drawn`

    def at(self, frame: int) -> _Drawn | None:
        """The object in a frame; None where it is not to be seen."""
        row = bisect.bisect_right(self.starts, frame) - 1
        if row < 0 or self.drawn[row].outside:
            return None
        before = self.drawn[row]
        if before.frame == frame or row + 1 == len(self.drawn):
            return before
        after = self.drawn[row + 1]
        share = (frame - before.frame) / (after.frame - before.frame)
        x, y, width, height = (a + (b - a) * share for a, b in zip(before.box, after.box, strict=True))
        return _Drawn((x, y, width, height), None, before.occluded, before.attributes, frame)


@dataclass(frozen=True)
class _Task:
    """What the head of a file says. Tasks of a project are told apart by their ids; a lone task has the id ""."""

    classes: tuple[str, ...] = ()
    is_video: bool = False
    text_attributes: frozenset[str] = frozenset()
    frame_wh: tuple[int, int] | None = None
    ranges: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)  # first, last, step
    subset_of: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, meta: XmlElement | None, where: str) -> "_Task":
        if meta is None:
            return cls()
        head = meta.find("task") or meta.find("project") or meta.find("job") or meta
        labels = head.find("labels")
        listed = list(labels.all("label")) if labels else []
        attributes = [a for label in listed if (found := label.find("attributes")) for a in found.all("attribute")]
        tasks = {"": head} if head.tag != "project" else {}
        if (several := head.find("tasks")) is not None:
            tasks |= {task.text_of("id"): task for task in several.all("task")}
        size = head.find("original_size") or meta.find("original_size")
        ranges = {key: limits for key, task in tasks.items() if (limits := _range(task, where))}
        return cls(
            is_video=head.text_of("mode") == "interpolation",
            classes=tuple(dict.fromkeys(name for label in listed if (name := label.text_of("name")))),
            # What is not declared a number or a box to tick stays text: 0003 is somebody's word
            text_attributes=frozenset(
                a.text_of("name") for a in attributes if a.text_of("input_type") in ("text", "select", "radio")
            ),
            frame_wh=_size(size, where),
            ranges=ranges,
            subset_of={key: task.text_of("subset") for key, task in tasks.items()},
            sources={key: task.text_of("source") or meta.text_of("source") for key, task in tasks.items()},
        )

    def frames(self, named: Sequence[int], task_id: str) -> Iterator[int]:
        """The frames of a task in order: its range, or from the first to the last that a track names."""
        known = self.ranges.get(task_id) or self.ranges.get("")
        if known is None:
            return iter(range(named[0], named[-1] + 1)) if named else iter(())
        within = range(known[0], known[1] + 1, known[2])
        return heapq.merge(within, [frame for frame in named if frame not in within])

    def source_of(self, task_id: str) -> str:
        """The name of the task's video, "" where the head does not say it."""
        return self.sources.get(task_id) or self.sources.get("", "")

    def recording_of(self, task_id: str) -> str:
        """The name of the task's video without its suffix, "" where the head does not say it.

        Recordings may be called after their camera's address, so that not each dot begins a suffix.
        """
        name = self.source_of(task_id).replace("\\", "/").rpartition("/")[2]
        return VIDEO_SUFFIX.sub("", name)


def _range(task: XmlElement, where: str) -> tuple[int, int, int] | None:
    first, last = task.text_of("start_frame"), task.text_of("stop_frame")
    if not first or not last:
        return None
    words = task.text_of("frame_filter").removeprefix("step=")
    step = whole_number(words, "frame_filter", where) if words else 1
    start, stop = whole_number(first, "start_frame", where), whole_number(last, "stop_frame", where)
    if stop - start > MAX_FRAMES or step < 1:
        raise LabelError(f"{where}: frames from {start} to {stop} in steps of {step} make no sense")
    return start, stop, step


def _size(size: XmlElement | None, where: str) -> tuple[int, int] | None:
    if size is None or not size.text_of("width") or not size.text_of("height"):
        return None
    width, height = (whole_number(size.text_of(side), side, where) for side in ("width", "height"))
    return (width, height) if width and height else None


def _attributes(shape: XmlElement, text_attributes: frozenset[str]) -> dict[str, Any]:
    found = {
        name: child.text if name in text_attributes else plain_value(child.text)
        for child in shape.all("attribute")
        if (name := child.attributes.get("name", ""))
    }
    if shape.attributes.get("z_order", "0") != "0":
        found["z_order"] = plain_value(shape.attributes["z_order"])
    return found


def _points(text: str, where: str) -> list[tuple[float, float]]:
    points = []
    for pair in text.split(";"):
        x, _, y = pair.partition(",")
        points.append((number(x, "points", where), number(y, "points", where)))
    return points
