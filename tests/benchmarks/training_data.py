"""What the benchmarks of training run on: cfgs with random weights, and boxes as a busy crossing has them."""

import os
from importlib import resources
from pathlib import Path

import numpy as np

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.training.targets import Truths

BATCH, BOXES = 16, 15  # pictures of a step, objects in a picture
REFERENCE = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", Path(__file__).resolve().parents[3] / "shared" / "reference"))


def package_cfg() -> Cfg:
    """The package's traffic-small."""
    text = resources.files("traffic_yolo.training").joinpath("cfg", "traffic-small.cfg").read_text(encoding="utf-8")
    return Cfg.parse(text)


def reference_cfg(path: str, *, size_wh: tuple[int, int] | None = None) -> Cfg | None:
    """A cfg below the reference folder, at another size where one is given; None where it is not there."""
    if not (REFERENCE / path).is_file():
        return None
    return sized(Cfg.read(REFERENCE / path), size_wh)


def sized(cfg: Cfg, size_wh: tuple[int, int] | None) -> Cfg:
    """The same cfg, its size set where one is given."""
    for key, value in zip(("width", "height"), size_wh or (), strict=False):
        cfg.net.set(key, value)
    return cfg


def random_truths(num_classes: int) -> Truths:
    """Boxes of a few percent of the picture, `BOXES` in each of `BATCH` pictures."""
    generator = np.random.default_rng(0)
    count = BATCH * BOXES
    centres = generator.uniform(0.05, 0.95, (count, 2))
    sizes = generator.uniform(0.03, 0.2, (count, 2))
    return Truths(
        np.concatenate([centres, sizes], axis=1).astype(np.float32),
        generator.integers(0, num_classes, count),
        np.repeat(np.arange(BATCH), BOXES),
        np.zeros(count, bool),
    )
