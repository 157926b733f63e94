"""`traffic-yolo atm`."""

from pathlib import Path

import click


@click.group()
def command() -> None:
    """ATM recordings: render synthetic ones."""


@command.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the share to write.")
@click.option("--sites", default=5, show_default=True, help="Imaginary sites, each with its own camera and road.")
@click.option("--recordings-per-site", default=2, show_default=True)
@click.option("--frames-per-recording", default=50, show_default=True)
@click.option("--width", default=960, show_default=True, help="Width of a picture in pixels.")
@click.option("--height", default=540, show_default=True, help="Height of a picture in pixels.")
@click.option("--processes", default=2, show_default=True, help="Recordings rendered at a time.")
@click.option("--seed", default=0, show_default=True)
def synthesize(
    out: Path,
    sites: int,
    recordings_per_site: int,
    frames_per_recording: int,
    width: int,
    height: int,
    processes: int,
    seed: int,
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
    click.echo(write_share(out, options).text)
