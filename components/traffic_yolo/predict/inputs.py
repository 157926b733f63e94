"""What SOURCEs are: pictures, videos and recordings, looked at before a network is read; then their pictures."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from traffic_yolo.atm.layouts import Layout, load_layout
from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording
from traffic_yolo.dataset.pictures import PICTURE_SUFFIXES
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.options import PredictOptions
from traffic_yolo.predict.video import VIDEO_SUFFIXES, video_facts, video_frames
from traffic_yolo.storage import existing_path

SUFFIXES_OF_PICTURES = PICTURE_SUFFIXES | {".bmp"}
KNOWN = SUFFIXES_OF_PICTURES | VIDEO_SUFFIXES | {RECORDING_SUFFIX}
STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")


@dataclass(frozen=True)
class Input:
    """A file to look at. `name`: its path in what is written, unique, without a suffix.

    `num_pictures`: how many it is expected to give; None where a video does not say. `fps`: of a video, its pictures'
    rate after the stride; 0 of others.
    """

    path: Path
    name: str
    num_pictures: int | None = 1
    fps: float = 0.0

    @property
    def is_video(self) -> bool:
        """Whether what is drawn of it becomes a video."""
        return self.fps > 0


@dataclass
class Inputs:
    """All files in order. `notes`: what people should know, complete once `pictures` was read to its end."""

    files: tuple[Input, ...]
    options: PredictOptions
    layout: Layout | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, sources: Sequence[str | Path], options: PredictOptions) -> "Inputs":
        """The files that `sources` (files, folders with all below them, globs) name; a file named twice counts once.

        Videos and recordings are opened. Raises `StorageError` for nothing found, `OptionsError` for a stream or a file
        of another kind, `PictureError` for a video without a frame, `RecordingError` for a recording that is none.
        """
        layout = load_layout(options.layout) if options.layout else None
        found: dict[Path, str] = {}
        for source in sources:
            for path, name in _files_of(source):
                found.setdefault(path, name)
        if not found:
            raise OptionsError("SOURCE: expected pictures, videos, recordings, or folders of them; found none named")
        names = _unique(found)
        files = tuple(_looked_at(path, names[path], options.stride, layout) for path in found)
        return cls(files, options, layout)

    @property
    def num_pictures(self) -> int | None:
        """How many pictures are expected; None where a video does not say."""
        counts = [file.num_pictures for file in self.files]
        return None if None in counts else sum(count for count in counts if count is not None)

    def pictures(self) -> Iterator[tuple[Input, InputPicture]]:
        """Every picture with its file, in order; one at a time is read. Raises what reading raises."""
        number = 0
        for file in self.files:
            for picture in self._pictures_of(file, number):
                number = picture.image_id
                yield file, picture

    def _pictures_of(self, file: Input, before: int) -> Iterator[InputPicture]:
        if file.is_video:
            count = 0
            for frame, time_s, pixels in video_frames(file.path, stride=self.options.stride):
                count += 1
                name = f"{file.name}/{frame:06d}"
                yield InputPicture.of_pixels(
                    pixels, image_id=before + count, name=name, path=file.path, frame=frame, time_s=time_s
                )
            if file.num_pictures is not None and count < file.num_pictures - 1:  # some containers count one more
                self.notes.append(
                    f"{file.path}: {count} of the {file.num_pictures} frames to look at could be decoded; the video is "
                    f"cut off or damaged"
                )
        elif file.path.suffix.lower() == RECORDING_SUFFIX:
            yield from self._scans_of(file, before)
        else:
            yield InputPicture.of_file(file.path, image_id=before + 1, name=file.name)

    def _scans_of(self, file: Input, before: int) -> Iterator[InputPicture]:
        empty = 0
        with Recording(file.path, self.layout) as recording:
            for number in recording.scan_numbers[:: self.options.stride]:
                scan = recording.scan(number, parts=())
                if scan.jpeg is None:
                    empty += 1
                    continue
                before += 1
                name = f"{file.name}/{scan.name}"
                yield InputPicture.of_bytes(scan.jpeg, image_id=before, name=name, path=file.path, frame=number)
        if empty:
            self.notes.append(f"{file.path}: {empty} scans without a picture left out")


def _files_of(source: str | Path) -> Iterator[tuple[Path, str]]:
    """(file, its name in what is written)."""
    text = str(source)
    if text.startswith(STREAMS):
        raise OptionsError(f"SOURCE: {text} is a stream, which predict does not read; record it into a file")
    if any(letter in text for letter in "*?[") and "://" not in text and not Path(text).exists():
        matches = sorted(glob.glob(text, recursive=True))
        if not matches:
            raise StorageError(f"SOURCE: nothing matches {text}")
        for match in matches:
            path = Path(match)
            if path.is_dir() or path.suffix.lower() in KNOWN:
                yield from _below(path) if path.is_dir() else [(path, path.stem)]
        return
    path = existing_path(source, what="SOURCE")
    if path.is_dir():
        found = list(_below(path))
        if not found:
            raise StorageError(f"SOURCE: no pictures, videos or recordings below {path}")
        yield from found
        return
    if path.suffix.lower() not in KNOWN:
        raise OptionsError(f"SOURCE: {path} is no picture, video or recording; expected one of {_suffixes()}")
    yield path, path.stem


def _below(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() in KNOWN and path.is_file() and not any(part.startswith(".") for part in below.parts):
            yield path, below.with_suffix("").as_posix()


def _suffixes() -> str:
    return " ".join(sorted(KNOWN))


def _unique(found: dict[Path, str]) -> dict[Path, str]:
    """Names of which none is another, nor a folder that another lies in, whatever a file system makes of capitals."""
    counts = Counter(name.lower() for name in found.values())
    taken = {parent.as_posix() for name in found.values() for parent in Path(name.lower()).parents}
    names: dict[Path, str] = {}
    for path, name in found.items():
        base = name if counts[name.lower()] == 1 and name.lower() not in taken else f"{name}_{path.suffix[1:]}"
        chosen, number = base, 2
        while chosen.lower() in taken:
            chosen, number = f"{base}_{number}", number + 1
        taken.add(chosen.lower())
        names[path] = chosen
    return names


def _looked_at(path: Path, name: str, stride: int, layout: Layout | None) -> Input:
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        facts = video_facts(path)
        frames = None if facts.num_frames is None else -(-facts.num_frames // stride)
        return Input(path, name, frames, facts.fps / stride)
    if suffix == RECORDING_SUFFIX:
        with Recording(path, layout) as recording:
            return Input(path, name, -(-len(recording.scan_numbers) // stride))
    return Input(path, name)
