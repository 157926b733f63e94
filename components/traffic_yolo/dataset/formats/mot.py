"""MOT sequences, of MOTChallenge and CVAT ("MOT 1.1"): `gt/gt.txt` with a line for each box of a track in a frame."""

import configparser
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import is_plain, number, whole_number
from traffic_yolo.dataset.formats.label_text import LabelText, path_of
from traffic_yolo.dataset.formats.left_out import LeftOut, emptied_message
from traffic_yolo.dataset.formats.provenance import drawn_by
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import THE_SET, About, Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import SPLITS, Annotation, PictureLabels, VideoFrame
from traffic_yolo.dataset.video_file import VIDEO_SUFFIXES, is_video
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown

TRUTH, DETECTIONS = Path("gt/gt.txt"), Path("det/det.txt")
INFO, LABELS = "seqinfo.ini", Path("gt/labels.txt")
PICTURES = "img1"
DEEPEST = 2  # folders between a source and its sequences: a split, a benchmark
MAX_FRAMES = 1_000_000  # of a sequence: nine hours at 30 a second
# Of MOT16, MOT17 and MOT20, numbered from 1 (motchallenge.net, "MOT16: A Benchmark for Multi-Object Tracking", table 3)
BENCHMARK_CLASSES = (
    "Pedestrian", "Person on vehicle", "Car", "Bicycle", "Motorbike", "Non motorized vehicle", "Static person",
    "Distractor", "Occluder", "Occluder on the ground", "Occluder full", "Reflection", "Crowd",
)  # fmt: skip
NO_CLASS = -1  # in MOT15 and in detections, which know pedestrians alone


def mot_sequences(path: Path) -> list[Path]:
    """The folders of sequences that `path` is or that lie below it, in the order of their paths."""
    if path.is_file():
        return [path.parent.parent] if path in (path.parent.parent / TRUTH, path.parent.parent / DETECTIONS) else []
    patterns = ["*/" * depth + str(file) for depth in range(DEEPEST + 1) for file in (TRUTH, DETECTIONS)]
    found = {file.parent.parent for pattern in patterns for file in path.glob(pattern) if file.is_file()}
    return sorted(found)


class MotReader:
    """A sequence, or a folder of them; see `base.LabelReader`.

    A box whose seventh column is 0 is ignored. Sequences without a truth have detections, which are a model's.
    Corners count from 1, as MOTChallenge says, but from 0 where `gt/labels.txt` names the classes: CVAT writes that
    file, and corners as they are. Reading the classes takes a pass over all sequences.
    """

    is_video = True

    def __init__(self, path: Path, options: ReadOptions) -> None:
        folders = mot_sequences(path)
        if not folders:
            raise StorageError(f"no MOT sequence ({TRUTH} or {DETECTIONS}) at {path}")
        self.root = folders[0] if path.is_file() else path
        self._left_out = LeftOut()
        self._text = LabelText(options.encoding)
        self._sequences = [MotSequence.of(folder, self.root, self._text) for folder in folders]
        counted: dict[str, bool] = {}
        for sequence in self._sequences:
            counted |= dict.fromkeys(sequence.classes if sequence.has_labels else (), True)
            for annotations in self._boxes(sequence, already_told)[0].values():
                for annotation in annotations:
                    counted[annotation.class_name] = counted.get(annotation.class_name, False) or annotation.counts
        self._left_out.clear()
        self.classes = tuple(dict.fromkeys([*(name for name in counted if counted[name]), *counted]))
        self.default_classes = frozenset(name for name in counted if counted[name])

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The frames of one sequence after another, whose boxes are all in memory."""
        self._left_out.begin(on_problem)
        for sequence in self._sequences:
            boxes, broken = self._boxes(sequence, on_problem)
            known = sequence.frames()
            pictures = sequence.pictures(on_problem)
            video = None if pictures else sequence.video()
            # A frame where a detector found nothing is not one of which a human says that nothing is there
            named = boxes.keys() | (known | pictures.keys() if sequence.is_truth else set())
            for frame in sorted(named - broken):
                annotations = tuple(boxes.get(frame, ()))
                if frame in boxes and not annotations:
                    message = emptied_message(sequence.place(frame))
                    on_problem(Problem("picture-emptied", message, About((sequence.place(frame),))))
                path = pictures.get(frame)
                yield PictureLabels(
                    name=f"{sequence.name}/{frame:06d}" if sequence.name else f"{frame:06d}",
                    annotations=annotations,
                    where=sequence.place(frame),
                    image_wh=sequence.image_wh,
                    path=path,
                    recording=sequence.name,
                    own_split=sequence.split,
                    implied=frame not in boxes,
                    video=None if video is None else VideoFrame(video, frame - 1, sequence.length or None),
                )

    def notes(self) -> list[str]:
        """From where corners count; boxes without area, and reversed ones."""
        found = []
        for origin, what in ((1, "1, as MOTChallenge says"), (0, "0, as CVAT writes them")):
            count = sum(sequence.origin == origin for sequence in self._sequences)
            found += [f"MOT: corners of {count} sequences counted from {what}"] if count else []
        left_out = [f"MOT: {count} {what}" for what, count in sorted(self._left_out.items()) if count]
        return [*found, *left_out, *self._text.notes()]

    def _boxes(
        self, sequence: "MotSequence", on_problem: ProblemSink
    ) -> tuple[Mapping[int, list[Annotation]], set[int]]:
        """The boxes of each frame that has lines, and the frames with a line that cannot be read.

        A frame all of whose boxes are without area has an empty list. One with a broken line is not to be used: the
        object of that line would be taught as background.
        """
        boxes: dict[int, list[Annotation]] = defaultdict(list)
        broken: set[int] = set()
        try:
            for index, line in self._text.lines(sequence.file):
                where = f"{sequence.file} line {index}"
                number_ = line.split(",", 1)[0].strip()
                of_frame = int(number_) if number_.isascii() and number_.isdigit() and len(number_) < 10 else None
                # The lines of all frames are read before the first frame is given: each problem names its own
                about = About(("" if of_frame is None else sequence.place(of_frame),))
                self._left_out.about = about
                try:
                    frame, annotation = read_mot_line(line, where, sequence, self._left_out, index)
                except LabelError as error:
                    on_problem(Problem("label-broken", str(error), about))
                    broken |= set() if of_frame is None else {of_frame}
                    continue
                boxes[frame] += [annotation] if annotation is not None else []
        except LabelError as error:  # of the whole file
            on_problem(Problem("label-broken", str(error), THE_SET))
        return boxes, broken


@dataclass(frozen=True)
class MotSequence:
    """What is known of a sequence before its lines are read. `classes` are numbered from 1; `length` 0: not stated."""

    folder: Path
    name: str
    split: str
    classes: tuple[str, ...]
    has_labels: bool
    picture_folder: Path
    image_wh: tuple[int, int] | None
    length: int

    @classmethod
    def of(cls, folder: Path, root: Path, text: LabelText) -> "MotSequence":
        info = _info(folder / INFO, text)
        where = str(folder / INFO)
        width, height, length = (
            whole_number(info[key], key, where) if key in info else 0 for key in ("imwidth", "imheight", "seqlength")
        )
        if length > MAX_FRAMES:
            raise LabelError(f"{where}: seqLength: expected {MAX_FRAMES:,} frames at most; found {length}")
        pictures = path_of(info.get("imdir", PICTURES))
        if pictures.is_absolute() or ".." in pictures.parts or "\0" in str(pictures):
            raise LabelError(f"{where}: imDir {shown(str(pictures))} lies outside the sequence's folder")
        has_labels = os.path.isfile(folder / LABELS)
        classes = tuple(line for _, line in text.lines(folder / LABELS)) if has_labels else BENCHMARK_CLASSES
        parts = folder.relative_to(root).parts
        splits = [part for part in parts[:-1] if part in SPLITS]
        # Never the name of the source itself: a renamed source is the same source
        name = "-".join(info.get("name", parts[-1] if parts else "").replace("\\", "/").split("/"))
        image_wh = (width, height) if width and height else None
        return cls(folder, name, splits[0] if splits else "", classes, has_labels, folder / pictures, image_wh, length)

    @property
    def is_truth(self) -> bool:
        return os.path.isfile(self.folder / TRUTH)

    @property
    def file(self) -> Path:
        return self.folder / (TRUTH if self.is_truth else DETECTIONS)

    def place(self, frame: int) -> str:
        """Where the labels of a frame stand (`PictureLabels.where`)."""
        return f"{self.file} frame {frame}"

    @property
    def origin(self) -> int:
        return 0 if self.has_labels else 1

    def frames(self) -> set[int]:
        """The frames that the head states."""
        return set(range(1, self.length + 1))

    def video(self) -> Path | None:
        """The video whose frames these are: the only one in the sequence's folder, or the one beside it of its name.

        Raises `LabelError` where the folder has several.
        """
        inside = [path for path in sorted(self.folder.iterdir()) if is_video(path)]
        if len(inside) > 1:
            raise LabelError(f"{self.folder}: expected one video, found {inside[0].name} and {inside[1].name}")
        beside = (self.folder.with_name(self.folder.name + suffix) for suffix in sorted(VIDEO_SUFFIXES))
        return inside[0] if inside else next((path for path in beside if is_video(path)), None)

    def pictures(self, on_problem: ProblemSink) -> dict[int, Path]:
        """The pictures by the numbers that they are called; others, and the second of two with one number, are told."""
        found: dict[int, Path] = {}
        names = sorted(os.listdir(self.picture_folder)) if self.picture_folder.is_dir() else []
        for name in names:
            path = self.picture_folder / name
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                continue
            if not (path.stem.isascii() and path.stem.isdigit()):
                message = f"{path}: expected a frame's number as name, found {shown(path.stem)}; left out: rename it"
                on_problem(Problem("picture-left-out", message))
                continue
            frame = whole_number(path.stem, "the number of a frame", str(path))
            if found.setdefault(frame, path) is not path:
                message = f"{path}: expected one picture a frame, found {found[frame].name} too; remove one"
                on_problem(Problem("picture-left-out", message))
        return found


def read_mot_line(
    line: str, where: str, sequence: MotSequence, left_out: LeftOut, line_number: int
) -> tuple[int, Annotation | None]:
    """(frame, box) of a line; no box for one without area. Raises `LabelError` beginning with `where`."""
    parts = [part.strip() for part in line.split(",")]
    if not 7 <= len(parts) <= 10:
        expected = "frame, id, left, top, width, height, flag, class, visibility"
        raise LabelError(f"{where}: expected {expected}; found {shown(line)}")
    frame = whole_number(parts[0], "frame", where)
    x, y, width, height, seventh = (
        number(part, what, where)
        for part, what in zip(parts[2:7], ("left", "top", "width", "height", "flag"), strict=True)
    )
    class_name = _class_of(parts[7] if len(parts) > 7 else str(NO_CLASS), where, sequence)
    box = left_out.sound((x - sequence.origin, y - sequence.origin, width, height), where)
    if box is None:
        return frame, None
    track = number(parts[1], "id", where)
    attributes: dict[str, float | int] = {"track_id": int(track)} if track >= 0 else {}
    if sequence.is_truth and len(parts) > 8 and parts[8] not in ("", "-1"):  # without: MOT15's place in the world
        attributes["visibility"] = number(parts[8], "visibility", where)
    if sequence.is_truth:
        if seventh not in (0, 1):
            raise LabelError(f"{where}: expected 0 (ignored) or 1 in column 7; found {shown(parts[6])}")
        drawn = drawn_by("human", attributes)
    else:
        drawn = drawn_by("model", attributes, score=seventh)
    ignore = sequence.is_truth and seventh == 0
    return frame, Annotation(class_name, box, ignore=ignore, number=line_number, **drawn._asdict())


def _class_of(text: str, where: str, sequence: MotSequence) -> str:
    try:
        if not is_plain(text):
            raise ValueError
        class_number = int(text)
    except ValueError as error:
        raise LabelError(f"{where}: class: expected a whole number; found {shown(text)}") from error
    if class_number == NO_CLASS and not sequence.has_labels:
        return BENCHMARK_CLASSES[0]
    if not 1 <= class_number <= len(sequence.classes):
        raise LabelError(f"{where}: unknown class {class_number}; there are {len(sequence.classes)}, numbered from 1")
    return sequence.classes[class_number - 1]


def _info(file: Path, text: LabelText) -> Mapping[str, str]:
    """The values of a seqinfo.ini; none where there is no such file. `LabelError` for one that is not read."""
    if not os.path.isfile(file):
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text.description(file))
    except configparser.Error as error:
        reason = " ".join(str(error).split())
        raise LabelError(f"{file}: expected [Sequence] and lines of key=value; found {shown(reason)}") from error
    names: Sequence[str] = parser.sections()
    return dict(parser[names[0]]) if names else {}
