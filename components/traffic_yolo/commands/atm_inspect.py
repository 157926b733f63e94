"""`traffic-yolo atm inspect`."""

from pathlib import Path

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.dataset.pictures.choice import PictureChoice
from traffic_yolo.options import check_options

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


@click.command("inspect")
@click.argument("path", type=READ)
@click.option(
    "--layout", "layouts", multiple=True, type=READ, help="Another layout to try: a YAML file (may be repeated)."
)
@click.option("--max-files", default=3, show_default=True, help="Files of each kind whose scans are read.")
@click.option("--max-scans", default=200, show_default=True, help="Scans of a file that are read, spread evenly.")
@click.option("--json-file", "json_path", type=WRITE, help="Write the findings to this JSON file.")
@click.option("--html", "html_path", type=WRITE, help="Write a page to this file.")
@options_of(PictureChoice)
@json_option
@click.option("--draft", type=WRITE, help="Write a layout YAML to start from (unknown layouts).")
def command(
    path: str, layouts: tuple[str, ...], max_files: int, max_scans: int, json_path: Path | None,
    html_path: Path | None, draft: Path | None, as_json: bool, pictures: str,
) -> None:  # fmt: skip
    """Look at an unknown recording, or a folder of them, and say what it is."""
    from traffic_yolo.atm.inspection.draft import draft_layout
    from traffic_yolo.atm.inspection.inspect import inspect_recordings
    from traffic_yolo.atm.inspection.page import inspection_dict, inspection_html, inspection_text
    from traffic_yolo.atm.layouts import load_layout
    from traffic_yolo.dataset.inspection_pictures import inspection_pictures
    from traffic_yolo.errors import OptionsError, RecordingError
    from traffic_yolo.storage import input_path, write_json, write_text

    check_options(PictureChoice(pictures))
    if max_files < 1 or max_scans < 1:
        raise OptionsError("max-files and max-scans: expected 1 or more")
    known = [load_layout(layout) for layout in layouts]
    here = input_path(path, what="recordings")
    other = _label_format(here)
    if other:
        told = f"{path}: labels of the format {other}; `traffic-yolo check {path}` looks into them"
        click.echo(told, err=as_json)
        if here.is_file():
            if as_json:
                print_json({"labels_format": other})
            return
    inspection = inspect_recordings(here, layouts=known, max_files=max_files, max_scans=max_scans)
    if not inspection.kinds and not other:
        reason = f": {inspection.unreadable[0]}" if inspection.unreadable else "; expected *.h5"
        raise RecordingError(f"{path}: no HDF5 file that can be read{reason}")
    print_result(inspection_text(inspection), inspection_dict(inspection), as_json=as_json)
    if json_path is not None:
        write_json(json_path, inspection_dict(inspection))
    if html_path is not None:
        write_text(html_path, inspection_html(inspection, inspection_pictures(inspection, pictures)))
        click.echo(f"page {html_path}", err=as_json)
    if draft is not None:
        text = next((text for kind in inspection.kinds if not kind.layout and (text := draft_layout(kind))), "")
        if not text:
            why = (
                "every file has a known layout" if all(kind.layout for kind in inspection.kinds) else "none can say it"
            )
            raise RecordingError(f"{path}: no layout to draft: {why}")
        write_text(draft, text)
        click.echo(f"draft {draft}: check the lines marked GUESS, then pass it as --layout", err=as_json)


def _label_format(path: Path) -> str:
    """The label format of a data set that lies here; "" for none."""
    from traffic_yolo.dataset.sources.label_formats import detect_label_format

    return (detect_label_format(path) or "") if path.exists() and path.suffix.lower() not in HDF5_SUFFIXES else ""
