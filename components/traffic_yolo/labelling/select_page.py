"""What was selected and why, for people and for programs: a table, JSON, a page with pictures."""

import csv
import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.pictures.choice import NONE
from traffic_yolo.dataset.pictures.drawn_boxes import DrawnBox, class_colour
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.report.samples import NO_PICTURES, draw_boxes
from traffic_yolo.html_report import Cell, Html, page, paragraph, pictures, table, tiles
from traffic_yolo.labelling.choice import Chosen
from traffic_yolo.labelling.options import SelectOptions
from traffic_yolo.labelling.selection import Selection
from traffic_yolo.page_origin import About, Subject, short_path, subject_with_page
from traffic_yolo.storage import write_json, write_text

SHOWN = 24  # pictures on the page

COLUMNS = ("rank", "picture", "site", "camera", "hour", "worth", "uncertainty", "rare", "rare_class", "radar", "reason")


def write_pages(
    folder: Path,
    selection: Selection,
    options: SelectOptions,
    samples: Sequence[tuple[Chosen, Frame]],
    classes: Sequence[str],
    target: Path,
) -> None:
    """Writes `selection.csv`, `selection.json` and `report.html`. `samples`: the first ranks with their pictures.

    `target`: the folder in which they will lie at the end.
    """
    write_text(folder / "selection.csv", selection_csv(selection))
    write_json(folder / "selection.json", {"options": dataclasses.asdict(options), **selection_values(selection)})
    write_text(folder / "report.html", _html(selection, options, samples, classes, target))


def selection_values(selection: Selection) -> dict[str, Any]:
    """The selection as JSON values."""
    return {
        "candidates": selection.candidates,
        "left_out": dict(selection.left_out),
        "labelled_boxes": dict(selection.labelled),
        "notes": list(selection.notes),
        "pictures": [dict(zip(COLUMNS, _row(one), strict=True)) for one in selection.chosen],
    }


def selection_csv(selection: Selection) -> str:
    """A line for each picture, the first rank first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if cell is None else cell for cell in _row(one)] for one in selection.chosen)
    return text.getvalue()


def selection_text(selection: Selection) -> str:
    """Lines for a terminal."""
    groups = Counter(one.candidate.group for one in selection.chosen)
    lines = [
        f"{len(selection.chosen):,} of {selection.candidates:,} pictures taken, of {len(groups)} cameras and hours",
        *(f"left out: {count} {reason}" for reason, count in sorted(selection.left_out.items())),
        *(f"note: {note}" for note in selection.notes),
    ]
    return "\n".join(lines)


def _row(one: Chosen) -> tuple[Cell, ...]:
    parts = (round(value, 4) for value in (one.worth, one.uncertainty, one.rare))
    known = one.candidate
    return (one.rank, known.name, known.site, known.camera, known.hour, *parts, one.rare_class, round(one.radar, 4),
            one.reason)  # fmt: skip


def _html(
    selection: Selection,
    options: SelectOptions,
    samples: Sequence[tuple[Chosen, Frame]],
    classes: Sequence[str],
    target: Path,
) -> str:
    groups = Counter(one.candidate.group for one in selection.chosen)
    head = tiles(
        [("pictures taken", len(selection.chosen)), ("candidates", selection.candidates),
         ("cameras and hours", len(groups))]
    )  # fmt: skip
    left = [(reason, count) for reason, count in sorted(selection.left_out.items())]
    taken = Counter[str]()
    for one in selection.chosen:
        taken.update(one.candidate.expected)
    rows = [(name, int(count), round(float(taken[name]), 1)) for name, count in selection.labelled.items()]
    rows += [(name, 0, round(float(count), 1)) for name, count in taken.items() if name not in selection.labelled]
    shown = [drawn for one, frame in samples if (drawn := _drawn(one, frame, options, classes)) is not None]
    without = NO_PICTURES if options.pictures == NONE else "None."
    spread = sorted(groups.items())
    reasons = [(one.rank, one.candidate.name, round(one.worth, 3), one.reason) for one in selection.chosen]
    caption = "selection.csv has the parts of the worth."
    sections: list[tuple[str, str]] = [
        ("", head),
        ("The first pictures", pictures(shown) if shown else paragraph(without)),
        ("Why each was taken", table(["rank", "picture", "worth", "reason"], reasons, caption=caption)),
        ("Cameras and hours", table(["camera and hour", "pictures"], spread)),
        ("Classes", table(["class", "labelled boxes", "expected in the selection"], rows)),
        ("Left out", table(["pictures that", "count"], left) if left else paragraph("None.")),
    ]
    if selection.notes:
        sections.append(("Notes", Html("".join(paragraph(note) for note in selection.notes))))
    known = Path(options.keep_splits).absolute()
    about = (
        Subject("source", short_path(options.source)),
        Subject("detections", short_path(options.detections) or "of the source's device"),
        subject_with_page(
            "data set", short_path(options.keep_splits), known if known.is_dir() else known.parent, target
        ),
    )
    return page("What to label next", sections, about=About(about, target))


def _drawn(one: Chosen, frame: Frame, options: SelectOptions, classes: Sequence[str]) -> Html | None:
    boxes, known = [], []
    for annotation in frame.annotations:
        xyxy = annotation.xyxy
        known.append((xyxy, annotation.class_name))
        text = f"{annotation.class_name} {annotation.confidence or 0:.2f}"
        boxes.append(DrawnBox(xyxy, class_colour(classes.index(annotation.class_name)), text))
    caption = f"{one.rank}. {frame.file_name}: {one.reason}"
    marks = {"camera and hour": [one.candidate.group], "class": sorted({name for _, name in known})}
    return draw_boxes(frame.picture(), boxes, caption, known=known, pictures_shown=options.pictures, marks=marks)
