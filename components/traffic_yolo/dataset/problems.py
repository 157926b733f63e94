"""What is wrong in a source, as a value: a strict reading stops at the first problem, a check collects them all.

A conversion stands between them: it collects what lies inside one file, and is failed by it as by any finding.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic_yolo.errors import DatasetError, LabelError, RecordingError, TrafficYoloError
from traffic_yolo.messages import one_line

# kind -> the error that stops a strict reading. A check may judge each kind by a severity of its own.
KINDS: dict[str, type[TrafficYoloError]] = {
    "recording-unreadable": RecordingError,
    "recording-unfinished": RecordingError,
    "scan-unreadable": RecordingError,
    "picture-unreadable": DatasetError,
    "picture-size": LabelError,
    "picture-missing": LabelError,
    "picture-turned": DatasetError,
    "picture-left-out": LabelError,
    "frame-missing": LabelError,
    "frame-twice": LabelError,
    "picture-twice": DatasetError,
    "label-broken": LabelError,
    "label-missing": LabelError,
    "label-unpaired": LabelError,
    "labels-few": LabelError,
    "origins-mixed": LabelError,
    "classes-alike": LabelError,
    "box-without-area": LabelError,
    "box-reversed": LabelError,
    "shape-left-out": LabelError,
    "picture-emptied": LabelError,
}
# What lies inside one file, so that the rest can be read without it
OF_ONE_FILE = frozenset({"recording-unreadable", "scan-unreadable", "picture-unreadable", "picture-turned"})
# What a reading leaves out or mends, and goes on: a conversion judges it as a finding
NOTED = frozenset(
    {
        "recording-unfinished", "picture-left-out", "label-missing", "label-unpaired", "labels-few", "origins-mixed",
        "classes-alike", "box-without-area", "box-reversed", "shape-left-out", "picture-emptied",
    }
)  # fmt: skip
KEPT_OF_A_KIND = 200


@dataclass(frozen=True)
class About:
    """What a problem is about, where its message alone does not tell a quarantine.

    `labels`: the places (`PictureLabels.where`) of the pictures that must not be used; "" in it stands for labels that
    belong to no picture. `name`: `recording/scan`, or the picture as its label file names it. `path`: the file that is
    bad; `picture`: gives the bytes of a picture that lies in no file of its own.
    """

    labels: tuple[str, ...] = ()
    name: str = ""
    path: Path | None = None
    picture: Callable[[], bytes] | None = None


THE_SET = About()  # a problem of all pictures together: none of them alone can be put aside


@dataclass(frozen=True)
class Problem:
    """One thing that keeps a frame, a box or a label from being read.

    `kind` is one of `KINDS`; `message` is the whole line: where, what was expected, what was found, what to do. What
    the problem is about is left out when the reading goes on. Without `about`, it is about the picture whose labels are
    being read: the one that the reader gives next or, after `label-broken`, one that it does not give.
    """

    kind: str
    message: str
    about: About | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """The message is one printable line, as an error's text is."""
        object.__setattr__(self, "message", one_line(self.message))

    @property
    def error(self) -> TrafficYoloError:
        """The exception of the strict reading."""
        return KINDS[self.kind](self.message)

    @property
    def in_words(self) -> "Problem":
        """The problem without what it is about, which may hold a picture: for whoever keeps it."""
        return self if self.about is None else Problem(self.kind, self.message)


ProblemSink = Callable[[Problem], None]


def strict(problem: Problem) -> None:
    """The sink of a reading that nobody judges: the first problem ends it, but for those that readers leave out."""
    if problem.kind not in NOTED:
        raise problem.error


class ProblemCollector:
    """The sink of a conversion that goes on: keeps what lies inside one file, each once; all else goes to `otherwise`.

    A source that is read twice tells of everything twice.
    """

    def __init__(self, otherwise: ProblemSink = strict) -> None:
        self._otherwise = otherwise
        self._problems: dict[Problem, None] = {}

    def __call__(self, problem: Problem) -> None:
        if problem.kind in OF_ONE_FILE:
            self._problems[problem.in_words] = None
        else:
            self._otherwise(problem)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was kept, in the order in which it was met."""
        return tuple(self._problems)


def refuse(problem: Problem) -> None:
    """The sink of a reading that mends nothing: every problem ends it."""
    raise problem.error


@dataclass(frozen=True)
class Noted:
    """The sink of a conversion: the first problem ends it, but for those that readers note, which it keeps.

    All are counted by kind; of each kind the first 200 are kept.
    """

    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Problem] = field(default_factory=list)

    def __call__(self, problem: Problem) -> None:
        """Takes one problem; raises its error where no reading goes on from it."""
        strict(problem)
        self.counts[problem.kind] += 1
        if self.counts[problem.kind] <= KEPT_OF_A_KIND:
            self.kept.append(problem.in_words)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values, which `of_dict` takes back."""
        return {"counts": dict(self.counts), "kept": [[problem.kind, problem.message] for problem in self.kept]}

    @classmethod
    def of_dict(cls, value: dict[str, Any]) -> "Noted":
        """What `as_dict` gave."""
        return cls(Counter(value["counts"]), [Problem(*row) for row in value["kept"]])


def already_told(problem: Problem) -> None:
    """The sink of a second pass over what a first one reported."""
    del problem
