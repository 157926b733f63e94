"""How checks, thinning and reports plug into a conversion without touching its loop.

A conversion has two stages, so that it can be cut into shards whose merge gives the same bytes as a single run:

1. For every frame of the source, in order, the pictures' bytes at hand: filters decide whether it stays
   (`FrameFilter.keep`), observers measure it (`FrameObserver.measure`). Shards do this apart, each on whole recordings.
2. For every frame that stayed, in the order of the whole source, from the spool: record filters decide once more, with
   the whole set known (`RecordFilter`), observers collect (`FrameObserver.collect`) and sum up
   (`FrameObserver.finish`). The merge does this once.

What readers leave out or mend, they tell while the source is opened; an observer that is a `NoteTaker` judges it.

`plug_ins.py` names those that every conversion has.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.pictures.choice import BLURRED
from traffic_yolo.dataset.problems import NOTED, Noted, Problem
from traffic_yolo.dataset.records import Frame
from traffic_yolo.html_report import Html


class FrameChange(Protocol):
    """Changes the annotations of a frame before anything else sees them; drops none."""

    def change(self, frame: Frame) -> Frame:
        """The frame as it is to be; depends on the frame alone."""
        ...


class FrameFilter(Protocol):
    """Drops frames while they are read, before anything of them is written. One instance sees one shard in order."""

    def keep(self, frame: Frame, split: str, picture: bytes) -> str:
        """Why the frame goes, as the report says it after a count ("frames within 0.5 s of the last"); "" to keep it.

        Frames come recording by recording. What is remembered must not cross recordings: shards begin with a new one.
        """
        ...


class RecordFilter(Protocol):
    """Drops frames with the whole set known, before labels are written; their pictures are removed again."""

    def plan(self, frames: Iterable[tuple[Frame, str]]) -> None:
        """Sees every (frame, split) once, in order."""
        ...

    def keep(self, frame: Frame, split: str) -> str:
        """Why the frame goes; "" to keep it. Called for every frame, in the same order."""
        ...


@dataclass(frozen=True)
class ObserverOutcome:
    """What an observer has to say. `notes` go into the report; `failure`, where not "", ends the conversion with it.

    `report` is kept in report.json under the observer's name (JSON values), `sections` (heading, HTML) in report.html.
    """

    notes: list[str] = field(default_factory=list)
    failure: str = ""
    report: Any = None
    sections: list[tuple[str, Html]] = field(default_factory=list)


class FrameObserver(Protocol):
    """Looks at every frame that is written.

    `name` is a word, unique among the observers. `needs` names what it wants of a recording's scans beside the picture
    (`atm.recording.SCAN_PARTS`: "detections", "tracks", "status"); what nobody needs is not read.
    """

    name: str
    needs: frozenset[str]

    def measure(self, frame: Frame, split: str, picture: bytes) -> Any:
        """What must be taken from the picture's bytes or `frame.recorded`, as a JSON value; None for nothing.

        Must depend on the arguments alone. The annotations are those that will be written: under the class map, cut at
        the picture's edges.
        """
        ...

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Called for every frame of the whole set, in order, with what `measure` returned (lists for tuples).

        `frame.picture()` reads the picture from the data set's folder.
        """
        ...

    def finish(self, folder: Path) -> ObserverOutcome:
        """Called once at the end. May write files of its own into `folder`; they are not in the manifest."""
        ...


@runtime_checkable
class ProblemObserver(Protocol):
    """An observer that also judges what could not be read; without one, the first such problem ends a conversion."""

    def note_problem(self, problem: Problem) -> None:
        """Called for what was met, before `finish`; more than once for some."""
        ...

    def why_failed(self) -> str:
        """Why the problems noted so far fail the conversion; "" where they do not."""
        ...


@runtime_checkable
class FrameJudge(Protocol):
    """An observer that can say of one problem or one frame that the conversion would fail by it: for a quarantine."""

    def fails_on(self, problem: Problem) -> bool:
        """Whether a problem that a reader tells of fails the conversion. Remembers nothing."""
        ...

    def objections(self, measured: Any) -> list[DataFinding]:
        """What in the outcome of `measure` fails the conversion; empty for a frame that may stay."""
        ...


@runtime_checkable
class NoteTaker(Protocol):
    """An observer that also judges what the readers of labels left out or mended."""

    def refusal(self, noted: Noted) -> str:
        """Why the conversion has to stop before its first frame; "" where it may go on. Remembers nothing."""
        ...

    def note(self, noted: Noted) -> None:
        """Takes it into account; called once, in the second stage."""
        ...


@dataclass(frozen=True)
class PlugIns:
    """The plug-ins of one conversion. Record filters and observers are made anew for the second stage.

    `pictures`: how the report shows pictures, a word of `PictureChoice`.
    """

    changes: tuple[FrameChange, ...] = ()
    filters: tuple[FrameFilter, ...] = ()
    record_filters: tuple[RecordFilter, ...] = ()
    observers: tuple[FrameObserver, ...] = ()
    pictures: str = BLURRED

    @property
    def problem_observers(self) -> tuple[ProblemObserver, ...]:
        """The observers that judge what could not be read."""
        return tuple(observer for observer in self.observers if isinstance(observer, ProblemObserver))

    def fail_on(self, problem: Problem) -> bool:
        """Whether a problem ends the conversion, fails it, or has its file left out."""
        judges = (observer for observer in self.observers if isinstance(observer, FrameJudge))
        return problem.kind not in NOTED or any(judge.fails_on(problem) for judge in judges)

    def measured(self, frame: Frame, split: str, picture: bytes) -> dict[str, Any]:
        """What the observers measure of a frame, by their names."""
        values = ((one.name, one.measure(frame, split, picture)) for one in self.observers)
        return {name: value for name, value in values if value is not None}

    def objections(self, measured: Mapping[str, Any]) -> list[DataFinding]:
        """What in it fails the conversion."""
        return [
            finding
            for observer in self.observers
            if isinstance(observer, FrameJudge)
            for finding in observer.objections(measured.get(observer.name))
        ]


PlugInsFactory = Callable[[ConvertOptions], PlugIns]
