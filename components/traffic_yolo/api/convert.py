"""`traffic_yolo.convert`: the step of that name for a program, with a result that shows itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.api.keywords import options_of
from traffic_yolo.dataset.convert import ConvertSummary
from traffic_yolo.dataset.convert import convert as convert_step
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.result_view import ResultView, Viewable
from traffic_yolo.storage import AnyPath, output_path


@dataclass(frozen=True, repr=False)
class Converted(Viewable):
    """A data set that `convert` wrote. `path`: its folder; `summary`: what the step says of it."""

    path: Path
    summary: ConvertSummary

    @property
    def data_set(self) -> DataSet:
        """The data set, opened."""
        return DataSet.open(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names by class_id."""
        return self.data_set.classes

    def truth(self, split: str) -> Path:
        """The COCO file of a split; `DatasetError` for one that the data set does not have."""
        return self.data_set.coco_path(split)

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.path / "report.html"

    def view(self) -> ResultView:
        """Pictures and boxes of each split, and what the report notes."""
        data = self.data_set
        sites = data.manifest.get("splits", {})
        rows = tuple(
            (split, counts["images"], counts["boxes"], counts["ignored"], ", ".join(sites.get(split, ())))
            for split, counts in data.manifest["counts"].items()
        )
        classes = f"classes: {', '.join(data.classes)}"
        notes = tuple(f"note: {note}" for note in self.summary.notes)
        title = f"data set {self.path} ({data.fingerprint[:12]})"
        return ResultView(title, (classes, *notes), ("split", "pictures", "boxes", "ignored", "sites"), rows)


def convert(
    source: AnyPath,
    out: AnyPath,
    *,
    labels: AnyPath = "",
    class_map: AnyPath = "",
    val_sites: str | Sequence[str] = "",
    test_sites: str | Sequence[str] = "",
    splits: str = "auto",
    policy: AnyPath | Mapping[str, Any] = "",
    processes: int = 0,
    **options: Any,
) -> Converted:
    """Writes the data set folder `out` of recordings or another data set; it appears whole or not at all.

    The arguments, and any of `options`, are those of the command `convert` (docs/options.md) by their names with
    underscores; sites may be a list, and `policy` a mapping. Raises what the step raises, each a `TrafficYoloError` of
    one line.
    """
    given = {
        "source": source,
        "labels": labels,
        "class_map": class_map,
        "val_sites": val_sites,
        "test_sites": test_sites,
        "splits": splits,
        "policy": json.dumps(dict(policy)) if isinstance(policy, Mapping) else policy,
        **options,
    }
    (chosen,) = options_of("convert", given, ConvertOptions)
    summary = convert_step(chosen, out, processes=processes)
    return Converted(output_path(out), summary)
