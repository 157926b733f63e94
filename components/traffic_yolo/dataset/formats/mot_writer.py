"""Writes MOT sequences as CVAT lays them out: a folder a recording, corners from 0, classes in `gt/labels.txt`.

Frames count from 1 in the order in which they come, as MOT's tools want them; which scans they are, the side-car says.
Frames that humans labelled and the others become two sequences: what stands in `gt/gt.txt` is taken for the truth, and
a frame without a line there for one without objects. The others have `det/det.txt`, with scores.
"""

import configparser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.formats.base import PicturePlace
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.mot import DETECTIONS, INFO, LABELS, PICTURES, TRUTH, MotSequence, read_mot_line
from traffic_yolo.dataset.formats.provenance import SCORE
from traffic_yolo.dataset.records import Annotation, Frame

UNLABELLED = "-unlabelled"  # behind the name of a sequence of frames that no human labelled
UNTOLD = "-1"  # an id, a score or a visibility that is not known


@dataclass
class _Written:
    """A sequence while it grows. `size_wh`: of all frames so far, None once two differ."""

    read: MotSequence
    size_wh: tuple[int, int] | None
    length: int = 0


class MotWriter:
    """Writes a folder for each sequence; see `base.LabelWriter` and `base.PlacesPictures`."""

    picture_folder = ""
    says_frames = False

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder, self._classes = folder, tuple(classes)
        self._sequences: dict[tuple[str, bool], _Written] = {}
        self._names: set[str] = set()
        self._last = PicturePlace("", "")

    def add(self, frame: Frame) -> list[Annotation | None]:
        """The lines of one frame. In `gt.txt` no box of a machine is written, in `det.txt` none of a human."""
        sequence = self._sequence(frame)
        sequence.length += 1
        if sequence.size_wh != (frame.width, frame.height):
            sequence.size_wh = None
        number, read = sequence.length, sequence.read
        name = f"{read.name}/{number:06d}"
        self._last = PicturePlace(f"{read.name}/{PICTURES}/{number:06d}{frame.suffix}", name)
        found: list[Annotation | None] = []
        with read.file.open("a", encoding="ascii", newline="\n") as file:
            for annotation in frame.annotations:
                if (annotation.label_source == "human") != read.is_truth:
                    found.append(None)
                    continue
                line = self._line(annotation, number, is_truth=read.is_truth)
                file.write(line + "\n")
                found.append(read_mot_line(line, name, read, LeftOut(), 0)[1])
        return found

    def place_of_last(self) -> PicturePlace:
        """See `base.PlacesPictures`."""
        return self._last

    def complete(self) -> None:
        """Writes each sequence's `seqinfo.ini`."""
        for sequence in self._sequences.values():
            head = configparser.ConfigParser(interpolation=None)
            head.optionxform = str  # type: ignore[assignment,method-assign]  # MOT's tools ask for the capitals
            width, height = sequence.size_wh or (0, 0)
            sizes = {"imWidth": str(width), "imHeight": str(height)} if sequence.size_wh else {}
            head["Sequence"] = {
                "name": sequence.read.name, "imDir": PICTURES, "seqLength": str(sequence.length), **sizes,
            }  # fmt: skip
            with (sequence.read.folder / INFO).open("w", encoding="utf-8", newline="\n") as file:
                head.write(file, space_around_delimiters=False)

    def _sequence(self, frame: Frame) -> _Written:
        key = (frame.recording, frame.labelled)
        if key not in self._sequences:
            wanted = frame.recording.replace("/", "-") + ("" if frame.labelled else UNLABELLED)
            name, count = wanted, 1
            while name in self._names:
                count += 1
                name = f"{wanted}-{count}"
            self._names.add(name)
            folder = self._folder / name
            labels, boxes = folder / LABELS, folder / (TRUTH if frame.labelled else DETECTIONS)
            for file in (labels, boxes):
                file.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(f"{each}\n" for each in self._classes), encoding="utf-8", newline="\n")
            boxes.touch()
            read = MotSequence(folder, name, "", self._classes, True, folder / PICTURES, None, 0)
            self._sequences[key] = _Written(read, (frame.width, frame.height))
        return self._sequences[key]

    def _line(self, annotation: Annotation, number: int, *, is_truth: bool) -> str:
        """Frame, id, left, top, width, height, flag or score, class from 1, visibility."""
        track, visibility = (annotation.attributes.get(key) for key in ("track_id", "visibility"))
        track_id = str(track) if type(track) is int and track >= 0 else UNTOLD
        is_known = isinstance(visibility, int | float) and not isinstance(visibility, bool) and 0 <= visibility <= 1
        seen = f"{visibility:.6g}" if is_known else UNTOLD
        if is_truth:
            seventh = str(int(annotation.counts))
        else:
            score = annotation.confidence if annotation.confidence is not None else annotation.attributes.get(SCORE)
            seventh = f"{score:.6g}" if isinstance(score, int | float) else UNTOLD
        box = ",".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in annotation.xywh)
        return f"{number},{track_id},{box},{seventh},{self._classes.index(annotation.class_name) + 1},{seen}"
