"""A comparison of two data sets for people: lines for a terminal, and a page with the pictures that changed most."""

from collections.abc import Iterator

from traffic_yolo.boxes import FloatArray
from traffic_yolo.dataset.diff.data_set_diff import BOX_KINDS, DataSetDiff, DrawnChange
from traffic_yolo.dataset.pictures.drawn_boxes import FALSE_RGB, IGNORED_RGB, MISSED_RGB, RIGHT_RGB, TRUTH_RGB, DrawnBox
from traffic_yolo.dataset.report.samples import draw_boxes
from traffic_yolo.html_report import Html, colour_key, page, paragraph, pictures, table
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.storage import AnyPath, output_path, write_json, write_text

RECLASSED_RGB = (86, 180, 233)
DRAWN_PIXELS = 640 * 360
NAMED_ON_PAGE = 50
WORDS = {
    "same": "the same",
    "moved": "moved",
    "reclassed": "of another class",
    "marked": "marked otherwise",
    "added": "added",
    "removed": "removed",
}
COLOURS = (
    ("added", RIGHT_RGB),
    ("removed", FALSE_RGB),
    ("moved: before", TRUTH_RGB),
    ("moved: after", MISSED_RGB),
    ("of another class", RECLASSED_RGB),
    ("the same, or marked otherwise", IGNORED_RGB),
)


def write_diff(out: AnyPath, diff: DataSetDiff) -> None:
    """Writes `diff.json` and `report.html` into the folder `out`, each whole."""
    folder = output_path(out)
    write_json(folder / "diff.json", diff.as_dict())
    write_text(folder / "report.html", diff_html(diff, folder))


def diff_text(diff: DataSetDiff) -> str:
    """Lines for a terminal."""
    found = diff.pictures
    words = ", ".join(f"{found[kind].count} {kind}" for kind in ("added", "removed", "renamed"))
    lines = [
        f"pictures: {diff.num_pictures[0]}, now {diff.num_pictures[1]}: {words}, {found['other bytes'].count} with "
        f"other bytes, {found['other split'].count} in another split",
        f"classes: added {_listed(diff.classes_added)}, removed {_listed(diff.classes_removed)}",
        "boxes of pictures in both: " + ", ".join(f"{diff.boxes[kind]} {WORDS[kind]}" for kind in BOX_KINDS),
        f"boxes of pictures in one: {diff.of_pictures['added']} added, {diff.of_pictures['removed']} removed",
    ]
    lines += [f"{before} became {after}: {count}" for (before, after), count in sorted(diff.reclassed.items())]
    return "\n".join([*lines, *(["no difference"] if diff.is_empty else [])])


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


def diff_html(diff: DataSetDiff, folder: AnyPath | None = None) -> str:
    """The comparison as one self-contained page; `folder`: in which it will lie, where that is known."""
    rows: list[tuple[str | int, ...]] = [
        (name, each.before, each.after, *(each.counts[kind] for kind in BOX_KINDS))
        for name, each in diff.by_class.items()
    ]
    headers = ["class", "first", "second", *(WORDS[kind] for kind in BOX_KINDS)]
    caption = "First and second count all pictures, the others those that both sets have."
    sections: list[tuple[str, str]] = [
        ("", Html("".join(paragraph(line) for line in diff_text(diff).splitlines()))),
        ("Boxes by class", table(headers, rows, caption=caption) if rows else paragraph("No boxes.")),
        ("Pictures with most changes", _drawn(diff)),
        ("Pictures", _names(diff)),
    ]
    about = tuple(Subject(which, said) for which, said in zip(("first", "second"), diff.described, strict=True))
    return page("Two data sets compared", sections, about=About(about, output_path(folder) if folder else None))


def _drawn(diff: DataSetDiff) -> Html:
    shown = [drawn for entry in diff.drawn if (drawn := _one(entry)) is not None]
    return Html(colour_key(COLOURS) + pictures(shown)) if shown else paragraph("No box of a picture changed.")


def _one(entry: DrawnChange) -> Html | None:
    changes = entry.changes
    counts = {kind: len(getattr(changes, kind)) for kind in BOX_KINDS}
    caption = f"{entry.name}: " + ", ".join(f"{count} {WORDS[kind]}" for kind, count in counts.items() if count)
    known = [
        (_xyxy(xyxy), class_name)
        for boxes in (entry.before, entry.after)
        for xyxy, class_name in zip(boxes.xyxy, boxes.classes, strict=True)
    ]
    marks = {"change": [WORDS[kind] for kind in BOX_KINDS if counts[kind] and kind != "same"]}
    return draw_boxes(entry.picture, _boxes(entry), caption, known=known, pixels=DRAWN_PIXELS, marks=marks)


def _boxes(entry: DrawnChange) -> Iterator[DrawnBox]:
    before, after, changes = entry.before, entry.after, entry.changes
    for pair in (*changes.same, *changes.marked):
        yield DrawnBox(_xyxy(after.xyxy[pair.after]), IGNORED_RGB)
    for pair in changes.moved:
        yield DrawnBox(_xyxy(before.xyxy[pair.before]), TRUTH_RGB)
        yield DrawnBox(_xyxy(after.xyxy[pair.after]), MISSED_RGB, after.classes[pair.after])
    for pair in changes.reclassed:
        text = f"{before.classes[pair.before]} > {after.classes[pair.after]}"
        yield DrawnBox(_xyxy(after.xyxy[pair.after]), RECLASSED_RGB, text)
    for row in changes.removed:
        yield DrawnBox(_xyxy(before.xyxy[row]), FALSE_RGB, before.classes[row])
    for row in changes.added:
        yield DrawnBox(_xyxy(after.xyxy[row]), RIGHT_RGB, after.classes[row])


def _xyxy(row: FloatArray) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, row)
    return left, top, right, bottom


def _names(diff: DataSetDiff) -> Html:
    rows = [(kind, name) for kind, found in diff.pictures.items() for name in found.named[:NAMED_ON_PAGE]]
    caption = f"The first {NAMED_ON_PAGE} of each kind; diff.json has up to 1,000."
    return (
        table(["change", "picture"], rows, caption=caption, filter_by=("change",))
        if rows
        else paragraph("Both have the same pictures.")
    )
