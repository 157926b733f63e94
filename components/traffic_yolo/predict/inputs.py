"""What SOURCEs are: pictures, videos, streams, recordings, looked at before a network is read; then their pictures."""

import contextlib
import glob
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.layouts import Layout, load_layout
from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.video_file import VIDEO_SUFFIXES
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.predict.addresses import FILES, check_address, is_address, name_of, public_address
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.options import PredictOptions
from traffic_yolo.predict.streams import LiveStream
from traffic_yolo.predict.video import video_facts, video_frames
from traffic_yolo.storage import existing_path

SUFFIXES_OF_PICTURES = PICTURE_SUFFIXES | {".bmp"}
KNOWN = SUFFIXES_OF_PICTURES | VIDEO_SUFFIXES | {RECORDING_SUFFIX}


@dataclass(frozen=True)
class Input:
    """A file or stream to look at. `name`: its path in what is written, unique, without a suffix.

    `path`: a stream's is its address. `num_pictures`: how many it is expected to give; None where a video does not say.
    `fps`: of a video, its pictures' rate after the stride; 0 of others. `is_live`: it comes by itself and has no end.
    `size_wh`: of a video.
    """

    path: Path | str
    name: str
    num_pictures: int | None = 1
    fps: float = 0.0
    is_live: bool = False
    size_wh: tuple[int, int] | None = None

    @property
    def is_video(self) -> bool:
        """Whether what is drawn of it becomes a video."""
        return self.fps > 0

    @property
    def has_frames(self) -> bool:
        """Whether its pictures follow one another in time."""
        return self.is_video or Path(self.path).suffix.lower() == RECORDING_SUFFIX

    @property
    def shown(self) -> str:
        """What people are told that it is, and what is written: no passwords."""
        return public_address(self.path) if isinstance(self.path, str) else str(self.path)


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

        Videos, streams and recordings are opened. Raises `StorageError` for nothing found, `OptionsError` for a file of
        another kind and for a live stream without a limit, `PictureError` for a video or stream without a frame,
        `RecordingError` for a recording that is none.
        """
        layout = load_layout(options.layout) if options.layout else None
        found: dict[Path | str, str] = {}
        for source in sources:
            for path, name in _files_of(source):
                found.setdefault(path, name)
        if not found:
            raise OptionsError("SOURCE: expected pictures, videos, recordings, or folders of them; found none named")
        names = _unique(found)
        files = tuple(_looked_at(path, names[path], options, layout) for path in found)
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
        if isinstance(file.path, str) and file.is_live:
            yield from self._live_frames_of(file, before)
        elif file.is_video:
            yield from self._frames_of(file, before)
        elif Path(file.path).suffix.lower() == RECORDING_SUFFIX:
            yield from self._scans_of(file, before)
        else:
            yield InputPicture.of_file(Path(file.path), image_id=before + 1, name=file.name)

    def _frames_of(self, file: Input, before: int) -> Iterator[InputPicture]:
        """Of a file, every frame that is to be looked at; the network's time is not the video's."""
        count, seconds = 0, self.options.seconds
        frames = video_frames(file.path, stride=self.options.stride)
        with contextlib.closing(frames):
            for frame, time_s, pixels in itertools.islice(frames, self.options.frames):
                if seconds is not None and time_s >= seconds:
                    return
                count += 1
                yield _frame_picture(file, before + count, frame, time_s, pixels)
        if file.num_pictures is not None and count < file.num_pictures - 1:  # some containers count one more
            self.notes.append(
                f"{file.shown}: {count} of the {file.num_pictures} frames to look at could be decoded; the video is "
                f"cut off or damaged"
            )

    def _live_frames_of(self, file: Input, before: int) -> Iterator[InputPicture]:
        """Of a stream, the frames that the network has time for."""
        stream = LiveStream(str(file.path), stride=self.options.stride, attempts=self.options.reconnect)
        frames = stream.frames(seconds=self.options.seconds)
        try:
            with contextlib.closing(frames):
                for count, frame in enumerate(itertools.islice(frames, self.options.frames), start=1):
                    yield _frame_picture(file, before + count, frame.number, frame.time_s, frame.pixels_rgb)
        finally:
            self.notes += stream.notes()

    def _scans_of(self, file: Input, before: int) -> Iterator[InputPicture]:
        empty = 0
        path = Path(file.path)
        with Recording(path, self.layout) as recording:
            for number in recording.scan_numbers[:: self.options.stride][: self.options.frames]:
                scan = recording.scan(number, parts=())
                if scan.jpeg is None:
                    empty += 1
                    continue
                before += 1
                name = f"{file.name}/{scan.name}"
                yield InputPicture.of_bytes(scan.jpeg, image_id=before, name=name, path=path, frame=number)
        if empty:
            self.notes.append(f"{file.path}: {empty} scans without a picture left out")


def _frame_picture(file: Input, image_id: int, frame: int, time_s: float, pixels: NDArray[np.uint8]) -> InputPicture:
    name = f"{file.name}/{frame:06d}"
    path = Path(file.name) if isinstance(file.path, str) else file.path  # an address may have a password
    return InputPicture.of_pixels(
        pixels, image_id=image_id, name=name, path=path, source=file.shown, frame=frame, time_s=time_s
    )


def _files_of(source: str | Path) -> Iterator[tuple[Path | str, str]]:
    """(file or address, its name in what is written)."""
    text = str(source)
    if is_address(text):
        check_address(text)
        yield text, name_of(text)
        return
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


def _unique(found: dict[Path | str, str]) -> dict[Path | str, str]:
    """Names of which none is another, nor a folder that another lies in, whatever a file system makes of capitals."""
    counts = Counter(name.lower() for name in found.values())
    taken = {parent.as_posix() for name in found.values() for parent in Path(name.lower()).parents}
    names: dict[Path | str, str] = {}
    for path, name in found.items():
        base = name if counts[name.lower()] == 1 and name.lower() not in taken else f"{name}_{_kind(path)}"
        chosen, number = base, 2
        while chosen.lower() in taken:
            chosen, number = f"{base}_{number}", number + 1
        taken.add(chosen.lower())
        names[path] = chosen
    return names


def _kind(path: Path | str) -> str:
    return "stream" if isinstance(path, str) else path.suffix[1:]


def _looked_at(path: Path | str, name: str, options: PredictOptions, layout: Layout | None) -> Input:
    if isinstance(path, str):
        return _looked_at_video(path, name, options)
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return _looked_at_video(path, name, options)
    if suffix == RECORDING_SUFFIX:
        with Recording(path, layout) as recording:
            scans = -(-len(recording.scan_numbers) // options.stride)
            return Input(path, name, scans if options.frames is None else min(scans, options.frames))
    return Input(path, name)


def _looked_at_video(path: Path | str, name: str, options: PredictOptions) -> Input:
    shown = public_address(path) if isinstance(path, str) else str(path)
    endless = OptionsError(f"SOURCE: {shown} has no end; say how much of it is looked at: seconds=… or frames=…")
    is_limited = options.frames is not None or options.seconds is not None
    if isinstance(path, str) and not path.startswith(FILES) and not is_limited:
        raise endless
    facts = video_facts(path, shown=shown)
    if isinstance(path, str) and facts.num_frames is None:
        if not is_limited:
            raise endless
        return Input(path, name, options.frames, facts.fps / options.stride, is_live=True, size_wh=facts.size_wh)
    frames = facts.num_frames
    if frames is not None and options.seconds is not None:
        frames = min(frames, math.ceil(options.seconds * facts.fps))
    pictures = None if frames is None else -(-frames // options.stride)
    if pictures is not None and options.frames is not None:
        pictures = min(pictures, options.frames)
    return Input(path, name, pictures, facts.fps / options.stride, size_wh=facts.size_wh)
