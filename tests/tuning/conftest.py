"""A small data set for the tests of tuning."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered pictures of three sites, one for each split."""
    from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
    from traffic_yolo.dataset.convert import convert
    from traffic_yolo.dataset.options import ConvertOptions

    folder = tmp_path_factory.mktemp("tuned")
    options = SyntheticOptions(sites=3, recordings_per_site=1, frames_per_recording=4, image_wh=(320, 192), seed=5)
    write_share(folder / "nas", options)
    source = ConvertOptions(str(folder / "nas" / "recordings"), labels=str(folder / "nas" / "human_labels.json"))
    convert(source, folder / "dataset")
    return folder / "dataset"
