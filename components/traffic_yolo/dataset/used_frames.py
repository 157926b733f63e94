"""What a conversion would put into its splits, without writing it: frames, a hash of the labels of each, groups.

By the code that decides for the conversion itself (`prepare`, `FrameSelection`, `judged_frames`), so that whoever asks
whether there is anything new to train on counts what training would see.
"""

import csv
import gzip
import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from traffic_yolo.dataset.convert import ContentToMatch, prepare
from traffic_yolo.dataset.folder.frame_selection import FrameSelection, judged_frames
from traffic_yolo.dataset.frame_spool import SPOOL_NAME, FileEntry, SpooledFrame, write_frame
from traffic_yolo.dataset.observers import PlugInsFactory
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.plug_ins import pins_of, plug_ins
from traffic_yolo.dataset.policy import policy_at
from traffic_yolo.dataset.records import ALL, SPLITS, Annotation, Frame, PictureKey
from traffic_yolo.dataset.splits.groups import LEVELS
from traffic_yolo.dataset.splits.pins import SplitPins, SplitRecorder
from traffic_yolo.errors import DatasetError
from traffic_yolo.limits import in_force
from traffic_yolo.progress import progress

LABELS_DIGITS = 16  # of the hash of one picture's labels: 64 bits, and only labels of one picture are compared
_NO_FILE = FileEntry(0, "")
HUMAN, DEVICE = "human", "device"


class UsedFrame(NamedTuple):
    """One picture of a split. `by`: "human", or "device" for labels that no human looked at.

    `labels`: hexadecimal hash of the boxes as training would see them: under the class map, cut at the picture's edges,
    in any order.
    """

    recording: str
    scan: str
    site: str
    camera: str
    day: str
    split: str
    by: str
    labels: str

    @property
    def name(self) -> tuple[str, str]:
        """What tells it from all others of one source."""
        return self.recording, self.scan

    def group(self, level: str) -> str:
        """Its group at a level of splits."""
        return LEVELS[level](PictureKey(self.site, self.recording, self.scan, camera=self.camera, day=self.day))


@dataclass(frozen=True)
class UsedFrames:
    """The pictures that a data set would have, sorted by name.

    `boxes`: split -> class -> boxes that count; `pins`: the groups of the splits, None where only single pictures are
    whole; `unlabelled`: how many pictures lie on the share beside those that humans labelled.
    """

    frames: tuple[UsedFrame, ...]
    boxes: Mapping[str, Mapping[str, int]]
    pins: SplitPins | None = None
    unlabelled: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def fingerprint(self) -> str:
        """Hash of all of it that training, choosing and judging would see; the labels of devices among it."""
        return hashlib.sha256(self.to_csv()).hexdigest()

    def count(self, split: str, by: str = HUMAN) -> int:
        """How many pictures of a split are labelled by humans, or by devices."""
        return sum(frame.split == split and frame.by == by for frame in self.frames)

    def to_csv(self) -> bytes:
        """One line a picture, the names of the columns first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(UsedFrame._fields)
        writer.writerows(self.frames)
        return text.getvalue().encode()


def used_frames(
    options: ConvertOptions, content: ContentToMatch | None = None, *, plugged: PlugInsFactory = plug_ins
) -> UsedFrames:
    """What `convert` with these options would use. Raises what it raises before it writes.

    Labels are read, and the pictures that have some; of a recording's other scans nothing, unless `device_labels` lets
    them train.
    """
    policy = policy_at(options.policy)
    with in_force(policy.reading_limits), tempfile.TemporaryDirectory() as folder:
        extras = plugged(options)
        prepared = prepare(options, extras, content, labelled_only=options.device_labels == "never")
        source = prepared.source
        selection = FrameSelection(prepared.class_map, options, extras)
        spool = Path(folder, SPOOL_NAME)
        with spool.open("wb") as file:
            for frame in progress(source.frames(), description="count", unit="picture", total=source.num_frames):
                split = prepared.plan.split_of(frame)
                chosen = selection.chosen(frame, split)
                if chosen is not None and prepared.quarantine is not None:
                    measured = extras.measured(chosen, split, chosen.picture())
                    chosen = None if extras.objections(measured) else chosen
                if chosen is not None:
                    write_frame(file, SpooledFrame(chosen, split, None, _NO_FILE))
        for judge in extras.problem_observers:
            for problem in prepared.unread.problems:
                judge.note_problem(problem)
            if failure := judge.why_failed():
                raise DatasetError(failure)
        recorder = SplitRecorder(policy.split_level, pins_of(policy))
        frames: list[UsedFrame] = []
        boxes: dict[str, Counter[str]] = {}
        for spooled, reason in judged_frames([spool], extras.record_filters):
            if not reason:
                recorder.collect(spooled.frame, spooled.split, None)
                frames.append(_used(spooled.frame, spooled.split))
                names = (box.class_name for box in spooled.frame.annotations if box.counts)
                boxes.setdefault(spooled.split, Counter()).update(names)
        return UsedFrames(
            tuple(sorted(frames)),
            {split: dict(sorted(boxes[split].items())) for split in (*SPLITS, ALL) if split in boxes},
            recorder.pins(),
            source.num_frames - len(list(source.keys())),
            tuple(prepared.plan.notes),
        )


def compressed(used: UsedFrames) -> bytes:
    """The pictures as a gzip file; the same bytes for the same pictures."""
    return gzip.compress(used.to_csv(), mtime=0)


def read_compressed(data: bytes) -> tuple[UsedFrame, ...]:
    """The pictures that `compressed` wrote; `ValueError` for anything else."""
    try:
        rows = list(csv.reader(io.StringIO(gzip.decompress(data).decode(), newline="")))
    except (OSError, EOFError, csv.Error) as error:
        raise ValueError(f"not a gzip file of CSV ({error})") from error
    if not rows or rows[0] != list(UsedFrame._fields) or any(len(row) != len(UsedFrame._fields) for row in rows):
        raise ValueError(f"expected the columns {', '.join(UsedFrame._fields)}")
    return tuple(map(UsedFrame._make, rows[1:]))


def labels_hash(annotations: Iterable[Annotation], image_wh: tuple[int, int]) -> str:
    """Hash of what training would see on a picture of this size."""
    rows = sorted([box.class_name, *box.xywh, box.ignore, box.is_crowd] for box in annotations)
    text = json.dumps([image_wh, rows], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:LABELS_DIGITS]


def _used(frame: Frame, split: str) -> UsedFrame:
    labels = labels_hash(frame.annotations, (frame.width, frame.height))
    by = HUMAN if frame.labelled else DEVICE
    return UsedFrame(frame.recording, frame.scan, frame.site, frame.camera, frame.day, split, by, labels)
