"""A data set of rendered pictures, converted as a user's recordings are."""

from pathlib import Path


def write_small_data_set(folder: Path, *, frames: int, seed: int) -> None:
    """Writes `dataset`, and the share `nas` that it is of: three sites, one for each split, a recording each."""
    from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
    from traffic_yolo.dataset.convert import convert
    from traffic_yolo.dataset.options import ConvertOptions

    options = SyntheticOptions(
        sites=3, recordings_per_site=1, frames_per_recording=frames, image_wh=(320, 192), seed=seed
    )
    write_share(folder / "nas", options)
    source = ConvertOptions(str(folder / "nas" / "recordings"), labels=str(folder / "nas" / "human_labels.json"))
    convert(source, folder / "dataset")
