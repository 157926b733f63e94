"""The outcome of a check as a page, as lines for a terminal, and as files."""

import csv
import io

from traffic_yolo.dataset.checks.check_source import SourceCheck
from traffic_yolo.dataset.checks.cross_check import CheckedFrame, CrossCheckReport, Lonely
from traffic_yolo.dataset.checks.finding_pictures import found_pictures
from traffic_yolo.dataset.checks.report import checks_section, findings_text
from traffic_yolo.dataset.pictures.choice import BLURRED, NONE
from traffic_yolo.dataset.pictures.drawn_boxes import DrawnBox
from traffic_yolo.dataset.report.picture_observer import leak_section
from traffic_yolo.dataset.report.samples import NO_PICTURES, draw_boxes
from traffic_yolo.html_report import Html, page, paragraph, pictures, table
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.storage import AnyPath, output_path, write_json, write_text

SHOWN_LONELY = 50
RADAR_COLOURS = {"track": (213, 94, 0), "box": (86, 180, 233), "matched": (0, 158, 115)}
FRAME_PIXELS = 640 * 360
REPORT_FILES = ("findings.json", "report.html", "to_label.csv")


def write_check(out: AnyPath, check: SourceCheck, *, pictures: str = BLURRED) -> None:
    """Writes `findings.json`, `report.html` and, with a radar, `to_label.csv` into the folder `out`, each whole.

    `pictures`: how the page shows pictures, a word of `dataset.picture_choice.PictureChoice`.
    """
    folder = output_path(out)
    write_json(folder / "findings.json", check.as_dict())
    write_text(folder / "report.html", check_html(check, pictures, folder))
    if check.radar is not None:
        write_text(folder / "to_label.csv", lonely_csv(check.radar.lonely))


def check_text(check: SourceCheck) -> str:
    """Lines for a terminal."""
    lines = [findings_text(check.findings, frames=check.run.frames, boxes=check.run.boxes)]
    if check.radar is not None:
        for place, counts in check.radar.counts.items():
            numbers = f"{counts['without_box']} tracks without a box, {counts['without_track']} boxes without a track"
            lines.append(f"radar {place}: {counts['frames']} frames, {counts['matches']} pairs, {numbers}")
            lines.append(f"calibration {place}: {check.radar.verdicts[place].reason}")
    return "\n".join([*lines, *(f"note: {note}" for note in check.notes)])


def check_html(check: SourceCheck, pictures: str = BLURRED, folder: AnyPath | None = None) -> str:
    """The outcome as one self-contained page; `folder`: in which it will lie, where that is known."""
    sections: list[tuple[str, str]] = [
        ("Checks", checks_section(check.findings, check.run.severities, frames=check.run.frames)),
    ]
    if check.found_in:
        sections.append(("Pictures of findings", found_pictures(check.found_in, pictures)))
    if check.leaks is not None:
        sections.append(("Leaks between the source's splits", leak_section(check.leaks)))
    if check.radar is not None:
        sections += radar_sections(check.radar, pictures)
    if check.notes:
        sections.append(("Notes", Html("".join(paragraph(note) for note in check.notes))))
    return page(
        "Check of a source",
        sections,
        about=About((Subject("source", check.description),), output_path(folder) if folder else None),
    )


def radar_sections(radar: CrossCheckReport, pictures_shown: str = BLURRED) -> list[tuple[str, str]]:
    """The cross-check: cameras, what to label first, and the frames with most to label."""
    rows: list[tuple[str | int, ...]] = []
    for place, counts in radar.counts.items():
        verdict = radar.verdicts[place]
        state = "plausible" if verdict.plausible else "implausible"
        names = ("frames", "tracks", "boxes", "matches", "without_box", "without_track")
        rows.append((place, *(counts[name] for name in names), f"{state}: {verdict.reason}"))
    headers = [
        "camera",
        "frames",
        "tracks",
        "boxes",
        "pairs",
        "tracks without box",
        "boxes without track",
        "calibration",
    ]
    skipped = [paragraph(f"{count} {what}: not checked.", quiet=True) for what, count in radar.skipped.items()]
    drawn = [shown for frame in radar.frames if (shown := _drawn(frame, pictures_shown)) is not None]
    without = NO_PICTURES if pictures_shown == NONE else "None."
    legend = paragraph("Orange: a track without a box. Blue: a box without a track. Green: pairs, the label's box.")
    return [
        ("Radar against labels", Html(table(headers, rows) + "".join(skipped))),
        ("To label first", _lonely_table(radar.lonely)),
        ("Frames with most to label", Html(legend + pictures(drawn)) if drawn else paragraph(without)),
    ]


def lonely_csv(lonely: tuple[Lonely, ...]) -> str:
    """A row for each track without a box and box without a track, the most important first."""
    text = io.StringIO()
    names = list(lonely[0].as_dict()) if lonely else ["rank_score", "kind", "file", "frame", "number", "class"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.as_dict() for one in lonely)
    return text.getvalue()


def _lonely_table(lonely: tuple[Lonely, ...]) -> Html:
    if not lonely:
        return paragraph("Every track in sight has a box, and every box a track.")
    rows = [
        (one.kind, one.frame, one.class_name, f"{one.score:.2f}", round(min(one.distance_m, 9999.0), 1), one.file)
        for one in lonely[:SHOWN_LONELY]
    ]
    caption = (
        f"The first {len(rows)} of {len(lonely)} in findings.json and to_label.csv." if len(lonely) > len(rows) else ""
    )
    return table(
        ["alone", "frame", "class", "score", "distance, m", "file"], rows, caption=caption, filter_by=("alone", "class")
    )


def _drawn(checked: CheckedFrame, pictures_shown: str) -> Html | None:
    observation = checked.observation
    if not observation.picture:
        return None
    matched = [DrawnBox(observation.sound_boxes[box].xyxy, RADAR_COLOURS["matched"]) for _, box in checked.matches]
    alone = [
        DrawnBox(one.box_xyxy, RADAR_COLOURS[one.kind], f"{one.class_name} {one.distance_m:.0f} m")
        for one in checked.lonely
    ]
    caption = f"{observation.frame}: {sum(one.kind == 'track' for one in checked.lonely)} tracks without a box, "
    caption += f"{sum(one.kind == 'box' for one in checked.lonely)} boxes without a track"
    known = [(box.xyxy, box.class_name or "") for box in observation.sound_boxes]
    known += [(one.box_xyxy, one.class_name or "") for one in checked.lonely]
    kinds = {"track": "track without box", "box": "box without track"}
    marks = {"alone": sorted({kinds[one.kind] for one in checked.lonely}), "camera": [observation.place]}
    return draw_boxes(
        observation.picture,
        [*matched, *alone],
        caption,
        known=known,
        pictures_shown=pictures_shown,
        pixels=FRAME_PIXELS,
        marks=marks,
    )
