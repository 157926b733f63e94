"""What several notebooks start from, made when first asked for and kept: a rendered data set, a small trained model.

Everything lies in `build/examples` of the checkout, or where `TRAFFIC_YOLO_EXAMPLES` says. The model is trained for
`TRAFFIC_YOLO_EXAMPLE_UPDATES` updates (200): a minute or two on a processor of two cores, with numbers to match.
"""

import os
from pathlib import Path

import traffic_yolo as ty
from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.export.export_model import export_model
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train

EXAMPLES = Path(__file__).resolve().parent
WORK = Path(os.environ.get("TRAFFIC_YOLO_EXAMPLES", EXAMPLES.parent / "build" / "examples"))
UPDATES = int(os.environ.get("TRAFFIC_YOLO_EXAMPLE_UPDATES", "200"))
SIZE = {"width": 320, "height": 192}


def small_share() -> Path:
    """Recordings of five imaginary sites with a camera each, and their labels."""
    share = WORK / "share"
    if not share.is_dir():
        write_share(share, SyntheticOptions(recordings_per_site=1, frames_per_recording=24, image_wh=(480, 270)))
    return share


def small_data_set() -> Path:
    """Three sites to learn from, site D to choose thresholds on, site E to judge by."""
    folder = WORK / "dataset"
    if not folder.is_dir():
        share = small_share()
        labels = share / "human_labels.json"
        ty.convert(share / "recordings", folder, labels=labels, val_sites=["D"], test_sites=["E"])
    return folder


def small_model() -> Path:
    """The model folder of a short training from random weights on the data set."""
    folder = WORK / f"model-{UPDATES}"
    if not folder.is_dir():
        run = WORK / f"training-{UPDATES}"
        options = TrainingOptions(max_batches=UPDATES, batch=8, evaluate_every=UPDATES, **SIZE)
        train(small_data_set(), run, options, resume="auto", tell=print)
        print(export_model(run, folder, dataset=small_data_set()).text)
    return folder
