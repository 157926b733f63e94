"""Frames on disk between the two stages of a conversion: one JSON line each, so that memory holds none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from traffic_yolo.dataset.records import Annotation, Frame, PictureLabels, checked_annotation
from traffic_yolo.errors import DatasetError

SPOOL_NAME = "frames.jsonl"


class FileEntry(NamedTuple):
    """A file's size in bytes and SHA-256 (hexadecimal)."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SpooledFrame:
    """A frame that was written: its split, its picture and its YOLO text, and what observers measured, by name.

    `picture` is None in a data set of labels only.
    """

    frame: Frame
    split: str
    picture: FileEntry | None
    text: FileEntry
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, FileEntry]:
        """The frame's files by their paths below the data set: picture, label, and the label's copy beside it."""
        stem = f"{self.frame.recording}/{self.frame.scan}"
        label = f"labels/{stem}.txt"
        if self.picture is None:
            return {label: self.text}
        return {f"images/{self.frame.file_name}": self.picture, label: self.text, f"images/{stem}.txt": self.text}


def write_frame(file: IO[bytes], spooled: SpooledFrame) -> None:
    """Appends one frame. Raises `DatasetError` for an attribute that is no JSON value."""
    frame = spooled.frame
    line = [
        spooled.split,
        frame.recording,
        frame.scan,
        frame.suffix,
        frame.width,
        frame.height,
        frame.site,
        frame.camera,
        frame.day,
        frame.labelled,
        frame.attributes,
        [annotation_row(annotation) for annotation in frame.annotations],
        None if spooled.picture is None else list(spooled.picture),
        list(spooled.text),
        spooled.measured,
    ]
    try:
        file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
    except TypeError as error:
        raise DatasetError(f"{frame.file_name}: an attribute is no JSON value: {error}") from error


def read_frames(spools: Sequence[Path]) -> Iterator[SpooledFrame]:
    """The frames of these spools, one after another; pictures are read from the folder where a spool lies."""
    for spool in spools:
        images = spool.parent / "images"
        with spool.open("rb") as lines:
            for line in lines:
                yield _spooled(orjson.loads(line), images)


def annotation_row(annotation: Annotation) -> list[Any]:
    """An annotation as a list of JSON values."""
    return [
        annotation.class_name,
        annotation.xywh,
        annotation.label_source,
        annotation.confidence,
        annotation.is_crowd,
        annotation.ignore,
        annotation.area,
        annotation.number,
        annotation.attributes,
    ]


def annotation_of_row(row: list[Any]) -> Annotation:
    """The annotation of such a list. Raises `LabelError` for a list that somebody has changed into none."""
    return Annotation(row[0], tuple(row[1]), *row[2:])


def _own_annotation(row: list[Any]) -> Annotation:
    """The annotation of a list that this process or its kin wrote, unchecked."""
    class_name, xywh, *others = row
    return checked_annotation(class_name, tuple(xywh), *others)


def labels_row(labels: PictureLabels) -> list[Any]:
    """A picture's labels as a list of JSON values. Raises `TypeError` for an attribute that is none."""
    return [
        labels.name,
        [annotation_row(annotation) for annotation in labels.annotations],
        labels.where,
        labels.image_wh,
        labels.relative,
        None if labels.path is None else str(labels.path),
        labels.recording,
        labels.scan,
        labels.site,
        labels.camera,
        labels.day,
        labels.own_split,
        labels.implied,
        labels.attributes,
        labels.by_machine,
    ]


def labels_of_row(row: list[Any]) -> PictureLabels:
    """The labels of such a list."""
    name, rows, where, image_wh, relative, path = row[:6]
    annotations = tuple(map(_own_annotation, rows))
    size, place = None if image_wh is None else tuple(image_wh), None if path is None else Path(path)
    return PictureLabels(name, annotations, where, size, relative, place, *row[6:])


def _spooled(line: list[Any], images: Path) -> SpooledFrame:
    split, recording, scan, suffix, width, height, site, camera, day, labelled, attributes = line[:11]
    rows, picture, text, measured = line[11:]
    annotations = tuple(map(_own_annotation, rows))
    return SpooledFrame(
        frame=Frame(
            recording=recording,
            scan=scan,
            width=width,
            height=height,
            annotations=annotations,
            picture=(images / f"{recording}/{scan}{suffix}").read_bytes if picture is not None else bytes,
            site=site,
            camera=camera,
            day=day,
            suffix=suffix,
            labelled=labelled,
            attributes=attributes,
        ),
        split=split,
        picture=None if picture is None else FileEntry(*picture),
        text=FileEntry(*text),
        measured=measured,
    )
