"""How much of a data set is from which of several sources: in the report of every conversion of a list of sources."""

from collections import Counter
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.observers import ObserverOutcome
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.sources.combined import PROVENANCE
from traffic_yolo.html_report import table


class SourceCounts:
    """Observer of a conversion; silent where no frame says which source it is from."""

    name = "sources"
    needs: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._pictures: dict[str, Counter[str]] = {}
        self._boxes: dict[str, Counter[str]] = {}

    def measure(self, frame: Frame, split: str, picture: bytes) -> None:
        """Nothing."""
        del frame, split, picture

    def collect(self, frame: Frame, split: str, measured: Any) -> None:
        """Counts the frame for its source."""
        del measured
        name = frame.attributes.get(PROVENANCE)
        if isinstance(name, str):
            self._pictures.setdefault(name, Counter())[split] += 1
            boxes = self._boxes.setdefault(name, Counter())
            boxes.update(annotation.class_name for annotation in frame.annotations if annotation.counts)

    def finish(self, folder: Path) -> ObserverOutcome:
        """Pictures by split, and boxes that count by class, of each source."""
        del folder
        if not self._pictures:
            return ObserverOutcome()
        report = {
            name: {"pictures": dict(sorted(self._pictures[name].items())), "boxes": dict(sorted(boxes.items()))}
            for name, boxes in sorted(self._boxes.items())
        }
        rows = [
            (name, sum(found["pictures"].values()), _listed(found["pictures"]), sum(found["boxes"].values()),
             _listed(found["boxes"]))
            for name, found in report.items()
        ]  # fmt: skip
        shown = table(["source", "pictures", "by split", "boxes", "by class"], rows)
        notes = [f"source {row[0]}: {row[1]} pictures, {row[3]} boxes" for row in rows]
        return ObserverOutcome(notes, report=report, sections=[("Sources", shown)])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
