"""The attempts at retraining a model, beside its versions in the zoo: small files, and nothing is ever overwritten.

    <zoo>/<model>/attempts/000007-begun.json     what the gate saw when it opened: data, run, the version in use
                           000007-weights-1.json what came of the training, before anything of it was published
                           000007-ended-1.json   published, rejected or failed; of several the last counts
                           frames-<hash>.csv.gz  the pictures of an attempt, splits-<hash>.yaml their groups

An attempt begins when the gate opens, before anything expensive, and counts as tried once an end is known. One without
an end was cut off, or is under way. The number of an attempt belongs to who puts `begun` first.
"""

import collections.abc
import contextlib
import hashlib
import json
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self

from traffic_yolo.dataset.splits.pins import SplitPins, read_pins
from traffic_yolo.dataset.used_frames import UsedFrame, UsedFrames, compressed, read_compressed
from traffic_yolo.errors import AlreadyExistsError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import AnyPath, existing_path, join, json_value, list_files, put_new, read
from traffic_yolo.storage import shown as shown_location

SCHEMA_VERSION = 1
ATTEMPTS_FOLDER = "attempts"  # below a model's folder in the zoo
TIME_FORMAT = "%Y%m%dT%H%M%SZ"
Outcome = Literal["published", "rejected", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("published", "rejected", "failed")
_NAME = re.compile(r"(\d{6,})-(begun|weights|ended)(?:-(\d+))?\.json")


class _Record:
    """What the three kinds of files have in common: a dataclass with a schema version around it."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises `ValueError` saying what is wrong."""
        content = json_value(data)
        if not isinstance(content, dict) or content.pop("schema_version", None) != SCHEMA_VERSION:
            raise ValueError(f"expected schema version {SCHEMA_VERSION}")
        known = typing.get_type_hints(cls)
        if set(content) != set(known):
            raise ValueError(f"expected {', '.join(known)}; found {', '.join(map(str, content))}")
        for name, value in content.items():
            if type(value) is not _json_type(known[name]):
                raise ValueError(f"{name}: found {shown(value)}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})

    def to_bytes(self) -> bytes:
        """What `parse` reads."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}  # type: ignore[call-overload]
        return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True)
class Begun(_Record):
    """`run_id`: of the pipeline's run; `owner`: the process that drives it, empty on a cluster; `at`: UTC.

    `inputs`: hash of all that decides which pictures are used; `data`: of the pictures and their labels; `frames` and
    `splits`: the files that hold them. `in_use`: the version that is trained on from, "" for none. `compared_with`: the
    attempt whose data this one was measured against, 0 for none. `reasons`: why the gate opened.
    """

    run_id: str
    owner: Mapping[str, Any]
    at: str
    inputs: str
    data: str
    frames: str
    splits: str
    training_boxes: Mapping[str, int]
    in_use: str
    compared_with: int
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        time_of(self.at)
        if not all(type(count) is int for count in self.training_boxes.values()):
            raise ValueError(f"training_boxes: expected numbers, found {shown(self.training_boxes)}")


@dataclass(frozen=True)
class Weights(_Record):
    """What a training left: the hash of its weights file, and whether they are other than those that it began with."""

    sha256: str
    learnt: bool
    at: str


@dataclass(frozen=True)
class Ended(_Record):
    """`version`: the one in the zoo that came of it, "" for none. `reasons`: what was against it, or what failed."""

    outcome: Outcome
    version: str
    reasons: tuple[str, ...]
    at: str

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome: expected one of {', '.join(OUTCOMES)}; found {shown(self.outcome)}")


@dataclass(frozen=True)
class Attempt:
    """One attempt. `weights` and `ended`: the last that was put, None where none was."""

    number: int
    begun: Begun
    weights: Weights | None = None
    ended: Ended | None = None

    @property
    def is_tried(self) -> bool:
        """Whether its data was tried: it came to a verdict, whichever."""
        return self.ended is not None and self.ended.outcome != "failed"

    @property
    def name(self) -> str:
        """For messages."""
        return f"attempt {self.number} ({self.begun.at})"


@dataclass(frozen=True)
class Attempts:
    """The attempts at one model, oldest first. `taken`: the highest number that any of its files has."""

    home: str
    attempts: tuple[Attempt, ...] = ()
    taken: int = 0

    @classmethod
    def read(cls, home: AnyPath) -> "Attempts":
        """Those of the model whose folder in the zoo this is; none where there are none.

        Raises `StorageError` for a file that is none of ours under such a name: what was tried is not known then.
        """
        folder = join(home, ATTEMPTS_FOLDER)
        kinds: dict[str, dict[int, Any]] = {kind: {} for kind in _KINDS}
        named = sorted(_named(folder))
        for number, kind, _, name in named:  # of several of one kind, the last stays
            try:
                kinds[kind][number] = _KINDS[kind].parse(read(join(folder, name)))
            except ValueError as error:
                where = shown_location(join(folder, name))
                raise StorageError(
                    f"{where}: no record of an attempt: {error}; what was tried is not known: put the file back from a "
                    f"copy, or move it away"
                ) from error
        begun, weights, ended = (kinds[kind] for kind in _KINDS)
        found = [Attempt(number, begun[number], weights.get(number), ended.get(number)) for number in sorted(begun)]
        return cls(str(home), tuple(found), max((number for number, *_ in named), default=0))

    @property
    def last_tried(self) -> Attempt | None:
        """The last whose data was tried: what is new is measured against it."""
        return next((one for one in reversed(self.attempts) if one.is_tried), None)

    def of_run(self, run_id: str) -> Attempt | None:
        """The attempt of a run of the pipeline; None where it began none."""
        return next((one for one in reversed(self.attempts) if one.begun.run_id == run_id), None)

    def frames_of(self, attempt: Attempt) -> tuple[UsedFrame, ...]:
        """The pictures of an attempt; `StorageError` where they are gone or damaged."""
        where = join(self.home, ATTEMPTS_FOLDER, attempt.begun.frames)
        data = read(where)
        try:
            frames = read_compressed(data)
        except ValueError as error:
            raise StorageError(f"{shown_location(where)}: {error}; put it back from a copy") from error
        if UsedFrames(frames, {}).fingerprint != attempt.begun.data:
            raise StorageError(
                f"{shown_location(where)}: other pictures than {attempt.name} had; put it back from a copy"
            )
        return frames

    def splits_of(self, attempt: Attempt) -> str:
        """Where the groups of an attempt's splits lie; "" where only single pictures were kept whole."""
        return str(join(self.home, ATTEMPTS_FOLDER, attempt.begun.splits)) if attempt.begun.splits else ""

    def pins_of(self, attempt: Attempt) -> SplitPins | None:
        """The groups of an attempt's splits; None where only single pictures were kept whole."""
        where = self.splits_of(attempt)
        if not where:
            return None
        return read_pins(existing_path(where, what="splits"))

    def begin(self, begun: Begun) -> Attempt:
        """Writes down the beginning under the next number; `AlreadyExistsError` where somebody else took that."""
        number = self.taken + 1
        put_new(join(self.home, ATTEMPTS_FOLDER, f"{number:06d}-begun.json"), begun.to_bytes())
        return Attempt(number, begun)

    def note_weights(self, attempt: Attempt, weights: Weights) -> None:
        """Writes down what a training left, unless the last note says the same."""
        before = attempt.weights
        if before is None or (before.sha256, before.learnt) != (weights.sha256, weights.learnt):
            self._put_next(attempt, "weights", weights)

    def end(self, attempt: Attempt, ended: Ended) -> Attempt:
        """Writes down an end, after those that are there; returns the attempt with it."""
        self._put_next(attempt, "ended", ended)
        return Attempt(attempt.number, attempt.begun, attempt.weights, ended)

    def keep(self, used: UsedFrames) -> tuple[str, str]:
        """Puts pictures and splits where they are not yet; returns the names of both files, "" for no splits."""
        splits = used.pins.text().encode() if used.pins is not None else b""
        return self._keep("frames", ".csv.gz", compressed(used)), self._keep("splits", ".yaml", splits)

    def _keep(self, kind: str, suffix: str, data: bytes) -> str:
        """Named by its content, so what lies there under the name is the same."""
        if not data:
            return ""
        name = f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}{suffix}"
        with contextlib.suppress(AlreadyExistsError):
            put_new(join(self.home, ATTEMPTS_FOLDER, name), data)
        return name

    def _put_next(self, attempt: Attempt, kind: str, record: _Record) -> None:
        folder = join(self.home, ATTEMPTS_FOLDER)
        taken = [count for number, one, count, _ in _named(folder) if (number, one) == (attempt.number, kind)]
        count = max(taken, default=0) + 1
        while True:
            try:
                put_new(join(folder, f"{attempt.number:06d}-{kind}-{count}.json"), record.to_bytes())
                return
            except AlreadyExistsError:
                count += 1


def time_text(time: datetime) -> str:
    """A time (with a zone) as the records have it."""
    return time.astimezone(UTC).strftime(TIME_FORMAT)


def time_of(text: str) -> datetime:
    """The time that `time_text` wrote; `ValueError` for another text."""
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)


_KINDS: dict[str, type[_Record]] = {"begun": Begun, "weights": Weights, "ended": Ended}


def _named(folder: str) -> Iterator[tuple[int, str, int, str]]:
    """(number of the attempt, kind, how many of the kind with it, name) of every record."""
    for file in list_files(folder).files:
        found = _NAME.fullmatch(file.name)
        if found:
            yield int(found[1]), found[2], int(found[3] or 1), file.name


def _json_type(hint: Any) -> type:
    """What a field of a record is in JSON."""
    kinds: dict[Any, type] = {tuple: list, collections.abc.Mapping: dict, Literal: str}
    found: type = kinds.get(typing.get_origin(hint), hint)
    return found
