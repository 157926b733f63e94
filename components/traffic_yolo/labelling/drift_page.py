"""A comparison of deployed detections with validation for people: lines for a terminal, and a page."""

from pathlib import Path

from traffic_yolo.html_report import page, paragraph, table, tiles
from traffic_yolo.labelling.drift import Drift, GroupDrift, drift_values
from traffic_yolo.labelling.options import DriftOptions
from traffic_yolo.page_origin import About, Subject, short_path, subject_with_page
from traffic_yolo.storage import AnyPath, output_path, write_json, write_text

DRIFT_NAME = "drift.json"


def write_drift(out: AnyPath, drift: Drift, options: DriftOptions | None = None) -> None:
    """Writes `drift.json` and `report.html` into the folder `out`, each whole; `options`: what was compared."""
    folder = output_path(out)
    write_json(folder / DRIFT_NAME, drift_values(drift))
    write_text(folder / "report.html", drift_html(drift, _about(options, folder)))


def drift_text(drift: Drift) -> str:
    """Lines for a terminal: each camera and hour that drifted, the worst first."""
    judged = sum(one.is_judged for one in drift.groups)
    lines = [f"{len(drift.drifted)} of {judged} cameras and hours drifted, {len(drift.groups) - judged} not judged"]
    lines += [f"drifted: {one.group}: {_why(one)}" for one in drift.drifted]
    return "\n".join(lines)


def drift_html(drift: Drift, about: About) -> str:
    """The comparison as one self-contained page."""
    judged = sum(one.is_judged for one in drift.groups)
    head = tiles([("drifted", len(drift.drifted)), ("judged", judged), ("too few pictures", len(drift.groups) - judged),
                  ("validation pictures", drift.validation_pictures)])  # fmt: skip
    rows = [
        (one.group, _verdict(one), one.pictures, one.boxes_per_picture, one.mean_score, one.count_distance,
         one.count_chance, one.score_distance, one.score_chance, one.excess)
        for one in drift.groups
    ]  # fmt: skip
    headers = ["camera and hour", "verdict", "pictures", "boxes a picture", "mean score", "distance of numbers",
               "chance gives", "distance of scores", "chance gives ", "beyond chance"]  # fmt: skip
    mean = drift.validation_mean_score
    said = (
        f"Validation: {drift.validation_boxes / drift.validation_pictures:.2f} boxes a picture, mean score "
        f"{'–' if mean is None else f'{mean:.3f}'}. Drifted: beyond chance by more than {drift.limit:g}."
    )
    sections = [("", head + paragraph(said)), ("Cameras and hours", table(headers, rows))]
    return page("Deployed detections against validation", sections, about=about)


def _about(options: DriftOptions | None, folder: Path) -> About:
    if options is None:
        return About((), folder)
    validation = Path(options.validation).absolute()
    return About(
        (
            Subject("detections", short_path(options.deployed)),
            subject_with_page("validation", short_path(options.validation), validation, folder),
        ),
        folder,
    )


def _verdict(one: GroupDrift) -> str:
    if not one.is_judged:
        return "too few pictures"
    return "drifted" if one.has_drifted else "as validation"


def _why(one: GroupDrift) -> str:
    score = "no boxes" if one.mean_score is None else f"mean score {one.mean_score:.2f}"
    return f"{one.pictures:,} pictures, {one.boxes_per_picture:.2f} boxes each, {score}; {one.excess:.2f} beyond chance"
