"""`traffic-yolo atm`."""

from pathlib import Path

import click

from traffic_yolo.commands.atm_inspect import command as inspect_command
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE


@click.group()
def command() -> None:
    """ATM recordings: say what unknown ones are, check a layout of your own, render synthetic ones."""


command.add_command(inspect_command)


@command.command()
@click.option("--out", required=True, type=WRITE, help="Folder of the share to write.")
@click.option("--sites", default=5, show_default=True, help="Imaginary sites, each with its own camera and road.")
@click.option("--recordings-per-site", default=2, show_default=True)
@click.option("--frames-per-recording", default=50, show_default=True)
@click.option("--picture-width", "width", default=960, show_default=True, help="Width of a picture in pixels.")
@click.option("--picture-height", "height", default=540, show_default=True, help="Height of a picture in pixels.")
@click.option("--processes", default=2, show_default=True, help="Recordings rendered at a time.")
@click.option("--seed", default=0, show_default=True)
@json_option
def synthesize(
    out: Path,
    sites: int,
    recordings_per_site: int,
    frames_per_recording: int,
    width: int,
    height: int,
    processes: int,
    seed: int,
    as_json: bool,
) -> None:
    """Render a share of ATM recordings of imaginary roads, with exact labels beside them."""
    from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share

    options = SyntheticOptions(
        sites=sites,
        recordings_per_site=recordings_per_site,
        frames_per_recording=frames_per_recording,
        image_wh=(width, height),
        processes=processes,
        seed=seed,
    )
    print_result(write_share(out, options).text, {"out": out}, as_json=as_json)


@command.command("check-layout")
@click.argument("file", type=READ)
@click.option("--recordings", type=READ, help="Recordings to try it on: a file or a folder.")
@json_option
def check_layout(file: str, recordings: str | None, as_json: bool) -> None:
    """Check a layout file of your own, and try it on recordings.

    A layout says where in a recording (HDF5) a reader finds what; copy one of the package's and change what differs.
    """
    from traffic_yolo.atm.layout_check import check_layout as check

    text = check(file, recordings)
    print_result(text, {"text": text}, as_json=as_json)


@command.command("layout-schema")
def layout_schema() -> None:
    """Print the JSON schema of layout files, for editors that complete and check YAML."""
    from traffic_yolo.atm.layouts import SCHEMA_PATH

    click.echo(SCHEMA_PATH.read_text(encoding="utf-8"))
