"""Pictures that lie in files with labels beside them, of any label format, as a source of frames."""

import array
import bisect
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from traffic_yolo.dataset.alike_classes import alike_classes
from traffic_yolo.dataset.empty_pictures import EmptyPictures
from traffic_yolo.dataset.formats.base import LabelReader
from traffic_yolo.dataset.pictures.decode import check_upright
from traffic_yolo.dataset.pictures.finder import PictureFinder
from traffic_yolo.dataset.pictures.picture_file import kept_picture, picture_size, picture_suffix
from traffic_yolo.dataset.problems import THE_SET, About, Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Frame, PictureKey, PictureLabels
from traffic_yolo.dataset.sources.archives import ArchiveReader
from traffic_yolo.dataset.video_pictures import VideoPictures
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, PictureError, StorageError

UNNAMED_RECORDING = "pictures"  # never the source's own name: a renamed source is the same source


class FileSource:
    """Pictures in files, in the order of their label files; see `sources.Source`.

    Where the labels do not name the recording, the picture's folder stands for it.
    """

    def __init__(self, reader: LabelReader, *, on_problem: ProblemSink = strict, every: int = 1) -> None:
        """Reads all labels once. Raises what the reader raises, `OptionsError` for `every` without a video.

        Of pictures of one name the first is taken, where `on_problem` lets it pass. `every`: of the frames that come
        out of videos, each N-th.
        """
        self._reader = reader
        self._on_problem = on_problem
        self.may_split_pictures = not reader.is_video
        self._run_starts = array.array("Q")  # numbers of the frames where another recording begins
        self._empty_pictures = EmptyPictures()
        self._doubled: set[tuple[str, Path]] = set()  # labels and picture of a name that others have already
        self._finders: dict[str, PictureFinder] = {}
        self._recordings: dict[str, None] = {}
        self.classes = reader.classes
        self.default_classes = reader.default_classes
        self.apart = frozenset(reader.classes) - reader.default_classes
        self.tally: Counter[str] = Counter()
        self._videos = VideoPictures(every, self.tally)
        for message in alike_classes(reader.classes):
            on_problem(Problem("classes-alike", f"{reader.root}: {message}", THE_SET))
        self.num_frames = self._survey()
        if every > 1 and not self._videos.is_used:
            raise OptionsError(
                f"every: {every} goes with labels of a video that lies beside them, found none below {reader.root}; "
                f"leave it out (the policy's thin_gap_s thins pictures by their times)"
            )
        self.notes = self._notes()

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        return f"{self.num_frames} pictures in files"

    def keys(self) -> Iterator[PictureKey]:
        """Every picture with nothing but human labels."""
        for labels, _, recording, scan in self._located(already_told):
            if labels.labelled:
                yield PictureKey(
                    labels.site, recording, scan, labels.own_split, labels.counted, labels.camera, labels.day
                )

    def recordings(self) -> Iterable[str]:
        """The names of all recordings, in the order in which they come first."""
        return self._recordings

    def frames(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Frame]:
        """The pictures of a shard (index, count), each read once.

        Raises `DatasetError` for a picture that is broken, `LabelError` for one of another size than stated.
        """
        first, last = (self._boundary(part, shard[1]) for part in (shard[0], shard[0] + 1))
        for number, (labels, path, recording, scan) in enumerate(self._located(already_told)):
            if first <= number < last:
                frame = self._frame(labels, path, recording, scan)
                if frame is not None:
                    yield frame

    def check_pictures(self, root: Path, names: Collection[str]) -> None:
        """Raises `DatasetError` for a picture that is not among `names`, which are relative to `root`."""
        if isinstance(self._reader, ArchiveReader):
            return  # the archive holds them all
        for labels, path, _, _ in self._located(already_told):
            in_file = os.path.isfile(path)
            read = path if in_file or labels.video is None else labels.video.path
            beside = labels.embedded is None or in_file
            if beside and os.path.relpath(read, root) not in names:
                raise DatasetError(
                    f"{labels.where}: picture {read} lies outside of what was fingerprinted below {root}; give the "
                    f"folder that holds both as source"
                )

    def _notes(self) -> list[str]:
        """Lines for the report, known once everything was surveyed."""
        return [*self._reader.notes(), *self._videos.notes(), *self._empty_pictures.notes()]

    def _boundary(self, part: int, count: int) -> int:
        """The first frame of a shard: where a recording begins, so that none is in two shards."""
        wanted = self.num_frames * part // count
        row = bisect.bisect_left(self._run_starts, wanted)
        return self._run_starts[row] if row < len(self._run_starts) else self.num_frames

    def _survey(self) -> int:
        """Counts the pictures and sees that no two have one name; of each, eight bytes are kept."""
        seen = self._seen(self._on_problem)
        values, counts = np.unique(np.asarray(seen, dtype=np.uint64), return_counts=True)
        twice = set(values[counts > 1].tolist())
        if twice:
            self._tell_of_doubles(twice)
            seen = self._seen(already_told)  # without those that were put aside, or come second
        return len(seen)

    def _seen(self, on_problem: ProblemSink) -> "array.array[int]":
        """A hash of each picture's name, in order; notes where recordings begin."""
        seen = array.array("Q")
        del self._run_starts[:]
        self._recordings.clear()
        empty_pictures, self._empty_pictures = EmptyPictures(), EmptyPictures()
        last = ""
        for labels, _, recording, scan in self._located(on_problem):
            if recording != last:
                self._run_starts.append(len(seen))
                self._recordings[recording] = None
                last = recording
            seen.append(_hash(recording, scan))
            empty_pictures.add(labels)
        self._empty_pictures = empty_pictures
        return seen

    def _tell_of_doubles(self, hashes: set[int]) -> None:
        """Tells of every picture whose name, by its hash one of these, an earlier picture has already."""
        first: dict[tuple[str, str], tuple[PictureLabels, Path]] = {}
        doubled = set()
        for labels, path, recording, scan in self._located(already_told):
            if _hash(recording, scan) not in hashes:
                continue
            before, earlier = first.setdefault((recording, scan), (labels, path))
            if before is labels:
                continue
            message = f"{path}: two pictures of one name, the other is {earlier}; rename one"
            if earlier == path:
                places = f"{before.where} and {labels.where}"
                message = f"{path}: the label files name a picture twice, in {places}; keep one"
            doubled.add((labels.where, path))
            about = About((before.where, labels.where), f"{recording}/{scan}", path)
            self._on_problem(Problem("picture-twice", message, about))
        self._doubled = doubled

    def _located(self, on_problem: ProblemSink) -> Iterator[tuple[PictureLabels, Path, str, str]]:
        """(labels, picture, recording, scan) of every picture that is there."""
        self._videos.begin()
        for labels in self._reader.pictures(on_problem):
            try:
                path = labels.path or self._finder(labels.own_split).find(labels.name, where=labels.where)
            except LabelError as error:
                if labels.video is not None:
                    if not self._videos.takes(labels, labels.recording, on_problem):
                        continue
                elif labels.embedded is None:
                    if not labels.implied:
                        about = About((labels.where,), labels.name)
                        on_problem(Problem("picture-missing", str(error), about))
                    continue
                path = self._reader.root / labels.name
            if (labels.where, path) not in self._doubled:
                labels = self._empty_pictures.judged(labels)
                yield labels, path, *_names_of(labels, path, self._reader.root)

    def _finder(self, split: str) -> PictureFinder:
        if split not in self._finders:
            self._finders[split] = PictureFinder(self._reader.root, split)
        return self._finders[split]

    def _frame(self, labels: PictureLabels, path: Path, recording: str, scan: str) -> Frame | None:
        about = About((labels.where,), f"{recording}/{scan}", path)
        try:
            if labels.video is not None and not os.path.isfile(path):
                found = self._videos.picture(labels, f"{recording}/{scan}", self._on_problem)
                if found is None:
                    return None
                data, time_s = found
                labels = replace(labels, attributes={"time": round(time_s, 3), **labels.attributes})
            elif labels.embedded is None or os.path.isfile(path):
                data = read_picture(path)
            else:
                data = labels.embedded()
            check_upright(data, what=str(path))
            data = kept_picture(data, what=str(path))
            width, height = picture_size(data, what=str(path))
        except PictureError as error:
            self._on_problem(Problem("picture-turned", str(error), about))
            return None
        except (DatasetError, LabelError, StorageError) as error:
            self._on_problem(Problem("picture-unreadable", str(error), about))
            return None
        if labels.image_wh not in (None, (width, height)):
            stated = "x".join(map(str, labels.image_wh or ()))
            message = f"{labels.where}: says {path} has {stated} pixels; it has {width}x{height}"
            self._on_problem(Problem("picture-size", message, about))
            return None
        picture = partial(bytes, data)
        try:
            return self._made_frame(labels, (recording, scan), (width, height), picture, picture_suffix(data))
        except LabelError as error:
            self._on_problem(Problem("label-broken", f"{labels.where}: {error}", about))
            return None

    def _made_frame(
        self,
        labels: PictureLabels,
        recording_and_scan: tuple[str, str],
        image_wh: tuple[int, int],
        picture: Callable[[], bytes],
        suffix: str,
    ) -> Frame:
        return Frame(
            *recording_and_scan,
            *image_wh,
            annotations=labels.in_pixels(image_wh),
            picture=picture,
            site=labels.site,
            camera=labels.camera,
            day=labels.day,
            suffix=suffix,
            labelled=labels.labelled,
            label_file=labels.where,
            attributes=labels.attributes,
        )


def read_picture(path: Path) -> bytes:
    """The bytes of a picture; `StorageError` where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"picture cannot be read: {path}: {error.strerror}") from error


def recording_of(picture: Path, root: Path) -> str:
    """The folder of a picture below the source, which stands for its recording."""
    folder, top = Path(os.path.abspath(picture)).parent, Path(os.path.abspath(root))
    parts = folder.relative_to(top).parts if folder.is_relative_to(top) else folder.parts[-1:]
    return "-".join(part for part in parts if part not in ("images", "/")) or UNNAMED_RECORDING


def _names_of(labels: PictureLabels, path: Path, root: Path) -> tuple[str, str]:
    """Recording and scan of a picture."""
    return labels.recording or recording_of(path, root), labels.scan if labels.renamed else path.stem


def _hash(recording: str, scan: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{recording}\0{scan}".encode(), digest_size=8).digest(), "big")
